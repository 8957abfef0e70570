"""Bodies that clients make by themselves: what is read, and what the others are told to send."""

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zstandard
from PIL import Image

from service.api.dialects.dialect import Head
from service.api.dialects.native.bodies import is_costly
from service.api.media_types import FORM
from service.formats.compression import MIN_COMPRESSED_BYTES
from tests.api.clients import (
    JPEG,
    JSON,
    NPY,
    PNG,
    RAW,
    SHARED_LOOP,
    Client,
    expect_problem,
    npy_bytes,
    open_client,
)
from tests.bundles import (
    LABELLED,
    PLANE,
    STAMP,
    TinyModel,
    publish_tiny,
    tiny_manifest,
    tiny_model,
)

pytestmark = SHARED_LOOP

PIXELS = np.arange(24, dtype=np.uint8).reshape(6, 4) * 10
STAMPS = np.stack([PIXELS, 255 - PIXELS])
ROWS = STAMPS[..., None].astype(np.float32) / np.float32(255)
URL_FORM = "application/x-www-form-urlencoded"
NO_OBJECT = (
    "the body is a list; a JSON object is expected; put the list of rows into a field:"
    ' {"inputs": [...]}'
)
# Large enough to be compressed whatever the values are.
LARGE = tiny_model("large", "image", (64, 64, 1))


def picture(pixels: np.ndarray = PIXELS, file_format: str = "PNG") -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, file_format)
    return stream.getvalue()


def typed(content_type: str | None) -> Mapping[str, str]:
    return {} if content_type is None else {"content-type": content_type}


async def codes_of(client: Client, model: TinyModel, **request: Any) -> np.ndarray:
    response = await client.post(f"/encode?model={model.name}", **request)
    assert response.status_code == 200, response.text
    return np.array(response.json()["codes"], np.float32)


def near(codes: np.ndarray, rows: np.ndarray, model: TinyModel = STAMP) -> None:
    np.testing.assert_allclose(codes, model.encode(rows), rtol=1e-4, atol=1e-5)


# Forms


async def test_every_file_of_a_form_is_a_row_in_its_order(client: Client) -> None:
    files = [
        ("file", ("a.png", picture(STAMPS[0]), "image/png")),
        ("file", ("b.png", picture(STAMPS[1]), "application/octet-stream")),
        ("other", ("c.npy", npy_bytes(STAMPS), None)),
        ("file", ("d.jpg", picture(STAMPS[0]), "image/jpeg")),  # its bytes tell that it is a PNG
    ]

    codes = await codes_of(client, STAMP, files=files)

    near(codes, ROWS[[0, 1, 0, 1, 0]])


async def test_the_texts_of_a_form_are_fields(client: Client) -> None:
    response = await client.post(
        "/encode",
        data={"model": "labelled", "ids": ["a", "7"], "decimals": "3", "_charset_": "utf-8",
              "conditions": json.dumps({"label": "dog"})},
        files={"rows": npy_bytes(LABELLED.rows(2))},
    )  # fmt: skip

    assert response.status_code == 200, response.text
    assert response.json()["ids"] == ["a", "7"]
    expected = LABELLED.encode(LABELLED.rows(2), np.ones((2, 1), np.float32))
    np.testing.assert_allclose(response.json()["codes"], expected, atol=6e-4)


async def test_a_field_may_come_as_a_file_as_scripts_in_browsers_send_json(client: Client) -> None:
    files = {
        "conditions": ("blob", b'{"label": 3}', "application/json"),
        "rows": npy_bytes(LABELLED.rows(1)),
    }

    codes = await codes_of(client, LABELLED, files=files)

    expected = LABELLED.encode(LABELLED.rows(1), np.full((1, 1), 2, np.float32))
    np.testing.assert_allclose(codes, expected, rtol=1e-4)


async def test_a_form_without_files_is_enough_for_a_call_without_rows(client: Client) -> None:
    boundary = {"content-type": "multipart/form-data; boundary=b"}
    parts = {"model": "plane", "count": "2", "seed": "1"}
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts.items()
    )

    response = await client.post("/sample", content=body + "--b--", headers=boundary)

    assert response.status_code == 200, response.text
    assert response.json() == await client.answer("sample", model="plane", count=2, seed=1)


async def test_several_pictures_are_answered_with_a_contact_sheet(client: Client) -> None:
    files = [("file", picture(pixels)) for pixels in STAMPS]

    response = await client.post("/reconstruct?model=stamp", files=files, headers={"accept": PNG})

    assert Image.open(BytesIO(response.content)).size == (4 + 2 + 4, 6)


