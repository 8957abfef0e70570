"""More load than the service can take: it does what it can, rejects the rest, and stays alive."""

import shutil
from collections.abc import Iterator

import pytest

from benchmarks.overload import measure_load, measure_peak, percentile, write_request
from tests.end_to_end.servers import ROOT, Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SECONDS = 3.0
MODEL, SHAPE = "ecg5000", (140, 1)
SMALL = write_request("binary", MODEL, SHAPE, 1)
LOADS = {
    "binary bodies of many rows": write_request("binary", MODEL, SHAPE, 512),
    "JSON": write_request("JSON", MODEL, SHAPE, 8),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("overload")
    shutil.copytree(ROOT / "models" / MODEL, folder / "models" / MODEL)
    with serving(folder / "models", folder / "log", "--no-access-log") as server:
        yield server


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("patience_seconds", [5.0, float("inf")], ids=["give up", "never give up"])
def test_ten_times_the_load_leaves_goodput_liveness_and_a_quick_recovery(
    server: Server, load: str, patience_seconds: float
) -> None:
    peak = measure_peak(server.port, LOADS[load], SECONDS / 3)
    found = measure_load(
        server.port,
        (LOADS[load], SMALL),
        per_second=10 * peak,
        seconds=SECONDS,
        patience_seconds=patience_seconds,
        max_connections=150,
    )

    seen = f"{peak:.0f} a second at the peak, then {found.goodput:.0f}: {found.outcome.statuses}"
    assert {200} <= found.outcome.statuses.keys() <= {200, 503}, seen
    asked = min(peak, found.outcome.sent / SECONDS)  # the clients may be slower than the service
    assert found.goodput >= 0.5 * asked, seen
    assert percentile(found.health_seconds, 0.95) < 1.0, seen
    assert found.recovery_seconds < 5.0
