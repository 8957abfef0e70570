"""Structured logs: one JSON object a line, the request's id in each, never a payload."""

import json
import logging
import sys
from contextvars import ContextVar
from typing import Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        # Requests have a line of this service's own; uvicorn's would contain their query too.
        library.propagate = name != "uvicorn.access"


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
