"""The door to onnxruntime: what comes through is the graph of the manifest, and fails by name."""

import inspect
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime.capi import (
    onnxruntime_pybind11_state as onnxruntime_state,  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module
)

from service.bundle.manifest import GraphSignature
from service.errors import InferenceFailed, InvalidGraph, ProviderUnavailable
from service.inference import session as session_module
from service.inference.bound_graphs import BoundGraphs
from service.inference.chained_graph import ChainedGraph
from service.inference.session import (
    RunStop,
    Session,
    SessionOptions,
    available_providers,
    choose_provider,
    onnxruntime_version,
)
from tests.bundles import (
    LABELLED,
    PLANE,
    SCORE,
    TINY_MODELS,
    WAVE,
    TinyModel,
    tiny_files,
    tiny_manifest,
)
from tests.faulty_model import publish_faulty_model, slow_rows
from tests.graphs import (
    BAD_ROW,
    DROPPING,
    LOOKUP,
    LOOKUP_SIGNATURE,
    copying,
    graph,
    lookup,
    lookup_rows,
    signature,
)

ENCODER = tiny_files(WAVE)["encoder.onnx"]
COPY = signature({"inputs": (3,)}, {"outputs": (3,)}, "copy.onnx")

without_cuda = pytest.mark.skipif(
    "cuda" in available_providers(), reason="this build of onnxruntime has CUDA"
)


def open_graph(model: TinyModel, name: str) -> Session:
    signature = tiny_manifest(model).graphs[name]
    return Session(tiny_files(model)[signature.file], signature)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_graph_answers_as_its_weights_say(model: TinyModel, rows: int) -> None:
    inputs = model.rows(rows, seed=3)
    conditions = None
    if model.conditions:
        conditions = np.arange(rows, dtype=np.float32)[:, None]
    given_inputs = (inputs,) if conditions is None else (inputs, conditions)
    codes, *_ = open_graph(model, "encoder").run(*given_inputs)
    scores, feature_scores = open_graph(model, f"scorer-{SCORE}").run(*given_inputs)

    assert codes.dtype == np.float32
    assert np.allclose(codes, model.encode(inputs, conditions), atol=1e-5)
    assert np.allclose(scores, model.score(inputs, conditions), atol=1e-4)
    assert feature_scores.shape == inputs.shape


def test_inputs_and_outputs_come_in_the_order_of_the_signature() -> None:
    manifest = tiny_manifest(WAVE).graphs["encoder"]
    reversed_outputs = manifest.model_copy(update={"outputs": manifest.outputs[::-1]})
    rows = WAVE.rows(4)
    log_variances, codes = Session(ENCODER, reversed_outputs).run(rows)

    assert np.allclose(codes, WAVE.encode(rows), atol=1e-5)
    assert np.allclose(log_variances, -codes)

    labelled = tiny_manifest(LABELLED).graphs["encoder"]
    reversed_inputs = labelled.model_copy(update={"inputs": labelled.inputs[::-1]})
    rows, labels = LABELLED.rows(4), np.arange(4, dtype=np.float32)[:, None]
    (codes,) = Session(tiny_files(LABELLED)["encoder.onnx"], reversed_inputs).run(labels, rows)
    assert np.allclose(codes, LABELLED.encode(rows, labels), atol=1e-5)


def test_threads_running_one_session_at_once_each_get_their_own_answer() -> None:
    session = Session(LOOKUP, LOOKUP_SIGNATURE)
    start = threading.Barrier(4)

    def run(seed: int) -> bool:
        rows = lookup_rows(50, seed)
        start.wait()
        return all(np.array_equal(session.run(rows)[0], lookup(rows)) for _ in range(50))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(run, range(4)))


