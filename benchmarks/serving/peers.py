"""The servers of `make benchmark-peers`, each in an environment of its own outside the repository.

What a peer needs is pinned in `benchmarks/peers/<name>.txt`; how it serves the model, in the
best set-up that its documentation gives, is in `benchmarks/opponents/`.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.dialects import (
    Dialect,
    NamedLists,
    Octets,
    OpenInference,
    OpenInferenceBinary,
)
from benchmarks.serving.loads import RECONSTRUCT, Encoding
from benchmarks.serving.subjects import Subject

LOCKS = Path(__file__).parents[1] / "peers"
ADAPTERS = Path(__file__).parents[1] / "opponents"
VERSIONS = ((3, 11), (3, 14))  # from, and not including
INSTALL_TIMEOUT_SECONDS = 1800

JSON_CALL = (RECONSTRUCT, Encoding.JSON)
BINARY_CALL = (RECONSTRUCT, Encoding.BINARY)
V2_PATHS = {RECONSTRUCT: "/v2/models/autoencoder/infer"}
V2_READY = "/v2/models/autoencoder/ready"


class PeerUnavailable(Exception):
    """A peer cannot be installed here."""


@dataclass(frozen=True)
class Peer:
    """Another model server.

    Attributes:
        key: Its name on the command line, and of its files.
        name: Its name in the tables.
        packages: The pinned packages that are worth naming in a report.
        command: Makes its command from its environment's folder of programs.
        dialects: How rows are sent to it.
        paths: Where it takes them.
        ready_path: Where it says that it is ready.
        variables: What it is started with besides the benchmark's own environment.
        environment_key: Whose environment it uses, where that is not its own.
        system_interpreter: Whether it needs the system's Python: Triton's programs find the shared
            library of that one, and with modules of another they fail in strange ways.
    """

    key: str
    name: str
    packages: tuple[str, ...]
    command: Callable[[Path], tuple[str, ...]]
    dialects: Mapping[tuple[str, Encoding], Dialect]
    paths: Mapping[str, str] = field(default_factory=lambda: {RECONSTRUCT: "/reconstruct"})
    ready_path: str = "/health"
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    environment_key: str | None = None
    system_interpreter: bool = False

    @property
    def folder_name(self) -> str:
        """What its lock and its environment are called."""
        return self.environment_key or self.key

    @property
    def lock(self) -> Path:
        """The file that pins what it needs."""
        return LOCKS / f"{self.folder_name}.txt"

    def pinned(self) -> list[str]:
        """List the versions that are worth naming."""
        lines = self.lock.read_text().splitlines()
        pins = [line.split()[0] for line in lines if "==" in line and not line.startswith(" ")]
        return [pin for pin in pins if pin.partition("==")[0] in self.packages]

    def subject(self, programs: Path) -> Subject:
        """Describe it as a subject.

        Args:
            programs: Its environment's folder of programs.
        """
        return Subject(
            self.key,
            self.name,
            lambda _model, _port: self.command(programs),
            self.dialects,
            self.paths,
            self.ready_path,
            {**self.variables, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        )


def _adapter(name: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda programs: (str(programs / "python"), str(ADAPTERS / name))


# Ports and the model's file come to the adapters as PORT and MODEL, FOLDER is theirs to write in.
PEERS = (
    Peer(
        "triton",
        "Triton",
        ("nvidia-pytriton", "onnxruntime"),
        _adapter("triton_server.py"),
        {JSON_CALL: OpenInference(), BINARY_CALL: OpenInferenceBinary()},
        V2_PATHS,
        V2_READY,
        system_interpreter=True,
    ),
    Peer(
        "pytriton",
        "Triton, bound by pytriton",
        ("nvidia-pytriton", "onnxruntime"),
        _adapter("pytriton_server.py"),
        {JSON_CALL: OpenInference(), BINARY_CALL: OpenInferenceBinary()},
        V2_PATHS,
        V2_READY,
        environment_key="triton",
        system_interpreter=True,
    ),
    Peer(
        "mlserver",
        "MLServer",
        ("mlserver", "onnxruntime", "uvloop"),
        _adapter("mlserver_start.py"),
        {JSON_CALL: OpenInference()},
        V2_PATHS,
        V2_READY,
    ),
    Peer(
        "bentoml",
        "BentoML",
        ("bentoml", "onnxruntime"),
        _adapter("bentoml_start.py"),
        {JSON_CALL: NamedLists(answer=None)},
        ready_path="/readyz",
        variables={"BENTOML_DO_NOT_TRACK": "true"},
    ),
    Peer(
        "litserve",
        "LitServe",
        ("litserve", "onnxruntime"),
        _adapter("litserve_server.py"),
        {JSON_CALL: NamedLists("reconstructions")},
    ),
    Peer(
        "ray",
        "Ray Serve",
        ("ray", "onnxruntime"),
        _adapter("ray_serve_start.py"),
        {JSON_CALL: NamedLists("reconstructions"), BINARY_CALL: Octets()},
        ready_path="/-/healthz",
    ),
)


def prepare(peer: Peer) -> Path:
    """Make a peer's environment, unless it is there as its lock says.

    Args:
        peer: The peer.

    Returns:
        The environment's folder of programs.

    Raises:
        PeerUnavailable: No Python here fits it, or something could not be installed.
    """
    folder = _cache_folder() / peer.folder_name
    programs, stamp = folder / "bin", folder / "lock.sha256"
    interpreter = _interpreter(peer)
    wanted = hashlib.sha256(peer.lock.read_bytes() + interpreter.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return programs
    print(f"installing {peer.name} into {folder} ...", file=sys.stderr, flush=True)
    _run(interpreter, "-m", "venv", "--clear", str(folder))
    pip = (str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
    _run(*pip, "install", "--quiet", "--require-hashes", "--requirement", str(peer.lock))
    stamp.write_text(wanted)
    return programs


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "latentserve" / "peers"


def _interpreter(peer: Peer) -> str:
    system = ("/usr/bin/python3", "/usr/local/bin/python3")
    candidates = system if peer.system_interpreter else (sys.executable, *system, "python3")
    fits = f"{VERSIONS[0]} <= sys.version_info < {VERSIONS[1]}"
    if peer.system_interpreter:
        fits += " and ctypes.CDLL(sysconfig.get_config_var('INSTSONAME'))"
    asked = f"import ctypes, sys, sysconfig; sys.exit(not ({fits}))"
    for candidate in candidates:
        try:
            if (
                subprocess.run(
                    [candidate, "-c", asked], check=False, capture_output=True
                ).returncode
                == 0
            ):
                return candidate
        except OSError:
            continue
    kind = " of the system, with its shared library," if peer.system_interpreter else ""
    raise PeerUnavailable(f"it needs a Python from 3.11 to 3.13{kind} and none is here")


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise PeerUnavailable(f"it cannot be installed: {error.stderr.strip()[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailable("its installation takes too long") from error
