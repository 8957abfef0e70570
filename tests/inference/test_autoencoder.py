"""The six calls give what the same model gives in NumPy, and refuse what they cannot answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.arrays import FloatArray
from service.bundle.manifest import Capability, PriorSpec, PriorsSpec
from service.bundle.storage import BundleLocation, read_bundle
from service.catalog.verification import open_verified_sessions
from service.errors import (
    BundleError,
    BundleFileCorrupted,
    CapabilityMissing,
    InvalidInput,
    InvalidManifest,
    NonFiniteResult,
)
from service.inference.autoencoder import Autoencoder
from service.inference.graphs import DirectGraph, Graph, Onward, RequestContext, run_to_completion
from service.inference.sampling import GaussianMixture, StandardNormal
from service.inference.session import SessionOptions
from tests.bundles import (
    LABELLED,
    PLANE,
    SCORE,
    STAMP,
    TINY_MODELS,
    WAVE,
    TinyModel,
    archive,
    mixture_arrays,
    publish_tiny,
)
from tests.inference.opened import judged, open_autoencoder, open_tiny

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


def close_to(answer: FloatArray, expected: FloatArray) -> bool:
    assert answer.dtype == np.float32
    assert answer.shape == expected.shape
    return bool(np.abs(answer - expected).max() <= 1e-5 * max(1, np.abs(expected).max()))


def test_encode(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    encoding = run_to_completion(autoencoder.encode(rows, labels, context=RequestContext()))

    assert close_to(encoding.codes, model.encode(rows, labels))
    if model.variational:
        assert encoding.log_variances is not None
        assert close_to(encoding.log_variances, -model.encode(rows, labels))
    else:
        assert encoding.log_variances is None


def test_decode(autoencoder: Autoencoder, model: TinyModel) -> None:
    codes = np.random.default_rng(3).standard_normal((ROWS, model.code_size), dtype=np.float32)
    labels = labels_for(model, ROWS)
    outputs = run_to_completion(autoencoder.decode(codes, labels, context=RequestContext()))

    assert close_to(outputs, model.decode(codes, labels))


def test_reconstruct(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    reconstructions = run_to_completion(
        autoencoder.reconstruct(rows, labels, context=RequestContext())
    )

    assert close_to(reconstructions, model.reconstruct(rows, labels))


def test_denoise(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    call = autoencoder.denoise(rows, labels, context=RequestContext())
    if model.denoises:
        assert close_to(run_to_completion(call), model.reconstruct(rows, labels))
        return
    with pytest.raises(CapabilityMissing, match=f"^model {model.name} does not serve denoise; .*"):
        run_to_completion(call)


def test_score(autoencoder: Autoencoder, model: TinyModel) -> None:
    rows, labels = model.rows(ROWS), labels_for(model, ROWS)
    decision = run_to_completion(
        autoencoder.score(rows, labels, context=RequestContext(), false_positive_rate=0.3)
    )
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
    drawn = run_to_completion(
        autoencoder.sample(
            300, seed=17, context=RequestContext(), temperature=0.5, prior=prior, conditions=labels
        )
    )

    assert drawn.seed == 17
    assert np.array_equal(drawn.codes, density.draw(300, np.random.default_rng(17), 0.5))
    assert close_to(drawn.samples, model.decode(drawn.codes, labels))


def test_the_same_seed_samples_the_same_bytes(plane: Autoencoder) -> None:
    first, again, other = (
        run_to_completion(plane.sample(20, seed=seed, context=RequestContext()))
        for seed in (5, 5, 6)
    )

    assert first.samples.tobytes() == again.samples.tobytes()
    assert first.samples.tobytes() != other.samples.tobytes()


CALLS: dict[Capability, Any] = {
    "encode": lambda it: it.encode(PLANE.rows(1), context=RequestContext()),
    "decode": lambda it: it.decode(np.zeros((1, 2), np.float32), context=RequestContext()),
    "reconstruct": lambda it: it.reconstruct(PLANE.rows(1), context=RequestContext()),
    "denoise": lambda it: it.denoise(PLANE.rows(1), context=RequestContext()),
    "anomaly-score": lambda it: it.score(PLANE.rows(1), context=RequestContext()),
    "sample": lambda it: it.sample(1, seed=0, context=RequestContext()),
}


@pytest.mark.parametrize("served", ["encode", "decode", "reconstruct", "anomaly-score", "sample"])
def test_a_bundle_serves_its_capabilities_and_no_other_call(
    served: Capability, tmp_path: Path
) -> None:
    autoencoder = open_autoencoder(publish_tiny(tmp_path, PLANE, capabilities=(served,)))

    run_to_completion(CALLS[served](autoencoder))
    for capability in CALLS.keys() - {served}:
        with pytest.raises(CapabilityMissing) as caught:
            run_to_completion(CALLS[capability](autoencoder))
        assert str(caught.value) == (f"model plane does not serve {capability}; it serves {served}")


class RecordingGraph:
    """Notes how it was asked to run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.runs: list[tuple[int, bool]] = []

    async def run(
        self,
        *inputs: FloatArray,
        context: RequestContext,
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> tuple[FloatArray, ...]:
        self.runs.append((len(inputs), exclusive))
        return await self.graph.run(*inputs, context=context, exclusive=exclusive, onward=onward)


def recording(location: BundleLocation) -> tuple[Autoencoder, Mapping[str, RecordingGraph]]:
    bundle = read_bundle(location)
    sessions, _ = open_verified_sessions(bundle, SessionOptions(threads=1))
    graphs = {name: RecordingGraph(DirectGraph(session)) for name, session in sessions.items()}
    return Autoencoder(bundle, graphs), graphs


def test_each_call_runs_only_the_graphs_it_needs_and_only_samples_run_alone(
    tiny_models_dir: Path,
) -> None:
    expected: dict[Capability, dict[str, list[tuple[int, bool]]]] = {
        "encode": {"encoder": [(1, False)]},
        "decode": {"decoder": [(1, False)]},
        "reconstruct": {"encoder": [(1, False)], "decoder": [(1, False)]},
        "anomaly-score": {f"scorer-{SCORE}": [(1, False)]},
        "sample": {"decoder": [(1, True)]},
    }
    location = BundleLocation("plane", 1, tiny_models_dir / "plane" / "1")
    for capability, runs in expected.items():
        autoencoder, graphs = recording(location)
        run_to_completion(CALLS[capability](autoencoder))

        assert {name: graph.runs for name, graph in graphs.items() if graph.runs} == runs


def test_a_conditional_model_answers_under_its_conditions_only(tiny_models_dir: Path) -> None:
    autoencoder = open_tiny(tiny_models_dir, LABELLED)

    for capability in LABELLED_CALLS:
        with pytest.raises(InvalidInput, match="answers under conditions only") as caught:
            run_to_completion(CALLS[capability](autoencoder))
        assert [error.pointer for error in caught.value.field_errors] == ["/conditions"]


LABELLED_CALLS: list[Capability] = ["encode", "decode", "reconstruct", "anomaly-score", "sample"]


def test_an_unknown_prior_is_refused_with_those_that_there_are(plane: Autoencoder) -> None:
    with pytest.raises(
        InvalidInput, match="model plane has the priors standard-normal, gaussian-mixture"
    ) as caught:
        run_to_completion(plane.sample(1, seed=0, context=RequestContext(), prior="flat"))
    assert [error.pointer for error in caught.value.field_errors] == ["/prior"]


def test_rows_that_overflow_inside_the_model_are_named(plane: Autoencoder) -> None:
    rows = PLANE.rows(5)
    rows[[1, 3]] = 1e30
    with pytest.raises(NonFiniteResult, match=r"^2 of 5 rows overflow inside the model$") as caught:
        judged(plane, rows)

    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/1", "/inputs/3"]
    assert caught.value.field_errors[0].detail.startswith("row 1 is finite but overflows")
    assert "1e30" not in caught.value.field_errors[0].detail


@pytest.mark.parametrize("capability", ["encode", "decode", "reconstruct"])
def test_every_call_names_rows_that_overflow(capability: Capability, plane: Autoencoder) -> None:
    field, width = ("codes", 2) if capability == "decode" else ("inputs", 4)
    rows = np.zeros((3, width), np.float32)
    weights = PLANE.decoding if capability == "decode" else PLANE.encoding.copy()
    rows[2] = 3e38 * np.sign(weights[:, np.abs(weights).sum(axis=0).argmax()])
    call = getattr(plane, capability)

    with pytest.raises(NonFiniteResult) as caught:
        run_to_completion(call(rows, context=RequestContext()))
    assert [error.pointer for error in caught.value.field_errors] == [f"/{field}/2"]


def test_only_the_first_ten_rows_that_overflow_are_named(plane: Autoencoder) -> None:
    with pytest.raises(NonFiniteResult, match=r"^25 of 25 rows") as caught:
        judged(plane, np.full((25, 4), 1e30, np.float32))
    assert len(caught.value.field_errors) == 10


def test_large_rows_that_do_not_overflow_are_answered(plane: Autoencoder) -> None:
    rows = np.full((1, 4), 1e30, np.float32)
    encoding = run_to_completion(plane.encode(rows, context=RequestContext()))

    assert close_to(encoding.codes, PLANE.encode(rows))


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
    drawn = run_to_completion(autoencoder.sample(4, seed=2, context=RequestContext()))

    assert np.array_equal(drawn.codes, StandardNormal(2).draw(4, np.random.default_rng(2)))


def test_a_request_s_ticket_adds_up_the_graphs_it_went_through(tiny_models_dir: Path) -> None:
    autoencoder = open_tiny(tiny_models_dir, STAMP)
    context = RequestContext()
    run_to_completion(autoencoder.denoise(STAMP.rows(3), context=context))

    assert context.inference_seconds > 0
