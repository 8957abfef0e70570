"""Command line of training: ``latentserve-train``."""

import io
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
from training.command_errors import errors_as_messages, missing_libraries_named
from training.data.data_files import cache_dir
from training.data.source_registry import recipe_source
from training.fitting.progress import show_progress
from training.recipe.files import load_recipe

if TYPE_CHECKING:
    from training.pipeline import Publication

STANDARD_ERROR = 2

app = typer.Typer(
    name="latentserve-train",
    help="Train autoencoders and publish them as bundles that latentserve serves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Output(Console):
    """A console that raises where nothing reads it any more; Rich would end without a word."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled."""
        raise BrokenPipeError


output = Output()
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
    *,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for another process that trains the same recipe."),
    ] = False,
    rehearsal: Annotated[
        bool,
        typer.Option(help="Go through all later steps on a few rows before the first epoch."),
    ] = True,
) -> None:
    """Train a recipe and publish its bundle; an interrupted run continues."""
    with errors_as_messages(errors):
        if allow is not None and not allow.strip():
            raise typer.BadParameter("expected a reason", param_hint="--allow")
        configuration = load_recipe(recipe, overrides or [])
        recipe_source(configuration)  # rejects an unknown data source
        with _without_native_messages(), missing_libraries_named():
            # TensorFlow takes seconds to import: a wrong recipe is rejected before.
            from training.pipeline import train_and_publish  # noqa: PLC0415

        publication = train_and_publish(
            configuration,
            models,
            runs or cache_dir() / "runs",
            show_progress(output, configuration.max_epochs),
            allow,
            announce=_announce if wait else None,
            rehearse=rehearsal,
        )
        _show_publication(publication)


@app.command()
def verify(
    bundle: Annotated[
        Path, typer.Argument(help="Folder of the bundle: <models>/<name>/<version>.")
    ],
) -> None:
    """Check every digest of a bundle and replay its golden vectors."""
    with errors_as_messages(errors):
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
    _open_missing_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may not have every letter
    app()


def _open_missing_descriptors() -> None:
    """Open what the program was started without; a checkpoint would become its standard error."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(descriptor)


def _announce(sentence: str) -> None:
    errors.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Discard what TensorFlow's libraries write while they load, which no setting turns off.

    They write to the file descriptor and not to ``sys.stderr``, so the descriptor is redirected.
    """
    if sys.stderr is not None:
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
