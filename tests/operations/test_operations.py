"""Operations give what the same model gives in NumPy, and reject what they cannot answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.arrays import FloatArray
from service.bundle.manifest import Capability, Manifest
from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.errors import CapabilityMissing, InvalidInput, NonFiniteResult
from service.inference.autoencoder import Autoencoder
from service.inference.chained_graph import CHAIN, with_chain
from service.inference.graphs import Graph, direct_graphs
from service.inference.sampling import GaussianMixture, StandardNormal
from service.inference.session import SessionOptions
from service.operations.anomaly_score import ScoreOptions
from service.operations.direct import run_directly
from service.operations.operation import Operation
from service.operations.sample import SampleOptions
from service.operations.table import (
    DECODE,
    DENOISE,
    ENCODE,
    OPERATIONS,
    RECONSTRUCT,
    capabilities,
    require,
    supports,
)
from service.request_context import RequestContext
from tests.bundles import (
    LABELLED,
    PLANE,
    SCORE,
    STAMP,
    TINY_MODELS,
    TinyModel,
    mixture_arrays,
    tiny_manifest,
)
from tests.operations.opened import NO_ROWS, decide, draw, open_tiny

ROWS = 6


@pytest.fixture(params=TINY_MODELS, ids=lambda model: model.name)
def model(request: pytest.FixtureRequest) -> TinyModel:
    return request.param


@pytest.fixture
def autoencoder(model: TinyModel, tiny_models_dir: Path) -> Autoencoder:
    return open_tiny(tiny_models_dir, model)


def labels_for(model: TinyModel, rows: int) -> FloatArray | None:
    if model.conditions is None:
        return None
    return (np.arange(rows, dtype=np.float32) % 3)[:, None]


def close_to(result: FloatArray, expected: FloatArray) -> bool:
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    return bool(np.abs(result - expected).max() <= 1e-5 * max(1, np.abs(expected).max()))


def test_encode(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    found = run_directly(ENCODE, autoencoder, rows, labels)

    assert close_to(found.codes, model.encode(rows, labels))
    if model.variational:
        assert close_to(found.log_variances, -model.encode(rows, labels))
    else:
        assert found.log_variances is None
    assert list(found.fields()) == ["codes", "log_variances"][: 1 + model.variational]


def test_decode(autoencoder: Autoencoder, model: TinyModel) -> None:
    codes = np.random.default_rng(3).standard_normal((ROWS, model.code_size), dtype=np.float32)
    labels = labels_for(model, ROWS)

    outputs = run_directly(DECODE, autoencoder, codes, labels).outputs

    assert close_to(outputs, model.decode(codes, labels))


def test_reconstruct(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)

    found = run_directly(RECONSTRUCT, autoencoder, rows, labels)

    assert close_to(found.reconstructions, model.reconstruct(rows, labels))
    assert list(found.fields()) == ["reconstructions"]


def test_denoise(tiny_models_dir: Path) -> None:
    rows = STAMP.rows(ROWS)

    found = run_directly(DENOISE, open_tiny(tiny_models_dir, STAMP), rows)

    assert close_to(found.denoised, STAMP.reconstruct(rows))


def test_anomaly_score(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    decision = decide(autoencoder, rows, labels, false_positive_rate=0.3)
    scores = decision.scores.astype(np.float64)
    at_least = (model.calibration >= scores[:, None]).sum(axis=1)

    assert close_to(decision.scores, model.score(rows, labels))
    assert decision.score == SCORE
    assert decision.p_values.tolist() == ((1 + at_least) / 100).tolist()
    assert decision.threshold == model.calibration[-30]
    assert decision.anomalies.tolist() == (decision.p_values <= 0.3).tolist()
    assert (decision.calibration_rows, decision.p_value_floor) == (99, 0.01)
    assert decision.warnings == ()


@pytest.mark.parametrize(
    ("prior", "density"),
    [
        (None, GaussianMixture.from_arrays(mixture_arrays(2))),
        ("gaussian-mixture", GaussianMixture.from_arrays(mixture_arrays(2))),
        ("standard-normal", StandardNormal(2)),
    ],
)
def test_sample(
    prior: str | None,
    density: StandardNormal | GaussianMixture,
    autoencoder: Autoencoder,
    model: TinyModel,
) -> None:
    labels = labels_for(model, 300)
    drawn = draw(autoencoder, 300, labels, seed=17, temperature=0.5, prior=prior)

    assert drawn.seed == 17
    assert np.array_equal(drawn.codes, density.draw(300, np.random.default_rng(17), 0.5))
    assert close_to(drawn.samples, model.decode(drawn.codes, labels))


def test_the_same_seed_samples_the_same_bytes(plane: Autoencoder) -> None:
    first, again, other = (draw(plane, 20, seed=seed) for seed in (5, 5, 6))

    assert first.samples.tobytes() == again.samples.tobytes()
    assert first.samples.tobytes() != other.samples.tobytes()


def test_without_a_seed_one_is_chosen_that_draws_the_same_again(plane: Autoencoder) -> None:
    first, second = draw(plane, 3), draw(plane, 3)

    assert first.seed != second.seed
    assert draw(plane, 3, seed=first.seed).samples.tobytes() == first.samples.tobytes()


NEEDED: dict[Capability, dict[str, Any]] = {
    "encode": {"rows": PLANE.rows(1)},
    "decode": {"rows": np.zeros((1, 2), np.float32)},
    "reconstruct": {"rows": PLANE.rows(1)},
    "denoise": {"rows": PLANE.rows(1)},
    "anomaly-score": {"rows": PLANE.rows(1), "options": ScoreOptions()},
    "sample": {"rows": NO_ROWS, "options": SampleOptions(1, seed=0)},
}
BY_NAME: dict[str, Operation[Any]] = {operation.name: operation for operation in OPERATIONS}


@pytest.mark.parametrize("served", NEEDED)
def test_a_bundle_serves_what_its_manifest_states_and_no_other_operation(
    served: Capability,
) -> None:
    manifest = tiny_manifest(STAMP).model_copy(update={"capabilities": (served,)})

    assert capabilities(manifest) == (served,)
    for operation in OPERATIONS:
        if operation.name == served:
            require(manifest, operation)
            continue
        with pytest.raises(CapabilityMissing) as caught:
            require(manifest, operation)
        assert str(caught.value) == (
            f"model {manifest.name} does not serve {operation.name}; it serves {served}"
        )


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_what_a_manifest_states_is_what_its_bundle_holds(model: TinyModel) -> None:
    manifest = tiny_manifest(model)
    held = {each.name for each in OPERATIONS if each.is_supported_by(manifest)}

    assert set(manifest.capabilities) == held


class Count:
    """An operation that no manifest can state yet."""

    name = "count"
    takes = "inputs"

    def is_supported_by(self, manifest: Manifest) -> bool:
        return manifest.noise is not None

    async def run(self, *_: Any) -> Any:
        raise AssertionError


def test_a_bundle_gains_a_younger_operation_whose_needs_it_meets() -> None:
    operation: Operation[Any] = Count()  # pyright: ignore[reportAssignmentType]  # its name is not a literal

    assert supports(tiny_manifest(STAMP), operation)
    assert not supports(tiny_manifest(PLANE), operation)
    assert capabilities(tiny_manifest(STAMP), (*OPERATIONS, operation))[-1] == "count"


class RecordingGraph:
    """Notes how it was asked to run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.runs: list[tuple[int, bool]] = []

    async def run(
        self, *inputs: FloatArray, context: RequestContext, exclusive: bool = False
    ) -> tuple[FloatArray, ...]:
        self.runs.append((len(inputs), exclusive))
        return await self.graph.run(*inputs, context=context, exclusive=exclusive)


