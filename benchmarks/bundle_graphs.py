"""What is in each bundle's graphs, and how many rows a second onnxruntime sends through them.

    python -m benchmarks.bundle_graphs --models models [--models FOLDER] [--threads 1] [name ...]

Inputs are random: the time does not depend on them. It is processor time, the median of several
runs of a batch, so that other programs on the machine hardly count; with one thread and an idle
machine it is the time on the clock.
"""

import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

from benchmarks.catalog import (
    Specimen,
    catalog_arguments,
    markdown_table,
    open_catalog,
    print_table,
)
from benchmarks.graph_timing import processor_seconds_per_run
from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER
from service.inference.session import (
    Session,
    SessionOptions,
)

BATCH_ROWS = 256
RUNS = 9


def main() -> None:
    """Measure and print a table of all bundles."""
    parser = catalog_arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="threads of onnxruntime")
    arguments = parser.parse_args()
    options = SessionOptions(threads=arguments.threads)
    title = (
        f"Graphs of bundles; rows a second of processor time, in batches of {BATCH_ROWS},"
        f" {arguments.threads} thread{'' if arguments.threads == 1 else 's'}"
    )
    table = markdown_table(title, "bundle", "MB", "encode rows/s", "decode rows/s", "nodes")
    for specimen in open_catalog(arguments.models or [Path("models")], arguments.names):
        encoded, decoded = (
            rows_per_second(specimen, graph, options) for graph in (ENCODER, DECODER)
        )
        table.add_row(
            specimen.name,
            f"{specimen.size_bytes / 1e6:.2f}",
            f"{encoded:,.0f}",
            f"{decoded:,.0f}",
            node_counts(specimen),
        )
    print_table(table)


def node_counts(specimen: Specimen) -> str:
    """Count the nodes of encoder and decoder by operator, the most frequent first."""
    counts: Counter[str] = Counter()
    for graph in (ENCODER, DECODER):
        nodes = onnx.load_from_string(specimen.bundle.graph(graph)).graph.node
        counts.update(node.op_type for node in nodes)
    return ", ".join(f"{operator} {count}" for operator, count in counts.most_common())


def rows_per_second(specimen: Specimen, graph: str, options: SessionOptions) -> float:
    """Time a graph in batches.

    Args:
        specimen: The bundle.
        graph: Name of the graph.
        options: How onnxruntime runs it.
    """
    session = Session(specimen.bundle.graph(graph), specimen.manifest.graphs[graph], options)
    inputs = example_inputs(specimen, graph)
    seconds = [processor_seconds_per_run(session, inputs, 0.2) for _ in range(RUNS)]
    return BATCH_ROWS / statistics.median(seconds)


def example_inputs(specimen: Specimen, graph: str) -> tuple[FloatArray, ...]:
    """Make a batch of a graph's inputs."""
    noise = np.random.default_rng(0)
    inputs = []
    for tensor in specimen.manifest.graphs[graph].inputs:
        if tensor.name == "conditions":
            inputs.append(np.zeros((BATCH_ROWS, *tensor.shape), np.float32))
        else:
            inputs.append(noise.random((BATCH_ROWS, *tensor.shape), dtype=np.float32))
    return tuple(inputs)


if __name__ == "__main__":
    main()
