"""A graph that reaches outside of its file, or whose runs have no bound, is never opened."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from service.bundle.graph_check import OPERATORS, check_graph
from service.errors import BundleError, InvalidGraph, UnsafeGraph
from service.inference.session import Session
from tests.bundles import PLANE, TINY_MODELS, WAVE, tiny_files
from tests.graphs import copying, graph, signature

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "models").glob("*/*/*.onnx"))
COPY = signature({"inputs": (3,)}, {"outputs": (3,)}, "copy.onnx")

Change = Callable[[onnx.ModelProto], object]


def model() -> onnx.ModelProto:
    return onnx.load_from_string(copying())


def changed(change: Change) -> bytes:
    proto = model()
    change(proto)
    return proto.SerializeToString()


def external(name: str = "weights") -> TensorProto:
    """A tensor whose values are the first bytes of a file of the system."""
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="etc/passwd")
    return tensor


def only_listed() -> TensorProto:
    tensor = external()
    tensor.ClearField("data_location")
    return tensor


def only_located() -> TensorProto:
    tensor = external()
    tensor.ClearField("external_data")
    return tensor


def sparse(values: TensorProto, indices: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])


def constant(**attribute: Any) -> NodeProto:
    return NodeProto(
        op_type="Constant", output=["c"], attribute=[AttributeProto(name="value", **attribute)]
    )


def within_branches(depth: int, node: NodeProto) -> NodeProto:
    """Put a node into a branch of an ``If`` within a branch of an ``If`` and so on."""
    for number in range(depth):
        branch = onnx.GraphProto(name=f"branch {number}", node=[node])
        node = helper.make_node("If", ["inputs"], [], then_branch=branch)
    return node


def branch_with(**parts: Any) -> NodeProto:
    return helper.make_node("If", ["inputs"], [], then_branch=onnx.GraphProto(**parts))


PLAIN = numpy_helper.from_array(np.zeros(2, np.float32), "plain")
INDICES = numpy_helper.from_array(np.zeros(2, np.int64), "indices")
FUNCTION = onnx.FunctionProto(
    name="reads",
    domain="local",
    node=[constant(t=external())],
    attribute_proto=[AttributeProto(name="a", t=external())],
)
TRAINING = onnx.TrainingInfoProto(
    initialization=onnx.GraphProto(initializer=[external()]),
    algorithm=onnx.GraphProto(node=[constant(t=external())]),
)

HIDING_PLACES: dict[str, Change] = {
    "an initializer": lambda m: m.graph.initializer.append(external()),
    "an initializer with a list alone": lambda m: m.graph.initializer.append(only_listed()),
    "an initializer with a location alone": lambda m: m.graph.initializer.append(only_located()),
    "an initializer that is an input too": lambda m: m.graph.initializer.append(external("inputs")),
    "an initializer at an address in memory": lambda m: m.graph.initializer.append(
        TensorProto(
            name="weights",
            external_data=[{"key": "location", "value": "*/_ORT_MEM_ADDR_/*"}],
        )
    ),
    "values of a sparse initializer": lambda m: m.graph.sparse_initializer.append(
        sparse(external(), INDICES)
    ),
    "indices of a sparse initializer": lambda m: m.graph.sparse_initializer.append(
        sparse(PLAIN, external())
    ),
    "a tensor in an attribute": lambda m: m.graph.node.append(constant(t=external())),
    "tensors in an attribute": lambda m: m.graph.node.append(constant(tensors=[PLAIN, external()])),
    "a sparse tensor in an attribute": lambda m: m.graph.node.append(
        constant(sparse_tensor=sparse(external(), INDICES))
    ),
    "sparse tensors in an attribute": lambda m: m.graph.node.append(
        constant(sparse_tensors=[sparse(PLAIN, external())])
    ),
    "an attribute of another type": lambda m: m.graph.node.append(
        constant(type=AttributeProto.FLOAT, f=1.0, t=external())
    ),
    "an initializer of a branch": lambda m: m.graph.node.append(
        branch_with(initializer=[external()])
    ),
    "a sparse initializer of a branch": lambda m: m.graph.node.append(
        branch_with(sparse_initializer=[sparse(external(), INDICES)])
    ),
    "an attribute in a branch": lambda m: m.graph.node.append(
        within_branches(1, constant(t=external()))
    ),
    "an attribute in branches of branches": lambda m: m.graph.node.append(
        within_branches(4, constant(t=external()))
    ),
    "an attribute deep in branches": lambda m: m.graph.node.append(
        within_branches(9, constant(t=external()))
    ),
    "graphs in an attribute": lambda m: m.graph.node.append(
        constant(graphs=[onnx.GraphProto(initializer=[external()])])
    ),
    "the body of a loop": lambda m: m.graph.node.append(
        helper.make_node("Loop", [], [], body=onnx.GraphProto(initializer=[external()]))
    ),
    "the body of a scan": lambda m: m.graph.node.append(
        helper.make_node("Scan", [], [], body=onnx.GraphProto(initializer=[external()]))
    ),
    "a graph of an operator that takes none": lambda m: m.graph.node.append(
        helper.make_node("Relu", ["inputs"], [], body=onnx.GraphProto(initializer=[external()]))
    ),
    "a local function": lambda m: m.functions.append(FUNCTION),
    "training information": lambda m: m.training_info.append(TRAINING),
    "a quantization annotation": lambda m: m.graph.quantization_annotation.add(tensor_name="q"),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_external_data_is_refused_wherever_it_is(place: str) -> None:
    content = changed(HIDING_PLACES[place])

    with pytest.raises(UnsafeGraph, match=r"^copy\.onnx: "):
        check_graph(content, "copy.onnx")
    with pytest.raises(UnsafeGraph, match=r"^copy\.onnx: "):
        Session(content, COPY)


def tag(field: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([field << 3 | 2, len(payload)]) + payload


EXTERNAL_MODEL = tag(7, tag(5, external().SerializeToString()))


@pytest.mark.parametrize(
    "content",
    [
        copying() + EXTERNAL_MODEL,  # protobuf merges both graphs into one
        EXTERNAL_MODEL + copying(),
        copying() + tag(7, b""),
    ],
)
def test_parts_that_are_merged_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidGraph, match="a model has graph twice"):
        check_graph(content, "copy.onnx")


@pytest.mark.parametrize(
    ("addition", "reason"),
    [
        (b"\x0b\x0c", "wire type 3"),  # a group of the field 1
        (b"\x78\x01", "a field 15, which is not known"),
        (b"\x00\x00", "a field 0, which is not known"),
        (b"\x88\x00\x08", "longer than it need be"),  # a tag
        (b"\x28\x81\x00", "longer than it need be"),  # a number
        (b"\x28" + b"\xff" * 9 + b"\x7f", "longer than it need be"),  # beyond 64 bits
        (b"\x28" + b"\xff" * 11, "ends within a number"),
        (b"\x28", "ends within a number"),
        (b"\x2d\x00\x00\x00\x00", "wire type 5"),
        (b"\x32\x05abc", "longer than what holds it"),
        (b"\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than what holds it"),
    ],
)
def test_what_a_lenient_parser_would_take_is_refused(addition: bytes, reason: str) -> None:
    check_graph(copying(), "copy.onnx")

    with pytest.raises(InvalidGraph, match=reason):
        check_graph(copying() + addition, "copy.onnx")


def test_the_format_of_onnxruntime_is_refused() -> None:
    content = tag(2, b"\x00\x00ORTM") + copying()
    assert content[4:8] == b"ORTM"

    with pytest.raises(InvalidGraph, match="onnxruntime's own format"):
        Session(content, COPY)


def test_messages_without_end_are_refused() -> None:
    graph_of_many = tag(7, b"") + b"\x42\x00" * 1_000_001
    with pytest.raises(InvalidGraph, match="more than 1,000,000 fields"):
        check_graph(graph_of_many, "copy.onnx")


REFUSED_NODES: dict[str, NodeProto] = {
    "a loop": helper.make_node("Loop", ["", ""], []),
    "a scan": helper.make_node("Scan", ["inputs"], []),
    "a random operator": helper.make_node("RandomNormalLike", ["inputs"], ["r"]),
    "a random mask": helper.make_node("Bernoulli", ["inputs"], ["r"]),
    "an output as long as values say": helper.make_node("NonZero", ["inputs"], ["n"]),
    "unique values": helper.make_node("Unique", ["inputs"], ["u"]),
    "chosen rows": helper.make_node("Compress", ["inputs", "inputs"], ["c"]),
    "a sequence": helper.make_node("SequenceConstruct", ["inputs"], ["s"]),
    "an optional": helper.make_node("Optional", ["inputs"], ["o"]),
    "strings": helper.make_node("StringConcat", ["inputs", "inputs"], ["s"]),
    "strings by a cast": helper.make_node("Cast", ["inputs"], ["s"], to=TensorProto.STRING),
    "a constant of strings": helper.make_node("Constant", [], ["s"], value_string="x"),
    "a decoder of pictures": helper.make_node("ImageDecoder", ["inputs"], ["i"]),
    "an operator of onnxruntime": helper.make_node(
        "EPContext", ["inputs"], ["e"], domain="com.microsoft", ep_cache_context="/etc/passwd"
    ),
    "a known name in another domain": helper.make_node("Relu", ["inputs"], ["r"], domain="mine"),
    "an operator of ai.onnx.ml": helper.make_node("Scaler", ["inputs"], ["r"], domain="ai.onnx.ml"),
    "normalization in training": helper.make_node(
        "BatchNormalization", ["inputs"] * 5, ["b"], training_mode=1
    ),
    "dropout in training": helper.make_node("Dropout", ["inputs", "", "inputs"], ["d"]),
    "a shape from values": helper.make_node("Reshape", ["inputs", "inputs"], ["r"]),
    "an expansion by values": helper.make_node("Expand", ["inputs", "inputs"], ["r"]),
    "a range up to values": helper.make_node("Range", ["inputs"] * 3, ["r"]),
    "a size from values": helper.make_node("ConstantOfShape", ["inputs"], ["r"]),
    "padding by values": helper.make_node("Pad", ["inputs", "inputs"], ["r"]),
    "tiles by values": helper.make_node("Tile", ["inputs", "inputs"], ["r"]),
    "a slice by values": helper.make_node("Slice", ["inputs", "inputs", "inputs"], ["r"]),
    "a size by values": helper.make_node("Resize", ["inputs", "", "inputs"], ["r"]),
    "an attribute twice": NodeProto(
        op_type="Relu",
        input=["inputs"],
        attribute=[AttributeProto(name="a", i=1), AttributeProto(name="a", i=2)],
    ),
    "a name that exists": helper.make_node("Relu", ["inputs"], ["inputs"]),
    "a name that does not exist": helper.make_node("Relu", ["nothing"], ["r"]),
}


@pytest.mark.parametrize("what", REFUSED_NODES)
def test_what_has_no_bound_or_no_place_in_a_graph_is_refused(what: str) -> None:
    content = changed(lambda proto: proto.graph.node.append(REFUSED_NODES[what]))

    with pytest.raises(UnsafeGraph, match=r"^copy\.onnx: "):
        check_graph(content, "copy.onnx")


def test_a_message_escapes_and_shortens_what_the_file_names() -> None:
    node = helper.make_node("evil\n\u202e" * 100, [], [])
    with pytest.raises(UnsafeGraph) as caught:
        check_graph(changed(lambda proto: proto.graph.node.append(node)), "copy.onnx")

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_sizes_that_follow_from_shapes_and_constants_are_accepted() -> None:
    nodes = [
        helper.make_node("Shape", ["inputs"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Concat", ["rows", "three"], ["wanted"], axis=0),
        helper.make_node("Constant", [], ["times"], value_ints=[1, 2]),
        helper.make_node("Tile", ["inputs", "times"], ["twice"]),
        helper.make_node("Slice", ["twice", "zero", "three", "one"], ["once"]),
        helper.make_node("Reshape", ["once", "wanted"], ["outputs"]),
    ]
    content = graph(
        nodes,
        {"inputs": ("batch", 3)},
        {"outputs": ("batch", 3)},
        {"zero": np.array([0]), "three": np.array([3]), "one": np.array([1])},
    )
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)

    assert np.array_equal(Session(content, COPY).run(rows)[0], rows)


def test_branches_without_external_data_are_accepted() -> None:
    def branch(operator: str, output: str) -> onnx.GraphProto:
        info = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        return helper.make_graph(
            [helper.make_node(operator, ["inputs"], [output])], "branch", [], [info]
        )

    node = helper.make_node(
        "If", ["yes"], ["outputs"],
        then_branch=branch("Neg", "negative"), else_branch=branch("Abs", "absolute"),
    )  # fmt: skip
    content = graph(
        [node], {"inputs": ("batch", 3)}, {"outputs": ("batch", 3)}, {"yes": np.array(True)}
    )
    rows = np.ones((2, 3), np.float32)

    assert np.array_equal(Session(content, COPY).run(rows)[0], -rows)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: "/".join(file.parts[-3:]))
def test_every_published_graph_is_accepted(file: Path) -> None:
    check_graph(file.read_bytes(), file.name)


def test_every_accepted_operator_is_one_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}

    assert known >= OPERATORS


SEEDS = [
    content
    for tiny in (PLANE, WAVE)
    for name, content in tiny_files(tiny).items()
    if name.endswith(".onnx")
]


def test_every_tiny_graph_is_accepted() -> None:
    for tiny in TINY_MODELS:
        for name, content in tiny_files(tiny).items():
            if name.endswith(".onnx"):
                check_graph(content, name)


@given(st.sampled_from(SEEDS), st.data())
def test_mutations_are_accepted_or_refused_and_nothing_else(
    seed: bytes, data: st.DataObject
) -> None:
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 4))
        content[position : position + removed] = data.draw(st.binary(max_size=6))
    with contextlib.suppress(BundleError):
        check_graph(bytes(content), "mutated.onnx")


@given(st.binary(max_size=400))
def test_any_bytes_are_accepted_or_refused_and_nothing_else(content: bytes) -> None:
    with pytest.raises(InvalidGraph, match=r"^any\.onnx"):
        check_graph(content, "any.onnx")
