"""Everything that clients send by mistake or on purpose, and what they are told."""

import gzip
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from tests.bundles import PLANE, STAMP

JSON = "application/json"
NPY = "application/x-npy"
PNG = "image/png"

BODY_LIMIT = 12_000_000
ROW = [0.5, -1.0, 2.0, 0.25]
TEN_MEGABYTES = 10_000_000
MODELS = "labelled, people, plane, postcard, stamp, wave"
PUT_INTO_A_FIELD = 'put the list of rows into a field: {"inputs": [...]}'
TAKEN = "inputs, model, version, ids, conditions, white, decimals"


@dataclass(frozen=True)
class Case:
    """A request and what it is answered.

    Attributes:
        name: What is wrong about it, in words.
        status: Status of the answer.
        detail: The sentence of the answer; None where the request is accepted.
        body: Makes the body, in pieces where it is sent without a length.
        call: The call that is made.
        query: Query of the URL.
        headers: Headers of the request, besides Content-Type.
        content_type: Its Content-Type.
        codes: The codes that an accepted request gets.
    """

    name: str
    status: int
    detail: str | None
    body: Callable[[], bytes | Iterator[bytes]] = bytes
    call: str = "encode"
    query: str = ""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    codes: np.ndarray | None = None


def text(body: str | bytes) -> Callable[[], bytes]:
    return lambda: body if isinstance(body, bytes) else body.encode()


def fields(**values: Any) -> Callable[[], bytes]:
    return text(json.dumps({"model": "plane"} | values))


def rows_of(rows: str) -> Callable[[], bytes]:
    return text('{"model": "plane", "inputs": ' + rows + "}")


def value_of(value: str) -> Callable[[], bytes]:
    return rows_of(f"[[0.5, -1.0, 2.0, {value}]]")