@pytest.mark.parametrize(
    ("model", "data", "files", "pointer", "detail"),
    [
        ("stamp", {}, {"notes": b"hello"}, "/notes",
         "part 1 of the form (notes): the body is not a PNG or JPEG file"),
        ("stamp", {}, {"file": b"GIF89a"}, "/file",
         "part 1 of the form (file): this is a GIF file; send PNG or JPEG"),
        ("stamp", {}, {"file": picture(PIXELS[:3])}, "/file",
         ("part 1 of the form (file): the picture is 4 by 3 pixels (width by height); model stamp"
         " takes 4 by 6: resize it")),
        ("stamp", {}, {"file": npy_bytes(PIXELS[:3])}, "/file",
         ("part 1 of the form (file): the array has shape (3, 4); model stamp takes (rows, 6, 4, 1)"
         " or (rows, 6, 4) or (rows, 24)")),
        ("plane", {}, {"file": picture()}, "/file",
         "part 1 of the form (file): model plane does not take pictures here"),
        ("plane", {}, {"file": b"1,2,3,4"}, "/file",
         "part 1 of the form (file): the file is not a .npy file"),
        ("stamp", {"inputs": "[[1]]"}, {"file": picture()}, "/inputs",
         ("part 1 of the form (inputs): rows are sent as files (PNG, JPEG or .npy), or in a JSON"
         " body")),
        ("stamp", {"modle": "x"}, {"file": picture()}, "/modle", None),
        ("stamp", {"decimals": "many"}, {"file": picture()}, "/decimals", None),
        ("stamp", {"decimals": ["1", "2"]}, {"file": picture()}, "/decimals",
         "the form contradicts itself in this field"),
        ("stamp", {"model": "plane"}, {"file": picture()}, "/model",
         "the query and the body contradict each other in this field"),
        ("stamp", {"white": "4095"}, {"file": picture()}, "/white",
         "white is for pictures of 16 bits a sample; this one has 8"),
    ],
)  # fmt: skip
async def test_a_part_of_no_use_is_named(
    client: Client, model: str, data: dict[str, Any], files: dict[str, bytes], pointer: str,
    detail: str | None,
) -> None:  # fmt: skip
    response = await client.post(f"/encode?model={model}", data=data, files=files)

    (error,) = expect_problem(response, 422, "invalid-input")["errors"]
    assert error["pointer"] == pointer
    assert detail is None or error["detail"] == detail


