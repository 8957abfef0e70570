"""Every setting of the service, and the only reader of the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from service.errors import ConfigurationError

PREFIX = "LATENTSERVE_"
# Variables of the same prefix that other programs of this project read.
_FOREIGN_VARIABLES = frozenset({"LATENTSERVE_DATA_DIR"})


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
        description="Models without which the service is not ready; by default every version that"
        " is there at start.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
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
        description="Time after which a worker whose event loop stands still is replaced, where"
        " there are several.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="One JSON object a line, or text."
    )
    access_log: bool = Field(True, description="Log one line per request.")

    @field_validator("providers", "required_models", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("providers", "required_models")
    @classmethod
    def _at_least_one_name(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("name at least one")
        return value

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
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _FOREIGN_VARIABLES
    unknown = sorted(
        name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known
    )
    if unknown:
        listed = ", ".join(unknown)
        raise ConfigurationError(f"unknown variable {listed}; docs/settings.md lists them all")
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
