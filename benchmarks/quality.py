"""What the published bundles are worth, measured over HTTP on their test rows.

    python -m benchmarks.quality [--url http://127.0.0.1:8000] [--sheets FOLDER]

Needs a running service with the published bundles, and the data (LATENTSERVE_DATA_DIR).
"""

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from scipy.stats import betabinom
from sklearn.metrics import roc_auc_score

from service.arrays import FloatArray
from service.bundle.storage import read_bundle_at
from service.catalog.verification import open_verified_sessions
from service.inference.session import SessionOptions
from training.data.source_registry import recipe_source
from training.data.splitting import split_source
from training.evaluation.metrics import binary_cross_entropy, peak_signal_to_noise_ratio
from training.recipe.files import load_recipe

NPY = "application/x-npy"
CHUNK_ROWS = 1000


class Client:
    """Calls of a running service, in npy."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)

    def rows(self, call: str, inputs: FloatArray, **options: Any) -> np.ndarray:
        """Send rows a thousand at a time and join the answers."""
        parts = [
            self._post(call, inputs[first : first + CHUNK_ROWS], options)
            for first in range(0, len(inputs), CHUNK_ROWS)
        ]
        return np.concatenate(parts)

    def _post(self, call: str, inputs: FloatArray, options: dict[str, Any]) -> np.ndarray:
        body = BytesIO()
        np.save(body, inputs)
        headers = {"content-type": NPY, "accept": NPY}
        answer = self._http.post(
            f"/{call}", content=body.getvalue(), headers=headers, params=options
        )
        answer.raise_for_status()
        return np.load(BytesIO(answer.content))

    def sample(self, accept: str, **options: Any) -> bytes:
        """Draw rows; the answer as it comes."""
        answer = self._http.post("/sample", params=options, headers={"accept": accept})
        answer.raise_for_status()
        return answer.content


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets of samples")
    arguments = parser.parse_args()
    client = Client(arguments.url)
    judge_beats(client)
    denoise_clothes(client)
    compare_with_direct_runs(client, arguments.models)
    draw_samples(client, arguments.sheets)


def judge_beats(client: Client) -> None:
    """Score the ECG5000 test beats: separation, and the promised false-positive rates."""
    rows, abnormal = test_rows("ecg5000")
    answer = client.rows("anomaly-score", rows, model="ecg5000")
    print(f"ecg5000: AUROC {roc_auc_score(abnormal, answer['score']):.4f} over {len(rows)} beats")
    normal = rows[~abnormal]
    calibration_rows = load_recipe("ecg5000").data.calibration_rows
    for rate in (0.01, 0.05):
        flagged = client.rows("anomaly-score", normal, model="ecg5000", false_positive_rate=rate)[
            "anomaly"
        ]
        bound = false_positive_bound(rate, calibration_rows, len(normal))
        print(
            f"ecg5000: {flagged.sum()} of {len(normal)} normal beats flagged at {rate:g}"
            f" ({flagged.mean():.4f}; 99 % upper bound {bound:.4f})"
        )


def false_positive_bound(rate: float, calibration_rows: int, rows: int) -> float:
    """Bound the measured false-positive rate with 99 % probability.

    Given a threshold at the k-th largest of n calibration scores, the number of exceedances among
    m fresh normal rows is beta-binomial with parameters k and n + 1 - k.
    """
    k = int(rate * (calibration_rows + 1))
    return float(betabinom.ppf(0.99, rows, k, calibration_rows + 1 - k)) / rows


def denoise_clothes(client: Client) -> None:
    """Denoise 10,000 test images: cross-entropy against the clean ones, PSNR before and after."""
    clean, _ = test_rows("fashion-denoiser")
    noise = np.random.default_rng(0).normal(0, 0.5, clean.shape)
    noisy = np.clip(clean + noise, 0, 1).astype(np.float32)
    denoised = client.rows("denoise", noisy, model="fashion-denoiser")
    entropy = binary_cross_entropy(clean, denoised)
    before, after = (peak_signal_to_noise_ratio(clean, images) for images in (noisy, denoised))
    print(
        f"fashion-denoiser: BCE {entropy:.4f} over {len(clean)} images,"
        f" PSNR {before:.2f} dB noisy, {after:.2f} dB denoised"
    )


def compare_with_direct_runs(client: Client, models_dir: Path) -> None:
    """Compare 1,000 served rows of every bundle with onnxruntime on its own."""
    for name in ("mnist-stacked", "fashion-denoiser", "fashion-vae", "ecg5000"):
        rows = test_rows(name)[0][:CHUNK_ROWS]
        newest = max((models_dir / name).iterdir(), key=lambda folder: int(folder.name))
        sessions, _ = open_verified_sessions(read_bundle_at(newest), SessionOptions())
        codes = sessions["encoder"].run(rows)[0]
        (direct,) = sessions["decoder"].run(codes)
        served = client.rows("reconstruct", rows, model=name)
        deviation = np.abs(served - direct).max() / max(1.0, float(np.abs(direct).max()))
        print(f"{name}: served against direct, {len(rows)} rows: {deviation:.1e}")


def draw_samples(client: Client, sheets: Path | None) -> None:
    """Draw twice with one seed and once with another; keep contact sheets to look at."""
    for name in ("fashion-vae", "mnist-stacked"):
        once, again, other = (
            client.sample(NPY, model=name, count=64, seed=seed) for seed in (7, 7, 8)
        )
        print(f"{name}: same seed same bytes {once == again}, other seed other {once != other}")
        if sheets:
            sheets.mkdir(parents=True, exist_ok=True)
            sheet = client.sample("image/png", model=name, count=64, seed=7)
            (sheets / f"{name}.png").write_bytes(sheet)


def test_rows(recipe_name: str) -> tuple[FloatArray, np.ndarray]:
    """Return the test rows of a shipped recipe, and which of them are abnormal."""
    recipe = load_recipe(recipe_name)
    split = split_source(recipe_source(recipe), recipe.data, recipe.seed)
    return split.test.rows, split.abnormal_test_rows()


if __name__ == "__main__":
    main()
