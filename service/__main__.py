"""Command line: ``latentserve serve``, ``latentserve models``, ``latentserve score``."""

import asyncio
import csv
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from service.errors import AddressUnavailable, BundleError, LatentServeError
from service.inference.processors import keep_libraries_single_threaded
from service.processes.descriptors import open_standard_descriptors
from service.processes.signals import INTERRUPTED, exit_on_signals, ignore_other_signals
from service.processes.tuning import exempt_from_collection

cli = typer.Typer(
    help="Serve autoencoders over HTTP.", no_args_is_help=True, pretty_exceptions_enable=False
)
ModelsDir = Annotated[
    Path,
    typer.Option(
        "--models",
        envvar="LATENTSERVE_MODELS_DIR",
        help="Folder of bundles.",
        exists=True,
        file_okay=False,
    ),
]
UNUSABLE = 2
"""Exit status of a command whose settings, options or bundles cannot be used."""
ADDRESS_UNAVAILABLE = 3
"""Exit status of a service that cannot have its address and port."""
_DEFAULT_MODELS_DIR = Path("models")


@cli.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve(context: typer.Context) -> None:
    """Serve the bundles of a folder; ``latentserve serve --help`` lists every setting."""
    exit_on_signals()  # until a worker or the supervisor handles them
    ignore_other_signals()
    keep_libraries_single_threaded()
    with exempt_from_collection():
        from service.processes.server import run_server  # noqa: PLC0415  # other commands start without it
        from service.settings import read_settings  # noqa: PLC0415
    run_server(read_settings(context.args))


@cli.command()
def models(models_dir: ModelsDir = _DEFAULT_MODELS_DIR) -> None:
    """List the bundles of a folder, with every digest verified."""
    from rich.console import Console  # noqa: PLC0415  # serving starts without these
    from rich.table import Table  # noqa: PLC0415

    from service.bundle.discovery import survey_models  # noqa: PLC0415
    from service.bundle.storage import read_bundle  # noqa: PLC0415

    table = Table("model", "version", "input", "code", "calls", "state")
    survey = survey_models(models_dir)
    for location in survey.bundles:
        try:
            manifest = read_bundle(location).manifest
        except BundleError as error:
            reason = f"refused: {error}"
            table.add_row(location.name, str(location.version), "", "", "", reason)
            continue
        table.add_row(
            location.name,
            str(location.version),
            f"{manifest.input.kind} {manifest.input.shape}",
            str(manifest.code.shape),
            ", ".join(manifest.capabilities),
            "sound",
        )
    for folder in survey.refused:
        table.add_row(folder.path, "", "", "", "", f"refused: {folder.reason}")
    with _writing():
        Console().print(table)
    if survey.ignored:
        typer.echo(f"ignored: {', '.join(survey.ignored)}", err=True)
    if survey.misplaced:
        typer.echo(f"{models_dir}: {survey.misplaced}", err=True)
    elif not survey.bundles:
        typer.echo(f"{models_dir} has no <name>/<version>/manifest.json", err=True)


@cli.command()
def score(
    rows: Annotated[Path, typer.Argument(help="A .npy file of rows.", exists=True, dir_okay=False)],
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    version: Annotated[int | None, typer.Option(help="Version of the model.")] = None,
    false_positive_rate: Annotated[
        float | None, typer.Option(help="Share of normal rows that may be flagged.")
    ] = None,
    models_dir: ModelsDir = _DEFAULT_MODELS_DIR,
) -> None:
    """Score rows without a server; writes CSV: row, score, p_value, anomaly."""
    from service.offline import score_file  # noqa: PLC0415  # onnxruntime loads only when used

    decision = score_file(
        rows, models_dir, name=model, version=version, false_positive_rate=false_positive_rate
    )
    columns = (decision.scores, decision.p_values, decision.anomalies)
    with _writing():
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["row", "score", "p_value", "anomaly"])
        for number, (value, p_value, anomaly) in enumerate(zip(*columns, strict=True)):
            writer.writerow([number, f"{value:.9g}", f"{p_value:.9g}", int(anomaly)])
    for warning in decision.warnings:
        typer.echo(warning, err=True)


def main() -> None:
    """Run the command line; a wrong setting or bundle is one sentence and exit status 2."""
    open_standard_descriptors()
    _print_any_text()
    try:
        cli()
    except LatentServeError as error:
        typer.echo(f"latentserve: {error}", err=True)
        unavailable = isinstance(error, AddressUnavailable)
        raise SystemExit(ADDRESS_UNAVAILABLE if unavailable else UNUSABLE) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def _writing() -> Generator[None]:
    """Say in one sentence why the output cannot be written, such as to a full disk."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough: the command line ends quietly
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        typer.echo(f"latentserve: the output cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from error


def _print_any_text() -> None:
    """Print characters that the terminal's encoding does not have by their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
