"""How fast the service answers, beside what it could be compared with, in one run.

    python -m benchmarks.serving [--seconds 5] [--rounds 3]

Every opponent runs as two processes on the same machine as the load generator (wrk, one
thread). Answers are compared before anything is timed; rounds are interleaved, medians are
printed, and the ratios come first because they carry over to other machines.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import onnxruntime

from benchmarks.dense_model import publish_dense_model
from service.bundle.storage import BundleLocation, read_bundle
from service.inference.session import Session, SessionOptions

LUA = Path(__file__).with_name("load.lua")
PROCESSES = 2
JSON = "application/json"
NPY = "application/x-npy"


@dataclass(frozen=True)
class Load:
    """One kind of traffic."""

    name: str
    media_type: str
    rows: int
    connections: int


@dataclass(frozen=True)
class Opponent:
    """A server and the loads it can take."""

    name: str
    port: int
    command: tuple[str, ...]
    environment: dict[str, str]
    media_types: tuple[str, ...]
    answers: bool = True


@dataclass(frozen=True)
class Measurement:
    """What one wrk run saw."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


LOADS = (
    Load("JSON, 1 row, 64 connections", JSON, 1, 64),
    Load("JSON, 1 row, 1 connection", JSON, 1, 1),
    Load("JSON, 64 rows, 8 connections", JSON, 64, 8),
    Load("npy, 1 row, 64 connections", NPY, 1, 64),
    Load("npy, 64 rows, 8 connections", NPY, 64, 8),
)


def opponents(models_dir: Path, bundle: BundleLocation) -> tuple[Opponent, ...]:
    """Describe every server of the comparison, ours first."""
    uvicorn = (sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "error")
    processes = ("--workers", str(PROCESSES))
    plain = (*uvicorn, *processes, "benchmarks.opponents.plain_fastapi:app", "--port")
    folder = {"BUNDLE": str(bundle.folder)}
    service = (sys.executable, "-m", "service", "serve", "--models-dir", str(models_dir))
    quiet = ("--no-access-log", "--log-level", "error")
    empty = (*uvicorn, *processes, "benchmarks.opponents.empty:app", "--port")
    return (
        Opponent("latentserve", 8201, (*service, *processes, *quiet, "--port"), {}, (JSON, NPY)),
        Opponent("plain FastAPI", 8202, plain, folder, (JSON,)),
        Opponent(
            "plain FastAPI, intra_op 1", 8203, plain, folder | {"INTRA_OP_THREADS": "1"}, (JSON,)
        ),
        Opponent("empty uvicorn app", 8204, empty, {}, (JSON, NPY), answers=False),
    )


@contextmanager
def running(opponent: Opponent) -> Iterator[None]:
    """Run a server until the block ends."""
    command = [*opponent.command, str(opponent.port)]
    process = subprocess.Popen(command, env=os.environ | opponent.environment)
    try:
        _wait_until_it_answers(opponent)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_answers(opponent: Opponent) -> None:
    url = f"http://127.0.0.1:{opponent.port}/readyz"
    for _ in range(300):
        try:
            if httpx.get(url).status_code != 503:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{opponent.name} does not start")


def body_of(load: Load) -> bytes:
    """Make the request body of a load: random float32 values, as a client would send them."""
    rows = np.random.default_rng(0).random((load.rows, 784), dtype=np.float32)
    if load.media_type == NPY:
        stream = BytesIO()
        np.save(stream, rows)
        return stream.getvalue()
    texts = [[float(str(value)) for value in row] for row in rows]
    return json.dumps({"inputs": texts}).encode()


def check_answers(opponent: Opponent, reference: np.ndarray) -> None:
    """Stop unless a server gives the numbers of a direct onnxruntime run."""
    for load in LOADS:
        if load.media_type not in opponent.media_types or load.rows != len(reference):
            continue
        headers = {"content-type": load.media_type, "accept": load.media_type}
        url = f"http://127.0.0.1:{opponent.port}/reconstruct"
        answer = httpx.post(url, content=body_of(load), headers=headers, timeout=60)
        answer.raise_for_status()
        found = (
            np.load(BytesIO(answer.content))
            if load.media_type == NPY
            else np.array(answer.json()["reconstructions"], np.float32)
        )
        if not np.allclose(found, reference, rtol=0, atol=1e-6):
            raise SystemExit(f"{opponent.name} gives other numbers: {load.name}")


