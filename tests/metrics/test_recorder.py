"""The recorder puts each number where it belongs, also after a fork."""

import pytest

from service.metrics import families
from service.metrics.families import DURATION_BOUNDS, ROW_BOUNDS
from service.metrics.recorder import Recorder, Stages
from service.metrics.segments import Segment, SharedMemory


@pytest.fixture
def segments() -> list[Segment]:
    return SharedMemory(2).segments


def buckets(segment: Segment, family: families.Family, *labels: str) -> dict[int, float]:
    """Counts of the buckets that are not empty, by number; 'sum' under -1."""
    total, *counts = map(float, segment.cells(family, *labels))
    return {-1: total} | {number: count for number, count in enumerate(counts) if count}


@pytest.mark.parametrize("number", range(len(DURATION_BOUNDS)))
def test_a_bound_belongs_to_its_own_bucket(segments: list[Segment], number: int) -> None:
    bound = DURATION_BOUNDS[number]
    Recorder(segments[0]).call("encode", "plane", 1).record_request(200, bound)

    found = buckets(segments[0], families.REQUEST_DURATION, "encode", "plane", "1")
    assert found == {-1: bound, number: 1.0}


def test_what_is_beyond_all_bounds_is_in_the_last_bucket(segments: list[Segment]) -> None:
    recorder = Recorder(segments[0])
    recorder.call("encode").record_request(200, DURATION_BOUNDS[-1] + 1)
    recorder.graph("plane", 1, "encoder").record_run(int(ROW_BOUNDS[-1]) + 1, 0.0)

    durations = buckets(segments[0], families.REQUEST_DURATION, "encode", "", "")
    assert durations == {-1: DURATION_BOUNDS[-1] + 1, len(DURATION_BOUNDS): 1.0}
    rows = buckets(segments[0], families.BATCH_ROWS, "plane", "1", "encoder")
    assert rows == {-1: ROW_BOUNDS[-1] + 1, len(ROW_BOUNDS): 1.0}


def test_stages_and_statuses_are_kept_apart(segments: list[Segment]) -> None:
    meter = Recorder(segments[0]).call("encode", "plane", 1)
    meter.record_request(200, 0.0)
    meter.record_request(422, 0.0)
    meter.record_request(200, 0.0)
    meter.record_stages(Stages(1.0, 2.0, 3.0, 4.0), 7)
    meter.record_problem("invalid-input")

    labels = ("encode", "plane", "1")
    stages = [
        segments[0].cells(families.STAGE_DURATION, stage, *labels)[0] for stage in Stages._fields
    ]
    assert stages == [1.0, 2.0, 3.0, 4.0]
    assert segments[0].cells(families.ROWS, *labels)[0] == 7
    assert segments[0].cells(families.REQUESTS, *labels, "200")[0] == 2
    assert segments[0].cells(families.REQUESTS, *labels, "422")[0] == 1
    assert segments[0].cells(families.PROBLEMS, *labels, "invalid-input")[0] == 1


def test_after_a_move_everything_is_counted_in_the_new_segment(segments: list[Segment]) -> None:
    recorder = Recorder(segments[0])
    graph = recorder.graph("plane", 1, "encoder")
    recorder.call("encode").record_request(200, 0.0)

    recorder.move_to(segments[1])
    recorder.call("encode").record_request(200, 0.0)
    graph.record_run(4, 0.5)
    graph.set_queue_rows(9)

    for segment, runs, waiting in ((segments[0], 0, 0), (segments[1], 1, 9)):
        assert segment.cells(families.REQUESTS, "encode", "", "", "200")[0] == 1
        graph_labels = ("plane", "1", "encoder")
        assert sum(segment.cells(families.BATCH_DURATION, *graph_labels).tolist()[1:]) == runs
        assert segment.cells(families.QUEUE_ROWS, *graph_labels)[0] == waiting


def test_a_forgotten_version_has_no_series_and_everything_else_is_kept(
    segments: list[Segment],
) -> None:
    recorder = Recorder(segments[0])
    for version in (1, 2):
        recorder.call("encode", "plane", version).record_request(200, 0.1)
        recorder.call("encode", "plane", version).record_problem("queue-full")
        recorder.call("encode", "plane", version).record_stages(Stages(1.0, 1.0, 1.0, 1.0), 7)
        recorder.graph("plane", version, "encoder").record_run(3, 0.1)
    recorder.call("encode", "stamp", 1).record_request(200, 0.1)
    recorder.call("encode").record_request(404, 0.1)
    recorder.add(families.WORKER_RESTARTS)
    before = {(family.name, labels): cells for family, labels, cells in segments[0].series()}

    recorder.forget("plane", 1)

    after = {(family.name, labels): cells for family, labels, cells in segments[0].series()}
    gone = before.keys() - after.keys()
    assert {name for name, _ in gone} == {
        family.name for family in families.FAMILIES if "version" in family.labels
    }
    assert all({"plane", "1"} <= set(labels) for _, labels in gone)
    assert after == {key: cells for key, cells in before.items() if key not in gone}


def test_what_a_forgotten_version_still_counts_is_discarded(segments: list[Segment]) -> None:
    recorder = Recorder(segments[0])
    call, graph = recorder.call("encode", "plane", 1), recorder.graph("plane", 1, "encoder")
    call.record_request(200, 0.1)
    recorder.forget("plane", 1)
    recorder.call("encode", "plane", 2).record_request(200, 0.1)
    recorder.graph("plane", 2, "encoder").record_run(3, 0.1)
    before = list(segments[0].series())

    call.record_request(200, 0.1)
    call.record_problem("queue-full")
    call.record_stages(Stages(1.0, 1.0, 1.0, 1.0), 7)
    graph.record_run(5, 0.5)
    graph.set_queue_rows(5)

    assert list(segments[0].series()) == before


def test_a_version_that_comes_back_counts_from_zero(segments: list[Segment]) -> None:
    recorder = Recorder(segments[0])
    recorder.call("encode", "plane", 1).record_request(200, 0.1)
    recorder.forget("plane", 1)
    recorder.call("encode", "plane", 1).record_request(200, 0.1)

    assert segments[0].cells(families.REQUESTS, "encode", "plane", "1", "200")[0] == 1


def test_a_graph_that_is_loaded_again_has_the_same_meter(segments: list[Segment]) -> None:
    recorder = Recorder(segments[0])

    assert recorder.graph("plane", 1, "encoder") is recorder.graph("plane", 1, "encoder")
