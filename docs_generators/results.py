"""The table of results: published figures of each system beside the measured ones.

    python -m docs_generators.results [--models FOLDER ...] [--output PAGE]

Nothing is measured here: every figure is read from the manifest of a bundle.
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from docs_generators.published import PublishedBundle, read_published
from docs_generators.systems import PublishedSystem, SystemIndex, system_index
from service.bundle.manifest import Manifest, Metric
from training.errors import RecipeError
from training.recipe.files import load_recipe, parse_recipe, shipped_recipe_names

HIGHER_IS_BETTER = ("accuracy", "auroc", "psnr", "recall", "ssim", "explained", "f1")
SHORT_NAMES = {
    "auroc": "AUROC",
    "binary-cross-entropy": "BCE",
    "mean-squared-error": "MSE",
    "denoised-binary-cross-entropy": "BCE of denoised rows",
    "denoised-psnr-db": "PSNR of denoised rows in dB",
    "denoised-ssim": "SSIM of denoised rows",
    "noisy-psnr-db": "PSNR of noisy rows in dB",
    "noisy-ssim": "SSIM of noisy rows",
    "error-over-pca": "error over PCA's",
    "principal-angle-degrees": "principal angle in degrees",
    "rounded-accuracy": "acc",
}
PLATFORM = "platform"
NOT_STATED = "-"
PAGE = Path("docs/results.md")
HEADER = (
    *("id", "system", "published", "ours", "reached", "epochs: published, ours"),
    *("seconds", "MB", "parity error", "date", "machine"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page.

    Args:
        arguments: Of the command line; those that the program was started with by default.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", type=Path, action="append", help="folder of bundles, repeatable; default models"
    )
    parser.add_argument("--output", type=Path, default=PAGE, help=f"page to write; default {PAGE}")
    chosen = parser.parse_args(arguments)
    published = read_published(chosen.models or [Path("models")])
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(render_results(system_index(), published), encoding="utf-8")
    print(f"{chosen.output}: {len(published)} bundles read")


def render_results(index: SystemIndex, published: dict[str, PublishedBundle]) -> str:
    """Return the results as Markdown: one row per system, in the order of the index.

    Args:
        index: The rows.
        published: Bundles by name.
    """
    parts = [_introduction(index, published)]
    for section, systems in groupby(index.systems, key=lambda system: system.section):
        chosen = list(systems)
        rows = [_row(system, published.get(system.id)) for system in chosen]
        parts.append(f"## {section}\n\n{_table(HEADER, rows)}")
        notes = [note for system in chosen for note in _notes(system, published.get(system.id))]
        if notes:
            parts.append("\n".join(f"- {note}" for note in notes))
    uses = [(f"`{use.id}`", use.use, use.where) for use in index.uses]
    parts.append(
        f"## Uses\n\nWithout training of their own: each uses the bundles above.\n\n"
        f"{_table(('id', 'use', 'where'), uses)}"
    )
    return "\n\n".join(parts) + "\n"


def _introduction(index: SystemIndex, published: dict[str, PublishedBundle]) -> str:
    ids = {system.id for system in index.systems}
    run = ids & published.keys()
    return (
        "# Results\n\n"
        "Written by `python -m docs_generators.results` from the manifests of bundles; do not"
        " edit.\n\n"
        f"{len(run)} of {len(index.systems)} systems have a bundle. Figures are measured through"
        " the exported graphs, on test rows unless validation is stated. BCE is mean binary"
        " cross-entropy per pixel, MSE mean squared error in raw units, acc the share of pixels"
        " that round to the same of 0 and 1. *Reached* compares at the precision that was"
        " published. The parity error is the largest deviation of onnxruntime from Keras, relative"
        " to max(1, max |Keras|)."
    )


def _row(system: PublishedSystem, bundle: PublishedBundle | None) -> Sequence[str]:
    head = (f"`{system.id}`", system.system, system.published)
    if bundle is None:
        shipped = system.id in shipped_recipe_names()
        ours = "not run yet" if shipped else "not run yet: no recipe"
        return (*head, ours, "", f"{system.epochs or NOT_STATED}, {NOT_STATED}", "", "", "", "", "")
    manifest = bundle.manifest
    provenance = manifest.provenance
    compared = [metric for metric in manifest.metrics if metric.published is not None]
    shown = compared + [
        metric
        for metric in manifest.metrics
        if metric.published is None and metric.split == "test" and metric.name in system.figures
    ]
    return (
        *head,
        "; ".join(_figure(metric) for metric in shown),
        ", ".join(dict.fromkeys("yes" if reached(metric) else "no" for metric in compared)),
        f"{system.epochs or NOT_STATED}, {provenance.epochs}",
        f"{provenance.training_seconds:.0f}",
        f"{bundle.size_bytes / 1e6:.2f}",
        f"{provenance.parity_error:.1g}",
        f"{provenance.created_at:%Y-%m-%d}",
        provenance.library_versions.get(PLATFORM, "not recorded"),
    )


def reached(metric: Metric) -> bool:
    """Return whether a figure is as good as the published one, at the precision of the latter.

    Args:
        metric: A measured figure with a published one.

    Raises:
        ValueError: There is no published figure.
    """
    if metric.published is None:
        raise ValueError(f"{metric.name} has no published figure")
    _, _, decimals = f"{metric.published:.10g}".partition(".")
    ours, theirs = round(metric.value, len(decimals)), round(metric.published, len(decimals))
    higher_is_better = any(word in metric.name for word in HIGHER_IS_BETTER)
    return ours >= theirs if higher_is_better else ours <= theirs


def _figure(metric: Metric) -> str:
    split = "valid " if metric.split == "validation" else ""
    against = "" if metric.published is None else f" (published {metric.published:g})"
    return f"{split}{_short(metric.name)} {metric.value:.4g}{against}"


def _notes(system: PublishedSystem, bundle: PublishedBundle | None) -> Iterable[str]:
    if system.comparison_note is not None:
        yield f"`{system.id}`: {system.comparison_note}."
    if bundle is None:
        return
    for note, names in _published_by_note(bundle.manifest).items():
        yield f"`{system.id}`: published {' and '.join(names)}: {note}."
    if not _of_shipped_recipe(bundle.manifest):
        yield f"`{system.id}`: trained with other settings than the shipped recipe's."
    for gate, reason in bundle.manifest.provenance.gates_waived.items():
        yield f"`{system.id}`: published although the gate {gate} failed: {reason}."


def _published_by_note(manifest: Manifest) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    for metric in manifest.metrics:
        if metric.published is not None and metric.note:
            notes.setdefault(metric.note, []).append(_short(metric.name))
    return notes


def _short(name: str) -> str:
    return SHORT_NAMES.get(name, name.replace("-", " "))


def _of_shipped_recipe(manifest: Manifest) -> bool:
    try:
        used = parse_recipe(manifest.provenance.recipe, manifest.name)
        return used.weights_digest() == load_recipe(manifest.name).weights_digest()
    except RecipeError:  # of a release with other fields, or not among the shipped ones
        return False


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
