"""Run exported graphs with the service's code, before there is a bundle."""

from collections.abc import Mapping

from service.bundle.manifest import GraphSignature
from service.inference.graphs import DirectGraph, run_to_completion
from service.inference.session import Session
from service.request_context import RequestContext
from training.arrays import FloatArray


class GraphRunner:
    """Exported graphs by name, on the CPU provider."""

    def __init__(self, graphs: Mapping[str, tuple[GraphSignature, bytes]]) -> None:
        """Open every graph.

        Args:
            graphs: Signature and ONNX bytes, by graph name.

        Raises:
            InvalidGraph: onnxruntime rejects a graph, or its signature is another one.
        """
        self.sessions = {
            name: Session(content, signature) for name, (signature, content) in graphs.items()
        }

    def run(self, graph: str, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Run a graph on any number of rows, in batches of some hundred.

        Args:
            graph: Its name.
            inputs: Its inputs in the signature's order, each (rows, ...).

        Returns:
            Its outputs in the signature's order.
        """
        direct = DirectGraph(self.sessions[graph])
        return run_to_completion(direct.run(*inputs, context=RequestContext()))
