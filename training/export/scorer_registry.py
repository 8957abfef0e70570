"""The table of anomaly scores that a recipe can name.

A score is added by one module in ``training.export.scorers`` and one entry here.
"""

from service.bundle.manifest import Name
from training.errors import RecipeError
from training.export.scorer import Scorer
from training.export.scorers.atypicality import Atypicality
from training.export.scorers.reconstruction_error import ReconstructionError

SCORERS: dict[Name, Scorer] = {
    "atypicality": Atypicality(),
    "reconstruction-error": ReconstructionError(),
}


def scorer_named(name: Name) -> Scorer:
    """Return a scorer.

    Raises:
        RecipeError: The name is unknown.
    """
    if name not in SCORERS:
        raise RecipeError(
            f"anomaly.scores: {name!r} is not a score; there are {', '.join(SCORERS)}"
        )
    return SCORERS[name]


def scorer_graph_name(score: Name) -> str:
    """Return the name of the graph that computes a score."""
    return f"scorer-{score}"