@pytest.mark.slow
@pytest.mark.parametrize("bound", [False, True])
def test_stopping_ends_what_runs_and_lets_nothing_run_again(tmp_path: Path, bound: bool) -> None:
    graph_file = publish_faulty_model(tmp_path).folder / "encoder.onnx"
    session = Session(graph_file.read_bytes(), tiny_manifest(PLANE).graphs["encoder"])
    runnable = BoundGraphs(session) if bound else session
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(runnable.run, slow_rows(600))
        time.sleep(0.2)
        assert not running.done()
        runnable.stop()
        with pytest.raises(InferenceFailed):
            running.result(60)

    with pytest.raises(InferenceFailed):
        runnable.run(PLANE.rows(1))


@pytest.mark.parametrize("kind", ["plain", "bound", "chained"])
def test_ending_one_run_leaves_every_other_run_alone(tmp_path: Path, kind: str) -> None:
    graph_file = publish_faulty_model(tmp_path).folder / "encoder.onnx"
    session = Session(graph_file.read_bytes(), tiny_manifest(PLANE).graphs["encoder"])
    wrap = {"plain": lambda: session, "bound": lambda: BoundGraphs(session),
            "chained": lambda: ChainedGraph(session)}  # fmt: skip
    runnable = wrap[kind]()
    with ThreadPoolExecutor(1) as thread:
        stop, other = RunStop(), RunStop()
        running = thread.submit(runnable.run, slow_rows(600), stop=stop)
        time.sleep(0.2)
        other.stop()
        assert not running.done()
        stop.stop()
        with pytest.raises(InferenceFailed):
            running.result(60)

    rows = PLANE.rows(1)
    assert np.allclose(runnable.run(rows, stop=RunStop())[0], PLANE.encode(rows), atol=1e-5)
    with pytest.raises(InferenceFailed):
        runnable.run(rows, stop=stop)
    session.stop()
    with pytest.raises(InferenceFailed):
        runnable.run(rows, stop=RunStop())


OTHER_SIGNATURES: dict[str, tuple[GraphSignature, str]] = {
    "another input name": (signature({"rows": (3,)}, {"outputs": (3,)}), "input"),
    "another row shape": (signature({"inputs": (4,)}, {"outputs": (3,)}), "input"),
    "another number of axes": (signature({"inputs": (3, 1)}, {"outputs": (3,)}), "input"),
    "an input too many": (
        signature({"inputs": (3,), "conditions": (1,)}, {"outputs": (3,)}), "input",
    ),
    "another output name": (signature({"inputs": (3,)}, {"codes": (3,)}), "output"),
    "another output shape": (signature({"inputs": (3,)}, {"outputs": ()}), "output"),
    "an output too many": (
        signature({"inputs": (3,)}, {"outputs": (3,), "scores": ()}), "output",
    ),
}  # fmt: skip


@pytest.mark.parametrize("difference", OTHER_SIGNATURES)
def test_a_graph_with_another_signature_is_refused_naming_both(difference: str) -> None:
    expected, kind = OTHER_SIGNATURES[difference]
    specs = expected.inputs if kind == "input" else expected.outputs

    with pytest.raises(InvalidGraph, match=rf"^graph\.onnx has the {kind}s \w+ .*\(3,\)") as caught:
        Session(copying(), expected)
    found, said = str(caught.value).split(", the manifest says ")
    assert found.startswith(f"graph.onnx has the {kind}s {kind}s (3,) tensor(float)")
    assert said == ", ".join(f"{spec.name} {spec.shape} tensor(float)" for spec in specs)


def test_a_graph_of_another_type_is_refused() -> None:
    doubles = graph(
        [helper.make_node("Identity", ["inputs"], ["outputs"])],
        {"inputs": ("batch", 3)},
        {"outputs": ("batch", 3)},
        element_type=TensorProto.DOUBLE,
    )

    with pytest.raises(
        InvalidGraph, match=r"tensor\(double\), the manifest says .*tensor\(float\)"
    ):
        Session(doubles, COPY)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind"),
    [((1, 3), ("batch", 3), "input"), (("batch", 3), (5, 3), "output")],
)
def test_a_graph_with_a_fixed_batch_axis_is_refused(
    inputs: Sequence[str | int], outputs: Sequence[str | int], kind: str
) -> None:
    with pytest.raises(InvalidGraph, match=f"has an {kind} without a dynamic batch axis"):
        Session(copying(inputs, outputs), COPY)


