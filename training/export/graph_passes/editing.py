"""Reading and editing of graphs for all rewrites: constants, consumers, replacement of nodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Constant = NDArray[Any]

# Of one input; applied to each element independently.
ELEMENTWISE_ACTIVATIONS = (
    *("Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh"),
)


class Replacement:
    """New nodes that compute one value, in place of older nodes."""

    def __init__(self, graph: ir.Graph) -> None:
        """Start without nodes.

        Args:
            graph: The graph that they are inserted into.
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
        """Replace old nodes by the new ones.

        Args:
            old: A chain: each node but the last has only the next as consumer.
            computed: Replaces the output of the last of them.
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
    """Remove a node, and let its consumers read another value.

    Args:
        graph: Changed in place.
        node: Removed.
        source: Of the same shape; without other consumers if the node's output is one of the graph.
    """
    (output,) = node.outputs
    if output.is_graph_output():
        source.name, output.name = output.name, None
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def write_weights(graph: ir.Graph, node: ir.Node, kernel: Constant, bias: Constant) -> None:
    """Replace the weights of a layer: its second and third input."""
    node.resize_inputs(3)
    for position, array in enumerate((kernel, bias), 1):
        node.replace_input_with(position, new_constant(graph, array.astype(np.float32)))


def constant(value: ir.Value | None) -> Constant | None:
    """Return the array of a constant value, or None if the value depends on the inputs."""
    tensor = None if value is None else value.const_value
    return None if tensor is None else tensor.numpy()


def inputs_of(node: ir.Node, count: int) -> list[ir.Value | None]:
    """Return the first inputs of a node; optional ones that are left out are None."""
    given = list(node.inputs[:count])
    return given + [None] * (count - len(given))


def only_consumer(value: ir.Value, *operators: str) -> ir.Node | None:
    """Return the only consumer of a value if it has one of these operators, else None."""
    uses = list(value.uses())
    if value.is_graph_output() or len(uses) != 1 or uses[0].node.op_type not in operators:
        return None
    return uses[0].node


def producer(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """Return the node that computes a value if it has one of these operators and one consumer."""
    node = None if value is None else value.producer()
    if value is None or node is None or node.op_type not in operators:
        return None
    return node if len(list(value.uses())) == 1 and not value.is_graph_output() else None


def row_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape after the batch axis, or None if a length is unknown."""
    if value is None or value.shape is None or len(value.shape) == 0:
        return None
    inner = [size for size in value.shape.dims[1:] if isinstance(size, int)]
    return tuple(inner) if len(inner) == len(value.shape) - 1 else None


def is_batch(value: ir.Value | None) -> bool:
    """Return whether a value has one row for every row of the inputs."""
    return (
        value is not None
        and value.const_value is None
        and value.shape is not None
        and len(value.shape) > 0
        and not isinstance(value.shape.dims[0], int)
    )
