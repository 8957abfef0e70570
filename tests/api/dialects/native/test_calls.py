"""The six calls over every kind of tiny model answer what NumPy computes."""

from typing import Any

import numpy as np
import pytest

from tests.api.clients import NPY, SHARED_LOOP, Client, expect_problem
from tests.bundles import (
    LABELLED,
    PEOPLE,
    PLANE,
    POSTCARD,
    SCORE,
    STAMP,
    TINY_MODELS,
    WAVE,
    TinyModel,
)

pytestmark = SHARED_LOOP

TOO_FEW = (
    "99 calibration rows are too few for a false-positive rate this small: no row can be flagged"
)
UNCONDITIONAL = [model for model in TINY_MODELS if model is not LABELLED]
UNTYPED = [model for model in UNCONDITIONAL if model is not PEOPLE]
names = [model.name for model in UNTYPED]


def assert_close(found: Any, expected: np.ndarray) -> None:
    values = np.asarray(found)
    assert values.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5 * scale)


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    greater = (calibration[None, :] >= scores.astype(np.float64)[:, None]).sum(axis=1)
    return (1 + greater) / (len(calibration) + 1)


@pytest.mark.parametrize("model", UNTYPED, ids=names)
async def test_encode_answers_codes(client: Client, model: TinyModel) -> None:
    rows = model.rows(5)

    answer = await client.answer("encode", model=model.name, inputs=rows.tolist())

    fields = ["model", "version", "codes"] + ["log_variances"] * model.variational
    assert list(answer) == fields
    assert (answer["model"], answer["version"]) == (model.name, 1)
    assert_close(answer["codes"], model.encode(rows))
    if model.variational:
        assert_close(answer["log_variances"], -model.encode(rows))


@pytest.mark.parametrize("model", UNTYPED, ids=names)
async def test_decode_answers_outputs(client: Client, model: TinyModel) -> None:
    codes = model.encode(model.rows(5))

    answer = await client.answer("decode", model=model.name, codes=codes.tolist())

    assert list(answer) == ["model", "version", "outputs"]
    assert_close(answer["outputs"], model.decode(codes))


@pytest.mark.parametrize("model", UNTYPED, ids=names)
async def test_reconstruct_answers_reconstructions(client: Client, model: TinyModel) -> None:
    rows = model.rows(5)

    answer = await client.answer("reconstruct", model=model.name, inputs=rows.tolist())

    assert list(answer) == ["model", "version", "reconstructions"]
    assert_close(answer["reconstructions"], model.reconstruct(rows))


async def test_denoise_answers_denoised_rows(client: Client) -> None:
    rows = STAMP.rows(5)

    answer = await client.answer("denoise", model="stamp", inputs=rows.tolist())

    assert list(answer) == ["model", "version", "denoised"]
    assert_close(answer["denoised"], STAMP.reconstruct(rows))


@pytest.mark.parametrize("model", UNTYPED, ids=names)
async def test_anomaly_score_judges_by_the_calibration(client: Client, model: TinyModel) -> None:
    rows = model.rows(40, seed=5)
    rows[:4] *= 0 if model.kind == "image" else 40
    scores = model.score(rows)

    answer = await client.answer(
        "anomaly-score", model=model.name, inputs=rows.tolist(), false_positive_rate=0.1
    )

    threshold = np.sort(model.calibration)[-10]  # k = 10 of 99 calibration rows at a rate of 0.1
    expected = p_values(scores, model.calibration)
    assert list(answer) == [
        *("model", "version", "score", "scores", "p_values", "anomalies", "threshold"),
        *("calibration_rows", "p_value_floor"),
    ]
    assert answer["score"] == SCORE
    assert answer["calibration_rows"] == 99
    assert answer["p_value_floor"] == 0.01
    assert answer["threshold"] == pytest.approx(threshold, rel=1e-6)
    assert_close(answer["scores"], scores)
    np.testing.assert_allclose(answer["p_values"], expected, atol=0.0101)  # a rank, at most
    assert answer["anomalies"] == [value <= 0.1 for value in answer["p_values"]]
    assert answer["anomalies"] == [score > answer["threshold"] for score in answer["scores"]]


