"""Rows without their noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, Manifest
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import CHAIN
from service.operations.operation import Work


@dataclass(frozen=True, slots=True)
class DenoisedRows:
    """Rows in the client's units, shape (rows, *row shape)."""

    denoised: FloatArray

    def fields(self) -> Mapping[str, Any]:
        """Name the rows."""
        return {"denoised": self.denoised}


class Denoise:
    """Reconstructs rows with a model that was trained to undo noise."""

    name: Literal["denoise"] = "denoise"
    takes: Literal["inputs"] = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there are encoder and decoder, trained against noise."""
        return manifest.noise is not None and {ENCODER, DECODER} <= manifest.graphs.keys()

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> DenoisedRows:
        """Denoise rows; see ``Operation.run``."""
        outputs = await autoencoder.run(CHAIN, work.rows, work.conditions, work.context)
        return DenoisedRows(outputs[0])
