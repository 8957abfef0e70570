"""Runs the service: one process that answers, or a supervisor and its workers."""

import faulthandler
import ipaddress
import logging
import socket
import sys

from service.api.policy.allowed_hosts import LOCAL_HOSTS
from service.app import Service, create_service
from service.catalog.verifier import single_threaded
from service.inference.session import choose_provider
from service.log_config import count_dropped_lines, log_what_python_prints
from service.metrics.families import LOG_LINES_DROPPED
from service.processes.descriptors import raise_descriptor_limit
from service.processes.listening import open_listener
from service.processes.signals import INTERRUPTED, StopRequest
from service.processes.supervisor import Supervisor
from service.processes.tuning import freeze_after_startup
from service.processes.worker import Worker, server_config
from service.settings import Settings, injected_variables

_log = logging.getLogger(__name__)


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, in one process or in several behind one port.

    Args:
        settings: Everything that can be set.

    Raises:
        ConfigurationError: The settings cannot be used.
        AddressUnavailable: The port cannot be had.
        SystemExit: SIGTERM (0), workers kept dying (4), or SIGINT (130).
    """
    if settings.allowed_hosts is None and _is_loopback(settings.host):
        settings = settings.model_copy(update={"allowed_hosts": LOCAL_HOSTS})
    raise_descriptor_limit()
    if settings.workers == 1:
        service = create_service(settings)
        _prepare_log(service)
        service.reconciler.start_verifier()
        config = server_config(settings, service)
        worker = Worker(config, service, drain_seconds=settings.drain_seconds)
        worker.run([open_listener(settings.host, settings.port)])
        sys.exit(INTERRUPTED if worker.stop_request.interrupted else 0)
    sys.exit(_run_workers(settings))


def _run_workers(settings: Settings) -> int:
    service = create_service(settings, settings.workers)
    _prepare_log(service)
    # Clients may connect from here on; they are accepted when workers serve.
    listener = open_listener(settings.host, settings.port)
    if _can_load_before_forking(settings):
        service = _load(settings, service)

    def serve(number: int, channel: socket.socket) -> None:
        faulthandler.enable()  # a worker that is aborted because it hangs prints where it was
        service.recorder.move_to(service.memory.segments[number + 1])
        count_dropped_lines(service.memory.segments[number + 1].cells(LOG_LINES_DROPPED))
        config = server_config(settings, service)
        Worker(config, service, number, channel, drain_seconds=settings.drain_seconds).run()

    return Supervisor(
        listener,
        serve,
        service.status,
        service.memory,
        stop_request=StopRequest(settings.drain_seconds),
        stop_seconds=settings.shutdown_timeout_seconds,
        hang_seconds=settings.worker_timeout_seconds,
    ).run()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _prepare_log(service: Service) -> None:
    """Count what the log drops, send everything through it, and say what was ignored."""
    log_what_python_prints()
    count_dropped_lines(service.memory.segments[0].cells(LOG_LINES_DROPPED))
    if injected := injected_variables():
        _log.info("variables of a Service in Kubernetes are ignored", extra={"variables": injected})


def _load(settings: Settings, service: Service) -> Service:
    """Load every bundle here, for all workers; leave it to them if that has started threads."""
    service.reconciler.load_sync()
    if not single_threaded():
        service = create_service(settings, settings.workers)
        count_dropped_lines(service.memory.segments[0].cells(LOG_LINES_DROPPED))
        return service
    freeze_after_startup()
    return service


def _can_load_before_forking(settings: Settings) -> bool:
    """Say whether sessions survive a fork: on CPUs, as long as nothing has started a thread.

    Every run of a graph has one thread, its caller's, so onnxruntime starts none for a session.
    """
    return choose_provider(settings.providers) == "cpu" and single_threaded()
