"""How good are samples, and what lies between two rows?

    python -m benchmarks.generation --models models [--models FOLDER] [name ...]

Prints, for every bundle of MNIST or Fashion-MNIST images found:

- the Fréchet distance between 10,000 samples and the test images, in the features of a classifier
  that is trained here. It is not FID, whose features are those of an Inception network: numbers
  compare with each other, not with other people's;
- for conditional bundles, how often the classifier sees the digit that was asked for;
- for bundles of digits, a classifier's confidence along paths between two eights, in code space
  and in pixel space: that it is an eight, and that it is one eight and not two laid over each
  other; and how far the pictures on the way are from eights that people wrote.

Needs the data (LATENTSERVE_DATA_DIR).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.catalog import (
    Specimen,
    catalog_arguments,
    markdown_table,
    open_with_data,
    print_table,
)
from benchmarks.classifier import (
    ImageClassifier,
    InkClassifier,
    image_classifier,
    ink_classifier,
)
from service.arrays import FloatArray
from service.inference.sampling import Prior, StandardNormal
from training.data.splitting import Part

SAMPLES = 10_000
CONDITIONAL_SAMPLES = 1000
PATHS = 200
PATH_STEPS = 11
EIGHT = 8
SEED = 2026
PICTURES = ("mnist", "fashion-mnist")

# Flat rows, (rows, values), to the positions of starts and of ends, each (pairs,).
PairChoice = Callable[[FloatArray], tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class Distances:
    """Fréchet distances of one bundle from the test images.

    Attributes:
        standard_normal: Of samples from N(0, I).
        mixture: Of samples from the mixture fitted to its codes.
        reconstructions: Of reconstructed test images: what its samples could come to.
        training_images: Of 10,000 training images: what chance alone leaves.
    """

    standard_normal: float
    mixture: float
    reconstructions: float
    training_images: float


@dataclass(frozen=True)
class PathQuality:
    """How much of an eight there is between two eights.

    Attributes:
        mean_confidence: Probability of an eight over all inner steps of all paths.
        least_confidence: Of each path's weakest step, the mean over paths.
        single_confidence: Probability of one eight and not two laid over each other, over all
            inner steps of all paths.
        least_single_confidence: Of each path's weakest step, the mean over paths.
        distance: Fréchet distance of all steps from the test eights.
    """

    mean_confidence: float
    least_confidence: float
    single_confidence: float
    least_single_confidence: float
    distance: float


def main() -> None:
    """Measure and print everything."""
    arguments = catalog_arguments(__doc__).parse_args()
    folders = arguments.models or [Path("models")]
    specimens = [
        specimen
        for specimen in open_with_data(folders, arguments.names)
        if specimen.recipe.data.dataset in PICTURES
    ]
    for dataset in sorted({specimen.recipe.data.dataset for specimen in specimens}):
        accuracy = classifier_of(dataset).test_accuracy
        print(f"classifier of {dataset}: test accuracy {accuracy:.4f}")
    print_table(distance_table(specimens))
    for specimen in specimens:
        if specimen.manifest.conditions is not None:
            accuracy = conditional_accuracy(specimen)
            print(
                f"{specimen.name}: {accuracy:.4f} of {CONDITIONAL_SAMPLES} samples are what was"
                " asked for"
            )
    digits = [specimen for specimen in specimens if specimen.recipe.data.dataset == "mnist"]
    for pairs in PAIRS:
        print_table(path_table(digits, pairs))


@cache
def classifier_of(dataset: str) -> ImageClassifier:
    """Return the classifier of a data set, loaded once."""
    return image_classifier(dataset)


@cache
def ink_classifier_of(dataset: str) -> InkClassifier:
    """Return the classifier of single digits and overlays, loaded once."""
    return ink_classifier(dataset)


def distance_table(specimens: list[Specimen]) -> Table:
    """Tabulate Fréchet distances, bundle by bundle."""
    header = ("bundle", "family", "N(0, I)", "mixture", "reconstructions", "training images")
    table = markdown_table(
        "Fréchet distance from test images, in the classifier's features", *header
    )
    for specimen in specimens:
        found = distances(specimen)
        figures = (
            *(found.standard_normal, found.mixture),
            *(found.reconstructions, found.training_images),
        )
        family = "variational" if specimen.manifest.code.variational else "plain"
        table.add_row(specimen.name, family, *(f"{figure:.2f}" for figure in figures))
    return table


def distances(specimen: Specimen) -> Distances:
    """Measure how far samples of a bundle are from its test images."""
    classifier = classifier_of(specimen.recipe.data.dataset)
    split = specimen.split
    test = classifier.features(split.test.rows)

    def from_test(images: FloatArray) -> float:
        return frechet_distance(classifier.features(images), test)

    return Distances(
        standard_normal=from_test(samples(specimen, StandardNormal(specimen.code_size))),
        mixture=from_test(samples(specimen, specimen.mixture)),
        reconstructions=from_test(specimen.reconstruct(split.test)),
        training_images=from_test(split.train.rows[:SAMPLES]),
    )


def samples(specimen: Specimen, prior: Prior) -> FloatArray:
    """Decode 10,000 draws; a conditional bundle is asked for every class equally often."""
    codes = prior.draw(SAMPLES, np.random.default_rng(SEED))
    return specimen.decode(codes, _every_class(specimen, SAMPLES))


def frechet_distance(features: FloatArray, others: FloatArray) -> float:
    """Measure the distance between two sets as if both were normally distributed.

    Args:
        features: Shape (rows, features).
        others: Shape (other rows, features).

    Returns:
        ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``, in squared units of the features.

    Source: Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium, NIPS 2017.
    """
    (mean, covariance), (other_mean, other_covariance) = _moments(features), _moments(others)
    root = _square_root(covariance)
    # C1 C2 has the eigenvalues of this symmetric product, which stay real under rounding.
    cross = np.linalg.eigvalsh(root @ other_covariance @ root)
    overlap = np.sqrt(np.maximum(cross, 0)).sum()
    squared = np.square(mean - other_mean).sum()
    return float(squared + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap)


def conditional_accuracy(specimen: Specimen) -> float:
    """Measure how often a sample is of the class that was asked for."""
    conditions = _every_class(specimen, CONDITIONAL_SAMPLES)
    assert conditions is not None, f"{specimen.name} takes no conditions"  # noqa: S101  # the caller's mistake
    codes = StandardNormal(specimen.code_size).draw(
        CONDITIONAL_SAMPLES, np.random.default_rng(SEED)
    )
    classifier = classifier_of(specimen.recipe.data.dataset)
    found = classifier.probabilities(specimen.decode(codes, conditions)).argmax(axis=1)
    return float((found == conditions[:, 0]).mean())


def path_table(specimens: list[Specimen], pairs: str) -> Table:
    """Tabulate the confidence along paths between eights, bundle by bundle.

    Args:
        specimens: Bundles of digits.
        pairs: Which eights are joined, a key of ``PAIRS``.
    """
    header = ("bundle", "code path", "pixel path", "between decoded ends")
    title = (
        f"Between {PATHS} {pairs} eights: probability of one eight, mean (weakest step); of an"
        " eight or an overlay, the same; Fréchet distance from test eights"
    )
    table = markdown_table(title, *header)
    for specimen in specimens:
        paths = eight_paths(specimen, PAIRS[pairs])
        cells = (
            f"{path.single_confidence:.2f} ({path.least_single_confidence:.2f});"
            f" {path.mean_confidence:.2f} ({path.least_confidence:.2f}); {path.distance:.1f}"
            for path in paths
        )
        table.add_row(specimen.name, *cells)
    return table


def eight_paths(specimen: Specimen, choose: PairChoice) -> Iterator[PathQuality]:
    """Walk between test eights through codes, through pixels, and through decoded pixels.

    The third path mixes the pixels of both decoded ends: beside it the code path's advantage is
    the code's alone, not that of smoother pictures.
    """
    test = specimen.split.test
    eights = np.flatnonzero(test.labels == EIGHT)[: 2 * PATHS]
    first, last = choose(test.rows[eights].reshape(len(eights), -1))
    starts, ends = (_rows_of(test, eights[side]) for side in (first, last))
    codes = [specimen.encode(side)[0] for side in (starts, ends)]
    conditions = np.full((PATHS, 1), EIGHT, np.float32)
    decoded = [specimen.decode(side, conditions) for side in codes]
    between = _between(*codes)
    repeated = np.full((len(between), 1), EIGHT, np.float32)
    paths = (
        specimen.decode(between, repeated),
        _between(starts.rows, ends.rows),
        _between(*decoded),
    )
    classifier, ink = classifier_of("mnist"), ink_classifier_of("mnist")
    written = classifier.features(test.rows[test.labels == EIGHT])
    for images in paths:
        eight, single = (
            judge.probabilities(images)[:, EIGHT].reshape(-1, PATHS) for judge in (classifier, ink)
        )
        distance = frechet_distance(classifier.features(images), written)
        yield PathQuality(*_mean_and_weakest(eight), *_mean_and_weakest(single), distance)


def _mean_and_weakest(confidence: FloatArray) -> tuple[float, float]:
    return float(confidence.mean()), float(confidence.min(axis=0).mean())


def neighbouring_pairs(rows: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Join rows as the data set has them one after another, which is by chance."""
    return np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)


