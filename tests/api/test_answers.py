"""Answers in the media type that the client wants."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.api.clients import JPEG, JSON, NPY, PNG, SHARED_LOOP, Client, expect_problem, npy_bytes
from tests.bundles import PLANE, POSTCARD, STAMP

pytestmark = SHARED_LOOP

FORMATS = {PNG: "PNG", JPEG: "JPEG"}


def picture_in(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(body)))


def pixels_of(rows: np.ndarray) -> np.ndarray:
    return np.rint(rows * 255).astype(np.uint8)


@pytest.mark.parametrize("accept", [JSON, NPY, "*/*", None])
async def test_the_answer_says_who_gave_it_and_as_what(client: Client, accept: str | None) -> None:
    headers = {"content-type": NPY} | ({"accept": accept} if accept else {"accept": ""})

    response = await client.post(
        "/encode?model=plane", content=npy_bytes(PLANE.rows(2)), headers=headers
    )

    assert response.status_code == 200
    assert response.headers["content-type"] == (NPY if accept == NPY else JSON)
    assert response.headers["x-model"] == "plane"
    assert response.headers["x-model-version"] == "1"
    assert response.headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize(
    ("call", "field"), [("reconstruct", "reconstructions"), ("denoise", "denoised")]
)
async def test_json_npy_and_png_answers_hold_the_same_rows(
    client: Client, call: str, field: str
) -> None:
    rows = STAMP.rows(1)
    fields = {"model": "stamp", "inputs": rows.tolist()}

    in_json = (await client.answer(call, **fields))[field]
    in_npy = await client.rows(call, rows, model="stamp")
    in_png = await client.post(f"/{call}", json=fields, headers={"accept": PNG})

    assert in_npy.dtype == np.float32
    assert np.shape(in_json) == (1, 6, 4, 1)  # whole, though it might have come flat
    np.testing.assert_array_equal(np.array(in_json, np.float32), in_npy)
    assert in_png.headers["content-type"] == PNG
    np.testing.assert_array_equal(picture_in(in_png.content), pixels_of(in_npy[0, ..., 0]))


async def test_a_picture_in_gives_a_picture_out(client: Client) -> None:
    pixels = pixels_of(STAMP.rows(1)[0])
    body = BytesIO()
    Image.fromarray(pixels[..., 0]).save(body, "PNG")

    response = await client.post(
        "/denoise?model=stamp",
        content=body.getvalue(),
        headers={"content-type": PNG, "accept": PNG},
    )

    expected = STAMP.reconstruct(pixels[None].astype(np.float32) / np.float32(255))
    assert response.status_code == 200, response.text
    np.testing.assert_array_equal(picture_in(response.content), pixels_of(expected[0, ..., 0]))


@pytest.mark.parametrize("accept", [PNG, JPEG])
async def test_colour_models_answer_colour_pictures(client: Client, accept: str) -> None:
    rows = POSTCARD.rows(1)

    response = await client.post(
        "/reconstruct",
        json={"model": "postcard", "inputs": rows.tolist()},
        headers={"accept": accept},
    )

    picture = Image.open(BytesIO(response.content))
    assert (picture.format, picture.mode, picture.size) == (FORMATS[accept], "RGB", (5, 3))
    tolerance = 1 if accept == PNG else 60  # JPEG has few pixels to be right about
    expected = pixels_of(POSTCARD.reconstruct(rows))[0].astype(int)
    assert np.abs(np.asarray(picture).astype(int) - expected).max() <= tolerance


async def test_several_rows_are_a_contact_sheet(client: Client) -> None:
    response = await client.post(
        "/sample?model=stamp&count=5&seed=1", headers={"accept": "image/*"}
    )

    assert response.headers["content-type"] == PNG
    assert response.headers["x-seed"] == "1"
    samples = await client.answer("sample", model="stamp", count=5, seed=1)
    sheet = picture_in(response.content)
    assert sheet.shape == (2 * 6 + 2, 3 * 4 + 4)
    for number, sample in enumerate(samples["samples"]):
        top, left = number // 3 * 8, number % 3 * 6
        found = sheet[top : top + 6, left : left + 4]
        np.testing.assert_array_equal(found, pixels_of(np.array(sample)[..., 0]))


@pytest.mark.parametrize(
    ("call", "fields", "accept"),
    [
        ("encode", {"model": "stamp", "inputs": STAMP.rows(1).tolist()}, PNG),
        ("anomaly-score", {"model": "stamp", "inputs": STAMP.rows(1).tolist()}, "image/*"),
        ("reconstruct", {"model": "plane", "inputs": PLANE.rows(1).tolist()}, PNG),
        ("sample", {"model": "wave", "count": 1}, JPEG),
        ("encode", {"model": "plane", "inputs": PLANE.rows(1).tolist()}, "text/html"),
    ],
)
async def test_what_cannot_be_written_is_not_acceptable(
    client: Client, call: str, fields: dict[str, object], accept: str
) -> None:
    response = await client.post(f"/{call}", json=fields, headers={"accept": accept})

    document = expect_problem(response, 406, "not-acceptable")
    assert document["detail"] == "this answer can be written as application/json, application/x-npy"


async def test_quality_decides_between_what_can_be_written(client: Client) -> None:
    response = await client.post(
        "/encode",
        json={"model": "stamp", "inputs": STAMP.rows(1).tolist()},
        headers={"accept": "image/png, application/x-npy;q=0.5, application/json;q=0.4"},
    )

    assert response.headers["content-type"] == NPY  # codes are no picture