async def test_anomaly_score_takes_the_rate_of_the_manifest_by_default(client: Client) -> None:
    rows = PLANE.rows(3).tolist()

    implied = await client.answer("anomaly-score", model="plane", inputs=rows)
    stated = await client.answer(
        "anomaly-score", model="plane", inputs=rows, false_positive_rate=0.01
    )

    assert implied == stated


async def test_anomaly_score_flags_nothing_where_there_are_too_few_calibration_rows(
    client: Client,
) -> None:
    rows = (PLANE.rows(3) * 1000).tolist()

    answer = await client.answer(
        "anomaly-score", model="plane", inputs=rows, false_positive_rate=0.009
    )

    assert answer["threshold"] is None
    assert answer["anomalies"] == [False] * 3
    assert answer["warnings"] == [TOO_FEW]


async def test_anomaly_score_controls_false_discoveries_over_the_rows_of_a_request(
    client: Client,
) -> None:
    rows = PLANE.rows(20)
    rows[:6] *= 100
    p = np.sort(p_values(PLANE.score(rows), PLANE.calibration))

    answer = await client.answer(
        "anomaly-score", model="plane", inputs=rows.tolist(), false_discovery_rate=0.1
    )

    largest = max(rank for rank in range(20) if p[rank] <= 0.1 * (rank + 1) / 20)
    assert answer["anomalies"] == [value <= p[largest] for value in answer["p_values"]]
    assert answer["anomalies"] == [True] * 6 + [False] * 14


async def test_anomaly_score_answers_records_in_npy(client: Client) -> None:
    rows = PLANE.rows(4)

    records = await client.rows("anomaly-score", rows, model="plane", false_positive_rate=0.2)
    answer = await client.answer(
        "anomaly-score", model="plane", inputs=rows.tolist(), false_positive_rate=0.2
    )

    assert records.dtype == [("score", "<f4"), ("p_value", "<f8"), ("anomaly", "?")]
    np.testing.assert_array_equal(records["score"], np.array(answer["scores"], np.float32))
    assert records["p_value"].tolist() == answer["p_values"]
    assert records["anomaly"].tolist() == answer["anomalies"]


@pytest.mark.parametrize("model", UNTYPED, ids=names)
async def test_sample_draws_codes_and_decodes_them(client: Client, model: TinyModel) -> None:
    answer = await client.answer("sample", model=model.name, count=50, seed=3)

    assert list(answer) == ["model", "version", "samples", "codes", "seed"]
    assert answer["seed"] == 3
    codes = np.array(answer["codes"], np.float32)
    assert codes.shape == (50, 2)
    assert_close(answer["samples"], model.decode(codes))
    # Two narrow corners, the upper one with three quarters of the weight.
    corners = np.sign(codes)
    assert (corners[:, 0] == corners[:, 1]).all()
    np.testing.assert_allclose(np.abs(codes), 2, atol=0.6)
    assert 25 < (corners[:, 0] > 0).sum() < 48


async def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(client: Client) -> None:
    async def draw(**fields: Any) -> bytes:
        return (await client.call("sample", model="wave", count=20, **fields)).content

    assert await draw(seed=3) == await draw(seed=3)
    assert await draw(seed=3) != await draw(seed=4)
    assert await draw() != await draw()


async def test_a_seed_that_was_drawn_for_the_client_repeats_its_answer(client: Client) -> None:
    first = await client.answer("sample", model="wave", count=3)

    assert await client.answer("sample", model="wave", count=3, seed=first["seed"]) == first


async def test_the_seed_of_dense_samples_is_in_a_header(client: Client) -> None:
    response = await client.post("/sample?model=plane&count=2&seed=77", headers={"accept": NPY})

    assert response.headers["x-seed"] == "77"


async def test_temperature_scales_deviations_and_zero_gives_the_means(client: Client) -> None:
    answer = await client.answer("sample", model="plane", count=30, seed=1, temperature=0)

    assert {tuple(code) for code in answer["codes"]} == {(2.0, 2.0), (-2.0, -2.0)}


async def test_another_prior_may_be_named(client: Client) -> None:
    answer = await client.answer(
        "sample", model="plane", count=2000, seed=1, prior="standard-normal"
    )

    codes = np.array(answer["codes"])
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(codes.std(axis=0), 1, atol=0.1)


