"""Structured logs: one JSON object a line, the request's id in each, never a payload."""

import json
import logging
import sys
import threading
from contextvars import ContextVar
from typing import Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.log_writer import QueuedLogHandler

_log = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure_logging(level: str, log_format: Literal["json", "console"]) -> None:
    """Send every log record of this process, the libraries' included, through one format.

    Args:
        level: Minimum level that is logged.
        log_format: ``json``, or ``console`` for text.
    """
    renderers = _json_renderers() if log_format == "json" else _console_renderers()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request_id,
            _drop_terminal_colours,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    handler = _standard_error_handler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for replaced in root.handlers:
        if isinstance(replaced, QueuedLogHandler):
            replaced.close()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        # Requests have a line of this service's own; uvicorn's would contain their query too.
        library.propagate = name != "uvicorn.access"


def count_dropped_lines(cells: "memoryview[float]") -> None:
    """Count the lines that this process cannot write.

    Args:
        cells: One number, which no other process writes to.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, QueuedLogHandler):
            handler.count_drops_in(cells)


def log_what_python_prints() -> None:
    """Log warnings, and exceptions that are caught nowhere, which Python prints by itself.

    Printing waits for whoever reads standard error.
    """
    logging.captureWarnings(capture=True)

    def log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
        error = unraisable.exc_value
        place = getattr(unraisable.object, "__qualname__", type(unraisable.object).__name__)
        _log.error("exception ignored in %s", place, exc_info=error)

    def log_uncaught(uncaught: threading.ExceptHookArgs) -> None:
        name = uncaught.thread.name if uncaught.thread else "unknown"
        _log.error("thread %s ended by an exception", name, exc_info=uncaught.exc_value)

    sys.unraisablehook = log_unraisable
    threading.excepthook = log_uncaught


def _standard_error_handler() -> logging.Handler:
    try:
        return QueuedLogHandler(sys.stderr)
    except (AttributeError, OSError):  # none at all, or text in memory, on which nothing waits
        return logging.StreamHandler()


# Both leave out the local variables that structlog prints with a traceback by default: in a frame
# of a request they contain its payload.
def _json_renderers() -> list[Processor]:
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), _render_json]


def _console_renderers() -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (current := request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


def _drop_terminal_colours(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's second copy of its message
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # an integer beyond 64 bits, or text that is not valid Unicode
        return json.dumps(event, default=str)
