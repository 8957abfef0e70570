"""A media type is one object: once it is in the table, calls read and write it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from service.arrays import FloatArray
from service.errors import InvalidInput, MalformedBody
from service.formats.array_formats import ARRAY_FORMATS, ArrayFormat, ArrayHeader
from service.formats.row_format import RowFormat
from tests.api.clients import JSON, NPY, Client, expect_problem, open_client
from tests.bundles import PLANE, STAMP

# Names that no other test uses: the application remembers how it has answered an Accept header.
CSV = "text/x-added-csv"
PGM = "image/x-added-graymap"


def read_csv(body: bytes, row_format: RowFormat) -> FloatArray:
    try:
        lines = [line.split(",") for line in body.decode().splitlines()]
        values = np.array(lines, np.float32)
    except ValueError as error:
        raise MalformedBody("the body is not lines of numbers, equally many in each") from error
    row_format.check_shape(values.shape)
    return row_format.cast(values)


def write_csv(values: NDArray[Any]) -> bytes:
    rows = values if values.dtype.names else values.reshape(len(values), -1)
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist()).encode()


def read_pgm(body: bytes, row_format: RowFormat) -> FloatArray:
    height, width, _ = row_format.shape
    head = b"P5 %d %d 255\n" % (width, height)
    if len(body) != len(head) + height * width:
        raise InvalidInput.at("", f"another size; the model takes {width} by {height} pixels")
    pixels = np.frombuffer(body, np.uint8, offset=len(head)).reshape(1, *row_format.shape)
    return row_format.cast(pixels.astype(np.float32) / np.float32(255))


def write_pgm(values: NDArray[Any]) -> bytes:
    pixels = np.rint(255 * values[0, ..., 0]).astype(np.uint8)
    return b"P5 %d %d 255\n" % pixels.shape[::-1] + pixels.tobytes()


def columns_of(values: NDArray[Any]) -> bytes:
    return b"%d" % len(values.dtype.names or values[0].ravel())


ADDED = (
    ArrayFormat(
        CSV, read_csv, write_csv, headers=(ArrayHeader("X-Columns", "Columns.", columns_of),)
    ),
    ArrayFormat(PGM, read_pgm, write_pgm, pictures_only=True),
)


@pytest_asyncio.fixture
async def client(tiny_models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Client]:
    for array_format in ADDED:
        monkeypatch.setitem(ARRAY_FORMATS, array_format.media_type, array_format)
    async with open_client(tiny_models_dir) as client:
        yield client


async def test_rows_are_read_and_codes_written(client: Client) -> None:
    rows = PLANE.rows(3)
    response = await client.post(
        "/encode?model=plane",
        content=write_csv(rows),
        headers={"content-type": f"{CSV}; charset=utf-8", "accept": CSV},
    )

    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == CSV
    assert response.headers["x-columns"] == "2"
    codes = np.array([line.split(",") for line in response.text.splitlines()], np.float32)
    np.testing.assert_allclose(codes, PLANE.encode(rows), atol=1e-5)


async def test_scores_are_written_as_records(client: Client) -> None:
    rows = PLANE.rows(3)
    response = await client.post(
        "/anomaly-score?model=plane",
        content=write_csv(rows),
        headers={"content-type": CSV, "accept": CSV},
    )

    scores = [line.split(",") for line in response.text.splitlines()]
    np.testing.assert_allclose(
        np.array([score[0] for score in scores], np.float32), PLANE.score(rows), rtol=1e-4
    )
    assert {score[2] for score in scores} <= {"True", "False"}
    assert response.headers["x-columns"] == "3"


async def test_a_picture_is_read_and_written(client: Client) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 6, 4, 1) * 10
    row = pixels.astype(np.float32) / np.float32(255)
    response = await client.post(
        "/reconstruct?model=stamp",
        content=write_pgm(row),
        headers={"content-type": PGM, "accept": PGM},
    )

    assert response.status_code == 200, response.text
    found = np.frombuffer(response.content[-24:], np.uint8).reshape(pixels.shape)
    np.testing.assert_allclose(found, 255 * STAMP.reconstruct(row), atol=0.6)


async def test_a_format_for_pictures_only_is_rejected_elsewhere(client: Client) -> None:
    response = await client.post(
        "/encode?model=plane", content=b"P5 4 6 255\n", headers={"content-type": PGM}
    )
    problem = expect_problem(response, 415, "unsupported-media-type")
    assert CSV in problem["detail"]

    response = await client.post(
        "/encode?model=plane",
        content=write_csv(PLANE.rows(1)),
        headers={"content-type": CSV, "accept": PGM},
    )
    problem = expect_problem(response, 406, "not-acceptable")
    assert CSV in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"1,2,3,four\n", 400, "malformed-body"),
        (b"1,2,3,4\n1,2\n", 400, "malformed-body"),
        (b"1,2,3\n", 422, "invalid-input"),
        (b"1,2,3,nan\n", 422, "invalid-input"),
    ],
)
async def test_a_wrong_body_is_rejected_with_the_reason(
    client: Client, body: bytes, status: int, slug: str
) -> None:
    response = await client.post("/encode?model=plane", content=body, headers={"content-type": CSV})

    expect_problem(response, status, slug)


async def test_the_error_for_an_unknown_media_type_lists_it(client: Client) -> None:
    response = await client.post("/encode", content=b"x", headers={"content-type": "text/x"})

    problem = expect_problem(response, 415, "unsupported-media-type")
    assert f"{CSV}, {PGM} or multipart/form-data" in problem["detail"]


async def test_the_openapi_document_lists_it_where_it_is_read_and_written(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    encode, decode = (document["paths"][path]["post"] for path in ("/encode", "/decode"))

    assert {JSON, NPY, CSV, PGM} <= set(encode["requestBody"]["content"])
    assert PGM not in encode["responses"]["200"]["content"]
    assert PGM not in decode["requestBody"]["content"]
    assert {JSON, NPY, CSV, PGM} <= set(decode["responses"]["200"]["content"])
    assert encode["responses"]["200"]["headers"]["X-Columns"]["description"] == (
        f"With {CSV}: Columns."
    )


def test_the_table_is_restored_after_each_test() -> None:
    assert not {CSV, PGM} & set(ARRAY_FORMATS)