async def test_a_form_without_a_file_is_rejected_where_rows_are_needed(client: Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nstamp\r\n--b--'

    response = await client.post(
        "/encode", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )

    assert "has no file" in expect_problem(response, 422, "invalid-input")["detail"]


async def test_a_call_without_rows_takes_no_files(client: Client) -> None:
    response = await client.post("/sample?model=stamp&count=1", files={"file": picture()})

    assert expect_problem(response, 422, "invalid-input")["detail"] == (
        "part 1 of the form (file): the call takes no files"
    )


async def test_more_files_than_rows_are_read_are_too_many(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir, max_rows=2) as client:
        files = [("file", b"not read")] * 3

        response = await client.post("/encode?model=stamp", files=files)

    expect_problem(response, 413, "too-many-rows")


# JSON by other names, and pictures in it


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain", "text/plain;charset=UTF-8", "text/json", "application/vnd.api+json"),
        *(URL_FORM, None),
    ],
)
@pytest.mark.parametrize("before", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"], ids=repr)
async def test_json_is_json_whatever_it_is_called(
    client: Client, content_type: str | None, before: bytes
) -> None:
    body = before + json.dumps({"inputs": PLANE.rows(2).tolist()}).encode()

    codes = await codes_of(client, PLANE, content=body, headers=typed(content_type))

    near(codes, PLANE.rows(2), PLANE)


async def test_pictures_may_stand_in_json_rows(client: Client) -> None:
    texts = [base64.b64encode(picture(pixels)).decode() for pixels in STAMPS]
    url = "data:image/png;base64," + texts[1]

    answer = await client.answer("encode", model="stamp", inputs=[texts[0], url])

    near(np.array(answer["codes"]), ROWS)


async def test_the_white_of_a_deep_picture_is_a_field(client: Client) -> None:
    deep = (PIXELS.astype(np.uint16) * 4095) // 255
    text = base64.b64encode(picture(deep)).decode()
    refused = await client.call("encode", model="stamp", inputs=[text])
    assert "state its white" in expect_problem(refused, 422, "invalid-input")["detail"]

    answer = await client.answer("encode", model="stamp", inputs=[text], white=4095)
    codes = await client.post(
        "/encode?model=stamp&white=4095", content=picture(deep), headers=typed(PNG)
    )

    near(np.array(answer["codes"]), (deep / 4095).astype(np.float32)[None])
    assert codes.json()["codes"] == answer["codes"]


async def test_white_is_rejected_where_no_picture_can_be(client: Client) -> None:
    response = await client.call("encode", model="plane", inputs=PLANE.rows(1).tolist(), white=9)

    (error,) = expect_problem(response, 422, "invalid-input")["errors"]
    assert error["pointer"] == "/white"


# Told by the first bytes


@pytest.mark.parametrize("content_type", [None, URL_FORM, RAW, PNG, JPEG, "image/jpg"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
async def test_a_picture_is_told_by_its_first_bytes(
    client: Client, content_type: str | None, file_format: str
) -> None:
    body = picture(PIXELS, file_format)
    expected = np.asarray(Image.open(BytesIO(body)))[None].astype(np.float32) / 255

    codes = await codes_of(client, STAMP, content=body, headers=typed(content_type))

    near(codes, expected)


@pytest.mark.parametrize("content_type", [None, URL_FORM, RAW, NPY])
@pytest.mark.parametrize("model", [PLANE, STAMP], ids=lambda model: model.name)
async def test_an_array_file_is_told_by_its_first_bytes(
    client: Client, content_type: str | None, model: TinyModel
) -> None:
    rows = model.rows(8)

    codes = await codes_of(client, model, content=npy_bytes(rows), headers=typed(content_type))

    near(codes, rows, model)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "detail"),
    [
        (JSON, picture(), 415,
         "the body is not JSON; it is a PNG file: send Content-Type: image/png"),
        ("text/plain", npy_bytes(PIXELS), 415,
         "the body is not JSON; it is a .npy file: send Content-Type: application/x-npy"),
        (None, gzip.compress(b"{}", mtime=0), 415,
         "the body is not JSON; it is compressed with gzip: send Content-Encoding: gzip with it"),
        (None, b"GIF89a", 415, "the body is not JSON; it is a GIF file: send PNG or JPEG"),
        (URL_FORM, picture().replace(b"\r\n", b""), 415,
         ("the body is not JSON; it is a PNG file whose line ends were changed: send its bytes:"
         " curl --data-binary")),
        (JSON, "{}".encode("utf-16"), 415,
         "the body is not JSON; it is text in UTF-16: send UTF-8"),
        (JSON, b"nonsense", 400, "the body is not valid JSON"),
        (JSON, b"[1]", 400, NO_OBJECT),
        (PNG, b"GIF89a", 415, "this is a GIF file; send PNG or JPEG"),
        (PNG, b"{}", 400, "the body is not a PNG or JPEG file"),
        (NPY, picture(), 415,
         "the body is a PNG file, not application/x-npy; send Content-Type: image/png"),
        (RAW, b"GIF89a" + bytes(91), 415,
         "the body is a GIF file, not application/octet-stream; send PNG or JPEG"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_like_this_is_named_with_what_to_send(
    client: Client, content_type: str | None, body: bytes, status: int, detail: str
) -> None:
    response = await client.post("/encode?model=stamp", content=body, headers=typed(content_type))

    slug = {400: "malformed-body", 415: "unsupported-media-type"}[status]
    assert expect_problem(response, status, slug)["detail"] == detail


@pytest.mark.parametrize(("call", "model"), [("encode", "plane"), ("decode", "stamp")])
@pytest.mark.parametrize("content_type", [None, RAW, PNG])
async def test_a_picture_is_rejected_by_name_where_none_is_taken(
    client: Client, call: str, model: str, content_type: str | None
) -> None:
    response = await client.post(
        f"/{call}?model={model}", content=picture(), headers=typed(content_type)
    )

    assert PNG in expect_problem(response, 415, "unsupported-media-type")["detail"] or (
        "a PNG file" in response.json()["detail"]
    )


async def test_numbers_of_a_table_that_begin_as_a_jpeg_does_are_numbers(client: Client) -> None:
    row = np.frombuffer(b"\xff\xd8\xff\x3f" + np.ones(3, "<f4").tobytes(), "<f4")

    codes = await codes_of(client, PLANE, content=row.tobytes(), headers=typed(RAW))

    near(codes, row[None], PLANE)


# Bytes whose meaning is stated


@pytest.mark.parametrize("shape", ["2,4", " 2 , 4"])
async def test_a_stated_shape_that_is_right_changes_nothing(client: Client, shape: str) -> None:
    rows = PLANE.rows(2)
    for content_type, body in ((RAW, rows.tobytes()), (NPY, npy_bytes(rows))):
        headers = {"content-type": content_type, "x-shape": shape}

        near(await codes_of(client, PLANE, content=body, headers=headers), rows, PLANE)


@pytest.mark.parametrize(
    ("shape", "body", "detail"),
    [
        ("2,4", PLANE.rows(2).astype("<f8").tobytes(),
         ("the body has 64 bytes; float32 of the shape in X-Shape has 32: is it float64? send"
         " float32")),
        ("3,4", PLANE.rows(2).tobytes(),
         "the body has 32 bytes; float32 of the shape in X-Shape has 48"),
        ("4,2", PLANE.rows(2).tobytes(),
         "the array has shape (4, 2); model plane takes (rows, 4)"),
        ("4", PLANE.rows(1).tobytes(), "the array has shape (4,); model plane takes (rows, 4)"),
        ("0,4", b"", "inputs has no rows; send at least one"),
        *((shape, PLANE.rows(2).tobytes(),
           "X-Shape is not a list of lengths, such as 64,28,28,1")
          for shape in ("", "(2, 4)", "2x4", "-2,4", "2,4,", "9" * 40 + ",4", "two,4")),
    ],
)  # fmt: skip
async def test_a_stated_shape_that_disagrees_is_rejected(
    client: Client, shape: str, body: bytes, detail: str
) -> None:
    response = await client.post(
        "/encode?model=plane", content=body, headers={"content-type": RAW, "x-shape": shape}
    )

    assert expect_problem(response, 422, "invalid-input")["detail"] == detail


async def test_the_shape_of_an_array_file_must_be_the_stated_one(client: Client) -> None:
    headers = {"content-type": NPY, "x-shape": "3,4"}

    response = await client.post(
        "/encode?model=plane", content=npy_bytes(PLANE.rows(2)), headers=headers
    )

    assert expect_problem(response, 422, "invalid-input")["detail"] == (
        "the body has 2 rows, X-Shape states 3"
    )


# Compressed


COMPRESSORS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
    "gzip, identity, zstd": lambda body: zstandard.compress(gzip.compress(body)),
    "Identity": bytes,
    "": bytes,
}


@pytest.mark.parametrize("coding", COMPRESSORS)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps({"inputs": ROWS.tolist()}).encode()),
        (NPY, npy_bytes(ROWS)),
        (RAW, ROWS.tobytes()),
    ],
)
async def test_a_compressed_body_is_read(
    client: Client, coding: str, content_type: str, body: bytes
) -> None:
    headers = {"content-type": content_type, "content-encoding": coding}

    near(await codes_of(client, STAMP, content=COMPRESSORS[coding](body), headers=headers), ROWS)


