"""Exported graphs beside what tf2onnx makes of the same Keras functions: rows a second of each.

    python -m benchmarks.export_graphs [--rounds 9] [--threads 1] [recipe ...]

Weights are fresh: speed does not depend on them. Both graphs must give the same answers first.
Rounds alternate between the two, and what counts is processor time, so that other programs on
the machine hardly matter; the ratio is the median over rounds.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.catalog import markdown_table, print_table
from benchmarks.graph_timing import processor_seconds_per_run
from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER
from service.inference.session import (
    Session,
    SessionOptions,
)
from training.data.scaling import fit_scaling
from training.data.source_registry import recipe_source
from training.export.conversion import convert_graph, export_graph
from training.export.fitted_scorer import FittedScorer
from training.export.graph_functions import GraphFunction, graph_functions
from training.export.parity import check_parity
from training.export.scorers.reconstruction_error import ReconstructionError
from training.networks.autoencoder import Autoencoder
from training.networks.building import build_autoencoder
from training.recipe.files import load_recipe
from training.tensors import to_numpy

RECIPES = ("fashion-denoiser", "mnist-conv-spatial", "mnist-stacked", "ecg5000")
BATCHES = (64, 1)
_SCORER = FittedScorer("reconstruction-error", ReconstructionError(), {})


@dataclass(frozen=True)
class Pair:
    """One graph, exported in two ways.

    Attributes:
        plain: What tf2onnx gives.
        ours: What a bundle gets.
        inputs: Rows for both, each (rows, ...).
    """

    plain: Session
    ours: Session
    inputs: tuple[FloatArray, ...]


def main() -> None:
    """Measure and print, the ratio first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="threads of onnxruntime")
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    arguments = parser.parse_args()
    options = SessionOptions(threads=arguments.threads)
    title = (
        "Exported graphs and tf2onnx's; rows a second of processor time,"
        f" {arguments.threads} thread{'' if arguments.threads == 1 else 's'}"
    )
    table = markdown_table(title, "recipe", "call", "rows", "ratio", "range", "ours", "tf2onnx")
    for name in arguments.recipes:
        pairs = exported_pairs(name, options)
        calls = {"reconstruct": [ENCODER, DECODER]} | {graph: [graph] for graph in pairs}
        for call, graphs in calls.items():
            for rows in BATCHES:
                seconds = [
                    measure([pairs[graph] for graph in graphs], rows)
                    for _ in range(arguments.rounds)
                ]
                ratios = sorted(plain / ours for plain, ours in seconds)
                table.add_row(
                    *(name, call, str(rows)),
                    f"{statistics.median(ratios):.2f}",
                    f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                    f"{rows / statistics.median(ours for _, ours in seconds):,.0f}",
                    f"{rows / statistics.median(plain for plain, _ in seconds):,.0f}",
                )
    print_table(table)


def exported_pairs(name: str, options: SessionOptions) -> dict[str, Pair]:
    """Export every graph of a recipe in both ways, and prove that the answers are Keras's.

    Args:
        name: Of a recipe without conditions.
        options: How onnxruntime runs the graphs.
    """
    recipe = load_recipe(name)
    if recipe.data.conditions:
        raise SystemExit(f"{name} takes conditions; this program only gives rows")
    source = recipe_source(recipe)
    first = next(source.batches(1000))
    rows, row_shape = first[: max(BATCHES)], first.shape[1:]
    scaling = fit_scaling(recipe.data.scaling, first)
    autoencoder = build_autoencoder(recipe, row_shape)
    _spread_weights(autoencoder)
    codes = to_numpy(autoencoder.encode(scaling.scale(rows), None)[0])
    functions = graph_functions(autoencoder, scaling, row_shape, [_SCORER])
    return {
        function.name: _pair(function, (codes if function.name == DECODER else rows,), options)
        for function in functions
    }


def _pair(function: GraphFunction, inputs: tuple[FloatArray, ...], options: SessionOptions) -> Pair:
    plain, ours = (
        Session(graph, function.signature, options)
        for graph in (convert_graph(function).SerializeToString(), export_graph(function))
    )
    for session in (plain, ours):
        check_parity(function, session, *inputs)
    return Pair(plain, ours, inputs)


def _spread_weights(autoencoder: Autoencoder) -> None:
    """Move biases and statistics from where they start, which conversion would leave out."""
    random = np.random.default_rng(0)
    for weight in autoencoder.weights:
        if len(weight.shape) == 1:
            weight.assign(to_numpy(weight) + random.uniform(0.1, 0.5, weight.shape))


def measure(pairs: Sequence[Pair], rows: int) -> tuple[float, float]:
    """Return processor seconds of one run of all graphs on so many rows: tf2onnx's, then ours."""
    plain, ours = (
        sum(
            processor_seconds_per_run(session, [array[:rows] for array in inputs])
            for session, inputs in way
        )
        for way in (
            [(pair.plain, pair.inputs) for pair in pairs],
            [(pair.ours, pair.inputs) for pair in pairs],
        )
    )
    return plain, ours


if __name__ == "__main__":
    main()
