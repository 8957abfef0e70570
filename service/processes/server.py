"""Runs the service: one process that answers, or a supervisor and its workers."""

import faulthandler
import socket
import sys

import uvicorn

from service.app import Service, create_service
from service.catalog.verifier import single_threaded
from service.inference.session import choose_provider
from service.processes.signals import INTERRUPTED, StopRequest
from service.processes.supervisor import Supervisor
from service.processes.tuning import freeze_after_startup
from service.processes.worker import Worker, server_config
from service.settings import Settings

PORT_UNAVAILABLE = 3
"""Exit status of a service that cannot have its port."""
_BACKLOG = 2048


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, in one process or in several behind one port.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The settings cannot be used.
        SystemExit: SIGTERM (0), the port cannot be had (3), workers kept dying (4), or SIGINT
            (130).
    """
    if settings.workers == 1:
        service = create_service(settings)
        service.reconciler.start_verifier()
        config = server_config(settings, service)
        worker = Worker(config, service, drain_seconds=settings.drain_seconds)
        worker.run([_listen(config)])
        sys.exit(INTERRUPTED if worker.stop_request.interrupted else 0)
    sys.exit(_run_workers(settings))


def _run_workers(settings: Settings) -> int:
    service = create_service(settings, settings.workers)
    # Clients may connect from here on; they are accepted when workers serve.
    listener = _listen(server_config(settings, service))
    if _can_load_before_forking(settings):
        service = _load(settings, service)

    def serve(number: int, channel: socket.socket) -> None:
        faulthandler.enable()  # a worker that is aborted because it hangs prints where it was
        service.recorder.move_to(service.memory.segments[number + 1])
        Worker(server_config(settings, service), service, number, channel).run()

    return Supervisor(
        listener,
        serve,
        service.status,
        service.memory,
        stop_request=StopRequest(settings.drain_seconds),
        stop_seconds=settings.shutdown_timeout_seconds,
        hang_seconds=settings.worker_timeout_seconds,
    ).run()


def _listen(config: uvicorn.Config) -> socket.socket:
    """Open the listening socket; uvicorn logs where, or why not."""
    try:
        listener = config.bind_socket()
    except SystemExit as error:  # its status is not the same in all versions of uvicorn
        raise SystemExit(PORT_UNAVAILABLE) from error
    listener.listen(_BACKLOG)
    return listener


def _load(settings: Settings, service: Service) -> Service:
    """Load every bundle here, for all workers; leave it to them if that has started threads."""
    service.reconciler.load_sync()
    if not single_threaded():
        return create_service(settings, settings.workers)
    freeze_after_startup()
    return service


def _can_load_before_forking(settings: Settings) -> bool:
    """Say whether sessions survive a fork: on CPUs, as long as nothing has started a thread.

    Every run of a graph has one thread, its caller's, so onnxruntime starts none for a session.
    """
    return choose_provider(settings.providers) == "cpu" and single_threaded()
