"""Operations without a server: for training, command lines and tests."""

from typing import Any

import numpy as np

from service.arrays import FloatArray
from service.inference.autoencoder import Autoencoder
from service.inference.graphs import run_to_completion
from service.operations.operation import Operation, Work
from service.request_context import RequestContext

_NO_ROWS: FloatArray = np.empty(0, np.float32)


def run_directly(
    operation: Operation[Any],
    autoencoder: Autoencoder,
    rows: FloatArray = _NO_ROWS,
    conditions: FloatArray | None = None,
    options: Any = None,
    context: RequestContext | None = None,
) -> Any:
    """Run an operation on the calling thread.

    Args:
        operation: What to do.
        autoencoder: A model over direct graphs (``graphs.direct_graphs``).
        rows: What the operation takes.
        conditions: Conditions of the rows, for a conditional model.
        options: What else the operation takes.
        context: Where times are added to.

    Returns:
        The operation's result.

    Raises:
        RequestError: The model cannot do that.

    Example:
        >>> run_directly(ENCODE, autoencoder, np.zeros((1, 140), np.float32)).codes.shape
        (1, 3)
    """
    work = Work(rows, conditions, options, context or RequestContext())
    return run_to_completion(operation.run(autoencoder, work))
