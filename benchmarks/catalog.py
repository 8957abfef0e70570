"""Published bundles with the data they were made from, ready to be measured."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from docs_generators.published import read_published
from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, PRIORS_FILE, Manifest
from service.bundle.storage import Bundle, read_bundle
from service.inference.sampling import GaussianMixture
from training.data.source import DataDescription
from training.data.source_registry import recipe_source
from training.data.splitting import Part, Split, split_source
from training.export.graph_runner import GraphRunner
from training.recipe.files import parse_recipe
from training.recipe.recipe import Recipe

PAGE_COLUMNS = 220


@dataclass(frozen=True)
class Specimen:
    """One bundle of the catalogue: its graphs, and the rows it was not trained on.

    Attributes:
        bundle: Every byte verified.
        recipe: What it was made by.
        size_bytes: Of all its files together.
    """

    bundle: Bundle
    recipe: Recipe
    size_bytes: int

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.location.name

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def code_size(self) -> int:
        """Values of one code."""
        size = 1
        for length in self.manifest.code.shape:
            size *= length
        return size

    @cached_property
    def runner(self) -> GraphRunner:
        """Its graphs, as the service runs them."""
        graphs = self.manifest.graphs
        return GraphRunner({name: (graphs[name], self.bundle.graph(name)) for name in graphs})

    @property
    def split(self) -> Split:
        """The four parts of its data, cut anew each time: all of them in memory would be much."""
        return split_source(recipe_source(self.recipe), self.recipe.data, self.recipe.seed)

    @cached_property
    def data(self) -> DataDescription:
        """What its data is, as it is read now."""
        return recipe_source(self.recipe).describe()

    @cached_property
    def mixture(self) -> GaussianMixture:
        """The Gaussian mixture over its codes."""
        return GaussianMixture.from_arrays(self.bundle.arrays(PRIORS_FILE))

    def encode(self, part: Part) -> tuple[FloatArray, ...]:
        """Encode a part: codes, then log variances of a variational bundle."""
        return self.runner.run(ENCODER, *self._inputs(part.rows, part.conditions))

    def decode(self, codes: FloatArray, conditions: FloatArray | None = None) -> FloatArray:
        """Decode codes, flat or in their shape, to rows."""
        shaped = codes.reshape(len(codes), *self.manifest.code.shape)
        return self.runner.run(DECODER, *self._inputs(shaped, conditions))[0]

    def reconstruct(self, part: Part) -> FloatArray:
        """Encode and decode the rows of a part."""
        return self.decode(self.encode(part)[0], part.conditions)

    def _inputs(self, rows: FloatArray, conditions: FloatArray | None) -> tuple[FloatArray, ...]:
        return (
            (rows,)
            if self.manifest.conditions is None or conditions is None
            else (rows, conditions)
        )


def open_with_data(models_dirs: Iterable[Path], names: Iterable[str] = ()) -> Iterator[Specimen]:
    """Open bundles whose data is still what they were made from; say so of the others.

    Args:
        models_dirs: Folders of bundles.
        names: Only these; all by default.
    """
    for specimen in open_catalog(models_dirs, names):
        if specimen.data.sha256 == specimen.manifest.data.sha256:
            yield specimen
        else:
            print(f"{specimen.name}: left out, its data set is no longer what it was made from")


def open_catalog(models_dirs: Iterable[Path], names: Iterable[str] = ()) -> Iterator[Specimen]:
    """Open the newest bundle of every name, one after another.

    Args:
        models_dirs: Folders of bundles.
        names: Only these; all by default.
    """
    wanted = set(names)
    for name, published in sorted(read_published(models_dirs).items()):
        if not wanted or name in wanted:
            recipe = parse_recipe(published.manifest.provenance.recipe, name)
            yield Specimen(read_bundle(published.location), recipe, published.size_bytes)


def catalog_arguments(description: str | None) -> argparse.ArgumentParser:
    """Make a parser of the arguments that every program over the catalogue takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", type=Path, action="append", help="folder of bundles, repeatable"
    )
    parser.add_argument("names", nargs="*", help="only bundles of these names")
    return parser


def markdown_table(title: str, *header: str) -> Table:
    """Start a table that reads well on a terminal and in a Markdown page."""
    return Table(*header, title=title, box=MARKDOWN, header_style="")


def print_table(table: Table) -> None:
    """Print a table of the kind above, its title as a paragraph before it; none without rows."""
    if table.row_count:
        title, table.title = table.title, None
        print(f"\n{title}\n")
        Console(width=PAGE_COLUMNS).print(table)
