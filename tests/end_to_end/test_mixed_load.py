"""Whatever is asked together, in whatever form, each answer is what the graphs alone compute."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.bundles import LABELLED, PEOPLE, SCORE, TINY_MODELS
from tests.end_to_end.servers import SMALL_BATCHES, START_SECONDS, Server

SERVER_FLAGS = SMALL_BATCHES
JSON = "application/json"
NPY = "application/x-npy"
RAW = "application/octet-stream"
PROBLEM = "application/problem+json"
TOLERANCE = 1e-6  # of the larger of 1 and the largest value
MAX_CONCURRENT = 24
MODELS = {model.name: model for model in TINY_MODELS}
(LABELS,) = (column.vocabulary or () for column in LABELLED.conditions or ())
ROWS_FIELDS = {
    "encode": "codes",
    "decode": "outputs",
    "reconstruct": "reconstructions",
    "denoise": "denoised",
    "anomaly-score": "scores",
}


@dataclass(frozen=True)
class Plan:
    """One request to be made among others.

    Attributes:
        model: Name of the model.
        call: The call.
        rows: How many rows it sends.
        seed: What they are drawn from.
        sent: Media type of the body.
        wanted: Media type of the answer.
        decimals: What a JSON answer is rounded to.
        patience_seconds: When the client closes the connection, if it does not wait.
        mistake: What is wrong with it, if anything.
    """

    model: str
    call: str
    rows: int
    seed: int
    sent: str
    wanted: str
    decimals: int | None
    patience_seconds: float | None
    mistake: str | None


MISTAKES = ("cut short", "not finite", "unknown model", "unknown option")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    model = draw(st.sampled_from(TINY_MODELS))
    calls = [call for call in ROWS_FIELDS if call != "denoise" or model.denoises]
    # Categories are words in JSON; their codes are numbers everywhere else.
    types = (NPY, RAW) if model is PEOPLE else (JSON, NPY, RAW)
    call = draw(st.sampled_from(calls))
    return Plan(
        model=model.name,
        call=call,
        rows=draw(st.sampled_from((1, 1, 2, 3, 7, 31, 32, 33, 100))),
        seed=draw(st.integers(0, 99)),
        sent=draw(st.sampled_from(types)),
        wanted=draw(st.sampled_from(types)),
        decimals=None if call == "anomaly-score" else draw(st.sampled_from((None, None, 0, 3, 8))),
        patience_seconds=draw(st.sampled_from((None, None, None, 0.0, 0.001, 0.005))),
        mistake=draw(st.sampled_from((None, None, None, *MISTAKES))),
    )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def http(server: Server, runner: asyncio.Runner) -> Iterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=MAX_CONCURRENT, max_keepalive_connections=MAX_CONCURRENT)
    client = httpx.AsyncClient(base_url=server.url, timeout=START_SECONDS, limits=limits)
    yield client
    runner.run(client.aclose())


def arrays_of(plan: Plan) -> tuple[np.ndarray, np.ndarray | None]:
    """Make the rows and the conditions of a request."""
    model = MODELS[plan.model]
    generator = np.random.default_rng(plan.seed)
    conditions = None
    if model is LABELLED:
        conditions = generator.integers(0, 3, (plan.rows, 1)).astype(np.float32)
    if plan.call == "decode":
        codes = generator.standard_normal((plan.rows, model.code_size), dtype=np.float32)
        return codes, conditions
    if model is PEOPLE:
        return generator.integers(0, 2, (plan.rows, 3)).astype(np.float32), conditions
    return model.rows(plan.rows, plan.seed), conditions


def expected(models_dir: Path, plan: Plan) -> np.ndarray:
    """Run the graphs of a request's call by themselves, its rows as one batch."""
    rows, conditions = arrays_of(plan)
    path = [f"scorer-{SCORE}"]
    if plan.call != "anomaly-score":
        path = [graph for graph in ("encoder", "decoder") if graph[:6] in _GRAPHS[plan.call]]
    for graph in path:
        rows = run_alone(models_dir / plan.model / "1" / f"{graph}.onnx", rows, conditions)
    return rows


_GRAPHS = {
    "encode": ("encode",),
    "decode": ("decode",),
    "reconstruct": ("encode", "decode"),
    "denoise": ("encode", "decode"),
}


