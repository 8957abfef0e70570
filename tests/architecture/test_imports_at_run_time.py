"""What a program really loads, which reading its imports cannot prove."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "keras",
    "matplotlib",
    "onnx",
    "onnxslim",
    "polars",
    "scipy",
    "sklearn",
    "tensorflow",
    "tf2onnx",
    "training",
}


def packages_loaded_by(module: str) -> set[str]:
    """Import ``module`` in a fresh interpreter; name the top-level packages that came with it."""
    program = (
        "import json, sys; before = set(sys.modules); "
        f"import {module}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["service.processes.server", "service.offline"])
def test_the_service_loads_nothing_that_only_training_needs(module: str) -> None:
    loaded = packages_loaded_by(module)

    assert {"service", "numpy", "onnxruntime"} <= loaded
    assert not loaded & HEAVY


@pytest.mark.slow
def test_a_heavy_package_would_be_seen() -> None:
    assert packages_loaded_by("sklearn.mixture") & HEAVY == {"sklearn", "scipy"}


def test_the_error_tree_needs_the_standard_library_alone() -> None:
    assert packages_loaded_by("service.errors") - sys.stdlib_module_names == {"service"}
