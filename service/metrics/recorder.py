"""Counts requests, rows, stages and batches, at a few hundred nanoseconds a number.

Series are looked up once for each call, model and version; after that, counting is adding to
float64 numbers in this process's segment. prometheus-client's own children take a lock and, with
several processes, look up a file's dictionary for each number: 25 times as long.
"""

from bisect import bisect_left
from typing import NamedTuple

from service.metrics import families
from service.metrics.families import DURATION_BOUNDS, ROW_BOUNDS, Family
from service.metrics.segments import Cells, Segment, discarding_segment


class Stages(NamedTuple):
    """Seconds that an answered request spent in each stage."""

    read: float
    queue: float
    inference: float
    write: float


STAGES = Stages._fields


class CallMeter:
    """Counts the requests of one call to one version, or of one call before a version is known."""

    __slots__ = ("_duration", "_labels", "_requests", "_rows", "_segment", "_stages")

    def __init__(self, segment: Segment, call: str, model: str, version: str) -> None:
        """Find the series; those of single statuses, stages and problems when they occur."""
        self._labels = (call, model, version)
        self.move_to(segment)

    def move_to(self, segment: Segment) -> None:
        """Count in another segment from here on."""
        self._segment = segment
        self._duration = segment.cells(families.REQUEST_DURATION, *self._labels)
        self._requests: dict[int, Cells] = {}
        self._rows: Cells | None = None
        self._stages: tuple[Cells, ...] = ()

    def record_request(self, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            status: HTTP status; 499 when the client left.
            seconds: From its headers to its answer.
        """
        requests = self._requests.get(status)
        if requests is None:
            requests = self._segment.cells(families.REQUESTS, *self._labels, str(status))
            self._requests[status] = requests
        requests[0] += 1.0
        duration = self._duration
        duration[bisect_left(DURATION_BOUNDS, seconds) + 1] += 1.0
        duration[0] += seconds

    def record_stages(self, stages: Stages, rows: int) -> None:
        """Count the stages and rows of a request that was answered with what it asked for."""
        if self._rows is None:
            self._rows = self._segment.cells(families.ROWS, *self._labels)
            self._stages = tuple(
                self._segment.cells(families.STAGE_DURATION, stage, *self._labels)
                for stage in STAGES
            )
        self._rows[0] += rows
        for cells, seconds in zip(self._stages, stages, strict=True):
            cells[bisect_left(DURATION_BOUNDS, seconds) + 1] += 1.0
            cells[0] += seconds

    def record_problem(self, problem: str) -> None:
        """Count the kind of problem that a request was answered with."""
        self._segment.cells(families.PROBLEMS, *self._labels, problem)[0] += 1.0


class GraphMeter:
    """Counts the runs of one graph and the rows that wait for it."""

    __slots__ = ("_duration", "_labels", "_rows", "_waiting")

    def __init__(self, segment: Segment, model: str, version: str, graph: str) -> None:
        """Find the series."""
        self._labels = (model, version, graph)
        self.move_to(segment)

    def move_to(self, segment: Segment) -> None:
        """Count in another segment from here on."""
        self._rows = segment.cells(families.BATCH_ROWS, *self._labels)
        self._duration = segment.cells(families.BATCH_DURATION, *self._labels)
        self._waiting = segment.cells(families.QUEUE_ROWS, *self._labels)

    def set_queue_rows(self, rows: int) -> None:
        """Set how many rows wait."""
        self._waiting[0] = rows

    def record_run(self, rows: int, seconds: float) -> None:
        """Count a run."""
        self._rows[bisect_left(ROW_BOUNDS, rows) + 1] += 1.0
        self._rows[0] += rows
        self._duration[bisect_left(DURATION_BOUNDS, seconds) + 1] += 1.0
        self._duration[0] += seconds


class Recorder:
    """Everything that one process counts."""

    def __init__(self, segment: Segment) -> None:
        """Count in a segment that no other process writes to."""
        self._segment = segment
        self._calls: dict[tuple[str, str, int | None], CallMeter] = {}
        self._graphs: dict[tuple[str, int, str], GraphMeter] = {}

    def move_to(self, segment: Segment) -> None:
        """Count in another segment: the first thing that a forked process does."""
        self._segment = segment
        self._calls.clear()
        for meter in self._graphs.values():
            meter.move_to(segment)

    def call(self, call: str, model: str = "", version: int | None = None) -> CallMeter:
        """Return the meter of a call.

        What is given here becomes a label: never pass a name that a client chose.

        Args:
            call: Name of one of the six calls, or the template of another path.
            model: Name of the configured model that answers, if the request got as far.
            version: Its version.
        """
        key = (call, model, version)
        meter = self._calls.get(key)
        if meter is None:
            number = "" if version is None else str(version)
            meter = self._calls[key] = CallMeter(self._segment, call, model, number)
        return meter

    def graph(self, model: str, version: int, graph: str) -> GraphMeter:
        """Return the meter of a graph, the same one if its version is loaded again."""
        key = (model, version, graph)
        if key not in self._graphs:
            self._graphs[key] = GraphMeter(self._segment, model, str(version), graph)
        return self._graphs[key]

    def forget(self, model: str, version: int) -> None:
        """Remove the series of a version that has been removed.

        Whoever still has one of its meters may use it; what it counts is discarded.
        """
        calls = [key for key in self._calls if key[1:] == (model, version)]
        graphs = [key for key in self._graphs if key[:2] == (model, version)]
        meters = [self._calls.pop(key) for key in calls] + [self._graphs.pop(key) for key in graphs]
        for meter in meters:
            meter.move_to(discarding_segment())
        self._segment.forget(model=model, version=str(version))

    def add(self, family: Family, amount: float = 1.0) -> None:
        """Add to a metric without labels."""
        self._segment.cells(family)[0] += amount
