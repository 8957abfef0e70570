"""The import directions hold, and each contract that says so can fail."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
}

# For each contract: a module, and an import that must not stand in it.
OFFENCES = {
    "service-layers": ("service/bundle/storage.py", "service.inference.session"),
    "process-layers": ("service/processes/forking.py", "service.processes.supervisor"),
    "api-layers": ("service/api/nearest_path.py", "service.api.pipeline"),
    "policy-layers": (
        "service/api/policy/allowed_hosts.py",
        "service.api.policy.request_policy",
    ),
    "capacity-layers": ("service/api/capacity/refusals.py", "service.api.capacity.turns"),
    "http1-layers": ("service/api/http1/request_head.py", "service.api.http1.connection"),
    "native-dialect-layers": (
        "service/api/dialects/native/calls.py",
        "service.api.dialects.native.requests",
    ),
    "operation-layers": ("service/operations/encode.py", "service.operations.decode"),
    "inference-layers": ("service/inference/session.py", "service.inference.warmup"),
    "formats-layers": ("service/formats/row_format.py", "service.formats.row_lists"),
    "picture-file-layers": (
        "service/formats/picture_files/exif.py",
        "service.formats.picture_files.jpeg",
    ),
    "json-layers": ("service/formats/json/nesting.py", "service.formats.json.body"),
    "formats-are-bytes-and-arrays": ("service/formats/image.py", "http"),
    "catalog-layers": ("service/catalog/loading.py", "service.catalog.reconciler"),
    "batching-layers": (
        "service/inference/batching/jobs.py",
        "service.inference.batching.gathering",
    ),
    "service-is-light": ("service/inference/scoring.py", "tensorflow"),
    "inference-without-http": ("service/bundle/storage.py", "fastapi"),
    "one-door-to-onnxruntime": ("service/inference/scoring.py", "onnxruntime"),
    "training-sees-the-contract": ("training/recipe/recipe.py", "service.settings"),
    "training-layers": ("training/data/splitting.py", "training.networks.stack"),
    "recipe-layers": ("training/recipe/part.py", "training.recipe.layers"),
    "data-layers": ("training/data/source.py", "training.data.in_memory"),
    "independent-sources": ("training/data/sources/mnist.py", "training.data.sources.digits"),
    "network-layers": ("training/networks/stack.py", "training.networks.dense"),
    "fitting-layers": ("training/fitting/history.py", "training.fitting.checkpoints"),
    "export-layers": ("training/export/graph_runner.py", "training.export.parity"),
    "graph-pass-layers": (
        "training/export/graph_passes/editing.py",
        "training.export.graph_passes.convolutions",
    ),
    "evaluation-layers": ("training/evaluation/metrics.py", "training.evaluation.gates"),
    "publishing-layers": ("training/publishing/golden.py", "training.publishing.manifest"),
    "report-layers": ("training/report/plots/style.py", "training.report.panels.panel"),
    "panel-layers": ("training/report/panels/panel.py", "training.report.panels.codes"),
}

OPEN_TO_TRAINING = {
    "service.arrays",
    "service.bundle",
    "service.catalog",
    "service.cgroups",
    "service.errors",
    "service.inference",
    "service.off_loop",
    "service.operations",
    "service.request_context",
}


def lint_imports(root: Path) -> tuple[int, list[str]]:
    """Check the contracts of the tree at ``root``: exit status and names of the broken ones."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts: " in run.stdout, run.stdout + run.stderr  # else nothing was checked
    return run.returncode, re.findall(r"^(.+) BROKEN", run.stdout, flags=re.MULTILINE)


def test_the_tree_keeps_every_contract() -> None:
    assert lint_imports(ROOT) == (0, [])


def test_every_contract_has_an_offence_that_breaks_it() -> None:
    assert set(OFFENCES) == set(CONTRACTS)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_an_offending_import_breaks_exactly_its_contract(contract: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("service", "training"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    path, offence = OFFENCES[contract]
    with (tmp_path / path).open("a") as module:
        module.write(f"\nimport {offence}\n")

    assert lint_imports(tmp_path) == (1, [CONTRACTS[contract]["name"]])


def test_every_part_of_the_service_is_either_open_to_training_or_forbidden() -> None:
    layers = CONTRACTS["service-layers"]["layers"]
    parts = {f"service.{part}" for layer in layers for part in layer.split(" | ")}
    forbidden = set(CONTRACTS["training-sees-the-contract"]["forbidden_modules"])

    assert parts - forbidden == OPEN_TO_TRAINING
    assert {name for name in forbidden if name.count(".") == 1} <= parts


def test_training_sees_of_the_catalog_only_verification() -> None:
    modules = {path.stem for path in (ROOT / "service/catalog").glob("[!_]*.py")}
    forbidden = set(CONTRACTS["training-sees-the-contract"]["forbidden_modules"])

    assert {f"service.catalog.{name}" for name in modules} - forbidden == {
        "service.catalog.row_independence",
        "service.catalog.verification",
    }


def test_a_bundle_is_read_with_numpy_and_pydantic_alone() -> None:
    graph = grimp.build_graph("service", include_external_packages=True, cache_dir=None)
    modules = {"service.bundle", *graph.find_descendants("service.bundle")}
    imported = set[str]().union(*map(graph.find_modules_directly_imported_by, modules))
    packages = {name.partition(".")[0] for name in imported - modules}

    assert packages - sys.stdlib_module_names == {"numpy", "pydantic", "service"}
