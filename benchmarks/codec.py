"""What bodies cost to read and answers to write, in every format, beside plain ways to do it.

    python -m benchmarks.codec [--rounds 9]

Processor time of one thread, microseconds a body; medians of interleaved rounds, with memory
settled as in the service. MNIST comes from the folder that LATENTSERVE_DATA_DIR names, its
reconstructions from ``models/mnist-stacked``.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import TypeAdapter

from service.api.payloads.image import read_image, write_image
from service.api.payloads.json import JsonBody, write_json
from service.api.payloads.npy import read_npy, write_npy
from service.api.payloads.raw import read_raw, write_raw
from service.api.payloads.rows import RowFormat
from service.bundle.storage import find_bundles, read_bundle
from service.inference.autoencoder import Autoencoder
from service.inference.graphs import DirectGraph, Ticket, run_to_completion
from service.inference.session import FloatArray, SessionOptions
from service.inference.verification import open_verified_sessions
from service.memory import settle_memory
from training.data.reading import read_rows
from training.data.source_registry import open_source

ROW_COUNTS = (1, 64)
VALUES = 784
SHAPE = (28, 28, 1)
PNG = "image/png"
ROUND_SECONDS = 0.03
_LISTS = TypeAdapter(list[list[float]])

Work = Callable[[], object]


@dataclass(frozen=True)
class Contest:
    """Ways to do the same, the service's own first.

    Attributes:
        title: What is read or written.
        ways: By name.
        sizes: Bytes of the body, by name, where they differ.
    """

    title: str
    ways: Mapping[str, Work]
    sizes: Mapping[str, int]


def reading(rows: int, pixels: FloatArray) -> Iterator[Contest]:
    """Bodies of flat and of nested rows to float32 arrays."""
    flat = RowFormat("inputs", (VALUES,), False, False, None, rows)
    image = RowFormat("inputs", SHAPE, True, True, None, rows)
    floats = np.random.default_rng(1).random((rows, VALUES), dtype=np.float32)
    images = pixels.reshape(-1, *SHAPE)
    texts = {
        "random floats, 17 digits": (flat, json.dumps({"inputs": floats.tolist()}).encode()),
        "random floats, shortest text": (flat, _orjson({"inputs": floats})),
        "MNIST, flat": (image, _orjson({"inputs": pixels})),
        "MNIST, 28 x 28": (image, _orjson({"inputs": images[..., 0]})),
        "MNIST, 28 x 28 x 1": (image, _orjson({"inputs": images})),
        "MNIST, 28 x 28 x 1, 17 digits": (image, json.dumps({"inputs": images.tolist()}).encode()),
    }
    for title, (row_format, body) in texts.items():
        yield Contest(f"{title}, {rows} rows", _json_readers(body, row_format), {"JSON": len(body)})
    binary: dict[str, tuple[bytes, Callable[[bytes, RowFormat], FloatArray]]] = {
        "float32": (pixels.astype("<f4").tobytes(), read_raw),
        "npy": (write_npy(pixels), read_npy),
        "npy of bytes": (write_npy(np.rint(pixels * 255).astype(np.uint8)), read_npy),
    }
    if rows == 1:
        binary["PNG"] = (
            write_image(pixels.reshape(-1, *SHAPE), PNG),
            lambda body, row_format: read_image(body, PNG, row_format),
        )
    ways = {name: _bound(read, body, image) for name, (body, read) in binary.items()}
    sizes = {name: len(body) for name, (body, _) in binary.items()}
    yield Contest(f"MNIST, {rows} rows, binary", ways, sizes)


def _bound(
    read: Callable[[bytes, RowFormat], FloatArray], body: bytes, row_format: RowFormat
) -> Work:
    return lambda: read(body, row_format)


def _json_readers(body: bytes, row_format: RowFormat) -> dict[str, Work]:
    def array(lists: object) -> FloatArray:
        return np.array(lists, np.float32).reshape(-1, *row_format.shape)

    ways: dict[str, Work] = {
        "latentserve": lambda: JsonBody(body, "inputs", ("model",)).rows(row_format),
        "orjson, then NumPy": lambda: array(orjson.loads(body)["inputs"]),
        "json, then NumPy": lambda: array(json.loads(body)["inputs"]),
    }
    if b"[[[" not in body:
        rows = orjson.dumps(orjson.loads(body)["inputs"])
        ways["pydantic, then NumPy"] = lambda: array(_LISTS.validate_json(rows))
    return ways


def writing(rows: int, reconstructions: FloatArray) -> Iterator[Contest]:
    """Arrays to answers."""
    random = np.random.default_rng(1)
    answers = {
        "random floats": random.random((rows, VALUES), dtype=np.float32),
        "normal floats": random.standard_normal((rows, VALUES), dtype=np.float32),
        "normal floats, 32 values": random.standard_normal((rows, 32), dtype=np.float32),
        "MNIST reconstructed, flat": reconstructions.reshape(rows, VALUES),
        "MNIST reconstructed, as the service answers it": reconstructions,
    }
    for title, values in answers.items():
        ways = _writers(values)
        sizes = {name: len(body) for name, way in ways.items() if isinstance(body := way(), bytes)}
        yield Contest(f"{title}, {rows} rows", ways, sizes)


def _writers(values: np.ndarray) -> dict[str, Work]:
    fields = {"model": "a", "version": 1, "reconstructions": values}
    lists = fields | {"reconstructions": values.tolist()}
    return {
        "exact JSON": lambda: write_json(fields),
        "orjson": lambda: _orjson(fields),
        **{f"decimals={decimals}": _rounding(fields, decimals) for decimals in (2, 4, 6)},
        "npy": lambda: write_npy(values),
        "float32": lambda: bytes(write_raw(values)) if values.nbytes < 2**16 else write_raw(values),
        "json.dumps of lists": lambda: json.dumps(
            lists | {"reconstructions": values.tolist()}
        ).encode(),
    }


def _orjson(fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def _rounding(fields: Mapping[str, Any], decimals: int) -> Work:
    return lambda: write_json(fields, decimals)


def measure(contest: Contest, rounds: int) -> dict[str, float]:
    """Time all ways in turns; return the median microseconds of each."""
    repetitions = {name: _repetitions(way) for name, way in contest.ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contest.ways}
    for _ in range(rounds):
        for name, way in contest.ways.items():
            seconds[name].append(_seconds(way, repetitions[name]))
    return {name: 1e6 * statistics.median(times) for name, times in seconds.items()}


def _repetitions(way: Work) -> int:
    return max(1, int(ROUND_SECONDS / max(_seconds(way, 2), 1e-9)))


def _seconds(way: Work, repetitions: int) -> float:
    started = time.process_time()
    for _ in range(repetitions):
        way()
    return (time.process_time() - started) / repetitions


def reconstruct(pixels: FloatArray) -> FloatArray:
    """Send pictures through the published model of MNIST, for answers as real ones are."""
    (location,) = (one for one in find_bundles(Path("models")) if one.name == "mnist-stacked")
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions())
    graphs = {name: DirectGraph(session) for name, session in sessions.items()}
    rows = pixels.reshape(-1, *SHAPE)
    return run_to_completion(Autoencoder(bundle, graphs).reconstruct(rows, ticket=Ticket()))


def main() -> None:
    """Measure everything and print it as Markdown, ratios first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pixels = read_rows(open_source("mnist"))[-max(ROW_COUNTS) :].reshape(-1, VALUES)
    reconstructions = reconstruct(pixels)
    settle_memory()
    for verb, contests in (
        ("read", lambda rows: reading(rows, pixels[:rows])),
        ("written", lambda rows: writing(rows, reconstructions[:rows])),
    ):
        print(f"\n| {verb} | way | the first is | µs | bytes |\n|---|---|---|---|---|")
        for rows in ROW_COUNTS:
            for contest in contests(rows):
                _print(contest, measure(contest, options.rounds))


def _print(contest: Contest, microseconds: Mapping[str, float]) -> None:
    first = next(iter(microseconds.values()))
    title = contest.title
    for name, time_taken in microseconds.items():
        ratio = "" if title else f"{time_taken / first:.2f}x as fast"
        size = contest.sizes.get(name, "" if not title else contest.sizes.get("JSON", ""))
        print(f"| {title} | {name} | {ratio} | {time_taken:.1f} | {size} |", flush=True)
        title = ""


if __name__ == "__main__":
    main()
