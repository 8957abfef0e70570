"""The graphs of a bundle that is being made, run by the code that will serve them."""

from collections.abc import Mapping

from service.bundle.manifest import GraphSignature
from service.inference.graphs import DirectGraph, Ticket, run_to_completion
from service.inference.session import Session
from training.arrays import FloatArray


class GraphRunner:
    """Exported graphs by name, on the CPU provider."""

    def __init__(self, graphs: Mapping[str, tuple[GraphSignature, bytes]]) -> None:
        """Open every graph.

        Args:
            graphs: Signature and ONNX bytes, by graph name.

        Raises:
            InvalidGraph: onnxruntime refuses one, or it has another signature.
        """
        self.sessions = {
            name: Session(content, signature) for name, (signature, content) in graphs.items()
        }

    def run(self, graph: str, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Send any number of rows through a graph, some hundred at a time.

        Args:
            graph: Its name.
            inputs: Its inputs in the signature's order, each (rows, ...).

        Returns:
            Its outputs in the signature's order.
        """
        direct = DirectGraph(self.sessions[graph])
        return run_to_completion(direct.run(*inputs, ticket=Ticket()))