def recording(location: BundleLocation) -> tuple[Autoencoder, Mapping[str, RecordingGraph]]:
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    direct = direct_graphs(with_chain(sessions))
    graphs = {name: RecordingGraph(graph) for name, graph in direct.items()}
    return Autoencoder(bundle, graphs), graphs


def test_each_operation_runs_only_the_graph_it_needs_and_only_samples_run_alone(
    tiny_models_dir: Path,
) -> None:
    expected: dict[Capability, dict[str, list[tuple[int, bool]]]] = {
        "encode": {"encoder": [(1, False)]},
        "decode": {"decoder": [(1, False)]},
        "reconstruct": {CHAIN: [(1, False)]},
        "anomaly-score": {f"scorer-{SCORE}": [(1, False)]},
        "sample": {"decoder": [(1, True)]},
    }
    location = BundleLocation("plane", 1, tiny_models_dir / "plane" / "1")
    for name, runs in expected.items():
        autoencoder, graphs = recording(location)
        run_directly(BY_NAME[name], autoencoder, **NEEDED[name])

        assert {name: graph.runs for name, graph in graphs.items() if graph.runs} == runs


@pytest.mark.parametrize("name", sorted(NEEDED.keys() - {"denoise"}))
def test_a_conditional_model_needs_conditions(tiny_models_dir: Path, name: Capability) -> None:
    autoencoder = open_tiny(tiny_models_dir, LABELLED)

    with pytest.raises(InvalidInput, match=r"^model labelled needs conditions$") as caught:
        run_directly(BY_NAME[name], autoencoder, **NEEDED[name])
    assert [error.pointer for error in caught.value.field_errors] == ["/conditions"]


