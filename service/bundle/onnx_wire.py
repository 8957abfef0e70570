"""Reads the ONNX messages of a graph from protobuf's wire format, strictly and within bounds.

onnxruntime reads the same bytes with a lenient parser: it merges repeated messages, skips what it
does not know and takes numbers in several encodings. This reader rejects all of that, so that what
it has seen is what onnxruntime will see:

- every field is in the schema below, with the wire type that writers give it;
- a field that may occur once occurs once; there are no groups and no overlong varints;
- messages are nested at most ``MAX_DEPTH`` deep, and there are at most ``MAX_FIELDS`` fields.

Content of tensors is not copied.

Source: https://protobuf.dev/programming-guides/encoding/ and onnx.proto of ONNX 1.23.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from service.errors import InvalidGraph

MAX_DEPTH = 40
MAX_FIELDS = 1_000_000

Message: TypeAlias = dict[str, list[Any]]
"""By field name: numbers, ``memoryview``s of bytes, or messages, in the order of occurrence."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_TAG_BYTES, _MAX_VARINT_BYTES, _MAX_VARINT = 5, 10, 2**64


@dataclass(frozen=True)
class _Field:
    """One field of a message.

    Attributes:
        name: Its name in onnx.proto.
        wire_type: How a value of it is encoded.
        message: Name of the schema of its messages, if it holds messages.
        repeated: Whether it may occur more than once.
    """

    name: str
    wire_type: int
    message: str | None = None
    repeated: bool = False


def _number(name: str, *, repeated: bool = False) -> _Field:
    return _Field(name, _VARINT, repeated=repeated)


def _text(name: str, *, repeated: bool = False) -> _Field:
    return _Field(name, _BYTES, repeated=repeated)


def _one(name: str, message: str) -> _Field:
    return _Field(name, _BYTES, message)


def _many(name: str, message: str) -> _Field:
    return _Field(name, _BYTES, message, repeated=True)


_SCHEMA: Mapping[str, Mapping[int, _Field]] = {
    "model": {
        1: _number("ir_version"),
        2: _text("producer_name"),
        3: _text("producer_version"),
        4: _text("domain"),
        5: _number("model_version"),
        6: _text("doc_string"),
        7: _one("graph", "graph"),
        8: _many("opset_import", "opset"),
        14: _many("metadata_props", "entry"),
        20: _text("training_info", repeated=True),
        25: _text("functions", repeated=True),
        26: _text("configuration", repeated=True),
    },
    "opset": {1: _text("domain"), 2: _number("version")},
    "entry": {1: _text("key"), 2: _text("value")},
    "graph": {
        1: _many("node", "node"),
        2: _text("name"),
        5: _many("initializer", "tensor"),
        10: _text("doc_string"),
        11: _many("input", "value"),
        12: _many("output", "value"),
        13: _many("value_info", "value"),
        14: _text("quantization_annotation", repeated=True),
        15: _text("sparse_initializer", repeated=True),
        16: _many("metadata_props", "entry"),
    },
    "node": {
        1: _text("input", repeated=True),
        2: _text("output", repeated=True),
        3: _text("name"),
        4: _text("op_type"),
        5: _many("attribute", "attribute"),
        6: _text("doc_string"),
        7: _text("domain"),
        8: _text("overload"),
        9: _many("metadata_props", "entry"),
        10: _text("device_configurations", repeated=True),
    },
    "attribute": {
        1: _text("name"),
        2: _Field("f", _FIXED32),
        3: _number("i"),
        4: _text("s"),
        5: _one("t", "tensor"),
        6: _one("g", "graph"),
        7: _Field("floats", _FIXED32, repeated=True),
        8: _number("ints", repeated=True),
        9: _text("strings", repeated=True),
        10: _many("tensors", "tensor"),
        11: _many("graphs", "graph"),
        13: _text("doc_string"),
        14: _text("tp"),
        15: _text("type_protos", repeated=True),
        20: _number("type"),
        21: _text("ref_attr_name"),
        22: _text("sparse_tensor"),
        23: _text("sparse_tensors", repeated=True),
    },
    "tensor": {
        1: _number("dims", repeated=True),
        2: _number("data_type"),
        3: _text("segment"),
        4: _Field("float_data", _FIXED32, repeated=True),
        5: _number("int32_data", repeated=True),
        6: _text("string_data", repeated=True),
        7: _number("int64_data", repeated=True),
        8: _text("name"),
        9: _text("raw_data"),
        10: _Field("double_data", _FIXED64, repeated=True),
        11: _number("uint64_data", repeated=True),
        12: _text("doc_string"),
        13: _text("external_data", repeated=True),
        14: _number("data_location"),
        16: _many("metadata_props", "entry"),
    },
    "value": {
        1: _text("name"),
        2: _one("type", "type"),
        3: _text("doc_string"),
        4: _many("metadata_props", "entry"),
    },
    "type": {1: _one("tensor_type", "tensor_type"), 6: _text("denotation")},
    "tensor_type": {1: _number("elem_type"), 2: _one("shape", "shape")},
    "shape": {1: _many("dim", "dimension")},
    "dimension": {1: _number("dim_value"), 2: _text("dim_param"), 3: _text("denotation")},
}


