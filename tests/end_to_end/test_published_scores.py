"""The published bundles flag what is easy, far or faulty, and leave a normal row alone."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest

from tests.end_to_end.servers import ROOT, START_SECONDS, serving

IMAGES = {
    "digits-stacked": {},
    "digits-vae": {},
    "fashion-denoiser": {},
    "fashion-vae": {},
    "mnist-cvae": {"conditions": '{"label": 7}'},
    "mnist-stacked": {},
}
NORMAL_BEAT = np.load(ROOT / "docs/examples/beats.npy")[:1].reshape(1, 140, 1)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(ROOT / "models", tmp_path_factory.mktemp("server") / "log") as server:
        yield server.url


def judged(url: str, model: str, rows: np.ndarray, **query: str) -> dict[str, Any]:
    body = BytesIO()
    np.save(body, rows.astype(np.float32))
    response = httpx.post(
        f"{url}/anomaly-score",
        params={"model": model, **query},
        content=body.getvalue(),
        headers={"content-type": "application/x-npy", "accept": "application/json"},
        timeout=START_SECONDS,
    )
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("model", IMAGES)
def test_black_grey_and_white_pictures_and_noise_are_anomalies(url: str, model: str) -> None:
    side = 8 if model.startswith("digits") else 28
    flat = np.full((3, side, side, 1), 1.0) * np.array([0, 0.5, 1]).reshape(3, 1, 1, 1)
    noise = np.random.default_rng(0).random((1, side, side, 1))

    answer = judged(url, model, np.concatenate([flat, noise]), **IMAGES[model])

    assert answer["score"] == "atypicality"
    assert answer["anomalies"] == [True] * 4


@pytest.mark.parametrize("model", ["ecg5000", "ecg-lstm"])
def test_a_beat_with_one_wrong_sample_is_an_anomaly_wherever_it_is(url: str, model: str) -> None:
    steps = NORMAL_BEAT.shape[1]
    faulty = np.repeat(NORMAL_BEAT, steps, axis=0)
    faulty[np.arange(steps), np.arange(steps), 0] += 3

    answer = judged(url, model, np.concatenate([NORMAL_BEAT, faulty]))

    assert answer["anomalies"] == [False, *[True] * steps]


@pytest.mark.parametrize("model", ["ecg5000", "ecg-lstm"])
def test_scores_of_beats_grow_to_a_million_times_their_size(url: str, model: str) -> None:
    far = NORMAL_BEAT * np.logspace(1, 6, 30).reshape(-1, 1, 1)

    answer = judged(url, model, far)

    assert np.isfinite(answer["scores"]).all()
    assert (np.diff(answer["scores"]) > 0).all()
    assert all(answer["anomalies"])