@pytest.mark.parametrize("coding", ["br", "compress", "aws-chunked", "gzip, br", "gzip, " * 3])
async def test_another_coding_is_rejected_with_those_that_are_read(
    client: Client, coding: str
) -> None:
    response = await client.post("/encode", content=b"{}", headers={"content-encoding": coding})

    expect_problem(response, 415, "unsupported-content-coding")
    assert response.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_a_damaged_compressed_body_is_rejected(client: Client, coding: str) -> None:
    body = COMPRESSORS[coding](b'{"inputs": [[1, 2, 3, 4]]}')
    for damaged in (body[:-1], body + b"x", b"x" + body):
        response = await client.post(
            "/encode?model=plane", content=damaged, headers={"content-encoding": coding}
        )

        expect_problem(response, 400, "malformed-body")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_the_limit_holds_for_what_a_body_becomes(tiny_models_dir: Path, coding: str) -> None:
    async with open_client(tiny_models_dir, max_body_bytes=1024) as client:
        bomb = COMPRESSORS[coding](b" " * 100_000)
        response = await client.post("/encode", content=bomb, headers={"content-encoding": coding})

    assert expect_problem(response, 413, "body-too-large")["detail"] == (
        "decompressed, the body is above the limit of 1024 bytes"
    )


async def reconstructions(
    tmp_path: Path, rows: int, accept: str, accept_encoding: str | None
) -> tuple[httpx.Response, bytes]:
    """Return a response and its body as it was sent."""
    publish_tiny(tmp_path, LARGE)
    async with open_client(tmp_path) as client:
        del client.headers["accept-encoding"]
        headers = {"content-type": NPY, "accept": accept}
        if accept_encoding is not None:
            headers["accept-encoding"] = accept_encoding
        request = client.build_request(
            "POST", "/reconstruct", content=npy_bytes(LARGE.rows(rows)), headers=headers
        )
        response = await client.send(request, stream=True)
        raw = b"".join([piece async for piece in response.aiter_raw()])
    return response, raw