def npy(values: np.ndarray, **options: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def npy_header(header: str, version: tuple[int, int] = (1, 0)) -> bytes:
    length = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + header.encode()


def picture(width: int, height: int) -> bytes:
    stream = BytesIO()
    Image.new("L", (width, height), 128).save(stream, "PNG")
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """Make a sound PNG of very many white pixels in very few bytes."""
    compressor = zlib.compressobj(9)
    line = b"\0" + b"\xff" * (side // 8)
    lines = [compressor.compress(line * 100) for _ in range(side // 100)]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)),
        (b"IDAT", b"".join([*lines, compressor.flush()])),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def without_length(body: Callable[[], bytes], size: int = 65_536) -> Callable[[], Iterator[bytes]]:
    """Send a body in pieces: chunked, as nobody says how long it will be."""

    def pieces() -> Iterator[bytes]:
        whole = body()
        for first in range(0, len(whole), size):
            yield whole[first : first + size]

    return pieces


def too_large() -> bytes:
    return fields(inputs=[ROW])() + b" " * BODY_LIMIT


def in_npy(name: str, status: int, detail: str | None, body: bytes, **facts: Any) -> Case:
    return Case(name, status, detail, text(body), query="model=plane", content_type=NPY, **facts)


def accepted_npy(name: str, values: np.ndarray) -> Case:
    codes = PLANE.encode(values.astype(np.float32))
    return in_npy(name, 200, None, npy(values), codes=codes)


TABLE = np.array([ROW, [3, 1, 4, 1.5]])
PIXELS = np.array([[0, 1, 128, 255], [9, 8, 7, 6]], np.uint8)
IMAGE = np.arange(24, dtype=np.uint8).reshape(1, 6, 4) * 10

BODIES = (
    Case("an empty body", 400, "the body is empty; a JSON object is expected"),
    Case("broken JSON", 400, "the body is not valid JSON", text('{"inputs": [[1, 2')),
    Case(
        "10 MB of nested brackets",
        400,
        f"the body is a list; a JSON object is expected; {PUT_INTO_A_FIELD}",
        text(b"[" * (TEN_MEGABYTES // 2) + b"]" * (TEN_MEGABYTES // 2)),
    ),
    Case(
        "10 MB of nested brackets that are never closed",
        400,
        f"the body is not valid JSON; {PUT_INTO_A_FIELD}",
        text(b"[" * TEN_MEGABYTES),
    ),
    Case(
        "10 MB of nested brackets for inputs",
        422,
        "row 0 is not an array of numbers; model plane takes 4",
        rows_of("[" * (TEN_MEGABYTES // 2) + "]" * (TEN_MEGABYTES // 2)),
    ),
    Case(
        "a thousand nested brackets for ids",
        422,
        "ids: input should be a valid string or a valid integer, received a list",
        text('{"model": "plane", "ids": ' + "[" * 1000 + "]" * 1000 + "}"),
    ),
    Case(
        "a thousand nested objects for conditions",
        422,
        "conditions: input should be a valid string or a valid integer or a valid number or a valid"
        " boolean or a valid list, received an object",
        text('{"model": "plane", "conditions": ' + '{"a":' * 1000 + "1" + "}" * 1001),
    ),
    Case("invalid UTF-8", 400, "the body is not UTF-8", text(b'{"model": "pl\xe4ne"}')),
    Case(
        "duplicate keys",
        400,
        "the body contains a field twice",
        text(f'{{"model": "plane", "inputs": [{ROW}], "model": "stamp"}}'),
    ),
    Case(
        "a list for a body",
        400,
        f"the body is a list; a JSON object is expected; {PUT_INTO_A_FIELD}",
        text(f"[{ROW}]"),
    ),
)

ROWS = (
    Case(
        "ragged rows",
        422,
        "row 1 has 3 values; model plane takes 4",
        fields(inputs=[ROW, ROW[:3]]),
    ),
    Case(
        "wrong width",
        422,
        "row 0 has 5 values; model plane takes 4 (1 more row is wrong)",
        fields(inputs=[[*ROW, 0], [*ROW, 0]]),
    ),
    Case("strings", 422, "row 0 has a string where a number is expected", value_of('"1"')),
    Case("null", 422, "row 0 has null where a number is expected", value_of("null")),
    Case("true", 422, "row 0 has a boolean where a number is expected", value_of("true")),
    Case(
        "NaN", 400, "NaN and Infinity are not JSON; every value must be a finite number",
        value_of("NaN"),
    ),
    Case(
        "Infinity", 400, "NaN and Infinity are not JSON; every value must be a finite number",
        value_of("-Infinity"),
    ),
    Case("1e999", 422, "row 0 has a value that is not finite as float32", value_of("1e999")),
    Case("1e300", 422, "row 0 has a value that is not finite as float32", value_of("1e300")),
    Case(
        "a 30-digit integer, which float32 holds",
        200,
        None,
        value_of("123456789012345678901234567890"),
        codes=PLANE.encode(np.array([[*ROW[:3], 1.2345679e29]], np.float32)),
    ),
    Case(
        "a 30-digit integer for a pixel",
        422,
        "row 0 has a value outside [0, 1]",
        text('{"model": "stamp", "inputs": [[' + ",".join(["1" * 30] * 24) + "]]}"),
    ),
    Case(
        "a 400-digit integer",
        422,
        "row 0 has a value that is not finite as float32",
        value_of("9" * 400),
    ),
    Case("an empty list", 422, "inputs has no rows; send at least one", fields(inputs=[])),
    Case(
        "an empty row", 422, "row 0 has 0 values; model plane takes 4", fields(inputs=[[]])
    ),
    Case(
        "one row that is not in a list",
        422,
        "inputs is one row; a list of rows is expected: put it in a list",
        fields(inputs=ROW),
    ),
    Case(
        "no rows at all", 422, "the body has no field inputs; a list of rows is expected", fields()
    ),
    Case(
        "rows beyond the limit",
        413,
        "the request has 10001 rows; the limit is 10000: split it",
        fields(inputs=[ROW] * 10_001),
    ),
    Case(
        "values that overflow inside the model",
        422,
        "1 of 2 rows overflow inside the model",
        fields(inputs=[ROW, [3e38] * 4]),
        call="anomaly-score",
    ),
)  # fmt: skip

OPTION_FAULTS = (
    Case(
        "an unknown field",
        422,
        "unknown field; version was probably meant",
        fields(inputs=[ROW], verison=1),
    ),
    Case(
        "an unknown model",
        404,
        f"no model of that name; plane was probably meant; there are {MODELS}",
        fields(model="plain", inputs=[ROW]),
    ),
    Case("no model", 422, f"name a model; there are {MODELS}", text(f'{{"inputs": [{ROW}]}}')),
    Case(
        "a very long name of a model",
        422,
        "model: string should have at most 64 characters, received a string",
        fields(model="plane" * 100_000, inputs=[ROW]),
    ),
    Case(
        "an unknown version",
        404,
        "no such version of model plane; it has 1",
        fields(version=2, inputs=[ROW]),
    ),
    Case(
        "a wrong capability",
        409,
        "model plane does not serve denoise; it serves"
        " encode, decode, reconstruct, anomaly-score, sample",
        fields(inputs=[ROW]),
        call="denoise",
    ),
    Case(
        "a negative count",
        422,
        "count: input should be greater than 0, received a number",
        fields(count=-1),
        call="sample",
    ),
    Case(
        "a huge count",
        413,
        "more rows were asked for than the limit of 10000",
        fields(count=10**18),
        call="sample",
    ),
    Case(
        "a count of thirty digits",
        413,
        "more rows were asked for than the limit of 10000",
        fields(count=10**30),
        call="sample",
    ),
    Case(
        "percent-encoded garbage in the query",
        422,
        f"unknown field; /encode takes {TAKEN} (1 more field is unknown)",
        fields(inputs=[ROW]),
        query="%ff%00%zz=%c3%28&%",
    ),
    Case(
        "a parameter given twice",
        422,
        "the query contradicts itself in this parameter",
        text(f'{{"inputs": [{ROW}]}}'),
        query="model=plane&model=stamp",
    ),
    Case(
        "a field given in the query and in the body",
        422,
        "the query and the body contradict each other in this field",
        fields(inputs=[ROW]),
        query="model=stamp",
    ),
)

MEDIA_TYPES = (
    Case(
        "a wrong media type",
        415,
        "this media type is not supported;"
        " send application/json, application/x-npy, application/octet-stream, image/png,"
        " image/jpeg or multipart/form-data",
        text("0.5,-1.0,2.0,0.25"),
        content_type="text/csv",
    ),
    Case(
        "a picture for a model of tables",
        415,
        "/encode of model plane reads application/json, application/x-npy,"
        " application/octet-stream, multipart/form-data, not image/png",
        text(picture(4, 6)),
        query="model=plane",
        content_type=PNG,
    ),
    Case(
        "JSON in another character set",
        415,
        "JSON must be in UTF-8",
        text(json.dumps({"model": "plane", "inputs": [ROW]}).encode("utf-16")),
        content_type="application/json; charset=utf-16",
    ),
    Case(
        "a body compressed in an unknown way",
        415,
        "this Content-Encoding is not read; send gzip, deflate, zstd or none",
        text(gzip.compress(fields(inputs=[ROW])())),
        headers={"content-encoding": "br"},
    ),
    Case(
        "an unacceptable Accept",
        406,
        "the response can be written as application/json, application/x-npy,"
        " application/octet-stream; accept one of these",
        fields(inputs=[ROW]),
        headers={"accept": "text/html, image/*"},
    ),
)

ARRAYS = (
    in_npy("an empty .npy body", 400, "the body is empty; a .npy file is expected", b""),
    in_npy(
        "a pickle for a .npy file",
        400,
        "the body is not a .npy file of version 1.0 or 2.0",
        pickle.dumps(np.array([ROW])),
    ),
    in_npy(
        "an object .npy",
        400,
        "the array holds Python objects, which are never loaded; send numbers",
        npy(np.array([ROW], object), allow_pickle=True),
    ),
    in_npy(
        "a truncated .npy",
        400,
        "the .npy header states 64 bytes of data; 63 follow it",
        npy(TABLE)[:-1],
    ),
    in_npy(
        "a .npy cut in its header",
        400,
        "the body is not a .npy file of version 1.0 or 2.0",
        npy(TABLE)[:40],
    ),
    in_npy(
        "a .npy header that promises 10^15 bytes",
        400,
        "the .npy header states 1000000000000000 bytes of data; 0 follow it",
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (62500000000000, 4)}"),
    ),
    in_npy(
        "a .npy of version 3",
        400,
        "the body is not a .npy file of version 1.0 or 2.0",
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4)}", (3, 0)) + bytes(16),
    ),
    in_npy(
        "a .npy of another shape",
        422,
        "the array has shape (4, 2); model plane takes (rows, 4)",
        npy(TABLE.T),
    ),
    in_npy(
        "a .npy of text",
        422,
        "the array has type str32; floats or integers are expected",
        npy(np.array([["a", "b", "c", "d"]])),
    ),
    in_npy(
        "a .npy with NaN",
        422,
        "row 1 has a value that is not finite as float32",
        npy(np.array([ROW, [np.nan] * 4])),
    ),
    accepted_npy("a Fortran-order .npy", np.asfortranarray(TABLE)),
    accepted_npy("a float64 .npy", TABLE),
    accepted_npy("a float16 .npy", TABLE.astype(np.float16)),
    accepted_npy("a big-endian .npy", TABLE.astype(">f4")),
    accepted_npy("a uint8 .npy for a model of tables", PIXELS),
    Case(
        "a uint8 .npy for a model of images",
        200,
        None,
        text(npy(IMAGE)),
        query="model=stamp",
        content_type=NPY,
        codes=STAMP.encode(IMAGE.astype(np.float32) / np.float32(255)),
    ),
)

PICTURES = (
    Case(
        "a PNG bomb of 20000 by 20000 pixels",
        422,
        "the picture is 20000 by 20000 pixels (width by height); model stamp takes 4 by 6: resize"
        " it",
        lambda: bomb(20_000),
        query="model=stamp",
        content_type=PNG,
    ),
    Case(
        "a PNG of another size",
        422,
        "the picture is 28 by 28 pixels (width by height); model stamp takes 4 by 6: resize it",
        text(picture(28, 28)),
        query="model=stamp",
        content_type=PNG,
    ),
    Case(
        "a truncated PNG",
        400,
        "the body is not a complete PNG file",
        text(picture(4, 6)[:-30]),
        query="model=stamp",
        content_type=PNG,
    ),
    Case(
        "half of a JPEG that is called a PNG",
        400,
        "the body is not a complete JPEG file",
        text(b"\xff\xd8\xff\xe0" + bytes(100)),
        query="model=stamp",
        content_type=PNG,
    ),
)

LENGTHS = (
    Case(
        "a body over the limit, with its length", 413, f"the limit is {BODY_LIMIT} bytes", too_large
    ),
    Case(
        "a body over the limit, without its length",
        413,
        f"the limit is {BODY_LIMIT} bytes",
        without_length(too_large),
    ),
    Case(
        "a chunked body",
        200,
        None,
        without_length(fields(inputs=[ROW]), size=7),
        codes=PLANE.encode(np.array([ROW], np.float32)),
    ),
)

CASES = (*BODIES, *ROWS, *OPTION_FAULTS, *MEDIA_TYPES, *ARRAYS, *PICTURES, *LENGTHS)
