"""Segments: what one process counts, others read, and the next one goes on from."""

import mmap
import os
import signal
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.metrics.families import (
    BATCH_ROWS,
    FAMILIES,
    PROBLEMS,
    QUEUE_ROWS,
    REQUEST_DURATION,
    ROWS,
    STAGE_DURATION,
    WORKER_RESTARTS,
    Family,
)
from service.metrics.segments import Segment, SharedMemory

LABELS = ("encode", "plane", "1")


def contents(segment: Segment) -> dict[tuple[str, tuple[str, ...]], list[float]]:
    return {(family.name, labels): numbers for family, labels, numbers in segment.series()}


def in_another_process(work: Callable[[], None], signal_number: int = signal.SIGKILL) -> None:
    """Fork, do it there, and end that process by a signal that leaves it no time."""
    process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal_number)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal_number


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_what_a_killed_process_counted_is_still_there_and_its_successor_adds_to_it() -> None:
    memory = SharedMemory(2)

    def count() -> None:
        cells = memory.segments[1].cells(ROWS, *LABELS)
        cells[0] += 5

    in_another_process(count)
    assert contents(memory.segments[1]) == {(ROWS.name, LABELS): [5.0]}
    in_another_process(count)
    assert contents(memory.segments[1]) == {(ROWS.name, LABELS): [10.0]}
    assert contents(memory.segments[0]) == {}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_a_successor_goes_on_with_the_series_that_its_predecessor_began() -> None:
    segment = SharedMemory(1).segments[0]
    segment.cells(WORKER_RESTARTS)  # before the fork

    def count() -> None:
        segment.cells(ROWS, *LABELS)[0] += 5

    for _ in range(3):
        in_another_process(count)
        segment.end_gauges()

    assert [family for family, _, _ in segment.series()] == [WORKER_RESTARTS, ROWS]
    assert contents(segment)[ROWS.name, LABELS] == [15.0]


def test_gauges_end_with_their_worker_and_counters_do_not() -> None:
    segment = SharedMemory(1).segments[0]
    segment.cells(QUEUE_ROWS, "plane", "1", "encoder")[0] = 7
    segment.cells(ROWS, *LABELS)[0] = 3

    segment.end_gauges()

    assert contents(segment) == {
        (QUEUE_ROWS.name, ("plane", "1", "encoder")): [0.0],
        (ROWS.name, LABELS): [3.0],
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(FAMILIES), st.lists(st.text(max_size=20), max_size=4)),
        max_size=30,
    )
)
def test_any_labels_are_read_as_they_were_written(
    series: list[tuple[Family, list[str]]],
) -> None:
    memory = memoryview(mmap.mmap(-1, 64 * 1024))
    writer, reader = Segment(memory), Segment(memory)
    expected: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for number, (family, labels) in enumerate(series, start=1):
        cells = writer.cells(family, *labels)
        cells[len(cells) - 1] = number
        expected[family.name, tuple(labels)] = [0.0] * (family.cells - 1) + [float(number)]

    assert contents(reader) == contents(writer) == expected


def test_a_full_segment_counts_no_further_series_and_keeps_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    segment = SharedMemory(1, segment_bytes=mmap.PAGESIZE).segments[0]
    for number in range(200):
        segment.cells(PROBLEMS, "encode", "", "", f"problem-{number}")[0] += 1

    kept = contents(segment)
    assert 20 < len(kept) < 200
    assert set(map(tuple, kept.values())) == {(1.0,)}
    assert "no room for another series" in caplog.text


def test_forgotten_series_are_gone_and_others_are_kept() -> None:
    segment = SharedMemory(1).segments[0]
    for version in ("1", "2"):
        segment.cells(ROWS, "encode", "plane", version)[0] = 5
        segment.cells(QUEUE_ROWS, "plane", version, "encoder")[0] = 6
    segment.cells(ROWS, "encode", "1", "plane")[0] = 7  # the same texts, other labels
    segment.cells(WORKER_RESTARTS)[0] = 8

    segment.forget(model="plane", version="1")

    assert contents(segment) == {
        (ROWS.name, ("encode", "plane", "2")): [5.0],
        (QUEUE_ROWS.name, ("plane", "2", "encoder")): [6.0],
        (ROWS.name, ("encode", "1", "plane")): [7.0],
        (WORKER_RESTARTS.name, ()): [8.0],
    }


