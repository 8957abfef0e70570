"""Command line of training: ``latentserve-train``."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.bundle.storage import read_bundle_at
from service.catalog.verification import replay_golden
from service.errors import LatentServeError
from training.data.data_files import cache_dir
from training.data.source_registry import recipe_source
from training.errors import RecipeError
from training.fitting.progress import show_progress
from training.recipe.files import load_recipe

if TYPE_CHECKING:
    from training.pipeline import Publication

FAILURE_EXIT_CODE = 1
RECIPE_EXIT_CODE = 2  # that of wrong usage
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT
STANDARD_ERROR = 2

app = typer.Typer(
    name="latentserve-train",
    help="Train autoencoders and publish them as bundles that latentserve serves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
output = Console()
errors = Console(stderr=True)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="Name of a shipped recipe, or path of a TOML file.")
    ],
    models: Annotated[
        Path,
        typer.Option(help="Folder that the bundle goes into.", envvar="LATENTSERVE_MODELS_DIR"),
    ] = Path("models"),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the recipe: training.epochs=3."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints; in the user's cache by default.")
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Publish although gates fail; the reason is written into the manifest.",
        ),
    ] = None,
) -> None:
    """Train a recipe and publish its bundle; an interrupted run continues."""
    with _errors_as_messages():
        if allow is not None and not allow.strip():
            raise typer.BadParameter("expected a reason", param_hint="--allow")
        configuration = load_recipe(recipe, overrides or [])
        recipe_source(configuration)  # rejects an unknown data source
        with _without_native_messages():
            # TensorFlow takes seconds to import: a wrong recipe is rejected before.
            from training.pipeline import train_and_publish  # noqa: PLC0415

        progress = show_progress(output, configuration.max_epochs)
        runs_dir = runs or cache_dir() / "runs"
        publication = train_and_publish(configuration, models, runs_dir, progress, allow)
        _show_publication(publication)


@app.command()
def verify(
    bundle: Annotated[
        Path, typer.Argument(help="Folder of the bundle: <models>/<name>/<version>.")
    ],
) -> None:
    """Check every digest of a bundle and replay its golden vectors."""
    with _errors_as_messages():
        content = read_bundle_at(bundle)
        deviation = replay_golden(content)
        output.print(
            f"{bundle}: {len(content.files)} files have their digests,"
            f" {len(content.manifest.graphs)} graphs reproduce their golden vectors"
            f" to {deviation:.1g}",
            highlight=False,
            soft_wrap=True,
        )


def main() -> None:
    """Run the command line."""
    app()


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except LatentServeError as error:
        errors.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        wrong_recipe = isinstance(error, RecipeError)
        raise typer.Exit(RECIPE_EXIT_CODE if wrong_recipe else FAILURE_EXIT_CODE) from error
    except KeyboardInterrupt as interrupt:
        errors.print("interrupted; the same command continues after the last finished epoch")
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from interrupt


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Discard what TensorFlow's libraries write while they load, which no setting turns off.

    They write to the file descriptor and not to ``sys.stderr``, so the descriptor is redirected.
    """
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
        os.close(null)


def _show_publication(publication: "Publication") -> None:
    table = Table("metric", "part", "measured", "published", box=None, header_style="bold")
    for metric in publication.metrics:
        published = "" if metric.published is None else f"{metric.published:g}"
        table.add_row(metric.name, metric.split, f"{metric.value:.5g}", published)
    output.print(table)
    output.print(
        f"published {publication.location.folder}: {publication.size_bytes / 1e6:.2f} MB,"
        f" {publication.epochs} epochs in {publication.training_seconds:.0f} s,"
        f" parity with Keras {publication.parity_error:.1g}",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
