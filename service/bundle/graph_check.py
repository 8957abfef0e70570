"""Rejects graphs that could reach outside of their bundle, or whose runs have no bound.

Checked before onnxruntime sees a byte of them. A graph is accepted when it consists of what is
known to be safe, not when nothing dangerous was found in it:

- all data is in the file: no tensor, wherever it is, refers to another file;
- operators are those of ``OPERATORS``: deterministic, without loops, strings and sequences;
- every size follows from the shapes of the inputs and from constants, never from values of rows.
"""

from collections.abc import Collection, Iterable

from service.bundle.onnx_wire import Message, decode, number, read_model, text
from service.errors import InvalidGraph, UnsafeGraph

MAX_SUBGRAPH_DEPTH = 4

OPERATORS = frozenset((
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "Attention", "AveragePool", "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot",
    "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "CenterCropPad", "Clip",
    "Col2Im", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose",
    "Cos", "Cosh", "CumSum", "DeformConv", "DepthToSpace", "DequantizeLinear", "Det", "Div",
    "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand",
    "EyeLike", "Flatten", "Floor", "GRU", "Gather", "GatherElements", "GatherND", "Gelu",
    "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
    "GridSample", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "If", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LSTM", "LayerNormalization",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool",
    "MatMul", "MatMulInteger", "Max", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mean",
    "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or",
    "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    "RMSNormalization", "RNN", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Resize", "ReverseSequence", "RoiAlign",
    "RotaryEmbedding", "Round", "Scatter", "ScatterElements", "ScatterND", "Selu", "Shape",
    "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax", "Softplus",
    "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "SwiGLU", "Swish",
    "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze",
    "Upsample", "Where", "Xor",
))  # fmt: skip
"""Operators of the domain ``ai.onnx`` that graphs may have."""

# Inputs, by position, that decide the sizes of outputs.
_SIZE_INPUTS = {
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "MaxUnpool": (2,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,), "ReduceLogSumExp": (1,),
    "ReduceMax": (1,), "ReduceMean": (1,), "ReduceMin": (1,), "ReduceProd": (1,),
    "ReduceSum": (1,), "ReduceSumSquare": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1, 2),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}  # fmt: skip
# Their outputs depend on the shape of their input alone.
_OF_SHAPES = frozenset({"Shape", "Size"})
_STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
_BRANCHES = frozenset({"then_branch", "else_branch"})
_STRING = 8
_ORT_FORMAT = b"ORTM"
# Parts that no exported graph needs, each of which can hold tensors, nodes or types of its own.
_REJECTED_PARTS = {
    "a model": ("functions", "training_info", "configuration"),
    "a graph": ("sparse_initializer", "quantization_annotation"),
    "a node": ("overload", "device_configurations"),
    "an attribute": (
        "graphs", "ref_attr_name", "sparse_tensor", "sparse_tensors", "tp", "type_protos",
    ),
    "a tensor": ("external_data", "segment", "string_data"),
}  # fmt: skip


def check_graph(content: bytes, file_name: str) -> None:
    """Reject a graph that is not safe to run.

    Args:
        content: The bytes of an ONNX file.
        file_name: Its name, for the message.

    Raises:
        UnsafeGraph: It has something that graphs of bundles may not have.
        InvalidGraph: It is not an ONNX graph.
    """
    try:
        _check_model(content)
    except UnsafeGraph as error:
        raise UnsafeGraph(f"{file_name}: {error}") from error
    except InvalidGraph as error:
        raise InvalidGraph(f"{file_name} ({len(content)} bytes) is refused: {error}") from error


def _check_model(content: bytes) -> None:
    if content[4:8] == _ORT_FORMAT:
        raise InvalidGraph("it is in onnxruntime's own format")
    model = read_model(content)
    _reject_parts(model, "a model")
    if "graph" not in model:
        raise InvalidGraph("it has no graph")
    _check_subgraph(model["graph"][0], frozenset(), frozenset(), 0)


