"""/metrics: every request is counted once, under labels that no client can choose."""

import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import __version__
from service.app import create_service
from service.bundle.manifest import SCHEMA_VERSION
from service.catalog.desired_state import desire_folder
from service.inference.chained_graph import CHAIN
from service.inference.session import onnxruntime_version
from service.metrics.families import FAMILIES, INFO_FAMILIES, PROCESS_FAMILIES
from service.settings import Settings
from tests.api.clients import Client, lifespan, open_client, quiet_settings
from tests.bundles import PLANE, STAMP, publish_tiny
from tests.faulty_model import failing_rows, publish_faulty_model

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"
INPUTS = PLANE.rows(3).tolist()
PLANE_LABELS = {"model": "plane", "version": "1"}
NO_MODEL = {"model": "", "version": ""}

QUIET: dict[str, Any] = {"access_log": False, "log_level": "error"}

Sample = tuple[str, frozenset[tuple[str, str]]]


class Metrics(dict[Sample, float]):
    """All samples of one answer, by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        """The sample with exactly these labels; 0 when there is none, as Prometheus takes it."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def names(self) -> set[str]:
        return {name for name, _ in self}

    def labels_of(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self if found == name]


def parse_metrics(text: str) -> Metrics:
    return Metrics(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


async def scrape(client: Client) -> Metrics:
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return parse_metrics(response.text)


async def test_an_answered_call_is_counted_with_its_rows_stages_and_batches(
    tiny_models_dir: Path,
) -> None:
    async with open_client(tiny_models_dir) as client:
        for _ in range(4):
            await client.answer("reconstruct", model="plane", inputs=INPUTS)
        metrics = await scrape(client)

    labels = PLANE_LABELS | {"call": "reconstruct"}
    assert metrics.of("latentserve_requests_total", **labels, status="200") == 4
    assert metrics.of("latentserve_rows_total", **labels) == 12
    assert metrics.of("latentserve_request_duration_seconds_count", **labels) == 4
    stages = 0.0
    for stage in ("read", "queue", "inference", "write"):
        name = "latentserve_stage_duration_seconds"
        assert metrics.of(f"{name}_count", **labels, stage=stage) == 4
        stages += metrics.of(f"{name}_sum", **labels, stage=stage)
    whole = metrics.of("latentserve_request_duration_seconds_sum", **labels)
    assert 0 < stages <= whole
    for graph, runs in ((CHAIN, 4), ("encoder", 0), ("decoder", 0)):
        of_graph = PLANE_LABELS | {"graph": graph}
        assert metrics.of("latentserve_batch_rows_count", **of_graph) == runs
        assert metrics.of("latentserve_batch_rows_sum", **of_graph) == 3 * runs
        assert metrics.of("latentserve_batch_rows_bucket", **of_graph, le="2.0") == 0
        assert metrics.of("latentserve_batch_rows_bucket", **of_graph, le="4.0") == runs
        assert metrics.of("latentserve_batch_duration_seconds_count", **of_graph) == runs
        assert ("latentserve_queue_rows", frozenset(of_graph.items())) in metrics
        assert metrics.of("latentserve_queue_rows", **of_graph) == 0


REFUSED: list[tuple[str, dict[str, Any], int, str, dict[str, str]]] = [
    ("encode", {"model": "plane", "inputs": [[1, 2]]}, 422, "invalid-input", NO_MODEL),
    ("encode", {"model": "nobody", "inputs": INPUTS}, 404, "model-not-found", NO_MODEL),
    (
        "encode",
        {"model": "plane", "version": 9, "inputs": INPUTS},
        404,
        "version-not-found",
        NO_MODEL,
    ),
    ("encode", {"inputs": INPUTS}, 422, "model-required", NO_MODEL),
]


@pytest.mark.parametrize(("call", "fields", "status", "slug", "model"), REFUSED)
async def test_every_problem_is_counted_by_status_and_kind(
    tiny_models_dir: Path,
    call: str,
    fields: dict[str, Any],
    status: int,
    slug: str,
    model: dict[str, str],
) -> None:
    async with open_client(tiny_models_dir) as client:
        assert (await client.call(call, **fields)).status_code == status
        metrics = await scrape(client)

    labels = model | {"call": call}
    assert metrics.of("latentserve_requests_total", **labels, status=str(status)) == 1
    assert metrics.of("latentserve_problems_total", **labels, problem=slug) == 1
    assert metrics.of("latentserve_request_duration_seconds_count", **labels) == 1
    assert metrics.of("latentserve_rows_total", **labels) == 0


async def test_a_refusal_after_the_model_is_known_names_it(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        response = await client.post(
            "/encode",
            json={"model": "plane", "inputs": INPUTS},
            headers={"accept": "text/csv"},
        )
        metrics = await scrape(client)

    assert response.status_code == 406
    labels = PLANE_LABELS | {"call": "encode"}
    assert metrics.of("latentserve_requests_total", **labels, status="406") == 1


async def test_a_failure_of_ours_counts_as_500_of_its_model(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with open_client(tmp_path, log_level="error") as client:
        response = await client.call("encode", inputs=failing_rows().tolist())
        metrics = await scrape(client)

    assert response.status_code == 500
    (labels,) = metrics.labels_of("latentserve_problems_total")
    assert (labels["call"], labels["problem"]) == ("encode", "internal-error")
    assert labels["model"] != ""


async def test_other_paths_are_counted_by_their_template_and_unknown_ones_together(
    tiny_models_dir: Path,
) -> None:
    async with open_client(tiny_models_dir) as client:
        for path in ("/models/plane", "/models/nobody", "/nowhere", "/no/where", "/healthz"):
            await client.get(path)
        await client.get("/encode")
        await client.post("/healthz")
        metrics = await scrape(client)

    requests = {
        (labels["call"], labels["status"]): metrics.of("latentserve_requests_total", **labels)
        for labels in metrics.labels_of("latentserve_requests_total")
    }
    del requests["/readyz", "200"]
    requests.pop(("/readyz", "503"), None)
    assert requests == {
        ("/models/{name}", "200"): 1,
        ("/models/{name}", "404"): 1,
        ("other", "404"): 2,
        ("/healthz", "200"): 1,
        ("/healthz", "405"): 1,
        ("encode", "405"): 1,
    }


async def test_what_clients_write_never_becomes_a_label(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        before = await scrape(client)
        for number in range(20):
            marker = f"marker{number}"
            await client.call("encode", model=marker, inputs=INPUTS)
            await client.call(marker, inputs=INPUTS)
            await client.get(f"/models/{marker}", params={"version": number})
            await client.request(marker.upper(), f"/{marker}")
        response = await client.get("/metrics")

    assert "marker" not in response.text.lower()
    once = {sample for sample in parse_metrics(response.text) if sample not in before}
    series = [(name, labels) for name, labels in once if name == "latentserve_requests_total"]
    assert len(series) == 5  # encode 404, other 404, a model's 404 and 422, /metrics 200


async def test_versions_and_build_say_what_they_are(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    publish_tiny(tmp_path, PLANE)
    (tmp_path / "plane" / "2" / "encoder.onnx").write_bytes(b"damaged")
    async with open_client(tmp_path, log_level="error") as client:
        metrics = await scrape(client)

    info = {"model": "plane", "version": "1", "state": "ready", "provider": "cpu"}
    assert metrics.of("latentserve_model_info", **info) == 1
    refused = {"model": "plane", "version": "2", "state": "refused", "provider": ""}
    assert metrics.of("latentserve_model_info", **refused) == 1
    (build,) = metrics.labels_of("latentserve_build_info")
    assert build["version"] == __version__
    assert build["bundle_schema"] == str(SCHEMA_VERSION)
    assert build["onnxruntime"] == onnxruntime_version()


async def test_the_series_of_a_removed_version_are_gone_and_those_of_no_model_stay(
    tmp_path: Path,
) -> None:
    publish_tiny(tmp_path, PLANE)
    publish_tiny(tmp_path, STAMP)
    service = create_service(Settings(models_dir=tmp_path, **QUIET))
    async with lifespan(service.app), Client(service.app) as client:
        await service.reconciler.reconcile()
        await client.answer("encode", model="plane", inputs=INPUTS)
        await client.answer("encode", model="stamp", inputs=STAMP.rows(1).tolist())
        await client.call("encode", model="nobody", inputs=INPUTS)
        before = await scrape(client)
        shutil.rmtree(tmp_path / "plane")
        await service.reconciler.reconcile(desire_folder(tmp_path))
        after = await scrape(client)

    of_plane = {sample for sample in before if ("model", "plane") in sample[1]}
    assert before.of("latentserve_rows_total", **PLANE_LABELS, call="encode") == 3
    assert of_plane
    assert {sample for sample in after if ("model", "plane") in sample[1]} == set()
    labels = {"model": "stamp", "version": "1", "call": "encode"}
    assert after.of("latentserve_rows_total", **labels) == 1
    labels = NO_MODEL | {"call": "encode", "status": "404"}
    assert after.of("latentserve_requests_total", **labels) == 1
    assert {name for name, _ in before} == {name for name, _ in after}


async def test_workers_are_counted_from_their_status(tiny_models_dir: Path) -> None:
    service = create_service(Settings(models_dir=tiny_models_dir, **QUIET), workers=3)
    first, second, _ = service.status.workers
    for worker in (first, second):
        worker.start()
        worker.opened()
        worker.opened()
        worker.closed()
        worker.beat()
    second.end()
    async with Client(service.app) as client:
        metrics = await scrape(client)

    assert metrics.of("latentserve_workers") == 1
    assert metrics.of("latentserve_connections_total") == 4
    for number, connections in (("0", 1), ("1", 0)):
        assert metrics.of("latentserve_open_connections", worker=number) == connections
        assert metrics.of("latentserve_heartbeats_total", worker=number) == 1
    assert {labels["worker"] for labels in metrics.labels_of("latentserve_open_connections")} == {
        "0",
        "1",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_what_each_process_takes_of_the_machine_is_shown_while_it_runs(
    tiny_models_dir: Path,
) -> None:
    service = create_service(quiet_settings(tiny_models_dir), workers=2)
    first, _ = service.status.workers
    first.start()
    async with Client(service.app) as client:
        alone = await scrape(client)
        service.status.set_supervisor()
        together = await scrape(client)
        first.end()
        ended = await scrape(client)

    for family in PROCESS_FAMILIES:
        assert alone.labels_of(family.name) == [{"worker": "0"}]
        assert alone.of(family.name, worker="0") > 0
        workers = sorted(labels["worker"] for labels in together.labels_of(family.name))
        assert workers == ["0", "supervisor"]
        assert ended.labels_of(family.name) == [{"worker": "supervisor"}]


async def test_histograms_are_cumulative_and_end_with_their_count(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        for rows in (1, 2, 5, 200):
            await client.rows("encode", np.tile(PLANE.rows(1), (rows, 1)), model="plane")
        metrics = await scrape(client)

    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in metrics.items()
        if name == "latentserve_batch_rows_bucket"
        and {("model", "plane"), ("graph", "encoder")} <= labels
    )
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert buckets[-1][0] == math.inf
    of_encoder = PLANE_LABELS | {"graph": "encoder"}
    assert counts[-1] == metrics.of("latentserve_batch_rows_count", **of_encoder)
    assert metrics.of("latentserve_batch_rows_sum", **of_encoder) == 208


async def test_openmetrics_is_written_to_those_who_ask_for_it(tiny_models_dir: Path) -> None:
    async with open_client(tiny_models_dir) as client:
        response = await client.get(
            "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )

    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    rows = re.findall(
        r"^\| `((?:latentserve|process)_[a-z_]+)` \| (\w+) \|([^|]*)\|", DOCUMENT.read_text(), re.M
    )
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }

    assert documented == {
        family.name: (family.kind, family.labels) for family in (*FAMILIES, *INFO_FAMILIES)
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions_of_prometheus(family: Any) -> None:
    assert (family.kind == "counter") == family.name.endswith("_total")
    assert family.name.startswith("latentserve_")
    if "duration" in family.name:
        assert family.name.endswith("_seconds")
    assert family.help.endswith(".")
    assert bool(family.bounds) == (family.kind == "histogram")
