"""The servers of `make benchmark`: this service, what most people write first, and the ceiling."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmarks.serving.dialects import Dialect, NamedLists, Octets
from benchmarks.serving.loads import RECONSTRUCT, SCORE, Encoding, Load
from benchmarks.serving.models import ServedModel

PROCESSES = 2


@dataclass(frozen=True)
class Subject:
    """A server, and how it is spoken to.

    Attributes:
        key: Its name on the command line.
        name: Its name in the tables.
        command: Makes the command that serves a model on a port.
        dialects: How rows are sent to it, by call and encoding.
        paths: Where it takes them, by call.
        ready_path: Where it says that it is ready.
        environment: Variables that it is started with.
        answers: Whether it answers with numbers at all.
    """

    key: str
    name: str
    command: Callable[[ServedModel, int], tuple[str, ...]]
    dialects: Mapping[tuple[str, Encoding], Dialect]
    paths: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({RECONSTRUCT: "/reconstruct"})
    )
    ready_path: str = "/readyz"
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    answers: bool = True

    def takes(self, load: Load) -> bool:
        """Say whether it can be given a load."""
        return (load.call, load.encoding) in self.dialects


OURS = "latentserve"


def our_service(checkout: Path | None = None) -> Subject:
    """Describe this project's service.

    Args:
        checkout: Folder of another version of the project, to be measured beside this one.
    """

    def command(model: ServedModel, port: int) -> tuple[str, ...]:
        program = (sys.executable, "-m", "service", "serve")
        what = ("--models-dir", str(model.models_dir), "--port", str(port))
        quiet = ("--no-access-log", "--log-level", "error")
        return (*program, *what, "--workers", str(PROCESSES), *quiet)

    dialects: dict[tuple[str, Encoding], Dialect] = {
        (RECONSTRUCT, Encoding.JSON): NamedLists("reconstructions"),
        (RECONSTRUCT, Encoding.BINARY): Octets(),
        (SCORE, Encoding.JSON): NamedLists("scores"),
    }
    paths = {RECONSTRUCT: "/reconstruct", SCORE: "/anomaly-score"}
    if checkout is None:
        return Subject(OURS, "latentserve", command, dialects, paths)
    imported = {"PYTHONPATH": str(checkout.resolve()), "PYTHONSAFEPATH": "1"}
    return Subject("before", "before", command, dialects, paths, environment=imported)


def simple_subjects() -> tuple[Subject, ...]:
    """Describe plain FastAPI with both of onnxruntime's thread settings, and two ceilings."""
    in_json = {(RECONSTRUCT, Encoding.JSON): NamedLists("reconstructions")}
    plain = _uvicorn("benchmarks.opponents.plain_fastapi:app")
    return (
        Subject("plain", "plain FastAPI", plain, in_json),
        Subject(
            "plain-1",
            "plain FastAPI, intra_op 1",
            plain,
            in_json,
            environment={"INTRA_OP_THREADS": "1"},
        ),
        Subject(
            "empty",
            "empty uvicorn app",
            _uvicorn("benchmarks.opponents.empty:app"),
            in_json | {(RECONSTRUCT, Encoding.BINARY): Octets()},
            answers=False,
        ),
        Subject(
            "bare",
            "bare protocol",
            _uvicorn(
                "benchmarks.opponents.empty:app",
                "--http",
                "benchmarks.opponents.bare_protocol:BareProtocol",
            ),
            {(RECONSTRUCT, Encoding.BINARY): Octets()},
        ),
    )


def _uvicorn(application: str, *others: str) -> Callable[[ServedModel, int], tuple[str, ...]]:
    def command(_: ServedModel, port: int) -> tuple[str, ...]:
        program = (sys.executable, "-m", "uvicorn", application, "--port", str(port))
        quiet = ("--no-access-log", "--log-level", "error")
        return (*program, *others, "--workers", str(PROCESSES), *quiet)

    return command