def _check_subgraph(
    graph: Message, outer_names: Collection[str], outer_fixed: Collection[str], depth: int
) -> None:
    """Check a graph.

    Args:
        graph: The graph, or a branch of one.
        outer_names: Names of the tensors of the graphs around it.
        outer_fixed: Those of them that do not depend on values of rows.
        depth: How many graphs are around it.
    """
    if depth > MAX_SUBGRAPH_DEPTH:
        raise UnsafeGraph(f"its branches are nested deeper than {MAX_SUBGRAPH_DEPTH}")
    _reject_parts(graph, "a graph")
    names, fixed = set(outer_names), set(outer_fixed)
    inputs = [text(value, "name") for value in graph.get("input", ())]
    initializers: list[str] = []
    for tensor in graph.get("initializer", ()):
        _check_tensor(tensor)
        initializers.append(text(tensor, "name"))
    if len(set(initializers)) != len(initializers):
        raise UnsafeGraph("it has two initializers of one name")
    _define(names, {*inputs, *initializers})
    fixed.update(initializers)
    for node in graph.get("node", ()):
        _check_node(node, names, fixed, depth)


def _check_node(node: Message, names: set[str], fixed: set[str], depth: int) -> None:
    _reject_parts(node, "a node")
    operator, domain = text(node, "op_type"), text(node, "domain")
    if domain not in _STANDARD_DOMAINS or operator not in OPERATORS:
        raise UnsafeGraph(
            f"it has the operator {_shown(operator)}{f' of {_shown(domain)}' if domain else ''},"
            " which is not among those that graphs may have"
        )
    inputs = [decode(name) for name in node.get("input", ())]
    given = [name for name in inputs if name]
    if unknown := set(given) - names:
        raise UnsafeGraph(f"a {operator} takes {_shown(min(unknown))} before it is computed")
    for position in _SIZE_INPUTS.get(operator, ()):
        if position < len(inputs) and inputs[position] and inputs[position] not in fixed:
            raise UnsafeGraph(
                f"the size that a {operator} gives depends on values that are computed from rows"
            )
    branches = _check_attributes(node, operator)
    for branch in branches:
        _check_subgraph(branch, names, fixed, depth + 1)
    _check_modes(node, operator, inputs)
    outputs = [decode(name) for name in node.get("output", ()) if name]
    _define(names, outputs)
    if operator in _OF_SHAPES or (set(given) <= fixed and not branches):
        fixed.update(outputs)


def _check_attributes(node: Message, operator: str) -> list[Message]:
    """Check the attributes of a node; return the graphs among them."""
    branches: list[Message] = []
    attributes = node.get("attribute", ())
    names = [text(attribute, "name") for attribute in attributes]
    if len(set(names)) != len(names):
        raise UnsafeGraph(f"a {operator} has an attribute twice")
    for name, attribute in zip(names, attributes, strict=True):
        _reject_parts(attribute, "an attribute")
        for tensor in (*attribute.get("t", ()), *attribute.get("tensors", ())):
            _check_tensor(tensor)
        if "g" in attribute:
            if operator != "If" or name not in _BRANCHES:
                raise UnsafeGraph(f"a {operator} has a graph as an attribute")
            branches.extend(attribute["g"])
    return branches


def _check_modes(node: Message, operator: str, inputs: list[str]) -> None:
    """Reject attributes that make a harmless operator another one."""
    integers = {text(item, "name"): number(item, "i") for item in node.get("attribute", ())}
    if operator == "BatchNormalization" and integers.get("training_mode"):
        raise UnsafeGraph("a BatchNormalization is in training mode, which mixes rows")
    if operator == "Dropout" and any(inputs[2:]):
        raise UnsafeGraph("a Dropout has a training mode, in which it draws random numbers")
    if operator == "Cast" and integers.get("to") == _STRING:
        raise UnsafeGraph("a Cast makes strings")
    if operator == "Constant" and any(
        text(item, "name") in ("value_string", "value_strings")
        for item in node.get("attribute", ())
    ):
        raise UnsafeGraph("a Constant has strings")


def _check_tensor(tensor: Message) -> None:
    if number(tensor, "data_location") or "external_data" in tensor:
        raise UnsafeGraph(f"the tensor {_shown(text(tensor, 'name'))} has its data in another file")
    _reject_parts(tensor, "a tensor")
    if number(tensor, "data_type") == _STRING:
        raise UnsafeGraph(f"the tensor {_shown(text(tensor, 'name'))} has strings")


def _define(names: set[str], added: Iterable[str]) -> None:
    for name in added:
        if name in names:
            raise UnsafeGraph(f"it defines {_shown(name)} twice")
        names.add(name)


def _reject_parts(message: Message, kind: str) -> None:
    for name in _REJECTED_PARTS[kind]:
        if name in message:
            raise UnsafeGraph(f"{kind} has {name}, which graphs of bundles may not have")


def _shown(name: str) -> str:
    """Shorten and escape a name that a file contains."""
    return ascii(name if len(name) <= 60 else name[:60] + "…")