def measure(opponent: Opponent, load: Load, seconds: int, body: Path) -> Measurement:
    """Run wrk once against a server."""
    url = f"http://127.0.0.1:{opponent.port}/reconstruct"
    environment = {"CONTENT_TYPE": load.media_type, "ACCEPT": load.media_type}
    finished = subprocess.run(
        ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "-s", str(LUA), url],
        env=os.environ | environment | {"BODY_FILE": str(body)},
        capture_output=True,
        text=True,
        check=True,
    )
    summary = json.loads(finished.stdout.splitlines()[-1])
    return Measurement(
        summary["requests"] / summary["microseconds"] * 1e6,
        summary["p50_ms"],
        summary["p99_ms"],
        summary["failures"],
    )


def raw_rows_per_second(folder: Path, rows: int, seconds: float) -> float:
    """Run encoder and decoder in a loop, one thread, nothing around them."""
    run = _direct(folder)
    batch = np.random.default_rng(0).random((rows, 784), dtype=np.float32)
    run(batch)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run(batch)
        count += rows
    return count / (time.perf_counter() - started)


def _direct(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    location = BundleLocation(folder.parent.name, int(folder.name), folder)
    bundle = read_bundle(location)
    options = SessionOptions(threads=1)
    encoder, decoder = (
        Session(bundle.graph(name), bundle.manifest.graphs[name], options)
        for name in ("encoder", "decoder")
    )
    return lambda rows: decoder.run(*encoder.run(rows))[0]


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each wrk run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bundle = publish_dense_model(Path(folder) / "models")
        servers = opponents(Path(folder) / "models", bundle)
        for server in servers:
            stack.enter_context(running(server))
            if server.answers:
                for rows in (1, 64):
                    load = Load("", JSON, rows, 1)
                    inputs = np.array(json.loads(body_of(load))["inputs"], np.float32)
                    check_answers(server, _direct(bundle.folder)(inputs))
        _print_tables(servers, bundle.folder, Path(folder), arguments)


def _print_tables(
    servers: tuple[Opponent, ...], bundle: Path, folder: Path, arguments: argparse.Namespace
) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors,")
    print(f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}\n")
    print("| load | server | ours is | requests/s | p50 ms | p99 ms | failures |")
    print("|---|---|---|---|---|---|---|")
    for load in LOADS:
        body = folder / "body"
        body.write_bytes(body_of(load))
        able = [server for server in servers if load.media_type in server.media_types]
        runs: dict[str, list[Measurement]] = {server.name: [] for server in able}
        for _ in range(arguments.rounds):
            for server in able:
                runs[server.name].append(measure(server, load, arguments.seconds, body))
        ours = _median(runs[able[0].name]).requests_per_second
        for name, measured in runs.items():
            row = _median(measured)
            print(
                f"| {load.name} | {name} | {ours / row.requests_per_second:.2f}x |"
                f" {row.requests_per_second:.0f} | {row.p50_ms:.2f} | {row.p99_ms:.2f} |"
                f" {row.failures} |",
                flush=True,
            )
        if load.media_type == NPY and load.rows > 1:
            _print_raw(ours * load.rows, bundle, load.rows, arguments.seconds)


def _print_raw(ours: float, bundle: Path, rows: int, seconds: int) -> None:
    with ProcessPoolExecutor(PROCESSES) as pool:
        runs = [pool.submit(raw_rows_per_second, bundle, rows, seconds) for _ in range(PROCESSES)]
        raw = sum(run.result() for run in runs)
    print(f"\nraw onnxruntime, {PROCESSES} processes of 1 thread, batches of {rows}:")
    print(f"{raw:.0f} rows/s; over HTTP ours has {ours:.0f}, {ours / raw:.0%} of it")


def _median(measured: list[Measurement]) -> Measurement:
    return Measurement(
        statistics.median(item.requests_per_second for item in measured),
        statistics.median(item.p50_ms for item in measured),
        statistics.median(item.p99_ms for item in measured),
        sum(item.failures for item in measured),
    )


if __name__ == "__main__":
    main()
