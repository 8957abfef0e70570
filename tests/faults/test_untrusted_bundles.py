"""Bundles made to harm: each is refused with its true reason, while the one beside it serves."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.bundles import PLANE, STAMP, publish_tiny
from tests.end_to_end.servers import START_SECONDS, Server, serving
from tests.faulty_model import publish_faulty_model, publish_never_verified
from tests.graphs import graph

pytestmark = pytest.mark.slow

LIMITS: Any = {"VERIFY_MEMORY_BYTES": str(256 * 1024**2), "REQUIRED_MODELS": "stamp"}
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def endless() -> bytes:
    """Make an encoder that turns for ever."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still_going"])],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still_going", TensorProto.BOOL, [])],
    )
    return encoder(helper.make_node("Loop", ["", "yes"], [], body=body), {"yes": np.array(True)})


def memory_bomb() -> bytes:
    """Make an encoder of a few bytes that takes 64 GiB."""
    return encoder(
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        {"size": np.array([2**24, 2**10])},
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["own_codes", "sum"], ["codes"]),
    )


def encoder(
    first: onnx.NodeProto, constants: dict[str, np.ndarray], *others: onnx.NodeProto
) -> bytes:
    codes = "own_codes" if others else "codes"
    nodes = [first, helper.make_node("MatMul", ["inputs", "encoding"], [codes]), *others]
    constants = constants | {"encoding": PLANE.encoding}
    return graph(nodes, {"inputs": ("batch", 4)}, {"codes": ("batch", 2)}, constants)


def readiness(server: Server) -> httpx.Response:
    return httpx.get(f"{server.url}/readyz", timeout=START_SECONDS)


def assert_stamp_serves(server: Server) -> None:
    rows = STAMP.rows(2)
    body = {"model": "stamp", "inputs": rows.tolist()}
    answer = httpx.post(f"{server.url}/encode", json=body, timeout=START_SECONDS)
    np.testing.assert_allclose(answer.json()["codes"], STAMP.encode(rows), atol=1e-5)


@WORKERS
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (endless, "UnsafeGraph: encoder.onnx: it has the operator 'Loop', which is not among"),
        (memory_bomb, "VerificationFailed: it needs more than 268435456 bytes of memory"),
    ],
)
def test_a_bundle_that_would_take_everything_is_refused(
    make: Callable[[], bytes], reason: str, workers: str, tmp_path: Path
) -> None:
    publish_tiny(tmp_path / "models", PLANE, {"encoder.onnx": make()})
    publish_tiny(tmp_path / "models", STAMP)
    with serving(tmp_path / "models", tmp_path / "log", "--workers", workers, **LIMITS) as server:
        ready = readiness(server)
        assert ready.status_code == 200
        (refused,) = ready.json()["not_ready"]
        assert refused["model"] == "plane"
        assert refused["reason"].startswith(reason)
        assert_stamp_serves(server)
        logged = [line for line in server.lines() if line["event"] == "bundle refused"]
        assert {line["reason"] for line in logged} == {refused["reason"]}


@WORKERS
def test_a_bundle_whose_verification_does_not_end_is_refused_after_a_while(
    workers: str, tmp_path: Path
) -> None:
    publish_never_verified(tmp_path / "models")
    publish_tiny(tmp_path / "models", STAMP)
    with serving(
        tmp_path / "models",
        tmp_path / "log",
        *("--workers", workers, "--verify-timeout-seconds", "2"),
    ) as server:
        ready = readiness(server)
        assert ready.status_code == 503
        (refused,) = ready.json()["not_ready"]
        assert refused["reason"] == (
            "VerificationFailed: it took longer than 2 seconds; see"
            " LATENTSERVE_VERIFY_TIMEOUT_SECONDS"
        )
        assert refused["blocks_readiness"]
        assert_stamp_serves(server)


def children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def verifying(server: Server) -> tuple[int, int]:
    """Wait until a bundle is being verified; return the process that has it done, and its own."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        for asked in children(server.process.pid):
            for child in children(asked):
                return asked, child
        time.sleep(0.02)
    raise AssertionError("nothing is being verified")


def test_the_others_serve_while_a_bundle_is_verified_and_a_stop_is_heeded(tmp_path: Path) -> None:
    publish_never_verified(tmp_path / "models")
    publish_tiny(tmp_path / "models", STAMP)
    publish_faulty_model(tmp_path / "models")
    with serving(tmp_path / "models", tmp_path / "log", wait=False) as server:
        until = time.monotonic() + START_SECONDS
        while "stamp" in readiness(server).text:
            assert time.monotonic() < until
            time.sleep(0.02)
        asked, child = verifying(server)
        assert_stamp_serves(server)
        assert "loading" in readiness(server).text

        status, seconds = server.stop()

        assert status == 0
        assert seconds < 5
        for pid in (asked, child):
            assert not Path(f"/proc/{pid}").exists()


def test_a_supervisor_that_loads_heeds_a_stop(tmp_path: Path) -> None:
    publish_never_verified(tmp_path / "models")
    with serving(tmp_path / "models", tmp_path / "log", "--workers", "2", wait=False) as server:
        asked, child = verifying(server)

        status, seconds = server.stop()

        assert status == 0
        assert seconds < 5
        until = time.monotonic() + START_SECONDS
        while any(Path(f"/proc/{pid}").exists() for pid in (asked, child)):
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL], ids=["SIGSEGV", "SIGKILL"])
def test_a_bundle_that_crashes_its_verification_is_refused(
    number: signal.Signals, tmp_path: Path
) -> None:
    publish_never_verified(tmp_path / "models")
    publish_tiny(tmp_path / "models", STAMP)
    reasons = {
        signal.SIGSEGV: "VerificationFailed: its process ended with SIGSEGV",
        signal.SIGKILL: "VerificationFailed: its process was killed, probably for want of memory",
    }
    with serving(tmp_path / "models", tmp_path / "log", wait=False) as server:
        asked, _ = verifying(server)
        until = time.monotonic() + START_SECONDS
        while "stamp" in readiness(server).text:  # it is verified first, or beside
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(children(asked)[0], number)
        while "loading" in readiness(server).text:
            assert time.monotonic() < until
            time.sleep(0.02)
        (refused,) = readiness(server).json()["not_ready"]
        assert refused["reason"] == reasons[number]
        assert_stamp_serves(server)
