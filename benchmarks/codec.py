"""Time to read request bodies and write response bodies, in every format, and with other libraries.

    python -m benchmarks.codec [--rounds 9]

Processor time of one thread, microseconds a body; medians of interleaved rounds, with the garbage
collector tuned as in the service. MNIST comes from the folder that LATENTSERVE_DATA_DIR names, its
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

from service.arrays import FloatArray
from service.bundle.storage import find_bundles, read_bundle
from service.catalog.verification import open_verified_sessions
from service.formats.image import read_picture, write_png
from service.formats.json.body import JsonBody
from service.formats.json.writing import write_json
from service.formats.npy import read_npy, write_npy
from service.formats.raw import read_raw, write_raw
from service.formats.row_format import RowFormat
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import SessionOptions
from service.operations.direct import run_directly
from service.operations.table import RECONSTRUCT
from service.processes.tuning import freeze_after_startup
from training.data.reading import read_rows
from training.data.source_registry import open_source

ROW_COUNTS = (1, 64)
VALUES = 784
SHAPE = (28, 28, 1)
ROUND_SECONDS = 0.03
_LISTS = TypeAdapter(list[list[float]])

Work = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Functions that do the same, the service's own first.

    Attributes:
        title: What is read or written.
        functions: By name.
        sizes: Bytes of the body, by name, where they differ.
    """

    title: str
    functions: Mapping[str, Work]
    sizes: Mapping[str, int]


def reading(rows: int, pixels: FloatArray) -> Iterator[Comparison]:
    """Compare readers of flat and of nested rows."""
    flat = RowFormat(field="inputs", model="flat", shape=(VALUES,), max_rows=rows)
    image = RowFormat(
        field="inputs",
        model="image",
        shape=SHAPE,
        max_rows=rows,
        is_image=True,
        has_channels=True,
    )
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
        yield Comparison(
            f"{title}, {rows} rows", _json_readers(body, row_format), {"JSON": len(body)}
        )
    binary: dict[str, tuple[bytes, Callable[[bytes, RowFormat], FloatArray]]] = {
        "float32": (pixels.astype("<f4").tobytes(), read_raw),
        "npy": (write_npy(pixels), read_npy),
        "npy of bytes": (write_npy(np.rint(pixels * 255).astype(np.uint8)), read_npy),
    }
    if rows == 1:
        binary["PNG"] = (write_png(pixels.reshape(-1, *SHAPE)), read_picture)
    functions = {name: _bound(read, body, image) for name, (body, read) in binary.items()}
    sizes = {name: len(body) for name, (body, _) in binary.items()}
    yield Comparison(f"MNIST, {rows} rows, binary", functions, sizes)


def _bound(
    read: Callable[[bytes, RowFormat], FloatArray], body: bytes, row_format: RowFormat
) -> Work:
    return lambda: read(body, row_format)


def _json_readers(body: bytes, row_format: RowFormat) -> dict[str, Work]:
    max_rows = row_format.max_rows

    def array(lists: object) -> FloatArray:
        return np.array(lists, np.float32).reshape(-1, *row_format.shape)

    functions: dict[str, Work] = {
        "latentserve": lambda: JsonBody(body, "inputs", ("model",), max_rows).rows(row_format),
        "orjson, then NumPy": lambda: array(orjson.loads(body)["inputs"]),
        "json, then NumPy": lambda: array(json.loads(body)["inputs"]),
    }
    if b"[[[" not in body:
        rows = orjson.dumps(orjson.loads(body)["inputs"])
        functions["pydantic, then NumPy"] = lambda: array(_LISTS.validate_json(rows))
    return functions


def writing(rows: int, reconstructions: FloatArray) -> Iterator[Comparison]:
    """Compare writers of arrays."""
    random = np.random.default_rng(1)
    arrays = {
        "random floats": random.random((rows, VALUES), dtype=np.float32),
        "normal floats": random.standard_normal((rows, VALUES), dtype=np.float32),
        "normal floats, 32 values": random.standard_normal((rows, 32), dtype=np.float32),
        "MNIST reconstructed, flat": reconstructions.reshape(rows, VALUES),
        "MNIST reconstructed, in full shape": reconstructions,
    }
    for title, values in arrays.items():
        functions = _writers(values)
        sizes = {
            name: len(body)
            for name, function in functions.items()
            if isinstance(body := function(), bytes)
        }
        yield Comparison(f"{title}, {rows} rows", functions, sizes)


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


def measure(comparison: Comparison, rounds: int) -> dict[str, float]:
    """Time all functions in turn; return the median microseconds of each."""
    repetitions = {name: _repetitions(function) for name, function in comparison.functions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in comparison.functions}
    for _ in range(rounds):
        for name, function in comparison.functions.items():
            seconds[name].append(_seconds(function, repetitions[name]))
    return {name: 1e6 * statistics.median(times) for name, times in seconds.items()}


def _repetitions(function: Work) -> int:
    return max(1, int(ROUND_SECONDS / max(_seconds(function, 2), 1e-9)))


def _seconds(function: Work, repetitions: int) -> float:
    started = time.process_time()
    for _ in range(repetitions):
        function()
    return (time.process_time() - started) / repetitions


def reconstruct(pixels: FloatArray) -> FloatArray:
    """Reconstruct pictures with the published model of MNIST, for realistic response bodies."""
    (location,) = (one for one in find_bundles(Path("models")) if one.name == "mnist-stacked")
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions())
    autoencoder = Autoencoder(bundle, direct_graphs(with_chain(sessions)))
    rows = pixels.reshape(-1, *SHAPE)
    return run_directly(RECONSTRUCT, autoencoder, rows).reconstructions


def main() -> None:
    """Measure everything and print it as Markdown, ratios first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pixels = read_rows(open_source("mnist"))[-max(ROW_COUNTS) :].reshape(-1, VALUES)
    reconstructions = reconstruct(pixels)
    freeze_after_startup()
    for verb, comparisons in (
        ("read", lambda rows: reading(rows, pixels[:rows])),
        ("written", lambda rows: writing(rows, reconstructions[:rows])),
    ):
        print(f"\n| {verb} | way | the first is | µs | bytes |\n|---|---|---|---|---|")
        for rows in ROW_COUNTS:
            for comparison in comparisons(rows):
                _print(comparison, measure(comparison, options.rounds))


def _print(comparison: Comparison, microseconds: Mapping[str, float]) -> None:
    first = next(iter(microseconds.values()))
    title = comparison.title
    for name, time_taken in microseconds.items():
        ratio = "" if title else f"{time_taken / first:.2f}x as fast"
        size = comparison.sizes.get(name, "" if not title else comparison.sizes.get("JSON", ""))
        print(f"| {title} | {name} | {ratio} | {time_taken:.1f} | {size} |", flush=True)
        title = ""


if __name__ == "__main__":
    main()
