"""A bundle's calibration and priors are what its manifest says, or it is refused."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import PriorSpec, PriorsSpec
from service.errors import BundleError, BundleFileCorrupted, InvalidManifest
from service.inference.sampling import StandardNormal
from tests.bundles import PLANE, SCORE, WAVE, archive, mixture_arrays, publish_tiny
from tests.operations.opened import draw, open_autoencoder

NORMAL = PLANE.calibration
MIXTURE = mixture_arrays(2)
ONE_COMPONENT = {name: array[:1] for name, array in MIXTURE.items()} | {"weights": np.ones(1)}
LIES: dict[str, tuple[dict[str, bytes], type[BundleError], str]] = {
    "calibration of fewer rows": (
        {"calibration.npz": archive({SCORE: NORMAL[1:]})},
        BundleFileCorrupted,
        r"calibration\.npz: .* has shape \(98,\), the manifest says 99 rows",
    ),
    "calibration of two axes": (
        {"calibration.npz": archive({SCORE: NORMAL[:, None]})},
        BundleFileCorrupted,
        r"has shape \(99, 1\), the manifest says 99 rows",
    ),
    "calibration of another score": (
        {"calibration.npz": archive({"likelihood": NORMAL})},
        BundleFileCorrupted,
        r"has shape \(0,\), the manifest says 99 rows",
    ),
    "calibration out of order": (
        {"calibration.npz": archive({SCORE: NORMAL[::-1]})},
        BundleFileCorrupted,
        "is not finite and ascending",
    ),
    "calibration with a value that is no number": (
        {"calibration.npz": archive({SCORE: np.append(NORMAL[:-1], np.nan)})},
        BundleFileCorrupted,
        "is not finite and ascending",
    ),
    "calibration up to infinity": (
        {"calibration.npz": archive({SCORE: np.append(NORMAL[:-1], np.inf)})},
        BundleFileCorrupted,
        "is not finite and ascending",
    ),
    "a prior over other codes": (
        {"priors.npz": archive(mixture_arrays(3))},
        InvalidManifest,
        r"priors\.npz draws 3 values, a code has 2",
    ),
    "a prior of fewer components": (
        {"priors.npz": archive(ONE_COMPONENT)},
        InvalidManifest,
        r"priors\.npz has 1 components, the prior gaussian-mixture 2",
    ),
    "a prior without weights": (
        {"priors.npz": archive({"means": MIXTURE["means"], "cholesky": MIXTURE["cholesky"]})},
        InvalidManifest,
        r"priors\.npz has no array 'weights'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_files_that_are_not_what_the_manifest_says_are_refused(lie: str, tmp_path: Path) -> None:
    files, kind, reason = LIES[lie]
    location = publish_tiny(tmp_path, PLANE, files)

    with pytest.raises(kind, match=reason):
        open_autoencoder(location)


def test_a_bundle_without_a_mixture_samples_from_the_standard_normal(tmp_path: Path) -> None:
    priors = PriorsSpec(
        available={"normal": PriorSpec(kind="standard-normal", description="N(0, I)")},
        default="normal",
    )
    autoencoder = open_autoencoder(publish_tiny(tmp_path, WAVE, priors=priors))
    drawn = draw(autoencoder, 4, seed=2)

    assert np.array_equal(drawn.codes, StandardNormal(2).draw(4, np.random.default_rng(2)))
