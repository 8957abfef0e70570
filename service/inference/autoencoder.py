"""One version of one model as operations see it: its graphs, calibration scores and priors."""

from collections.abc import Mapping

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, ENCODER
from service.bundle.storage import Bundle
from service.errors import FieldError, InvalidInput, NonFiniteResult
from service.inference.chained_graph import CHAIN
from service.inference.graphs import Graph
from service.inference.sampling import read_priors
from service.inference.scoring import read_calibration
from service.request_context import RequestContext

_MAX_ERRORS = 10


class Autoencoder:
    """A verified bundle with a way to run each of its graphs.

    What is done with the graphs is said in ``service.operations``, an operation a file.

    Attributes:
        manifest: What the bundle says about itself.
        calibration: Calibration scores, ascending, by score.
        priors: Priors over codes, by name.
    """

    def __init__(self, bundle: Bundle, graphs: Mapping[str, Graph]) -> None:
        """Read what operations need besides graphs.

        Args:
            bundle: The bundle, for its manifest, calibration and priors.
            graphs: By name: every graph that the manifest names, and ``CHAIN`` where there are
                encoder and decoder (``chained_graph.with_chain``).

        Raises:
            BundleError: Calibration or priors are not what the manifest says.
        """
        self.manifest = bundle.manifest
        self.calibration = read_calibration(bundle)
        self.priors = read_priors(bundle)
        self._graphs = graphs
        self._conditional = {
            name: any(len(self.manifest.graphs[each].inputs) > 1 for each in _links(name))
            for name in graphs
        }

    async def run(
        self,
        graph: str,
        rows: FloatArray,
        conditions: FloatArray | None,
        context: RequestContext,
        *,
        field: str = "inputs",
        exclusive: bool = False,
    ) -> tuple[FloatArray, ...]:
        """Send rows through a graph.

        Args:
            graph: Its name.
            rows: Shape (rows, *row shape), finite.
            conditions: Shape (rows, conditions) for a conditional model, else None.
            context: Of the request.
            field: Where the rows stand in the request, for messages.
            exclusive: See ``Graph.run``.

        Returns:
            The graph's outputs, each (rows, *row shape), finite.

        Raises:
            InvalidInput: The graph takes conditions, and there are none.
            NonFiniteResult: Rows overflow inside the model.
        """
        inputs = (rows,)
        if self._conditional[graph]:
            if conditions is None:
                detail = f"model {self.manifest.name} needs conditions"
                raise InvalidInput.at("/conditions", detail)
            inputs = (rows, conditions)
        outputs = await self._graphs[graph].run(*inputs, context=context, exclusive=exclusive)
        if not context.finite:
            for output in outputs:
                _reject_non_finite(output, field)
        return outputs


def _links(graph: str) -> tuple[str, ...]:
    return (ENCODER, DECODER) if graph == CHAIN else (graph,)


def _reject_non_finite(output: FloatArray, field: str) -> None:
    finite = np.isfinite(output)
    if finite.all():
        return
    rows = np.flatnonzero(~finite.reshape(len(output), -1).all(axis=1))
    detail = "is finite but overflows inside the model: far outside what it was trained on"
    raise NonFiniteResult(
        f"{len(rows)} of {len(output)} rows overflow inside the model",
        [FieldError(f"/{field}/{row}", f"row {row} {detail}") for row in rows[:_MAX_ERRORS]],
    )
