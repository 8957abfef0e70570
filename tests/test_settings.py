"""Settings: a flag wins over a variable, a variable over the default, and nothing is guessed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import ConfigurationError
from service.settings import PREFIX, Settings, injected_variables, read_settings

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
        "verify_timeout_seconds": 60.0,
        "verify_memory_bytes": 2 * 1024**3,
        "max_bundle_bytes": 1024**3,
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "providers": ("cpu",),
        "tf32": False,
        "threads": None,
        "max_body_bytes": 32 * 1024 * 1024,
        "max_response_bytes": 256 * 1024 * 1024,
        "max_open_bytes": 512 * 1024 * 1024,
        "max_connections": 8192,
        "max_rows": 10_000,
        "max_batch_rows": 256,
        "max_queue_rows": 65_536,
        "max_queue_seconds": 1.0,
        "keep_alive_seconds": 75.0,
        "head_timeout_seconds": 20.0,
        "stall_timeout_seconds": 20.0,
        "min_bytes_per_second": 256,
        "request_timeout_seconds": 30.0,
        "shutdown_timeout_seconds": 3,
        "drain_seconds": 0.0,
        "worker_timeout_seconds": 30.0,
        "log_level": "info",
        "log_format": "json",
        "access_log": True,
        "cors_origins": (),
        "allowed_hosts": None,
        "trusted_proxies": (),
        "root_path": "",
    }


# For each setting: a text, what it means, another text, and what that means.
TEXTS: dict[str, tuple[str, object, str, object]] = {
    "models_dir": ("/srv/models", Path("/srv/models"), "here", Path("here")),
    "default_model": ("plane", "plane", "stamp", "stamp"),
    "pinned_versions": ("a=2, b-c=1", {"a": 2, "b-c": 1}, "a=3", {"a": 3}),
    "required_models": ("a, b-c", ("a", "b-c"), "a", ("a",)),
    "verify_timeout_seconds": ("1.5", 1.5, "60", 60.0),
    "verify_memory_bytes": ("67108864", 67_108_864, "99999999", 99_999_999),
    "max_bundle_bytes": ("1024", 1024, "2048", 2048),
    "host": ("0.0.0.0", "0.0.0.0", "::1", "::1"),  # noqa: S104  # only read
    "port": ("0", 0, "65535", 65_535),
    "workers": ("4", 4, "1", 1),
    "providers": ("cuda, cpu", ("cuda", "cpu"), "auto", ("auto",)),
    "tf32": ("true", True, "false", False),
    "threads": ("3", 3, "1", 1),
    "max_body_bytes": ("1024", 1024, "2048", 2048),
    "max_response_bytes": ("1024", 1024, "2048", 2048),
    "max_open_bytes": ("1024", 1024, "2048", 2048),
    "max_connections": ("1", 1, "5", 5),
    "keep_alive_seconds": ("1.5", 1.5, "5", 5.0),
    "head_timeout_seconds": ("0.5", 0.5, "5", 5.0),
    "stall_timeout_seconds": ("0.5", 0.5, "5", 5.0),
    "min_bytes_per_second": ("0", 0, "5", 5),
    "max_rows": ("1", 1, "20", 20),
    "max_batch_rows": ("1", 1, "512", 512),
    "max_queue_rows": ("10000", 10_000, "99999", 99_999),
    "max_queue_seconds": ("2.5", 2.5, "10", 10.0),
    "request_timeout_seconds": ("0.5", 0.5, "60", 60.0),
    "shutdown_timeout_seconds": ("1", 1, "30", 30),
    "drain_seconds": ("0.5", 0.5, "0", 0.0),
    "worker_timeout_seconds": ("1.5", 1.5, "60", 60.0),
    "log_level": ("DEBUG", "debug", "error", "error"),
    "log_format": ("console", "console", "json", "json"),
    "access_log": ("false", False, "true", True),
    "cors_origins": ("https://a.example, http://b:81", ("https://a.example", "http://b:81"), "*",
                     ("*",)),
    "allowed_hosts": ("a.example, *.b.example", ("a.example", "*.b.example"), "*", ("*",)),
    "trusted_proxies": ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1"), "*", ("*",)),
    "root_path": ("/ml", "/ml", "team/ml/", "team/ml/"),
}  # fmt: skip


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

    with pytest.raises(ConfigurationError, match=f"^unknown variable {PREFIX}{name}[; ]"):
        read_settings(["--port", "82"])


def test_all_unknown_variables_are_named_at_once(set_variable: SetVariable) -> None:
    set_variable("PROT", "1")
    set_variable("HOTS", "2")

    with pytest.raises(ConfigurationError, match=r"LATENTSERVE_HOTS .*, LATENTSERVE_PROT "):
        read_settings([])


def test_variables_of_training_and_of_other_programs_are_left_alone(
    set_variable: SetVariable, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variable("DATA_DIR", "/srv/data")
    monkeypatch.setenv("PORT", "81")
    monkeypatch.setenv("LATENT_PORT", "82")

    assert read_settings([]) == DEFAULTS


def test_an_unknown_variable_is_answered_with_the_nearest_one(set_variable: SetVariable) -> None:
    set_variable("MAX_BODY_BITES", "2048")
    set_variable("ZZZZZZZZ", "1")

    with pytest.raises(ConfigurationError) as caught:
        read_settings([])

    assert "LATENTSERVE_MAX_BODY_BITES (is LATENTSERVE_MAX_BODY_BYTES meant?)" in str(caught.value)
    assert "LATENTSERVE_ZZZZZZZZ;" in str(caught.value)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("empty", ["", "  ", "\r", "\ufeff"])
def test_an_empty_setting_means_the_default(
    name: str, empty: str, set_variable: SetVariable
) -> None:
    set_variable(name.upper(), empty)

    assert read_settings([]) == DEFAULTS
    if not isinstance(Settings.model_fields[name].default, bool):
        assert read_settings([f"--{name.replace('_', '-')}", empty]) == DEFAULTS


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("form", [" {} ", "{}\r", "\ufeff{}", "\t{}\n"])
def test_what_an_editor_or_a_file_leaves_around_a_value_is_not_a_part_of_it(
    name: str, form: str, set_variable: SetVariable
) -> None:
    text, value, _, _ = TEXTS[name]
    set_variable(name.upper(), form.format(text))

    assert getattr(read_settings([]), name) == value


def test_a_byte_order_mark_before_the_first_name_of_a_file_is_not_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("\ufeffLATENTSERVE_PORT", "81")
    assert read_settings([]).port == 81

    monkeypatch.setenv("\ufeffLATENTSERVE_PROT", "81")
    with pytest.raises(ConfigurationError, match="unknown variable LATENTSERVE_PROT"):
        read_settings([])


def test_a_folder_whose_name_is_not_text_is_read(set_variable: SetVariable) -> None:
    set_variable("MODELS_DIR", "/srv/caf\udce9")  # how Python reads Latin-1

    assert os.fsencode(read_settings([]).models_dir) == b"/srv/caf\xe9"


# What a Service of these names makes Kubernetes set, and a container link Docker.
INJECTED = {
    "SERVICE_HOST": "10.0.0.11",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "SERVICE_PORT_GRPC_WEB": "8001",
    "PORT": "tcp://10.0.0.11:8000",
    "PORT_8000_TCP": "tcp://10.0.0.11:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.0.0.11",
    "PORT_53_UDP": "udp://10.0.0.11:53",
    "PORT_53_UDP_PROTO": "udp",
    "PORT_9_SCTP_ADDR": "fd00::11",
    "CANARY_SERVICE_HOST": "10.0.0.12",
    "CANARY_PORT": "tcp://[fd00::12]:8000",
    "CANARY_PORT_8000_TCP_ADDR": "10.0.0.12",
    "MAX_ROWS_PORT": "sctp://10.0.0.12:8000",
    "NAME": "/caller/latentserve",
    "ENV_PATH": "/usr/bin",
}


@pytest.mark.parametrize("name", INJECTED)
def test_what_an_orchestrator_sets_for_a_service_of_our_name_is_not_ours(
    name: str, set_variable: SetVariable
) -> None:
    set_variable(name, INJECTED[name])

    assert read_settings([]) == DEFAULTS
    assert injected_variables() == [PREFIX + name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "81"), ("CANARY_PORT", "81"), ("PORT_TCP", "81"), ("SERVICE", "x"), ("NAME", "x")],
)
def test_what_only_looks_like_it_is_read_or_refused(
    name: str, value: str, set_variable: SetVariable
) -> None:
    set_variable(name, value)

    assert injected_variables() == []
    if name == "PORT":
        assert read_settings([]).port == 81
    else:
        with pytest.raises(ConfigurationError, match=f"unknown variable {PREFIX}{name}"):
            read_settings([])


def test_a_flag_that_is_a_services_address_is_a_wrong_port() -> None:
    with pytest.raises(ConfigurationError, match=r"^port: "):
        read_settings(["--port", "tcp://10.0.0.11:8000"])


FAULTS = {
    "port": ["65536", "-1", "http", "80.5"],
    "workers": ["0", "257", "many"],
    "providers": [" , "],
    "required_models": [" , "],
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
    "log_level": ["noisy", "trace"],
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