def unlike_pairs(rows: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Join every other row with the one that has the fewest pixels in common with it.

    Mixing two pictures that nearly coincide gives a picture of the same kind, whatever the path;
    only unlike ones tell paths apart.
    """
    first = np.arange(0, len(rows), 2)
    return first, (rows[first] @ rows.T).argmin(axis=1)


PAIRS: dict[str, PairChoice] = {
    "pairs of": neighbouring_pairs,
    "pairs of unlike": unlike_pairs,
}


def _rows_of(part: Part, chosen: NDArray[np.intp]) -> Part:
    conditions = None if part.conditions is None else part.conditions[chosen]
    return Part(part.indices[chosen], part.rows[chosen], part.labels[chosen], conditions)


def _between(starts: FloatArray, ends: FloatArray) -> FloatArray:
    """Mix starts and ends in equal steps, without either: (steps * pairs, ...)."""
    shares = np.linspace(0, 1, PATH_STEPS, dtype=np.float32)[1:-1]
    return np.concatenate([(1 - share) * starts + share * ends for share in shares])


def _every_class(specimen: Specimen, count: int) -> FloatArray | None:
    if specimen.manifest.conditions is None:
        return None
    classes = len(specimen.data.classes)
    return (np.arange(count) % classes).astype(np.float32)[:, np.newaxis]


def _moments(features: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exact = features.astype(np.float64)
    return exact.mean(axis=0), np.cov(exact, rowvar=False)


def _square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


if __name__ == "__main__":
    main()
