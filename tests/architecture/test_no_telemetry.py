"""Using the service tells nobody: onnxruntime reports to its maker unless it is told not to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Where one of these is set, onnxruntime is silent anyway, and the test would prove nothing.
SUPPRESSING = {
    "CI",
    "GITHUB_ACTIONS",
    "ORT_DISABLE_TELEMETRY",
    "ORT_RUNNING_UNIT_TESTS",
    "TF_BUILD",
}


def files_written_at_home_by(program: str, home: Path) -> list[Path]:
    environment = {name: value for name, value in os.environ.items() if name not in SUPPRESSING}
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        environment[name] = str(home)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    return [path for path in home.rglob("*") if path.is_file()]


def test_onnxruntime_by_itself_writes_a_device_identifier(tmp_path: Path) -> None:
    written = files_written_at_home_by("import onnxruntime", tmp_path)

    assert "deviceid" in {path.name for path in written}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["service.processes.server", "service.offline"])
def test_the_service_keeps_onnxruntime_silent(module: str, tmp_path: Path) -> None:
    assert files_written_at_home_by(f"import {module}", tmp_path) == []
