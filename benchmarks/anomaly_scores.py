"""What ``atypicality`` flags, beside ``reconstruction-error``, on rows of many kinds.

    python -m benchmarks.anomaly_scores --models models [--models FOLDER] [--one-class] [name ...]

Prints for every bundle found that has both scores, and for every kind of row, the area under the
ROC curve against normal test rows, and the share that is flagged at two false-positive rates. Rows
of abnormal classes are real; all other kinds are made from normal test rows. Then it compares ways
to combine the views of ``atypicality``, each of which has the promised false-positive rate.

``--one-class`` also trains the network of ``mnist-stacked`` on each class of Fashion-MNIST alone,
for 20 epochs, with all other classes as abnormal.

Needs the data (LATENTSERVE_DATA_DIR).
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from sklearn.metrics import roc_auc_score

from benchmarks.catalog import catalog_arguments, markdown_table, open_with_data, print_table
from benchmarks.unusual_rows import far_along_codes, unusual_rows
from service.arrays import Float64Array, FloatArray
from service.bundle.manifest import DECODER, ENCODER, GraphSignature, TensorSpec
from service.inference.scoring import conformal_p_values
from training.data.splitting import Part, Split
from training.export.graph_runner import GraphRunner
from training.fitting.progress import Progress
from training.recipe.files import load_recipe

OLD, NEW = "reconstruction-error", "atypicality"
RATES = (0.01, 0.05)
NORMAL, ABNORMAL = "normal", "abnormal class"
MAX_NORMAL_ROWS = 5000
CHANGED_ROWS = 500
SEED = 0
VIEWS = "views"
ONE_CLASS_EPOCHS = 20
ONE_CLASS_ROWS = 500


@dataclass(frozen=True)
class Detector:
    """A model with both scores, and the rows that it was not trained on.

    Attributes:
        name: Of the bundle.
        kind: Of its rows.
        graphs: Signature and ONNX bytes, by graph name.
        split: The four parts of its data.
    """

    name: str
    kind: str
    graphs: dict[str, tuple[GraphSignature, bytes]]
    split: Split


# Area under the ROC curve against normal rows, then the share that is flagged at each rate.
Figures = Float64Array
# By kind of row, then by score or combination.
Outcome = dict[str, dict[str, Figures]]


def main() -> None:
    """Measure and print everything."""
    parser = catalog_arguments(__doc__)
    parser.add_argument("--one-class", action="store_true", help="train on Fashion-MNIST too")
    arguments = parser.parse_args()
    outcomes: dict[str, Outcome] = {}
    for detector in published_detectors(arguments.models or [Path("models")], arguments.names):
        outcomes[detector.name] = measure(detector)
        print_outcome(detector.name, outcomes[detector.name])
    if arguments.one_class:
        by_class = {detector.name: measure(detector) for detector in one_class_detectors()}
        print_classes(by_class)
        outcomes["one class"] = mean_outcome(by_class.values())
        print_outcome("One class of Fashion-MNIST, means of ten models", outcomes["one class"])
    print_combinations(outcomes)


def published_detectors(models: Iterable[Path], names: Iterable[str]) -> Iterator[Detector]:
    """Open the bundles that have both scores."""
    for specimen in open_with_data(models, names):
        manifest = specimen.manifest
        if manifest.anomaly and {OLD, NEW} <= manifest.anomaly.scores.keys():
            graphs = {
                name: (signature, specimen.bundle.graph(name))
                for name, signature in manifest.graphs.items()
            }
            yield Detector(specimen.name, manifest.input.kind, graphs, specimen.split)


def one_class_detectors() -> Iterator[Detector]:
    """Train one model for each class of Fashion-MNIST."""
    from training.data.sources.fashion_mnist import FILES  # noqa: PLC0415
    from training.pipeline import export_model, train_model  # noqa: PLC0415  # TensorFlow

    for name in FILES.classes:
        overrides = [
            "data.dataset=fashion-mnist",
            "data.validation_from=random",
            f'data.normal_classes=["{name}"]',
            f"data.validation_rows={ONE_CLASS_ROWS}",
            f"data.calibration_rows={ONE_CLASS_ROWS}",
            f"training.epochs={ONE_CLASS_EPOCHS}",
        ]
        with TemporaryDirectory() as runs:
            recipe = load_recipe("mnist-stacked", overrides)
            model = train_model(recipe, Path(runs), nullcontext(Silence()))
        exported = export_model(model)
        yield Detector(name, model.data.input.kind, dict(exported.graphs), model.split)


class Silence(Progress):
    """Shows nothing of a training."""

    def step(self, epoch: int, fraction: float) -> None:
        """Do nothing."""

    def finish_epoch(self, record: object, best_epoch: int) -> None:
        """Do nothing."""


def measure(detector: Detector) -> Outcome:
    """Score the rows of every kind, and combine the views in other ways too."""
    signature, content = detector.graphs[f"scorer-{NEW}"]
    graphs = detector.graphs | {f"scorer-{NEW}": with_views(signature, content)}
    runner = GraphRunner(graphs)
    calibration = run_scorers(runner, detector.split.calibration)
    kinds = dict(rows_of_every_kind(detector, runner))
    answers = {kind: run_scorers(runner, part) for kind, part in kinds.items()}
    outcome: Outcome = {kind: {} for kind in kinds}
    for method, evidence in METHODS.items():
        measured = {kind: evidence(answer, calibration) for kind, answer in answers.items()}
        for kind, (scores, p_values) in measured.items():
            normal = measured[NORMAL][0]
            is_other = np.repeat([False, True], [len(normal), len(scores)])
            area = roc_auc_score(is_other, np.concatenate([normal, scores]))
            flagged = [np.mean(p_values <= rate) for rate in RATES]
            outcome[kind][method] = np.array([area, *flagged])
    return outcome


Answer = dict[str, Float64Array]
# From an answer and that for calibration rows to scores and p-values, both (rows,).
Evidence = Callable[[Answer, Answer], tuple[Float64Array, Float64Array]]


def of_score(score: str) -> Evidence:
    """Take a score and its conformal p-values, as the service does."""

    def evidence(answer: Answer, calibration: Answer) -> tuple[Float64Array, Float64Array]:
        return answer[score], conformal_p_values(answer[score], np.sort(calibration[score]))

    return evidence


def of_views(combine: Callable[[Float64Array], Float64Array]) -> Evidence:
    """Calibrate every view, and combine p-values that may depend on each other in any way."""

    def evidence(answer: Answer, calibration: Answer) -> tuple[Float64Array, Float64Array]:
        p_values = [
            conformal_p_values(values, np.sort(column))
            for values, column in zip(answer[VIEWS].T, calibration[VIEWS].T, strict=True)
        ]
        combined = combine(np.stack(p_values))
        return -combined, combined

    return evidence


METHODS: dict[str, Evidence] = {
    OLD: of_score(OLD),
    NEW: of_score(NEW),
    "Bonferroni": of_views(lambda p_values: len(p_values) * p_values.min(axis=0)),
    "twice the mean": of_views(lambda p_values: 2 * p_values.mean(axis=0)),
}


def with_views(signature: GraphSignature, content: bytes) -> tuple[GraphSignature, bytes]:
    """Add the nats of every view, which the score is computed from, as an output of the graph."""
    model = onnx.load_from_string(content)
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers["scores"]
    while node.op_type != "Gemm":
        node = producers[node.input[0]]
    (views,) = node.output
    heights = next(array for array in model.graph.initializer if array.name == node.input[1])
    count = heights.dims[1]
    model.graph.node.append(onnx.helper.make_node("Identity", [views], [VIEWS]))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(VIEWS, onnx.TensorProto.FLOAT, ["batch", count])
    )
    outputs = (*signature.outputs, TensorSpec(name=VIEWS, shape=(count,)))
    return signature.model_copy(update={"outputs": outputs}), model.SerializeToString()


def run_scorers(runner: GraphRunner, part: Part) -> dict[str, Float64Array]:
    """Return both scores, (rows,), and the views, (rows, views), of a part."""
    inputs = (part.rows,) if part.conditions is None else (part.rows, part.conditions)
    old = runner.run(f"scorer-{OLD}", *inputs)[0]
    new, _, views = runner.run(f"scorer-{NEW}", *inputs)
    return {
        name: values.astype(np.float64) for name, values in ((OLD, old), (NEW, new), (VIEWS, views))
    }


def rows_of_every_kind(detector: Detector, runner: GraphRunner) -> Iterator[tuple[str, Part]]:
    """Yield normal test rows, those of abnormal classes, and kinds made from normal ones."""
    abnormal = detector.split.abnormal_test_rows()
    normal = part_of(detector.split.normal_test(), slice(MAX_NORMAL_ROWS))
    yield NORMAL, normal
    if abnormal.any():
        yield ABNORMAL, part_of(detector.split.test, abnormal)
    some = part_of(normal, slice(CHANGED_ROWS))
    for name, rows in unusual_rows(some.rows, detector.kind, SEED):
        yield name, Part(some.indices, rows, some.labels, first_conditions(some, len(rows)))
    codes = run_graph(detector, runner, ENCODER, some.rows, some.conditions)
    far = far_along_codes(
        codes, lambda moved: run_graph(detector, runner, DECODER, moved, some.conditions)
    )
    yield "codes 10 times as far", Part(some.indices, far, some.labels, some.conditions)


def run_graph(
    detector: Detector,
    runner: GraphRunner,
    graph: str,
    values: FloatArray,
    conditions: FloatArray | None,
) -> FloatArray:
    """Run encoder or decoder, and return its first output."""
    takes_conditions = len(detector.graphs[graph][0].inputs) > 1
    inputs = (values, conditions) if takes_conditions and conditions is not None else (values,)
    return runner.run(graph, *inputs)[0]


def part_of(part: Part, chosen: slice | np.ndarray) -> Part:
    """Return some rows of a part."""
    conditions = None if part.conditions is None else part.conditions[chosen]
    return Part(part.indices[chosen], part.rows[chosen], part.labels[chosen], conditions)


def first_conditions(part: Part, count: int) -> FloatArray | None:
    """Return the conditions of the first rows, or None."""
    return None if part.conditions is None else part.conditions[:count]


def print_outcome(title: str, outcome: Outcome) -> None:
    """Print a line for every kind of row: old score, new score."""
    header = ["rows", "AUROC", *(f"flagged at {rate:g}" for rate in RATES)]
    table = markdown_table(f"{title}: {OLD}, {NEW}", *header)
    for kind, figures in outcome.items():
        old, new = figures[OLD], figures[NEW]
        cells = [f"{before:.3f}, {after:.3f}" for before, after in zip(old, new, strict=True)]
        table.add_row(kind, *(["", *cells[1:]] if kind == NORMAL else cells))
    print_table(table)


def print_classes(outcomes: dict[str, Outcome]) -> None:
    """Print a line for every class: how its model sees all other classes, and normal rows."""
    header = ["normal class", "AUROC"]
    header += [f"{rows} flagged at {rate:g}" for rows in ("others", "normal") for rate in RATES]
    table = markdown_table(f"Other classes of Fashion-MNIST: {OLD}, {NEW}", *header)
    for name, outcome in outcomes.items():
        pairs = [
            *zip(outcome[ABNORMAL][OLD], outcome[ABNORMAL][NEW], strict=True),
            *zip(outcome[NORMAL][OLD][1:], outcome[NORMAL][NEW][1:], strict=True),
        ]
        table.add_row(name, *(f"{before:.3f}, {after:.3f}" for before, after in pairs))
    print_table(table)


def mean_outcome(outcomes: Collection[Outcome]) -> Outcome:
    """Average the figures of several models."""
    return {
        kind: {
            method: np.mean([outcome[kind][method] for outcome in outcomes], axis=0)
            for method in METHODS
        }
        for kind in next(iter(outcomes))
    }


def print_combinations(outcomes: dict[str, Outcome]) -> None:
    """Print what every method flags of normal rows, of real anomalies, and of all made kinds."""
    table = markdown_table(
        f"Flagged at {RATES[0]:g} and {RATES[1]:g}, means over models",
        *("method", NORMAL, ABNORMAL, "other kinds"),
    )
    for method in METHODS:
        cells: list[str] = []
        for kinds in ({NORMAL}, {ABNORMAL}, None):
            flagged = [
                np.mean(chosen, axis=0)
                for outcome in outcomes.values()
                if (
                    chosen := [
                        figures[method][1:]
                        for kind, figures in outcome.items()
                        if (kind in kinds if kinds else kind not in (NORMAL, ABNORMAL))
                    ]
                )
            ]
            cells.append(", ".join(f"{share:.3f}" for share in np.mean(flagged, axis=0)))
        table.add_row(method, *cells)
    print_table(table)


if __name__ == "__main__":
    main()
