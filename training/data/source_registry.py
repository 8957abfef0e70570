"""The table of data sources that a recipe can name.

A source is added by one module in ``training.data.sources`` and one entry here.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from service.bundle.manifest import Name
from training.data.source import DataSource, SourceKind
from training.data.sources.digits import DIGITS
from training.data.sources.ecg5000 import ECG5000
from training.data.sources.fashion_mnist import FASHION_MNIST
from training.data.sources.generated_points import PLANE, SINE
from training.data.sources.mnist import MNIST
from training.errors import RecipeError
from training.recipe.files import parse_part
from training.recipe.recipe import Recipe

SOURCES: dict[Name, SourceKind] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion-mnist": FASHION_MNIST,
    "ecg5000": ECG5000,
    "sine": SINE,
    "plane": PLANE,
}


def open_source(
    name: Name, options: Mapping[str, JsonValue] | None = None, seed: int = 0
) -> DataSource:
    """Open a source; nothing is read yet.

    Args:
        name: A name of the table.
        options: Options of the source; none by default.
        seed: For generated data; other data does not depend on it.

    Raises:
        RecipeError: The name is unknown, or an option is wrong.

    Example:
        >>> open_source("digits").describe().input.shape
        (8, 8, 1)
    """
    if name not in SOURCES:
        raise RecipeError(
            f"data.dataset: {name!r} is not a data source; there are {', '.join(SOURCES)}"
        )
    kind = SOURCES[name]
    return kind.open(parse_part(kind.options, options or {}, "data.options"), seed)


def recipe_source(recipe: Recipe) -> DataSource:
    """Open the source that a recipe names; see ``open_source``."""
    return open_source(recipe.data.dataset, recipe.data.options, recipe.seed)
