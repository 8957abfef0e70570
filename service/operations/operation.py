"""What an operation is: something that a model does with rows, whatever protocol asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from service.arrays import FloatArray
from service.bundle.manifest import Manifest
from service.inference.autoencoder import Autoencoder
from service.request_context import RequestContext

Options = TypeVar("Options")


@dataclass(slots=True)
class Work(Generic[Options]):
    """What an operation is asked to do, all of it checked.

    Attributes:
        rows: Shape (rows, *row shape), finite float32; empty for an operation that takes none.
        conditions: Shape (rows, conditions) for a conditional model, else None.
        options: What else the operation takes; None for one that takes nothing else.
        context: Of the request.
    """

    rows: FloatArray
    conditions: FloatArray | None
    options: Options
    context: RequestContext


class Result(Protocol):
    """What an operation returns."""

    def fields(self) -> Mapping[str, Any]:
        """Name everything that was found, in the order in which it is written.

        Arrays have a row for each row of the request; all else concerns the request as a whole.
        """
        ...


class Operation(Protocol[Options]):
    """One thing that models do.

    Attributes:
        name: As capabilities and paths write it.
        takes: Which rows it takes, if any.
    """

    @property
    def name(self) -> str:
        """As capabilities and paths write it."""
        ...

    @property
    def takes(self) -> Literal["inputs", "codes"] | None:
        """Which rows it takes: in the client's units, codes, or none."""
        ...

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether a bundle holds what the operation needs."""
        ...

    async def run(self, autoencoder: Autoencoder, work: Work[Options]) -> Result:
        """Do the work.

        Args:
            autoencoder: A model that supports the operation.
            work: What to do.

        Raises:
            RequestError: The model cannot do that, or not in time.
            InferenceFailed: A graph failed.
        """
        ...
