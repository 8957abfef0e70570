"""What every rewrite needs: constants as arrays, values of one use, new nodes in place of old."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Constant = NDArray[Any]

# One value in, the same shape out, every element by itself.
ELEMENTWISE_ACTIVATIONS = (
    *("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh"),
)


class Replacement:
    """New nodes that compute one value, to be put where older nodes computed it."""

    def __init__(self, graph: ir.Graph) -> None:
        """Start without nodes.

        Args:
            graph: Where they will go.
        """
        self._graph = graph
        self._nodes: list[ir.Node] = []

    def node(
        self, operator: str, *inputs: ir.Value | Constant | None, **attributes: Any
    ) -> ir.Value:
        """Add a node of the ONNX standard and return its output; arrays become constants."""
        values = [new_constant(self._graph, i) if isinstance(i, np.ndarray) else i for i in inputs]
        node = ir.node(operator, values, attributes)
        self._nodes.append(node)
        return node.outputs[0]

    def replace(self, old: Sequence[ir.Node], computed: ir.Value) -> None:
        """Put the new nodes where the old ones were.

        Args:
            old: A chain: each node but the last feeds only the next.
            computed: What now stands for the output of the last of them.
        """
        last = old[-1]
        ir.convenience.replace_nodes_and_values(
            self._graph, last, list(old), self._nodes, [last.outputs[0]], [computed]
        )


def new_constant(graph: ir.Graph, array: Constant) -> ir.Value:
    """Add an array to a graph's constants."""
    number = len(graph.initializers)
    while (name := f"constant_{number}") in graph.initializers:
        number += 1
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    graph.register_initializer(value)
    return value


def bypass(graph: ir.Graph, node: ir.Node, source: ir.Value) -> None:
    """Let everything that reads a node's output read another value instead.

    Args:
        graph: Changed in place.
        node: One that is no longer needed.
        source: Of the same shape; read by nothing else if the node gives an output of the graph.
    """
    (output,) = node.outputs
    if output.is_graph_output():
        source.name, output.name = output.name, None
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def write_weights(graph: ir.Graph, node: ir.Node, kernel: Constant, bias: Constant) -> None:
    """Give a layer, whose second and third inputs are its weights, others."""
    node.resize_inputs(3)
    for position, array in enumerate((kernel, bias), 1):
        node.replace_input_with(position, new_constant(graph, array.astype(np.float32)))


def constant(value: ir.Value | None) -> Constant | None:
    """Return the array that a value always is, or None where it depends on the inputs."""
    tensor = None if value is None else value.const_value
    return None if tensor is None else tensor.numpy()


def inputs_of(node: ir.Node, count: int) -> list[ir.Value | None]:
    """Return so many inputs; optional ones that are left out are None."""
    given = list(node.inputs[:count])
    return given + [None] * (count - len(given))


def only_consumer(value: ir.Value, *operators: str) -> ir.Node | None:
    """Return the one node that reads a value, if it is of these operators and nothing else does."""
    uses = list(value.uses())
    if value.is_graph_output() or len(uses) != 1 or uses[0].node.op_type not in operators:
        return None
    return uses[0].node


def producer(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """Return the node that computes a value, if it is of these operators and for one reader."""
    node = None if value is None else value.producer()
    if value is None or node is None or node.op_type not in operators:
        return None
    return node if len(list(value.uses())) == 1 and not value.is_graph_output() else None


def row_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape behind the batch axis, or None unless all of it is known."""
    if value is None or value.shape is None or len(value.shape) == 0:
        return None
    inner = [size for size in value.shape.dims[1:] if isinstance(size, int)]
    return tuple(inner) if len(inner) == len(value.shape) - 1 else None


def is_batch(value: ir.Value | None) -> bool:
    """Say whether a value has a row for every row of the inputs, and not one for all of them."""
    return (
        value is not None
        and value.const_value is None
        and value.shape is not None
        and len(value.shape) > 0
        and not isinstance(value.shape.dims[0], int)
    )
