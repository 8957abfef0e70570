"""Codes to rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, Manifest
from service.inference.autoencoder import Autoencoder
from service.operations.operation import Work


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """Rows in the client's units, shape (rows, *row shape)."""

    outputs: FloatArray

    def fields(self) -> Mapping[str, Any]:
        """Name the rows."""
        return {"outputs": self.outputs}


class Decode:
    """Turns codes into rows."""

    name: Literal["decode"] = "decode"
    takes: Literal["codes"] = "codes"

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there is a decoder."""
        return DECODER in manifest.graphs

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> DecodedRows:
        """Decode codes; see ``Operation.run``."""
        (outputs,) = await autoencoder.run(
            DECODER, work.rows, work.conditions, work.context, field="codes"
        )
        return DecodedRows(outputs)
