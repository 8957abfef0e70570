"""Rows through encoder and decoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER, Manifest
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import CHAIN
from service.operations.operation import Work


@dataclass(frozen=True, slots=True)
class ReconstructedRows:
    """Rows in the client's units, shape (rows, *row shape)."""

    reconstructions: FloatArray

    def fields(self) -> Mapping[str, Any]:
        """Name the rows."""
        return {"reconstructions": self.reconstructions}


class Reconstruct:
    """Encodes rows and decodes them again."""

    name: Literal["reconstruct"] = "reconstruct"
    takes: Literal["inputs"] = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there are encoder and decoder."""
        return {ENCODER, DECODER} <= manifest.graphs.keys()

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> ReconstructedRows:
        """Reconstruct rows; see ``Operation.run``."""
        outputs = await autoencoder.run(CHAIN, work.rows, work.conditions, work.context)
        return ReconstructedRows(outputs[0])