def test_a_series_begins_at_zero_wherever_it_gets_its_room() -> None:
    segment = SharedMemory(1).segments[0]
    for version in map(str, range(50)):
        for family in (REQUEST_DURATION, STAGE_DURATION, ROWS):
            cells = segment.cells(family, *family.labels[:-1], version)
            assert not any(cells)
            for number in range(len(cells)):
                cells[number] = 1 + number
        segment.forget(version=version)

    assert contents(segment) == {}


def count_version(segment: Segment, model: str, version: int) -> None:
    """Count in every kind of series that a served version has."""
    labels = (model, str(version))
    for call in ("encode", "decode", "anomaly-score"):
        segment.cells(ROWS, call, *labels)[0] = version
        segment.cells(PROBLEMS, call, *labels, "queue-full")[0] = version
        segment.cells(REQUEST_DURATION, call, *labels)[0] = version
        for stage in ("read", "queue", "inference", "write"):
            segment.cells(STAGE_DURATION, stage, call, *labels)[0] = version
    for graph in ("encoder", "decoder"):
        segment.cells(BATCH_ROWS, *labels, graph)[0] = version
        segment.cells(QUEUE_ROWS, *labels, graph)[0] = version


@pytest.mark.slow
def test_two_thousand_versions_one_after_the_other_take_the_room_of_a_few(
    caplog: pytest.LogCaptureFixture,
) -> None:
    segment = SharedMemory(1, segment_bytes=64 * 1024).segments[0]
    for version in range(1, 2001):
        for model in ("plane", "a-model-with-a-longer-name"):
            count_version(segment, model, version)
            if version > 1:
                segment.forget(model=model, version=str(version - 1))

    expected = Segment(memoryview(bytearray(64 * 1024)))
    for model in ("plane", "a-model-with-a-longer-name"):
        count_version(expected, model, 2000)
    assert contents(segment) == contents(expected)
    assert caplog.text == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_a_successor_uses_the_room_of_what_its_predecessor_forgot() -> None:
    segment = SharedMemory(1, segment_bytes=mmap.PAGESIZE).segments[0]

    def swap(version: int) -> None:
        segment.cells(ROWS, "encode", "plane", str(version))[0] = version
        segment.forget(model="plane", version=str(version - 1))

    for version in range(1, 80):  # more than there is room for
        in_another_process(lambda version=version: swap(version))
        segment.end_gauges()

    assert contents(segment) == {(ROWS.name, ("encode", "plane", "79")): [79.0]}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_a_reader_never_sees_the_labels_of_one_series_with_the_numbers_of_another() -> None:
    memory = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
    writing = os.fork()
    if writing == 0:
        segment = Segment(memory)
        version = 0
        while True:
            version = (version + 1) % 1000
            cells = segment.cells(BATCH_ROWS, "plane", str(version), "encoder")
            for number in range(len(cells)):
                cells[number] = version
            segment.forget(model="plane")
    try:
        reader = Segment(memory)
        seen = set[str]()
        reads = 0
        while len(seen) < 100 or reads < 10_000:
            reads += 1
            for family, labels, numbers in reader.series():
                assert family == BATCH_ROWS
                # It may be seen while it is counted in, never with what it held before.
                assert set(numbers) <= {0.0, float(labels[1])}
                seen.add(labels[1])
    finally:
        os.kill(writing, signal.SIGKILL)
        os.waitpid(writing, 0)


def test_series_that_several_threads_add_at_once_are_all_there() -> None:
    segment = SharedMemory(1).segments[0]

    def add(thread: int) -> None:
        for number in range(200):
            segment.cells(PROBLEMS, "encode", str(thread), str(number), "p")[0] += 1

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = contents(segment)
    assert len(found) == 800
    assert set(map(tuple, found.values())) == {(1.0,)}
