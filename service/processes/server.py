"""The service as processes: one that answers by itself, or a supervisor and its workers."""

import faulthandler
import select
import socket
import sys
from pathlib import Path

from service.app import Service, create_service
from service.inference.session import choose_provider
from service.processes.forking import fork
from service.processes.signals import INTERRUPTED
from service.processes.supervisor import Predecessor, Supervisor
from service.processes.tuning import freeze_after_startup
from service.processes.worker import Worker, server_config
from service.settings import Settings

_TASKS = Path("/proc/self/task")
_BACKLOG = 2048
# Who connects meanwhile waits, and finds the models ready.
_QUICK_LOAD_SECONDS = 0.25


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, in one process or in several behind one port.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The service cannot be put together with these settings.
        SystemExit: SIGTERM (0), the port cannot be had (3), workers kept dying (4), or SIGINT
            (130).
    """
    if settings.workers == 1:
        service = create_service(settings)
        worker = Worker(server_config(settings, service), service)
        worker.run()
        sys.exit(INTERRUPTED if worker.interrupted else 0)
    sys.exit(_run_workers(settings))


def _run_workers(settings: Settings) -> int:
    # One segment for this process, one for each worker, one for who answers while bundles load.
    service = create_service(settings, settings.workers + 2)
    listener = server_config(settings, service).bind_socket()
    listener.listen(_BACKLOG)
    predecessor: Predecessor | None = None
    if _can_load_before_forking(settings):
        predecessor = _answer_meanwhile(settings, service, listener)
        service = _load(settings, service)

    def serve(number: int, channel: socket.socket) -> None:
        faulthandler.enable()  # a worker that is aborted because it hangs says where
        service.recorder.move_to(service.memory.segments[number + 1])
        Worker(server_config(settings, service), service, number, channel).run()

    return Supervisor(
        listener,
        serve,
        service.memory.segments[1:-1],
        service.recorder,
        stop_seconds=settings.shutdown_timeout_seconds,
        hang_seconds=settings.worker_timeout_seconds,
        predecessor=predecessor,
    ).run()


def _answer_meanwhile(settings: Settings, service: Service, listener: socket.socket) -> Predecessor:
    """Start a process that answers, though no model is ready, until the workers do.

    Most starts are over before it begins: it takes processor time that loading needs, and leaves
    slowly.
    """
    segment = service.memory.segments[-1]
    ours, theirs = socket.socketpair()

    def serve() -> None:
        ours.close()
        supervisor_gone, _, _ = select.select([theirs], [], [], _QUICK_LOAD_SECONDS)
        if supervisor_gone:
            return
        service.recorder.move_to(segment)
        config = server_config(settings, service, loads=False)
        Worker(config, service, channel=theirs).run([listener])

    pid = fork(serve)
    theirs.close()
    return Predecessor(pid, ours, segment)


def _load(settings: Settings, service: Service) -> Service:
    """Load every bundle here, for all workers; or leave it to them, should that start threads."""
    service.registry.load_all_sync()
    if not _single_threaded():
        return create_service(settings, settings.workers + 2)
    freeze_after_startup()
    return service


def _can_load_before_forking(settings: Settings) -> bool:
    """Say whether sessions survive a fork: on CPUs, as long as nothing has started a thread.

    Every run of a graph has one thread, its caller's, so onnxruntime starts none for a session.
    """
    return choose_provider(settings.providers) == "cpu" and _single_threaded()


def _single_threaded() -> bool:
    return _TASKS.is_dir() and len(list(_TASKS.iterdir())) == 1
