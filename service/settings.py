"""Every setting of the service, and the only reader of the environment."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from service.errors import ConfigurationError

PREFIX = "LATENTSERVE_"
# Variables of the same prefix that other programs of this project read.
_FOREIGN_VARIABLES = frozenset({"LATENTSERVE_DATA_DIR"})
# A file of variables may begin with this, and its first name or value then does.
_BYTE_ORDER_MARK = "\ufeff"
# What Kubernetes sets in every container of a namespace that has a Service named latentserve or
# latentserve-anything, and Docker for a link of that name: names that tell by themselves, and those
# whose value does.
# Source: kubernetes/pkg/kubelet/envvars/envvars.go; Docker, "Legacy container links".
_INJECTED_NAME = re.compile(
    r"LATENTSERVE(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR|START|END|PORT_START|PORT_END))?|ENV_\w+)"
)
_INJECTED_BY_VALUE = (
    (re.compile(r"LATENTSERVE(_\w+)?_PORT"), re.compile(r"(tcp|udp|sctp)://.*")),
    (re.compile(r"LATENTSERVE(_\w+)?_NAME"), re.compile(r"/[^/]+/[^/]+")),
)


class Settings(BaseSettings):
    """Settings of ``latentserve serve``: variables ``LATENTSERVE_*`` and flags of the same names.

    A flag wins over a variable, a variable over the default.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        cli_prog_name="latentserve serve",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    models_dir: Path = Field(Path("models"), description="Folder of <name>/<version>/ bundles.")
    default_model: str | None = Field(
        None, description="Model of requests that name none, when several are loaded."
    )
    pinned_versions: Annotated[dict[str, int], NoDecode] = Field(
        {}, description="Version of requests that name none, by model: name=2,other=1."
    )
    required_models: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Models without which the service is not ready; by default every model that"
        " is there at start.",
    )
    verify_timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Time after which a bundle is refused whose verification has not ended.",
    )
    verify_memory_bytes: int = Field(
        2 * 1024**3,
        ge=64 * 1024**2,
        description="Memory that verifying a bundle may take; it is refused when it needs more.",
    )
    max_bundle_bytes: int = Field(
        1024**3, ge=1024, description="Maximum size of the files of a bundle together, in bytes."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; * is all of them.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that share the port.")
    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cpu",), description="Execution providers in order of preference: cuda, cpu, auto."
    )
    tf32: bool = Field(
        False,
        description="Let CUDA round the factors of matrix products to 10 mantissa bits: faster,"
        " and less exact.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of each worker's inference; by default the processors, or the"
        " container's quota of them, shared out among the workers.",
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Maximum size of a request body in bytes."
    )
    max_response_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="Maximum size of a response in bytes, as it is expected from its rows.",
    )
    max_open_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024,
        description="Maximum size in bytes of all requests and responses that a worker has open.",
    )
    max_connections: int = Field(
        8192, ge=1, description="Maximum number of connections that are open in a worker."
    )
    max_rows: int = Field(10_000, ge=1, description="Maximum number of rows of one request.")
    max_batch_rows: int = Field(
        256, ge=1, description="Maximum number of rows of one run of a graph."
    )
    max_queue_rows: int = Field(
        65_536, ge=1, description="Maximum number of rows that wait for a graph."
    )
    max_queue_seconds: float = Field(
        1.0,
        gt=0,
        le=3600,
        description="Maximum time that a request is expected to wait for its turn, beyond which it"
        " is rejected at once.",
    )
    keep_alive_seconds: float = Field(
        75.0,
        ge=1,
        le=3600,
        description="Time that a connection is kept without a request.",
    )
    head_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=3600,
        description="Time in which a request's head has to come, from the opening of a connection"
        " or its first byte.",
    )
    stall_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=3600,
        description="Time in which a body has to go on coming, and a response to be read.",
    )
    min_bytes_per_second: int = Field(
        256,
        ge=0,
        description="Minimum rate of bodies and of responses that are read, over"
        " stall_timeout_seconds.",
    )
    request_timeout_seconds: float = Field(
        30.0, gt=0, le=3600, description="Time after which a request is answered with 504."
    )
    shutdown_timeout_seconds: int = Field(
        3,
        ge=1,
        le=3600,
        description="Time that open requests get to finish when the service closes.",
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="Time between SIGTERM and closing: requests are answered, /readyz with 503.",
    )
    worker_timeout_seconds: float = Field(
        30.0,
        ge=1,
        le=3600,
        description="Time after which a worker whose event loop stands still and does nothing is"
        " replaced, where there are several; ten times as long while it is busy.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="One JSON object a line, or text."
    )
    access_log: bool = Field(True, description="Log one line per request.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins whose pages may send requests and read responses, such as"
        " https://app.example.org; * for all.",
    )
    allowed_hosts: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Names, addresses and networks that the Host header may name, such as"
        " *.example.org; * for all. By default all, and on a loopback address localhost and every"
        " address.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses and networks of reverse proxies whose X-Forwarded-For, Forwarded,"
        " X-Forwarded-Host and X-Forwarded-Prefix are believed; * for all.",
    )
    root_path: str = Field(
        "",
        description="Path prefix under which a reverse proxy publishes the service, whether it"
        " removes the prefix or not.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings passes all of them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the variables that are ours, and nothing else but flags."""
        cast("EnvSettingsSource", env_settings).env_vars = {
            _plain(name).lower(): value
            for name, value in os.environ.items()
            if not _is_injected(name, value)
        }
        return init_settings, env_settings

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        plain = {
            name: _plain(value) if isinstance(value, str) else value
            for name, value in values.items()
        }
        return {name: value for name, value in plain.items() if value != ""}

    @field_validator(
        "providers", "required_models", "cors_origins", "allowed_hosts", "trusted_proxies",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("providers", "required_models", "allowed_hosts")
    @classmethod
    def _at_least_one_name(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("name at least one")
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("pinned_versions", mode="before")
    @classmethod
    def _split_pinned_versions(cls, value: object) -> object:
        if isinstance(value, str):
            pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
            return {name.strip(): version for name, _, version in pairs}
        return value

    @model_validator(mode="after")
    def _queue_holds_a_request(self) -> Self:
        if self.max_queue_rows < self.max_rows:
            raise ValueError("max_queue_rows is below max_rows: a full request could never run")
        return self


def read_settings(arguments: list[str] | None = None) -> Settings:
    """Read the settings from flags and environment.

    Args:
        arguments: Flags of ``latentserve serve``; None reads the environment alone.

    Raises:
        ConfigurationError: A value is wrong, or a ``LATENTSERVE_*`` variable is unknown.
        SystemExit: ``--help`` was asked for, or a flag is unknown; the reason has been printed.
    """
    _reject_unknown_variables(os.environ)
    try:
        # pydantic-settings declares no underscored keywords to type checkers.
        return Settings(_cli_parse_args=arguments)  # pyright: ignore[reportCallIssue]
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(step) for step in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigurationError("; ".join(problems)) from error


def injected_variables() -> list[str]:
    """List the variables of our prefix that an orchestrator has set: they are not ours."""
    return sorted(name for name, value in os.environ.items() if _is_injected(name, value))


def _is_injected(name: str, value: str) -> bool:
    return _INJECTED_NAME.fullmatch(name) is not None or any(
        of_name.fullmatch(name) and of_value.fullmatch(value.strip())
        for of_name, of_value in _INJECTED_BY_VALUE
    )


def _reject_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        plain
        for name, value in environment.items()
        if (plain := _plain(name)).upper().startswith(PREFIX)
        and plain.upper() not in known | _FOREIGN_VARIABLES
        and not _is_injected(name, value)
    )
    if not unknown:
        return
    named: list[str] = []
    for name in unknown:
        rest = name.upper().removeprefix(PREFIX)
        nearest = get_close_matches(rest, [field.upper() for field in Settings.model_fields], n=1)
        named.append(f"{name} (is {PREFIX}{nearest[0]} meant?)" if nearest else name)
    listed = ", ".join(named)
    raise ConfigurationError(f"unknown variable {listed}; docs/settings.md lists them all")


def _plain(text: str) -> str:
    return text.strip().removeprefix(_BYTE_ORDER_MARK).strip()