def test_a_graph_whose_output_has_no_batch_axis_is_refused() -> None:
    mean = helper.make_node("ReduceMean", ["inputs"], ["outputs"], keepdims=0)
    content = graph([mean], {"inputs": ("batch", 3)}, {"outputs": ()})

    with pytest.raises(InvalidGraph, match="has an output without a dynamic batch axis"):
        Session(content, signature({"inputs": (3,)}, {"outputs": ()}))


def test_a_graph_that_does_not_give_one_row_per_row_fails() -> None:
    session = Session(DROPPING, COPY)
    above, below = np.full((1, 3), 2, np.float32), np.full((1, 3), -2, np.float32)

    assert np.array_equal(session.run(above)[0], above)
    with pytest.raises(InferenceFailed, match=r"^copy\.onnx does not give one row per row"):
        session.run(np.concatenate([above, below]))


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"no protobuf at all", bytes(range(256)), b"\x08" * 4096]
)
def test_bytes_that_are_no_graph_are_refused_with_their_number(content: bytes) -> None:
    with pytest.raises(InvalidGraph, match=rf"^copy\.onnx \({len(content)} bytes\) is refused"):
        Session(content, COPY)


@settings(max_examples=40)
@given(st.integers(0, len(ENCODER) - 1))
def test_a_truncated_graph_is_refused(length: int) -> None:
    with pytest.raises(InvalidGraph):
        Session(ENCODER[:length], tiny_manifest(WAVE).graphs["encoder"])


def exceptions_of_onnxruntime() -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(onnxruntime_state, inspect.isclass)
        if issubclass(kind, Exception)
    ]


def test_onnxruntime_has_exceptions_to_translate() -> None:
    assert {"Fail", "InvalidArgument", "InvalidProtobuf"} <= {
        kind.__name__ for kind in exceptions_of_onnxruntime()
    }


@pytest.mark.parametrize(
    "kind", [*exceptions_of_onnxruntime(), RuntimeError, ValueError], ids=lambda kind: kind.__name__
)
def test_every_exception_of_onnxruntime_is_translated(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise kind("with the values 1.25, 3.5 of a client")

    session = Session(copying(), COPY)
    monkeypatch.setattr(session._session, "run", fail)
    with pytest.raises(InferenceFailed) as caught:
        session.run(np.zeros((1, 3), np.float32))
    assert str(caught.value) == f"copy.onnx: {kind.__name__}"

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(InvalidGraph, match=rf"is refused by onnxruntime: {kind.__name__}$"):
        Session(copying(), COPY)


def test_a_failure_inside_a_graph_names_the_file_and_no_value() -> None:
    session = Session(LOOKUP, LOOKUP_SIGNATURE)

    with pytest.raises(InferenceFailed, match=r"^lookup\.onnx: \w+$"):
        session.run(BAD_ROW)
    rows = lookup_rows(3)
    assert np.array_equal(session.run(rows)[0], lookup(rows))


@pytest.mark.parametrize(
    "inputs",
    [(), (np.zeros((1, 3), np.float32),) * 2, (np.zeros((1, 4), np.float32),), (np.zeros((1, 3)),)],
    ids=["none", "one too many", "another width", "another type"],
)
def test_inputs_that_do_not_fit_fail(inputs: tuple[Any, ...]) -> None:
    with pytest.raises(InferenceFailed, match=r"^copy\.onnx: "):
        Session(copying(), COPY).run(*inputs)


def test_threads_are_set_explicitly_and_do_not_spin() -> None:
    session = Session(copying(), COPY, SessionOptions(threads=3))
    options = session._session.get_session_options()

    assert session.provider == "cpu"
    assert session._session.get_providers() == ["CPUExecutionProvider"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_every_node_of_a_graph_is_reported_with_the_provider_that_runs_it() -> None:
    assert Session(LOOKUP, LOOKUP_SIGNATURE).nodes == {"cpu": 3}


def test_no_session_goes_on_with_a_provider_that_was_not_asked_for() -> None:
    assert Session(copying(), COPY)._session._enable_fallback is False


def test_products_are_exact_unless_a_gpu_may_round_them() -> None:
    assert session_module._provider_options(SessionOptions("cuda"))["use_tf32"] == "0"
    assert session_module._provider_options(SessionOptions("cuda", tf32=True))["use_tf32"] == "1"
    assert session_module._provider_options(SessionOptions("cpu", tf32=True)) == {}
    assert not Session(copying(), COPY, SessionOptions("cpu", tf32=True)).tf32


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        (SessionOptions("cpu"), False),
        (SessionOptions("cuda"), True),
        (SessionOptions("cpu", bound=True), True),
        (SessionOptions("cuda", bound=False), False),
    ],
)
def test_graphs_run_on_bound_memory_where_there_is_something_to_copy_to(
    options: SessionOptions, bound: bool
) -> None:
    assert options.runs_bound is bound


