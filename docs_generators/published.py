"""Published bundles by name, whose manifests the figures in documents are taken from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from service.bundle.manifest import MANIFEST_FILE, Manifest
from service.bundle.signing import parse_manifest
from service.bundle.storage import BundleLocation, find_bundles

# Names that were changed since bundles were published, which keep them in their manifests.
_METRICS = {
    "held-out-over-training-error": "generalization-gap",
    "live-code-share": "active-unit-share",
}
_CORRUPTION_FIELDS = {"clean_share": "clean_fraction"}
_CORRUPTION_KINDS = {"dropout": "masking"}


@dataclass(frozen=True)
class PublishedBundle:
    """The newest bundle of a name.

    Attributes:
        location: Its folder.
        manifest: Its manifest, with metrics, gates and recipe under their present names.
        size_bytes: Total size of its files.
    """

    location: BundleLocation
    manifest: Manifest
    size_bytes: int


def read_published(models_dirs: Iterable[Path]) -> dict[str, PublishedBundle]:
    """Read the manifests of folders of bundles.

    Args:
        models_dirs: Each holds ``<name>/<version>/``.

    Returns:
        The latest bundle of each name, by time of creation.

    Raises:
        BundleError: A manifest is invalid, or does not have its digest.
    """
    newest: dict[str, PublishedBundle] = {}
    for models_dir in models_dirs:
        for location in find_bundles(models_dir):
            manifest = parse_manifest((location.folder / MANIFEST_FILE).read_bytes())
            known = newest.get(location.name)
            if known and known.manifest.provenance.created_at > manifest.provenance.created_at:
                continue
            size = sum(path.stat().st_size for path in location.folder.iterdir())
            newest[location.name] = PublishedBundle(location, _with_present_names(manifest), size)
    return newest


def _with_present_names(manifest: Manifest) -> Manifest:
    metrics = tuple(
        metric.model_copy(update={"name": _METRICS.get(metric.name, metric.name)})
        for metric in manifest.metrics
    )
    waived = manifest.provenance.gates_waived
    provenance = {
        "recipe": _recipe_with_present_names(manifest.provenance.recipe),
        "gates_waived": {_METRICS.get(gate, gate): reason for gate, reason in waived.items()},
    }
    return manifest.model_copy(
        update={
            "metrics": metrics,
            "provenance": manifest.provenance.model_copy(update=provenance),
        }
    )


def _recipe_with_present_names(recipe: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    corruption = recipe.get("corruption")
    if not isinstance(corruption, dict):
        return dict(recipe)
    fields = {_CORRUPTION_FIELDS.get(name, name): value for name, value in corruption.items()}
    kind = fields.get("kind")
    if isinstance(kind, str):
        fields["kind"] = _CORRUPTION_KINDS.get(kind, kind)
    return {**recipe, "corruption": fields}
