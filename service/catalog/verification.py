"""Replays golden vectors: a graph must compute what it computed when it was published.

Whatever is beside a row in its batch.
"""

from collections.abc import Mapping

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import GOLDEN_FILE, GraphSignature
from service.bundle.storage import Bundle
from service.catalog.row_independence import check_row_independence
from service.errors import BundleFileCorrupted, GoldenMismatch
from service.inference.session import (
    Session,
    SessionOptions,
)

# Largest |served - golden| over max(1, max |golden|). A GPU sums in another order than a CPU, and
# TF32 keeps 10 bits of every factor.
DEVIATION_TOLERANCES = {"cpu": 1e-4, "cuda": 1e-3}
TF32_TOLERANCE = 1e-2
_MAX_BATCH_ROWS = 256


def open_verified_sessions(
    bundle: Bundle, options: SessionOptions
) -> tuple[dict[str, Session], float]:
    """Open every graph of a bundle and replay its golden vectors.

    They are always replayed on the CPU, which decides whether the bundle is valid. When another
    provider serves, its deviation is measured too, against its own tolerance.

    Args:
        bundle: A bundle read from disk.
        options: How the graphs will be run.

    Returns:
        The sessions by graph name, and the largest deviation of the serving provider, relative
        to ``max(1, max |golden|)``.

    Raises:
        GoldenMismatch: A graph deviates by more than its provider's tolerance.
        BundleError: A graph or the golden file cannot be used.
    """
    golden = bundle.arrays(GOLDEN_FILE)
    signatures = bundle.manifest.graphs
    sessions = {
        name: Session(bundle.graph(name), signature, options)
        for name, signature in signatures.items()
    }
    worst = 0.0
    for name, session in sessions.items():
        if session.provider != "cpu":
            reference = Session(bundle.graph(name), signatures[name], SessionOptions())
            _replay(name, reference, golden)
        worst = max(worst, _replay(name, session, golden))
    return sessions, worst


def replay_golden(bundle: Bundle) -> float:
    """Replay the golden vectors of a bundle on the CPU provider, also in other batches.

    Returns:
        The largest deviation, relative to ``max(1, max |golden|)``.

    Raises:
        GoldenMismatch: A graph deviates by more than the tolerance.
        RowsNotIndependent: A graph answers a row otherwise when other rows are beside it.
        BundleError: A graph or the golden file cannot be used.
    """
    return verify_bundle(bundle, _MAX_BATCH_ROWS)


def verify_bundle(
    bundle: Bundle, max_batch_rows: int, max_run_seconds: float = float("inf")
) -> float:
    """Do what has to succeed before a bundle is opened by a process that serves.

    Args:
        bundle: A bundle read from disk.
        max_batch_rows: Largest batch that its graphs are run with.
        max_run_seconds: Time of the largest batch, about; it has fewer rows where they take longer.

    Returns:
        The largest deviation, relative to ``max(1, max |golden|)``.

    Raises:
        BundleError: As ``replay_golden``.
        InferenceFailed: A graph fails on a golden row, or does not give one row per row.
    """
    sessions, deviation = open_verified_sessions(bundle, SessionOptions(threads=1))
    check_rows_independent(sessions, bundle, max_batch_rows, max_run_seconds)
    return deviation


def check_rows_independent(
    sessions: Mapping[str, Session],
    bundle: Bundle,
    max_batch_rows: int,
    max_run_seconds: float = float("inf"),
) -> None:
    """Check that no graph answers a golden row otherwise when other rows are beside it.

    Args:
        sessions: The graphs of a bundle, by name.
        bundle: The bundle, for its golden rows.
        max_batch_rows: Size of the largest batch.
        max_run_seconds: As ``verify_bundle``.

    Raises:
        RowsNotIndependent: One does.
        InferenceFailed: A graph fails on a golden row, or does not give one row per row.
    """
    golden = bundle.arrays(GOLDEN_FILE)
    for name, session in sessions.items():
        inputs = golden_inputs(name, session.signature, golden)
        limits = max_batch_rows, max_run_seconds
        check_row_independence(session, inputs, _tolerance(session), *limits)


def golden_key(graph: str, tensor: str) -> str:
    """Name the array of ``golden.npz`` that holds one tensor of one graph."""
    return f"{graph}/{tensor}"


def _replay(graph: str, session: Session, golden: Mapping[str, np.ndarray]) -> float:
    inputs = golden_inputs(graph, session.signature, golden)
    worst = 0.0
    outputs = session.run(*inputs)
    for tensor, served in zip(session.signature.outputs, outputs, strict=True):
        expected = _golden_array(golden, golden_key(graph, tensor.name))
        if served.shape != expected.shape:
            raise GoldenMismatch(
                f"{session.signature.file}: {tensor.name} has shape {served.shape},"
                f" its golden vectors {expected.shape}"
            )
        scale = max(1.0, float(np.abs(expected).max()))
        with np.errstate(invalid="ignore"):  # infinite on both sides is a deviation like any other
            deviation = float(np.abs(served - expected).max()) / scale
        tolerance = _tolerance(session)
        if not deviation <= tolerance:
            raise GoldenMismatch(
                f"{session.signature.file}: {tensor.name} deviates by {deviation:.2g} from its"
                f" golden vectors on {session.provider}, allowed is {tolerance:.2g}"
            )
        worst = max(worst, deviation)
    return worst


def _tolerance(session: Session) -> float:
    return TF32_TOLERANCE if session.tf32 else DEVIATION_TOLERANCES[session.provider]


def golden_inputs(
    graph: str, signature: GraphSignature, golden: Mapping[str, np.ndarray]
) -> list[FloatArray]:
    """Return the golden rows of a graph, one array per input of its signature.

    Args:
        graph: Its name.
        signature: Its inputs.
        golden: The arrays of ``golden.npz``.

    Raises:
        BundleFileCorrupted: They are missing, or not rows of the signature's shapes.
    """
    inputs = [_golden_array(golden, golden_key(graph, tensor.name)) for tensor in signature.inputs]
    expected = [tensor.shape for tensor in signature.inputs]
    rows = {len(array) for array in inputs if array.ndim}
    if [array.shape[1:] for array in inputs] != expected or len(rows) != 1 or rows == {0}:
        raise BundleFileCorrupted(
            f"{GOLDEN_FILE}: the inputs of {graph} have shapes"
            f" {[array.shape for array in inputs]}, rows of {expected} are expected"
        )
    return inputs


def _golden_array(golden: Mapping[str, np.ndarray], key: str) -> FloatArray:
    if key not in golden:
        raise BundleFileCorrupted(f"{GOLDEN_FILE} has no array {key}")
    return np.ascontiguousarray(golden[key], dtype=np.float32)
