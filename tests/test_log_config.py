"""Logs: one JSON object a line, the request's id in each, and nothing a client sent."""

import json
import logging
from typing import Any

import pytest

from service.log_config import configure_logging, request_id

LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access")


pytestmark = pytest.mark.usefixtures("restored_logging")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_record_is_one_json_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("service.api").info(
        "bundle ready\nand \x1b[31mwell %d", 7, extra={"model": "plane", "rows": 3}
    )
    (record,) = lines(capsys)

    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "bundle ready\nand \x1b[31mwell 7",
        "level": "info",
        "logger": "service.api",
        "model": "plane",
        "rows": 3,
    }


def test_the_request_id_is_in_every_record_of_its_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    token = request_id.set("abc-123")
    try:
        logging.getLogger("service").info("ours")
        logging.getLogger("uvicorn.error").warning("a library's")
        logging.getLogger("service").info("own", extra={"request_id": "own"})
    finally:
        request_id.reset(token)
    logging.getLogger("service").info("outside")
    ours, foreign, own, outside = lines(capsys)

    assert (ours["request_id"], foreign["request_id"]) == ("abc-123", "abc-123")
    assert own["request_id"] == "own"
    assert "request_id" not in outside


def test_records_of_libraries_come_once_and_in_the_same_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [logging.StreamHandler()], False
    configure_logging("info", "json")
    for name in LIBRARIES:
        logging.getLogger(name).info("started", extra={"color_message": "\x1b[1mstarted"})

    assert [(record["logger"], record["event"]) for record in lines(capsys)] == [
        (name, "started") for name in LIBRARIES if name != "uvicorn.access"
    ]


def test_colours_meant_for_a_terminal_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("uvicorn").info("started", extra={"color_message": "\x1b[1mstarted"})

    assert "color_message" not in lines(capsys)[0]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_records_below_the_level_are_left_out(
    log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("warning", log_format)
    logging.getLogger("service").info("quiet")
    logging.getLogger("service").warning("loud")
    written = capsys.readouterr().err

    assert "quiet" not in written
    assert "loud" in written


def fail_on(secret: list[float]) -> None:
    doubled = [2 * value for value in secret]
    raise ValueError(f"{len(doubled)} values")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_names_places_and_no_variables(
    log_format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", log_format)
    payload = [0.123456789, 3.0]
    try:
        fail_on(payload)
    except ValueError:
        logging.getLogger("service").exception("inference call failed")
    written = capsys.readouterr().err

    for expected in ("inference call failed", "ValueError", "2 values", "fail_on"):
        assert expected in written
    for value in ("0.123456789", "0.246913578"):
        assert value not in written


def test_a_json_traceback_is_a_list_of_frames(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        fail_on([1.0])
    except ValueError:
        logging.getLogger("service").exception("failed")
    (record,) = lines(capsys)
    (exception,) = record["exception"]

    assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "1 values")
    assert exception["frames"][-1]["name"] == "fail_on"


class Unserialisable:
    def __str__(self) -> str:
        return "as text"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Unserialisable(), "as text"),
        (("a", 1), ["a", 1]),
        (float("nan"), None),
        (2**70, 2**70),
        ("\ud800", "\ud800"),
    ],
    ids=["object", "tuple", "nan", "large integer", "lone surrogate"],
)
def test_no_value_keeps_a_record_from_being_written(
    value: object, written: object, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json")
    logging.getLogger("service").info("odd", extra={"value": value})
    (record,) = lines(capsys)

    assert record["event"] == "odd"
    assert record["value"] == written


def test_the_console_form_is_plain_text_where_no_terminal_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "console")
    logging.getLogger("service").info("bundle ready", extra={"model": "plane"})
    written = capsys.readouterr().err

    assert "bundle ready" in written
    assert "model=plane" in written
    assert "\x1b" not in written
    assert written.count("\n") == 1
