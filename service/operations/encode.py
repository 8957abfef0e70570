"""Rows to codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.arrays import FloatArray
from service.bundle.manifest import ENCODER, Manifest
from service.inference.autoencoder import Autoencoder
from service.operations.operation import Work


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes, shape (rows, *code shape); with log variances they are posterior means."""

    codes: FloatArray
    log_variances: FloatArray | None = None

    def fields(self) -> Mapping[str, Any]:
        """Name codes, and log variances where there are any."""
        if self.log_variances is None:
            return {"codes": self.codes}
        return {"codes": self.codes, "log_variances": self.log_variances}


class Encode:
    """Turns rows into codes."""

    name: Literal["encode"] = "encode"
    takes: Literal["inputs"] = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there is an encoder."""
        return ENCODER in manifest.graphs

    async def run(self, autoencoder: Autoencoder, work: Work[None]) -> Codes:
        """Encode rows; see ``Operation.run``."""
        outputs = await autoencoder.run(ENCODER, work.rows, work.conditions, work.context)
        return Codes(*outputs)
