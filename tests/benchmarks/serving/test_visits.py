"""Nothing is timed before its answers are those of onnxruntime alone."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving.dialects import NamedLists, Rows
from benchmarks.serving.loads import DENSE, LOADS, RECONSTRUCT, Encoding, example_rows
from benchmarks.serving.models import ServedModel, prepare_models
from benchmarks.serving.subjects import Subject, our_service, simple_subjects
from benchmarks.serving.visits import OtherNumbers, check, largest_difference, visit

pytestmark = pytest.mark.slow

(LOAD,) = (load for load in LOADS if load.key == "json-1x1")
SUBJECT = Subject(
    "fixed",
    "fixed answer",
    lambda _, port: ("false", str(port)),
    {(RECONSTRUCT, Encoding.JSON): NamedLists("reconstructions")},
)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("served")
    (model,) = prepare_models({DENSE}, folder, Path("none"))
    return model


@contextmanager
def answering(status: int, rows: Rows, loading: int = 0) -> Iterator[int]:
    body = json.dumps({"reconstructions": rows.tolist()}).encode()

    asked = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503 if next(asked) < loading else status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_equal_answers_pass(dense: ServedModel) -> None:
    right = dense.direct(RECONSTRUCT)(example_rows(1, dense.row_shape))
    with answering(200, right) as port:
        check(SUBJECT, dense, LOAD, port)


def test_one_number_off_is_found(dense: ServedModel) -> None:
    wrong = dense.direct(RECONSTRUCT)(example_rows(1, dense.row_shape))
    wrong[0, 700] += 1e-4
    with answering(200, wrong) as port, pytest.raises(OtherNumbers, match=r"0\.0001 off"):
        check(SUBJECT, dense, LOAD, port)


def test_a_worker_that_still_loads_is_asked_again(dense: ServedModel) -> None:
    right = dense.direct(RECONSTRUCT)(example_rows(1, dense.row_shape))
    with answering(200, right, loading=3) as port:
        check(SUBJECT, dense, LOAD, port)


def test_an_error_is_no_answer(dense: ServedModel) -> None:
    right = dense.direct(RECONSTRUCT)(example_rows(1, dense.row_shape))
    with answering(500, right) as port, pytest.raises(OtherNumbers, match="500"):
        check(SUBJECT, dense, LOAD, port)


def test_a_difference_is_relative_to_large_values_only() -> None:
    small, large = np.array([0.5, 0.25], np.float32), np.array([200.0, 4.0], np.float32)
    assert largest_difference(small + np.float32(0.25), small) == 0.25
    assert largest_difference(large + np.float32(2), large) == pytest.approx(0.01)
    assert largest_difference(small.reshape(2, 1), small) == 0


def test_fewer_numbers_or_none_are_not_equal() -> None:
    some = np.ones(3, np.float32)
    assert largest_difference(some[:2], some) == np.inf
    assert not largest_difference(np.full(3, np.nan, np.float32), some) <= 1


@pytest.mark.parametrize("subject", [our_service(), simple_subjects()[1]], ids=lambda one: one.key)
def test_a_visit_starts_a_server_checks_it_and_ends_it(
    subject: Subject, dense: ServedModel
) -> None:
    seen = visit(subject, dense, [], seconds=1, idle=False)
    assert seen.measured == {}
    assert 0.1 < seen.footprint.ready_seconds < 60
    assert 30 * 2**20 < seen.footprint.pss_bytes < 2**30
    assert seen.footprint.idle_cpu is None
