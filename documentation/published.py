"""Published bundles by name: their manifests, as figures in documents are taken from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import MANIFEST_FILE, Manifest
from service.bundle.signing import parse_manifest
from service.bundle.storage import BundleLocation, find_bundles


@dataclass(frozen=True)
class PublishedBundle:
    """The newest bundle of a name.

    Attributes:
        location: Its folder.
        manifest: What it says of itself.
        size_bytes: Of all its files together.
    """

    location: BundleLocation
    manifest: Manifest
    size_bytes: int


def read_published(models_dirs: Iterable[Path]) -> dict[str, PublishedBundle]:
    """Read the manifests of folders of bundles.

    Args:
        models_dirs: Each holds ``<name>/<version>/``.

    Returns:
        By name, the bundle that was made last.

    Raises:
        BundleError: A manifest is not one, or was changed.
    """
    newest: dict[str, PublishedBundle] = {}
    for models_dir in models_dirs:
        for location in find_bundles(models_dir):
            manifest = parse_manifest((location.folder / MANIFEST_FILE).read_bytes())
            known = newest.get(location.name)
            if known and known.manifest.provenance.created_at > manifest.provenance.created_at:
                continue
            size = sum(path.stat().st_size for path in location.folder.iterdir())
            newest[location.name] = PublishedBundle(location, manifest, size)
    return newest