def run_alone(graph: Path, rows: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
    session = session_of(graph)
    feeds = {
        node.name: conditions if node.name == "conditions" else rows
        for node in session.get_inputs()
    }
    first: Any = session.run(None, feeds)[0]
    return first


@cache
def session_of(graph: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def request_of(plan: Plan) -> dict[str, Any]:
    rows, conditions = arrays_of(plan)
    if plan.mistake == "not finite":
        rows = rows.copy()
        rows[-1] = np.nan
    options: dict[str, Any] = {"model": plan.model}
    if plan.decimals is not None:
        options["decimals"] = plan.decimals
    if plan.mistake == "unknown model":
        options["model"] = "nobody"
    if plan.mistake == "unknown option":
        options["colour"] = "blue"
    if conditions is not None:
        options["conditions"] = {"label": [LABELS[int(code)] for code in conditions[:, 0]]}
    headers = {"content-type": plan.sent, "accept": plan.wanted}
    content = body_of(plan, rows, options)
    if plan.sent != JSON and "conditions" in options:
        options["conditions"] = json.dumps(options["conditions"])
    return {
        "url": f"/{plan.call}",
        "params": {} if plan.sent == JSON else options,
        "headers": headers,
        "content": content[:-3] if plan.mistake == "cut short" else content,
    }


def body_of(plan: Plan, rows: np.ndarray, options: dict[str, Any]) -> bytes:
    if plan.sent == JSON:
        field = "codes" if plan.call == "decode" else "inputs"
        return json.dumps(options | {field: rows.tolist()}).encode()
    if plan.sent == RAW:
        return rows.astype("<f4").tobytes()
    stream = BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


async def ask(http: httpx.AsyncClient, plan: Plan) -> httpx.Response | None:
    """Make a request; None when the client had no patience to wait for its answer."""
    try:
        async with asyncio.timeout(plan.patience_seconds):
            return await http.post(**request_of(plan))
    except TimeoutError:
        return None


async def ask_together(
    http: httpx.AsyncClient, together: Sequence[Plan]
) -> list[httpx.Response | None]:
    return await asyncio.gather(*(ask(http, plan) for plan in together))


def numbers_in(response: httpx.Response, plan: Plan) -> np.ndarray:
    """Return what the call's main array holds; of scores, the scores."""
    assert response.headers["content-type"] == plan.wanted
    assert response.headers["x-model"] == plan.model
    if plan.wanted == JSON:
        return np.array(response.json()[ROWS_FIELDS[plan.call]], np.float64)
    if plan.wanted == NPY:
        values = np.load(BytesIO(response.content))
        return values["score"] if plan.call == "anomaly-score" else values
    shape = tuple(map(int, response.headers["x-shape"].split(",")))
    values = np.frombuffer(response.content, "<f4").reshape(shape)
    return values[:, 0] if plan.call == "anomaly-score" else values


def expect_answer(response: httpx.Response, plan: Plan, values: np.ndarray) -> None:
    assert response.status_code == 200, response.text
    found = numbers_in(response, plan)
    assert found.shape == values.shape
    bound = TOLERANCE * max(1.0, float(np.abs(values).max()))
    if plan.wanted == JSON and plan.decimals is not None:
        bound += 0.5 * 10.0**-plan.decimals
    assert float(np.abs(found - values).max()) <= bound


def expect_refusal(response: httpx.Response, plan: Plan) -> None:
    assert response.headers["content-type"] == PROBLEM, (plan.mistake, response.status_code)
    assert 400 <= response.status_code < 500
    assert response.json()["request_id"] == response.headers["x-request-id"]


# No shrinking: what fails may depend on when, and each example takes its time.
@pytest.mark.slow
@settings(
    max_examples=40,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(together=st.lists(plans(), min_size=2, max_size=MAX_CONCURRENT))
def test_requests_of_every_kind_answered_together_do_not_touch_each_other(
    runner: asyncio.Runner, http: httpx.AsyncClient, tiny_models_dir: Path, together: list[Plan]
) -> None:
    responses = runner.run(ask_together(http, together))

    for plan, response in zip(together, responses, strict=True):
        if response is None:
            assert plan.patience_seconds is not None
        elif plan.mistake is None:
            expect_answer(response, plan, expected(tiny_models_dir, plan))
        else:
            expect_refusal(response, plan)


def test_a_large_answer_of_bare_numbers_arrives_whole(
    runner: asyncio.Runner, http: httpx.AsyncClient, tiny_models_dir: Path
) -> None:
    """It is sent from the memory it was computed in, which must be there until it is read."""
    plan = Plan("postcard", "reconstruct", 3000, 5, RAW, RAW, None, None, None)

    responses = runner.run(ask_together(http, [plan] * 16))  # as many rows as a queue takes

    values = expected(tiny_models_dir, plan)
    for response in responses:
        assert response is not None
        assert response.status_code == 200, response.text
        assert len(response.content) == values.nbytes > 2**19
        expect_answer(response, plan, values)


def test_nothing_of_it_was_an_error_of_the_service(server: Server) -> None:
    levels = {line["level"] for line in server.lines() if "level" in line}
    assert levels <= {"debug", "info", "warning"}