def test_the_version_reported_is_that_of_onnxruntime() -> None:
    assert onnxruntime_version() == onnxruntime.__version__


def test_the_cpu_is_always_available() -> None:
    assert "cpu" in available_providers()
    assert choose_provider(["cpu"]) == "cpu"


@without_cuda
def test_without_a_gpu_cuda_falls_back_to_the_cpu_only_where_the_order_lists_it() -> None:
    assert choose_provider(["cuda", "cpu"]) == "cpu"
    assert choose_provider(["cpu", "cuda"]) == "cpu"
    assert choose_provider(["auto"]) == "cpu"
    with pytest.raises(ProviderUnavailable, match=r"^none of the providers cuda works here.* cpu$"):
        choose_provider(["cuda"])


@without_cuda
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_in_the_build_whose_device_is_missing_does_not_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "available_providers", lambda: ["cpu", "cuda"])

    assert choose_provider(["cuda", "cpu"]) == "cpu"
    with pytest.raises(ProviderUnavailable):
        choose_provider(["cuda"])
    with pytest.raises(InvalidGraph, match=r"^copy\.onnx cannot be run on cuda"):
        Session(copying(), COPY, SessionOptions("cuda"))


def test_where_every_provider_works_the_first_of_the_order_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "available_providers", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(session_module, "_opens", lambda _: True)

    assert choose_provider(["cuda"]) == "cuda"
    assert choose_provider(["cuda", "cpu"]) == "cuda"
    assert choose_provider(["cpu", "cuda"]) == "cpu"
    assert choose_provider(["auto"]) == "cuda"


@pytest.mark.parametrize("order", [["tpu"], ["cpu", "tpu"], ["tpu", "cpu"], ["CPU"], [""]])
def test_an_unknown_provider_is_refused_wherever_it_stands(order: list[str]) -> None:
    unknown = next(name for name in order if name != "cpu")

    with pytest.raises(
        ProviderUnavailable, match=f"^unknown provider {unknown!r}.*cpu, cuda and auto"
    ):
        choose_provider(order)


def test_an_empty_order_gives_no_provider() -> None:
    with pytest.raises(ProviderUnavailable):
        choose_provider([])


def test_the_graph_that_providers_are_tried_with_runs() -> None:
    value = np.array([2.5], np.float32)
    probe = session_module._open_session(session_module._IDENTITY_GRAPH, "probe", SessionOptions())

    assert probe.run(["y"], {"x": value}) == [value]