@pytest.mark.parametrize(
    ("accept", "accept_encoding", "coding"),
    [
        (JSON, "gzip, deflate", "gzip"),
        (JSON, "zstd", "zstd"),
        (JSON, None, None),
        (JSON, "gzip;q=0", None),
        (NPY, "gzip, zstd", "zstd"),
        (NPY, "gzip", None),
        (RAW, "zstd", "zstd"),
    ],
)
async def test_a_large_response_is_compressed_as_its_client_asks(
    tmp_path: Path, accept: str, accept_encoding: str | None, coding: str | None
) -> None:
    response, raw = await reconstructions(tmp_path, 4, accept, accept_encoding)

    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "accept-encoding"
    assert int(response.headers["content-length"]) == len(raw)
    if coding is not None:
        raw = gzip.decompress(raw) if coding == "gzip" else zstandard.decompress(raw)
    if accept == JSON:
        found = np.array(json.loads(raw)["reconstructions"], np.float32)
    else:
        found = np.frombuffer(raw[-4 * LARGE.size * 4 :], "<f4").reshape(4, *LARGE.shape)
    np.testing.assert_allclose(found, LARGE.reconstruct(LARGE.rows(4)), rtol=1e-4)


async def test_a_small_response_is_never_compressed(client: Client) -> None:
    response = await client.post(
        "/encode?model=stamp", content=picture(), headers={"accept-encoding": "gzip, identity;q=0"}
    )

    assert len(response.content) < MIN_COMPRESSED_BYTES
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers


async def test_pictures_are_never_compressed(tmp_path: Path) -> None:
    response, raw = await reconstructions(tmp_path, 64, PNG, "gzip, zstd")

    assert len(raw) > MIN_COMPRESSED_BYTES
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers


# Warnings


@pytest.mark.parametrize("accept", [NPY, RAW])
async def test_warnings_of_dense_responses_are_in_a_header(client: Client, accept: str) -> None:
    query = "model=plane&false_positive_rate=0.0001"
    request = {"content": npy_bytes(PLANE.rows(2)), "headers": {"content-type": NPY}}
    document = (await client.post(f"/anomaly-score?{query}", **request)).json()
    request["headers"] = {"content-type": NPY, "accept": accept}

    response = await client.post(f"/anomaly-score?{query}", **request)

    assert response.headers["x-warnings"] == "; ".join(document["warnings"])
    assert response.headers["x-warnings"].isascii()


async def test_without_warnings_there_is_no_header(client: Client) -> None:
    response = await client.post(
        "/anomaly-score?model=plane",
        content=npy_bytes(PLANE.rows(2)),
        headers={"content-type": NPY, "accept": NPY},
    )

    assert response.status_code == 200
    assert "x-warnings" not in response.headers


# The background of a model's data


@pytest.mark.parametrize("background", [None, 0.0, 0.5, 1.0])
async def test_what_is_transparent_shows_the_background_that_the_manifest_states(
    tmp_path: Path, background: float | None
) -> None:
    spec = tiny_manifest(STAMP).input.model_copy(update={"background": background})
    publish_tiny(tmp_path, STAMP, schema_version="1.1.0", input=spec)
    canvas = np.zeros((6, 4, 4), np.uint8)
    canvas[2:4, :, 3] = 255  # two black lines on nothing
    expected = np.full((1, 6, 4, 1), background or 0.0, np.float32)
    expected[:, 2:4] = 0

    async with open_client(tmp_path) as client:
        near(await codes_of(client, STAMP, content=picture(canvas), headers=typed(PNG)), expected)


@pytest.mark.parametrize(
    ("coding", "media_type", "body_bytes", "expected"),
    [
        (None, JSON, 10**9, False),  # whoever reads it knows better
        (None, FORM, 40_000, False),
        (None, FORM, 600_000, True),
        ("gzip", JSON, 500, False),
        ("gzip", JSON, 31_000, True),
    ],
)
async def test_bodies_that_take_longer_than_their_length_lets_expect_are_costly(
    coding: str | None, media_type: str, body_bytes: int, expected: bool
) -> None:
    headers = {} if coding is None else {b"content-encoding": coding.encode()}

    assert is_costly(Head("POST", b"", headers), media_type, body_bytes) is expected