@pytest.mark.parametrize("call", ["encode", "reconstruct", "anomaly-score", "decode", "sample"])
async def test_conditions_reach_every_call_of_a_conditional_model(
    client: Client, call: str
) -> None:
    rows = LABELLED.rows(3)
    labels = np.array([[1], [2], [0]], np.float32)
    codes = LABELLED.encode(rows, labels)
    fields = {"decode": {"codes": codes.tolist()}, "sample": {"count": 3, "seed": 2}}

    answer = await client.answer(
        call,
        model="labelled",
        conditions={"label": ["dog", 3, "cat"]},
        **fields.get(call, {"inputs": rows.tolist()}),
    )

    if call == "encode":
        assert_close(answer["codes"], codes)
    elif call == "reconstruct":
        assert_close(answer["reconstructions"], LABELLED.reconstruct(rows, labels))
    elif call == "anomaly-score":
        assert_close(answer["scores"], LABELLED.score(rows, labels))
    elif call == "decode":
        assert_close(answer["outputs"], LABELLED.decode(codes, labels))
    else:
        drawn = np.array(answer["codes"], np.float32)
        assert_close(answer["samples"], LABELLED.decode(drawn, labels))


async def test_one_condition_holds_for_all_rows(client: Client) -> None:
    rows = LABELLED.rows(3)

    answer = await client.answer(
        "encode", model="labelled", inputs=rows.tolist(), conditions={"label": "dog"}
    )

    assert_close(answer["codes"], LABELLED.encode(rows, np.ones((3, 1), np.float32)))


async def test_typed_columns_are_values_in_and_values_out(client: Client) -> None:
    inputs = [[41.5, True, "Oslo"], [0, False, "Bern"]]
    numbers = np.array([[41.5, 1, 1], [0, 0, 0]], np.float32)
    expected = PEOPLE.reconstruct(numbers)

    answer = await client.answer("reconstruct", model="people", inputs=inputs)

    for row, near in zip(answer["reconstructions"], expected, strict=True):
        age, member, city = row
        assert age == pytest.approx(near[0], abs=1e-4)
        assert member is bool(near[1] >= 0.5)
        assert city == ("Oslo" if near[2] > 0.5 else "Bern")


async def test_typed_columns_are_numbers_in_npy(client: Client) -> None:
    numbers = np.array([[41.5, 1, 1], [0, 0, 0]], np.float32)

    assert_close(
        await client.rows("reconstruct", numbers, model="people"), PEOPLE.reconstruct(numbers)
    )


async def test_more_rows_than_a_batch_holds_are_answered_whole(client: Client) -> None:
    rows = WAVE.rows(3000)

    assert_close(await client.rows("encode", rows, model="wave"), WAVE.encode(rows))


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("encode", {"inputs": PLANE.rows(1).tolist()}),
        ("anomaly-score", {"inputs": PLANE.rows(1).tolist()}),
        ("sample", {"count": 2}),
    ],
)
async def test_ids_are_passed_through(client: Client, call: str, fields: dict[str, Any]) -> None:
    count = fields.get("count", 1)
    ids = ["first", 2**63][:count]

    answer = await client.answer(call, model="plane", ids=ids, **fields)

    assert answer["ids"] == ids
    assert list(answer)[:3] == ["model", "version", "ids"]


async def test_rows_that_overflow_inside_the_model_are_named(client: Client) -> None:
    rows = PLANE.rows(3)
    rows[1] = 3e38

    response = await client.call("anomaly-score", model="plane", inputs=rows.tolist())

    document = expect_problem(response, 422, "non-finite-result")
    assert document["detail"] == "1 of 3 rows overflow inside the model"
    assert [error["pointer"] for error in document["errors"]] == ["/inputs/1"]


async def test_codes_that_overflow_are_named_as_codes(client: Client) -> None:
    response = await client.call("decode", model="plane", codes=[[0, 0], [3e38, 3e38]])

    document = expect_problem(response, 422, "non-finite-result")
    assert [error["pointer"] for error in document["errors"]] == ["/codes/1"]


async def test_pictures_of_several_channels_are_rows_too(client: Client) -> None:
    rows = POSTCARD.rows(3)

    assert_close(
        await client.rows("reconstruct", rows.reshape(3, 45), model="postcard"),
        POSTCARD.reconstruct(rows),
    )
