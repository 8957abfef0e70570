"""Anomaly scores by name, as functions that are traced into graphs of their own.

A score is computed in scaled space, so that every channel or column counts as the network was
trained to count it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.bundle.manifest import Name
from training.errors import RecipeError
from training.networks.autoencoder import Autoencoder
from training.tensors import Tensor, ops

# Scaled rows and conditions to (scores, feature scores): shapes (rows,) and (rows, *row shape).
ScoreFunction = Callable[[Autoencoder, Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scorer:
    """One way of scoring, and what to tell about it."""

    description: str
    units: str
    score: ScoreFunction


def reconstruction_error(
    autoencoder: Autoencoder, rows: Tensor, conditions: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Score rows by how badly they are reconstructed.

    Args:
        autoencoder: The model; a variational one reconstructs its posterior means.
        rows: Scaled rows, (rows, *row shape).
        conditions: Shape (rows, 1) for a conditional model, else None.

    Returns:
        Mean squared errors, (rows,), and the squared error of every value, (rows, *row shape).
    """
    squared_errors = ops.square(autoencoder.reconstruct(rows, conditions) - rows)
    value_axes = tuple(range(1, len(rows.shape)))
    return ops.mean(squared_errors, axis=value_axes), squared_errors


SCORERS: dict[Name, Scorer] = {
    "reconstruction-error": Scorer(
        description="Mean squared difference between a row and its reconstruction.",
        units="squared scaled units",
        score=reconstruction_error,
    ),
}


def scorer_named(name: Name) -> Scorer:
    """Return a scorer.

    Raises:
        RecipeError: There is none of that name.
    """
    if name not in SCORERS:
        raise RecipeError(
            f"anomaly.scores: {name!r} is not a score; there are {', '.join(SCORERS)}"
        )
    return SCORERS[name]


def scorer_graph_name(score: Name) -> str:
    """Return the name of the graph that computes a score."""
    return f"scorer-{score}"
