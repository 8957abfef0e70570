"""Write the README's picture and the inputs of its examples, from the published bundles.

    python -m docs_generators.gallery MODELS_DIR DOCS_DIR

All rows are test rows, or computed from them by the operations that the service runs.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from service.bundle.storage import read_bundle_at
from service.catalog.verification import open_verified_sessions
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import with_chain
from service.inference.graphs import direct_graphs
from service.inference.session import SessionOptions
from service.operations.anomaly_score import ScoreOptions
from service.operations.direct import run_directly
from service.operations.sample import SampleOptions
from service.operations.table import ANOMALY_SCORE, DENOISE, RECONSTRUCT, SAMPLE
from training.arrays import FloatArray
from training.data.source_registry import recipe_source
from training.data.splitting import split_source
from training.recipe.files import load_recipe

COLUMNS = 9
SEED = 2026
NOISE = 0.5
_BLUE, _ORANGE = "#3b82c4", "#d97a1e"


@dataclass(frozen=True)
class TestRows:
    """Test rows of a published model, and whether each is abnormal."""

    rows: FloatArray
    abnormal: np.ndarray


def main() -> None:
    """Write ``images/gallery.png`` and ``examples/`` into a docs folder."""
    models_dir, docs_dir = (Path(argument) for argument in sys.argv[1:3])
    clothes = _test_rows("fashion-denoiser").rows
    digits = _test_rows("mnist-stacked").rows
    beats = _test_rows("ecg5000")
    noise = np.random.default_rng(SEED).normal(0, NOISE, clothes[:COLUMNS].shape)
    noisy = np.clip(clothes[:COLUMNS] + noise, 0, 1).astype(np.float32)

    denoiser = load_model(models_dir, "fashion-denoiser")
    stacked = load_model(models_dir, "mnist-stacked")
    generator = load_model(models_dir, "fashion-vae")
    detector = load_model(models_dir, "ecg5000")
    denoised = run_directly(DENOISE, denoiser, noisy).denoised
    reconstructed = run_directly(RECONSTRUCT, stacked, digits[:COLUMNS]).reconstructions
    drawing = SampleOptions(3 * COLUMNS, seed=SEED)
    drawn = run_directly(SAMPLE, generator, options=drawing).samples
    scored = run_directly(ANOMALY_SCORE, detector, beats.rows, options=ScoreOptions())
    typical = [_median_row(scored.scores, group) for group in (~beats.abnormal, beats.abnormal)]
    followed = run_directly(RECONSTRUCT, detector, beats.rows[typical]).reconstructions

    figure = Figure(figsize=(11, 5.2), layout="constrained", facecolor="white")
    panels = figure.subplot_mosaic("AABB;AABB;CCDE;CCDE", empty_sentinel=".")
    _draw_images(panels["A"], "noisy → /denoise → the clean original", [noisy, denoised, clothes])
    _draw_images(panels["B"], "test digits → /reconstruct", [digits, reconstructed])
    _draw_images(panels["C"], "/sample", np.split(drawn, 3))
    for panel, kind, row, reconstruction in zip(
        "DE", ("normal", "abnormal"), typical, followed, strict=True
    ):
        title = f"{kind} beat: p = {scored.p_values[row]:.2g}"
        _draw_beat(panels[panel], title, beats.rows[row], reconstruction)
    (docs_dir / "images").mkdir(parents=True, exist_ok=True)
    figure.savefig(docs_dir / "images" / "gallery.png", dpi=110)
    write_examples(docs_dir / "examples", noisy[0], digits[0], beats.rows[typical])


def load_model(models_dir: Path, name: str) -> Autoencoder:
    """Open the newest version of a bundle, verified, without queues.

    Args:
        models_dir: Folder of bundles.
        name: Name of the model.
    """
    versions = [int(path.name) for path in (models_dir / name).iterdir() if path.name.isdigit()]
    bundle = read_bundle_at(models_dir / name / str(max(versions)))
    sessions, _ = open_verified_sessions(bundle, SessionOptions())
    return Autoencoder(bundle, direct_graphs(with_chain(sessions)))


def write_examples(
    folder: Path, noisy_image: FloatArray, digit: FloatArray, beats: FloatArray
) -> None:
    """Write one input of each media type.

    Args:
        folder: Where to write.
        noisy_image: Shape (28, 28, 1), for a picture file.
        digit: Shape (28, 28, 1), for a JSON file.
        beats: Shape (rows, 140, 1), for a ``.npy`` file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    levels = np.rint(noisy_image[..., 0] * 255).astype(np.uint8)
    Image.fromarray(levels).save(folder / "noisy-boot.png")
    rounded = [round(float(value), 4) for value in digit.ravel()]
    request = {"model": "mnist-stacked", "inputs": [rounded]}
    (folder / "digit.json").write_text(json.dumps(request) + "\n", encoding="utf-8")
    np.save(folder / "beats.npy", beats[..., 0])


def _test_rows(recipe_name: str) -> TestRows:
    recipe = load_recipe(recipe_name)
    split = split_source(recipe_source(recipe), recipe.data, recipe.seed)
    return TestRows(split.test.rows, split.abnormal_test_rows())


def _draw_images(axes: Axes, title: str, grid: list[FloatArray]) -> None:
    bands = [np.concatenate(list(images[:COLUMNS, ..., 0]), axis=1) for images in grid]
    axes.imshow(np.concatenate(bands), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=12)
    axes.set_axis_off()


def _median_row(scores: FloatArray, group: np.ndarray) -> int:
    """Return the row with the median score of a group."""
    rows = np.flatnonzero(group)
    return int(rows[np.argsort(scores[rows])[len(rows) // 2]])


def _draw_beat(axes: Axes, title: str, beat: FloatArray, reconstruction: FloatArray) -> None:
    axes.plot(beat[:, 0], color=_BLUE, label="heart beat")
    axes.plot(reconstruction[:, 0], color=_ORANGE, label="reconstruction")
    axes.set_title(f"/anomaly-score\n{title}", fontsize=12)
    axes.set_ylim(-6, 4)
    axes.legend(loc="lower right", frameon=False)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
