"""What codes are like: the subspaces, activations, reactions and classes that they hold.

    python -m benchmarks.representations --models models [--models FOLDER] [name ...]

Prints what applies to each bundle found:

- linear networks: principal angles between the subspace they reconstruct in and that of PCA;
- sparse codes: mean activation and moments of the units;
- contractive codes, beside every bundle of the same layers without the penalty: the Frobenius norm
  of the encoder's Jacobian at test rows, and the cross-entropy at which it was reached;
- codes in a plane: accuracy of nearest neighbours on it.

The plain twin of a contractive bundle is its recipe with ``--set objective.penalties=[]`` and
another name.

Needs the data (LATENTSERVE_DATA_DIR).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import kurtosis, skew
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.catalog import (
    Specimen,
    catalog_arguments,
    markdown_table,
    open_with_data,
    print_table,
)
from service.arrays import FloatArray
from service.bundle.manifest import ENCODER
from training.data.splitting import Part
from training.evaluation.gates import is_linear
from training.evaluation.linear_baseline import fit_linear_baseline, principal_angle_degrees
from training.evaluation.metrics import binary_cross_entropy, mean_squared_error

NEIGHBOURS = 15
FITTED_ROWS = 20_000
JACOBIAN_ROWS = 200
# Central differences in single precision: rounding and curvature both stay under a thousandth.
DIFFERENCE_STEP = 1e-2


def main() -> None:
    """Measure and print everything that applies."""
    arguments = catalog_arguments(__doc__).parse_args()
    specimens = list(open_with_data(arguments.models or [Path("models")], arguments.names))
    for table in (
        subspace_table(specimen for specimen in specimens if is_linear(specimen.recipe)),
        activation_table(s for s in specimens if _penalties(s) & {"l1-activity", "kl-sparsity"}),
        jacobian_table(with_plain_twins(specimens)),
        neighbour_table(s for s in specimens if s.code_size == 2 and len(s.data.classes) > 1),
    ):
        print_table(table)


def subspace_table(specimens: Iterable[Specimen]) -> Table:
    """Compare the subspaces of linear networks with those of PCA."""
    header = ("bundle", "largest principal angle", "test MSE", "test MSE of PCA")
    title = "Linear networks against PCA fitted to the same training rows"
    table = markdown_table(title, *header)
    for specimen in specimens:
        split = specimen.split
        baseline = fit_linear_baseline(_flat(split.train.rows), specimen.code_size)
        outputs = _flat(specimen.reconstruct(split.test))
        rows = _flat(split.test.rows)
        table.add_row(
            specimen.name,
            f"{principal_angle_degrees(outputs, baseline):.4f} degrees",
            f"{mean_squared_error(rows, outputs):.6f}",
            f"{mean_squared_error(rows, baseline.reconstruct(rows)):.6f}",
        )
    return table


def activation_table(specimens: Iterable[Specimen]) -> Table:
    """Tabulate how active the units of sparse codes are, over test rows."""
    header = (
        "bundle",
        "mean activation",
        "of units: 5 %",
        "50 %",
        "95 %",
        "std",
        "skew",
        "kurtosis",
    )
    title = "Sparse codes: means of units, and the median unit's higher moments (normal: 0, 0)"
    table = markdown_table(title, *header)
    for specimen in specimens:
        codes = _flat(specimen.encode(specimen.split.test)[0]).astype(np.float64)
        means = codes.mean(axis=0)
        higher = (codes.std(axis=0), skew(codes, axis=0), kurtosis(codes, axis=0))
        figures = [means.mean(), *np.quantile(means, [0.05, 0.5, 0.95])]
        figures += [np.nanmedian(moment) for moment in higher]
        table.add_row(specimen.name, *(f"{figure:.4f}" for figure in figures))
    return table


def with_plain_twins(specimens: Iterable[Specimen]) -> list[Specimen]:
    """Pick contractive bundles, and those that have the same layers and data without penalties."""
    known = list(specimens)
    contractive = [s for s in known if "contractive" in _penalties(s)]
    kinds = [(s.recipe.model, s.recipe.data) for s in contractive]
    twins = [s for s in known if not _penalties(s) and (s.recipe.model, s.recipe.data) in kinds]
    return [*contractive, *twins]


def jacobian_table(specimens: Iterable[Specimen]) -> Table:
    """Tabulate how strongly codes react to their rows."""
    header = ("bundle", "Jacobian norm: mean", "median", "largest", "test BCE")
    title = f"Frobenius norm of the encoder's Jacobian at {JACOBIAN_ROWS} test rows"
    table = markdown_table(title, *header)
    for specimen in specimens:
        test = specimen.split.test
        norms = jacobian_norms(specimen, test.rows[:JACOBIAN_ROWS])
        entropy = binary_cross_entropy(test.rows, specimen.reconstruct(test))
        figures = (norms.mean(), np.median(norms), norms.max(), entropy)
        table.add_row(specimen.name, *(f"{figure:.4f}" for figure in figures))
    return table


def jacobian_norms(specimen: Specimen, rows: FloatArray) -> NDArray[np.float64]:
    """Measure ``||d codes / d row||`` through the graph that is served, by central differences.

    Args:
        specimen: An unconditional bundle.
        rows: Shape (rows, *row shape).

    Returns:
        Frobenius norms, (rows,).

    Source: Rifai et al., Contractive auto-encoders: explicit invariance during feature extraction,
        ICML 2011.
    """
    size = rows[0].size
    steps = DIFFERENCE_STEP * np.eye(size, dtype=np.float32).reshape(size, *rows.shape[1:])
    norms = []
    for row in rows:
        above, below = (
            _flat(specimen.runner.run(ENCODER, row + sign * steps)[0]).astype(np.float64)
            for sign in (1, -1)
        )
        norms.append(np.linalg.norm((above - below) / (2 * DIFFERENCE_STEP)))
    return np.array(norms)


def neighbour_table(specimens: Iterable[Specimen]) -> Table:
    """Tabulate how well classes are apart on planes of codes."""
    title = f"Accuracy of {NEIGHBOURS} nearest training codes on the plane, over test rows"
    table = markdown_table(title, "bundle", "data", "k-NN accuracy")
    for specimen in specimens:
        accuracy = neighbour_accuracy(specimen)
        table.add_row(specimen.name, specimen.recipe.data.dataset, f"{accuracy:.4f}")
    return table


def neighbour_accuracy(specimen: Specimen) -> float:
    """Classify test rows by the training rows whose codes are nearest."""
    split = specimen.split
    train, test = split.train, split.test
    chosen = slice(FITTED_ROWS)
    conditions = None if train.conditions is None else train.conditions[chosen]
    fitted = Part(train.indices[chosen], train.rows[chosen], train.labels[chosen], conditions)
    neighbours = KNeighborsClassifier(NEIGHBOURS)
    neighbours.fit(_flat(specimen.encode(fitted)[0]), fitted.labels)
    found = np.asarray(neighbours.predict(_flat(specimen.encode(test)[0])))
    return float((found == test.labels).mean())


def _penalties(specimen: Specimen) -> set[str]:
    return {penalty.kind for penalty in specimen.recipe.objective.penalties}


def _flat(rows: FloatArray) -> FloatArray:
    return rows.reshape(len(rows), -1)


if __name__ == "__main__":
    main()
