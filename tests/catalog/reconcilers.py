"""A reconciler over a folder of tiny bundles, and small changes to the folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from service.catalog.catalog import Catalog
from service.catalog.desired_state import desire_folder
from service.catalog.loading import LoadOptions
from service.catalog.reconciler import Reconciler
from service.catalog.verifier import Verifier
from service.inference.session import SessionOptions
from tests.bundles import TinyModel, publish_tiny

OPTIONS = LoadOptions(SessionOptions("cpu", threads=1), max_batch_rows=8)


@asynccontextmanager
async def opened(
    models_dir: Path,
    *,
    load: bool = True,
    options: LoadOptions = OPTIONS,
    verifier: Verifier | None = None,
    **choices: Any,
) -> AsyncIterator[Reconciler]:
    """Load a folder, with what ``desire_folder`` takes besides, and close it."""
    reconciler = Reconciler(desire_folder(models_dir, **choices), options, verifier=verifier)
    try:
        if load:
            await reconciler.reconcile()
        yield reconciler
    finally:
        await reconciler.close()


def publish(folder: Path, *models: TinyModel) -> None:
    for model in models:
        publish_tiny(folder, model)


def damage(folder: Path, model: TinyModel, version: int = 1, file: str = "decoder.onnx") -> None:
    """Change one bit of a file of a published bundle."""
    path = folder / model.name / str(version) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def states(catalog: Catalog) -> list[tuple[str, int, str]]:
    return [(*version.key, version.state) for version in catalog]