def read_model(content: bytes) -> Message:
    """Read the bytes of an ONNX file.

    Args:
        content: The file.

    Returns:
        The message ``ModelProto``. Messages that no graph of a bundle may have (functions, sparse
        tensors, training information, external data, ...) are left as bytes.

    Raises:
        InvalidGraph: The bytes are not such a message, or beyond the bounds.
    """
    return _Reader(memoryview(content)).message("model", 0, len(content), 0)


def text(message: Message, name: str) -> str:
    """Return a text field that may occur once, empty where it does not.

    Raises:
        InvalidGraph: It is not UTF-8.
    """
    values = message.get(name)
    return decode(values[0]) if values else ""


def decode(value: memoryview) -> str:
    """Decode the bytes of a text.

    Raises:
        InvalidGraph: They are not UTF-8.
    """
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidGraph("it has a name that is not UTF-8") from error


def number(message: Message, name: str) -> int:
    """Return a number that may occur once, 0 where it does not."""
    values = message.get(name)
    return values[0] if values else 0


@dataclass
class _Reader:
    content: memoryview
    fields_left: int = field(default=MAX_FIELDS)

    def message(self, schema: str, position: int, end: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise InvalidGraph(f"its messages are nested deeper than {MAX_DEPTH}")
        found: Message = {}
        for spec, value in self._fields(_SCHEMA[schema], position, end, schema):
            if spec.name in found and not spec.repeated:
                raise InvalidGraph(f"a {schema} has {spec.name} twice")
            found.setdefault(spec.name, []).append(self._value(spec, value, depth))
        return found

    def _value(self, spec: _Field, value: int | tuple[int, int], depth: int) -> Any:
        if isinstance(value, int):
            return value
        if spec.message is None:
            return self.content[value[0] : value[1]]
        return self.message(spec.message, *value, depth + 1)

    def _fields(
        self, schema: Mapping[int, _Field], position: int, end: int, name: str
    ) -> Iterator[tuple[_Field, int | tuple[int, int]]]:
        """Yield each field with its number, or with where its bytes begin and end."""
        while position < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise InvalidGraph(f"it has more than {MAX_FIELDS:,} fields")
            tag, position = self._varint(position, min(end, position + _MAX_TAG_BYTES))
            spec, wire_type = schema.get(tag >> 3), tag & 7
            if spec is None:
                raise InvalidGraph(f"a {name} has a field {tag >> 3}, which is not known")
            if wire_type == _VARINT == spec.wire_type:
                value, position = self._varint(position, min(end, position + _MAX_VARINT_BYTES))
                yield spec, value
                continue
            size, position = self._size(spec, wire_type, position, end)
            if size > end - position:
                raise InvalidGraph(f"{spec.name} of a {name} is longer than what holds it")
            yield spec, (position, position + size)
            position += size

    def _size(self, spec: _Field, wire_type: int, position: int, end: int) -> tuple[int, int]:
        """Return how many bytes a value has, and where they begin."""
        packed = spec.repeated and spec.wire_type != _BYTES and wire_type == _BYTES
        if wire_type != spec.wire_type and not packed:
            raise InvalidGraph(f"{spec.name} has the wire type {wire_type}")
        if wire_type == _BYTES:
            return self._varint(position, min(end, position + _MAX_VARINT_BYTES))
        return (4 if wire_type == _FIXED32 else 8), position

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end:
            byte = self.content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >= _MAX_VARINT:
                    raise InvalidGraph("a number in it is encoded longer than it need be")
                return value, position
            shift += 7
        raise InvalidGraph("it ends within a number")
