"""Clients that others generate from the OpenAPI document make every call; `make test-clients`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundles import STAMP
from tests.end_to_end.servers import Server

SOURCES = Path(__file__).parent / "generated_clients"
# Where `make test-clients` has installed the generators; they are not in the lock of the tests.
GENERATORS = Path(os.environ.get("GENERATORS", "no such folder")).absolute()
SECONDS = 240
NPY = [0x93, *b"NUMPY"]
PNG = [0x89, *b"PNG\r\n"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not GENERATORS.is_dir(), reason="make test-clients installs the generators of clients"
    ),
]


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a program of the generators; return what it printed."""
    tools = f"{GENERATORS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": tools} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr)[:10_000].lower(), done.stdout + done.stderr
    return done.stdout


def rows() -> np.ndarray:
    return STAMP.rows(2)


def flat_rows() -> str:
    return json.dumps(rows().reshape(2, -1).tolist())


@pytest.fixture
def answers(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> dict[str, Any]:
    return request.param(server.url, tmp_path)


def python_answers(url: str, folder: Path) -> dict[str, Any]:
    """Generate a client in Python and run ``calls.py`` with it."""
    generator = GENERATORS / "bin" / "openapi-python-client"
    config = SOURCES / "python" / "openapi-python-client.yaml"
    run(
        *(generator, "generate", "--url", f"{url}/openapi.json", "--config", config),
        *("--fail-on-warning", "--output-path", folder / "client"),
        folder=folder,
    )
    python = GENERATORS / "bin" / "python"
    script = SOURCES / "python" / "calls.py"
    return json.loads(
        run(python, script, url, flat_rows(), folder=folder, PYTHONPATH=str(folder / "client"))
    )


def typescript_answers(url: str, folder: Path) -> dict[str, Any]:
    """Generate a client in TypeScript, check its types, compile it, and run ``calls.ts``."""
    tools = GENERATORS / "node_modules" / ".bin"
    run(tools / "openapi-ts", "-i", f"{url}/openapi.json", "-o", "client", folder=folder)
    for name in ("calls.ts", "tsconfig.json"):
        shutil.copy(SOURCES / "typescript" / name, folder)
    run(tools / "tsc", folder=folder)
    found = json.loads(run("node", "built/calls.js", url, flat_rows(), folder=folder))
    assert found.pop("array") == NPY
    assert found.pop("picture") == PNG
    return found


@pytest.mark.parametrize(
    "answers", [python_answers, typescript_answers], ids=["Python", "TypeScript"], indirect=True
)
def test_a_generated_client_makes_every_call(answers: dict[str, Any]) -> None:
    codes, restored = STAMP.encode(rows()), STAMP.reconstruct(rows())

    def check(call: str, field: str, expected: np.ndarray) -> None:
        assert answers[call]["model"] == "stamp"
        np.testing.assert_allclose(answers[call][field], expected, atol=1e-5)

    check("encode", "codes", codes)
    check("encode_numbers", "codes", codes)
    check("decode", "outputs", restored)
    check("reconstruct", "reconstructions", restored)
    check("denoise", "denoised", restored)
    check("anomaly_score", "scores", STAMP.score(rows()))
    assert answers["encode"]["ids"] == ["a", 2]
    assert (len(answers["sample"]["samples"]), answers["sample"]["seed"]) == (2, 9)
    assert "stamp" in [model["name"] for model in answers["list_models"]["models"]]
    assert answers["describe_model"]["manifest"]["input"]["shape"] == [6, 4, 1]
    assert answers["healthz"] == {"status": "alive"}
    assert answers["readyz"]["ready"] is True
    assert answers["version"]["service"]
    assert answers["unknown_model"]["detail"].startswith(
        "no model of that name; stamp was probably meant"
    )
    assert "Stamp" in answers["show_report"]
    assert "latentserve_requests_total" in answers["show_metrics"]
    assert "invalid-input" in answers["list_errors"]
