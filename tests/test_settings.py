"""Settings: a flag wins over a variable, a variable over the default, and nothing is guessed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import ConfigurationError
from service.settings import PREFIX, Settings, read_settings

SetVariable = Callable[[str, str], None]

DEFAULTS = Settings.model_construct()


@pytest.fixture(autouse=True)
def set_variable(monkeypatch: pytest.MonkeyPatch) -> SetVariable:
    """Forget what the machine sets, and set a LATENTSERVE_ variable for one test."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    return lambda name, value: monkeypatch.setenv(PREFIX + name, value)


def test_without_flags_and_variables_the_documented_defaults_hold() -> None:
    assert read_settings([]) == DEFAULTS
    assert DEFAULTS.model_dump() == {
        "models_dir": Path("models"),
        "default_model": None,
        "pinned_versions": {},
        "required_models": None,
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "providers": ("cpu",),
        "tf32": False,
        "threads": None,
        "max_body_bytes": 32 * 1024 * 1024,
        "max_rows": 10_000,
        "max_batch_rows": 256,
        "max_queue_rows": 65_536,
        "max_queue_seconds": 1.0,
        "request_timeout_seconds": 30.0,
        "shutdown_timeout_seconds": 3,
        "drain_seconds": 0.0,
        "worker_timeout_seconds": 30.0,
        "log_level": "info",
        "log_format": "json",
        "access_log": True,
    }


# For each setting: a text, what it means, another text, and what that means.
TEXTS: dict[str, tuple[str, object, str, object]] = {
    "models_dir": ("/srv/models", Path("/srv/models"), "here", Path("here")),
    "default_model": ("plane", "plane", "stamp", "stamp"),
    "pinned_versions": ("a=2, b-c=1", {"a": 2, "b-c": 1}, "a=3", {"a": 3}),
    "required_models": ("a, b-c", ("a", "b-c"), "a", ("a",)),
    "host": ("0.0.0.0", "0.0.0.0", "::1", "::1"),  # noqa: S104  # only read
    "port": ("0", 0, "65535", 65_535),
    "workers": ("4", 4, "1", 1),
    "providers": ("cuda, cpu", ("cuda", "cpu"), "auto", ("auto",)),
    "tf32": ("true", True, "false", False),
    "threads": ("3", 3, "1", 1),
    "max_body_bytes": ("1024", 1024, "2048", 2048),
    "max_rows": ("1", 1, "20", 20),
    "max_batch_rows": ("1", 1, "512", 512),
    "max_queue_rows": ("10000", 10_000, "99999", 99_999),
    "max_queue_seconds": ("2.5", 2.5, "10", 10.0),
    "request_timeout_seconds": ("0.5", 0.5, "60", 60.0),
    "shutdown_timeout_seconds": ("1", 1, "30", 30),
    "drain_seconds": ("0.5", 0.5, "0", 0.0),
    "worker_timeout_seconds": ("1.5", 1.5, "60", 60.0),
    "log_level": ("debug", "debug", "error", "error"),
    "log_format": ("console", "console", "json", "json"),
    "access_log": ("false", False, "true", True),
}


def flag(name: str, text: str) -> list[str]:
    dashed = name.replace("_", "-")
    if text in ("true", "false"):
        return [f"--{dashed}" if text == "true" else f"--no-{dashed}"]
    return [f"--{dashed}", text]


def test_every_setting_is_tried() -> None:
    assert TEXTS.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_default(
    name: str, set_variable: SetVariable
) -> None:
    variable, variable_value, argument, argument_value = TEXTS[name]

    assert getattr(read_settings(flag(name, argument)), name) == argument_value
    set_variable(name.upper(), variable)
    assert getattr(read_settings([]), name) == variable_value
    assert getattr(read_settings(None), name) == variable_value
    assert getattr(read_settings(flag(name, argument)), name) == argument_value


def test_the_arguments_of_another_program_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["another", "--port", "81", "--nonsense"])

    assert read_settings([]) == read_settings(None) == DEFAULTS


def test_variables_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("latentserve_port", "81")

    assert read_settings([]).port == 81


@pytest.mark.parametrize("name", ["PROT", "PORTS", "", "MODEL_DIR", "port_"])
def test_an_unknown_variable_is_refused_by_name(name: str, set_variable: SetVariable) -> None:
    set_variable(name, "81")

    with pytest.raises(ConfigurationError, match=f"^unknown variable {PREFIX}{name};"):
        read_settings(["--port", "82"])


def test_all_unknown_variables_are_named_at_once(set_variable: SetVariable) -> None:
    set_variable("PROT", "1")
    set_variable("HOTS", "2")

    with pytest.raises(ConfigurationError, match="LATENTSERVE_HOTS, LATENTSERVE_PROT"):
        read_settings([])


def test_variables_of_training_and_of_other_programs_are_left_alone(
    set_variable: SetVariable, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variable("DATA_DIR", "/srv/data")
    monkeypatch.setenv("PORT", "81")
    monkeypatch.setenv("LATENT_PORT", "82")

    assert read_settings([]) == DEFAULTS


FAULTS = {
    "port": ["65536", "-1", "http", "80.5", ""],
    "workers": ["0", "257", "many"],
    "providers": ["", " , "],
    "required_models": ["", " , "],
    "tf32": ["perhaps"],
    "threads": ["0", "1025", "all"],
    "max_body_bytes": ["1023", "1e6"],
    "max_rows": ["0"],
    "max_batch_rows": ["0"],
    "max_queue_rows": ["0"],
    "request_timeout_seconds": ["0", "-1", "3601", "nan", "soon"],
    "shutdown_timeout_seconds": ["0", "3601", "1.5"],
    "drain_seconds": ["-1", "3601", "nan", "soon"],
    "worker_timeout_seconds": ["0", "0.5", "3601", "nan"],
    "log_level": ["DEBUG", "trace", ""],
    "log_format": ["text"],
    "access_log": ["perhaps"],
    "pinned_versions": ["plane", "plane=", "plane=latest", "plane=1.5"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in FAULTS.items() for text in texts]
)
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_setting(
    name: str, text: str, set_variable: SetVariable
) -> None:
    set_variable(name.upper(), text)

    with pytest.raises(ConfigurationError, match=f"^{name}"):
        read_settings([])


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"port: .*; workers: "):
        read_settings(["--port", "-1", "--workers", "0"])


def test_a_queue_that_could_never_hold_a_full_request_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_queue_rows is below max_rows"):
        read_settings(["--max-rows", "11", "--max-queue-rows", "10"])

    assert read_settings(["--max-rows", "10", "--max-queue-rows", "10"]).max_queue_rows == 10


@pytest.mark.parametrize("arguments", [["--prot", "81"], ["81"], ["--port"], ["-x"]])
def test_an_unknown_flag_ends_the_program_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments)

    assert caught.value.code == 2
    assert "latentserve serve: error: " in capsys.readouterr().err


def test_help_lists_every_flag_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"])
    text = " ".join(capsys.readouterr().out.split())

    assert caught.value.code == 0
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert field.description
        assert " ".join(field.description.split()) in text.replace("- ", "-")


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_settings([]).port = 81
