"""Answers in the media type that the client wants."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

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
)
from tests.bundles import PEOPLE, PLANE, POSTCARD, STAMP, WAVE

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
    assert document["detail"] == (
        "the response can be written as application/json, application/x-npy,"
        " application/octet-stream; accept one of these"
    )


async def test_quality_decides_between_what_can_be_written(client: Client) -> None:
    response = await client.post(
        "/encode",
        json={"model": "stamp", "inputs": STAMP.rows(1).tolist()},
        headers={"accept": "image/png, application/x-npy;q=0.5, application/json;q=0.4"},
    )

    assert response.headers["content-type"] == NPY  # codes are no picture


@pytest.mark.parametrize("call", ["encode", "reconstruct", "denoise"])
async def test_raw_answers_are_the_numbers_of_npy_answers(client: Client, call: str) -> None:
    rows = STAMP.rows(3)

    raw = await client.post(
        f"/{call}?model=stamp",
        content=rows.astype("<f4").tobytes(),
        headers={"content-type": RAW, "accept": RAW},
    )

    in_npy = await client.rows(call, rows, model="stamp")
    assert raw.status_code == 200, raw.text
    assert raw.headers["content-type"] == RAW
    shape = tuple(map(int, raw.headers["x-shape"].split(",")))
    assert shape == in_npy.shape
    assert raw.headers["content-length"] == str(in_npy.nbytes)
    np.testing.assert_array_equal(np.frombuffer(raw.content, "<f4").reshape(shape), in_npy)


async def test_raw_scores_are_score_p_value_and_judgement(client: Client) -> None:
    rows = np.concatenate([PLANE.rows(5), 100 * PLANE.rows(1)])
    query = "model=plane&false_positive_rate=0.05"

    raw = await client.post(
        f"/anomaly-score?{query}",
        content=rows.astype("<f4").tobytes(),
        headers={"content-type": RAW, "accept": RAW},
    )

    fields = {"model": "plane", "false_positive_rate": 0.05}
    answer = await client.answer("anomaly-score", **fields, inputs=rows.tolist())
    assert raw.headers["x-shape"] == "6,3"
    scores, p_values, anomalies = np.frombuffer(raw.content, "<f4").reshape(6, 3).T
    np.testing.assert_array_equal(scores, np.float32(answer["scores"]))
    np.testing.assert_array_equal(p_values, np.float32(answer["p_values"]))
    np.testing.assert_array_equal(anomalies == 1, answer["anomalies"])
    assert anomalies[-1] == 1


async def test_raw_samples_name_their_seed(client: Client) -> None:
    raw = await client.post("/sample?model=wave&count=300", headers={"accept": RAW})

    assert raw.headers["x-shape"] == "300,8,1"
    seed = int(raw.headers["x-seed"])
    answer = await client.answer("sample", model="wave", count=300, seed=seed)
    found = np.frombuffer(raw.content, "<f4").reshape(300, 8, 1)
    np.testing.assert_array_equal(found, np.float32(answer["samples"]))


@pytest.mark.parametrize(
    ("call", "fields", "rounded"),
    [
        ("encode", {"model": "wave", "inputs": WAVE.rows(3).tolist()}, {"codes", "log_variances"}),
        ("decode", {"model": "plane", "codes": [[0.25, -3]]}, {"outputs"}),
        ("reconstruct", {"model": "stamp", "inputs": STAMP.rows(3).tolist()}, {"reconstructions"}),
        ("denoise", {"model": "stamp", "inputs": STAMP.rows(3).tolist()}, {"denoised"}),
        ("sample", {"model": "stamp", "count": 3, "seed": 4}, {"samples", "codes"}),
    ],
)
async def test_decimals_round_rows_and_codes_and_nothing_else(
    client: Client, call: str, fields: dict[str, object], rounded: set[str]
) -> None:
    exact = await client.answer(call, **fields)
    answer = await client.answer(call, **fields, decimals=3)

    assert list(answer) == list(exact)
    for name, value in exact.items():
        if name in rounded:
            np.testing.assert_array_equal(answer[name], np.round(np.array(value), 3))
        else:
            assert answer[name] == value


async def test_decimals_may_stand_in_the_query_and_concern_json_alone(client: Client) -> None:
    rows = PLANE.rows(2)
    content, path = npy_bytes(rows), "/reconstruct?model=plane&decimals=2"

    in_json = await client.post(path, content=content, headers={"content-type": NPY})
    in_npy = await client.rows("reconstruct", rows, model="plane", decimals=2)

    expected = await client.rows("reconstruct", rows, model="plane")
    np.testing.assert_array_equal(in_npy, expected)
    found = in_json.json()["reconstructions"]
    np.testing.assert_array_equal(found, np.round(expected.astype(float), 2))


async def test_decimals_round_the_numbers_of_typed_tables(client: Client) -> None:
    rows = [[33.5, True, "Oslo"], [-1e-9, False, "Bern"]]

    exact = await client.answer("reconstruct", model="people", inputs=rows)
    answer = await client.answer("reconstruct", model="people", inputs=rows, decimals=1)

    expected = [
        [round(age, 1) + 0.0, member, city] for age, member, city in exact["reconstructions"]
    ]
    assert answer["reconstructions"] == expected
    assert len(PEOPLE.columns or ()) == 3


@pytest.mark.parametrize("decimals", [-1, 9, 2.5, "4", True])
async def test_decimals_are_a_whole_number_up_to_eight(client: Client, decimals: object) -> None:
    response = await client.call(
        "encode", model="plane", inputs=PLANE.rows(1).tolist(), decimals=decimals
    )

    document = expect_problem(response, 422, "invalid-input")
    assert [error["pointer"] for error in document["errors"]] == ["/decimals"]


async def test_scores_are_not_rounded_away_from_their_threshold(client: Client) -> None:
    response = await client.call(
        "anomaly-score", model="plane", inputs=PLANE.rows(1).tolist(), decimals=2
    )

    document = expect_problem(response, 422, "invalid-input")
    assert [error["pointer"] for error in document["errors"]] == ["/decimals"]
