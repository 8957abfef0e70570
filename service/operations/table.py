"""The table of operations, and which of them a bundle supports."""

from typing import Any, get_args

from service.bundle.manifest import Capability, Manifest
from service.errors import CapabilityMissing
from service.operations.anomaly_score import AnomalyScore
from service.operations.decode import Decode
from service.operations.denoise import Denoise
from service.operations.encode import Encode
from service.operations.operation import Operation
from service.operations.reconstruct import Reconstruct
from service.operations.sample import Sample

ENCODE = Encode()
DECODE = Decode()
RECONSTRUCT = Reconstruct()
DENOISE = Denoise()
ANOMALY_SCORE = AnomalyScore()
SAMPLE = Sample()

OPERATIONS: tuple[Operation[Any], ...] = (
    ENCODE, DECODE, RECONSTRUCT, DENOISE, ANOMALY_SCORE, SAMPLE,
)  # fmt: skip
"""Every operation, in the order in which capabilities are listed."""

_STATED = frozenset(get_args(Capability))


def supports(manifest: Manifest, operation: Operation[Any]) -> bool:
    """Whether a bundle supports an operation.

    Of the operations that a manifest can state, those it states. Of all others, those whose needs
    it meets: a bundle gains an operation that is younger than itself.
    """
    if operation.name in _STATED:
        return operation.name in manifest.capabilities
    return operation.is_supported_by(manifest)


def capabilities(
    manifest: Manifest, operations: tuple[Operation[Any], ...] = OPERATIONS
) -> tuple[str, ...]:
    """Name the operations that a bundle supports."""
    return tuple(operation.name for operation in operations if supports(manifest, operation))


def require(manifest: Manifest, operation: Operation[Any]) -> None:
    """Reject an operation that a bundle does not support.

    Raises:
        CapabilityMissing: It does not.
    """
    if not supports(manifest, operation):
        raise CapabilityMissing(
            f"model {manifest.name} does not serve {operation.name}; it serves"
            f" {', '.join(capabilities(manifest))}"
        )
