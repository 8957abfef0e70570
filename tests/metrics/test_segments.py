"""Segments: what one process counts, others read, and the next one goes on from."""

import mmap
import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.metrics.families import (
    CONNECTIONS,
    FAMILIES,
    OPEN_CONNECTIONS,
    PROBLEMS,
    ROWS,
    WORKERS,
    Family,
)
from service.metrics.segments import Segment, SharedMemory

LABELS = ("encode", "plane", "1")


def contents(segment: Segment) -> dict[tuple[str, tuple[str, ...]], list[float]]:
    return {
        (family.name, labels): [*map(float, cells)] for family, labels, cells in segment.series()
    }


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
    segment.cells(CONNECTIONS)  # as the supervisor does before it forks

    def count() -> None:
        segment.cells(ROWS, *LABELS)[0] += 5

    for _ in range(3):
        in_another_process(count)
        segment.end_gauges()

    assert [family for family, _, _ in segment.series()] == [CONNECTIONS, ROWS]
    assert contents(segment)[ROWS.name, LABELS] == [15.0]


def test_gauges_end_with_their_worker_and_counters_do_not() -> None:
    segment = SharedMemory(1).segments[0]
    segment.cells(WORKERS)[0] = 1
    segment.cells(OPEN_CONNECTIONS, "0")[0] = 7
    segment.cells(ROWS, *LABELS)[0] = 3

    segment.end_gauges()

    assert contents(segment) == {
        (WORKERS.name, ()): [0.0],
        (OPEN_CONNECTIONS.name, ("0",)): [0.0],
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