def test_an_unknown_prior_is_rejected_with_the_names_of_all(plane: Autoencoder) -> None:
    with pytest.raises(
        InvalidInput, match="model plane has the priors standard-normal, gaussian-mixture"
    ) as caught:
        draw(plane, 1, seed=0, prior="flat")
    assert [error.pointer for error in caught.value.field_errors] == ["/prior"]


def test_rows_that_overflow_inside_the_model_are_named(plane: Autoencoder) -> None:
    rows = PLANE.rows(5)
    rows[[1, 3]] = 1e30
    with pytest.raises(NonFiniteResult, match=r"^2 of 5 rows overflow inside the model$") as caught:
        decide(plane, rows)

    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/1", "/inputs/3"]
    assert caught.value.field_errors[0].detail.startswith("row 1 is finite but overflows")
    assert "1e30" not in caught.value.field_errors[0].detail


@pytest.mark.parametrize("operation", [ENCODE, DECODE, RECONSTRUCT], ids=lambda each: each.name)
def test_every_operation_names_rows_that_overflow(
    operation: Operation[Any], plane: Autoencoder
) -> None:
    field, width = ("codes", 2) if operation is DECODE else ("inputs", 4)
    rows = np.zeros((3, width), np.float32)
    weights = PLANE.decoding if operation is DECODE else PLANE.encoding.copy()
    rows[2] = 3e38 * np.sign(weights[:, np.abs(weights).sum(axis=0).argmax()])

    with pytest.raises(NonFiniteResult) as caught:
        run_directly(operation, plane, rows)
    assert [error.pointer for error in caught.value.field_errors] == [f"/{field}/2"]


def test_samples_too_hot_for_the_model_say_so(plane: Autoencoder) -> None:
    with pytest.raises(NonFiniteResult) as caught:
        draw(plane, 200, seed=1, temperature=1e39)
    assert [error.pointer for error in caught.value.field_errors] == ["/temperature"]


def test_only_the_first_ten_rows_that_overflow_are_named(plane: Autoencoder) -> None:
    with pytest.raises(NonFiniteResult, match=r"^25 of 25 rows") as caught:
        decide(plane, np.full((25, 4), 1e30, np.float32))
    assert len(caught.value.field_errors) == 10


def test_large_rows_that_do_not_overflow_are_answered(plane: Autoencoder) -> None:
    rows = np.full((1, 4), 1e30, np.float32)

    assert close_to(run_directly(ENCODE, plane, rows).codes, PLANE.encode(rows))


def test_the_context_of_a_request_adds_up_its_graphs(tiny_models_dir: Path) -> None:
    autoencoder = open_tiny(tiny_models_dir, STAMP)
    context = RequestContext()
    run_directly(DENOISE, autoencoder, STAMP.rows(3), context=context)

    assert context.inference_seconds > 0
