"""Counters and gauges in memory that processes share: one writes a segment, all can read it.

A worker adds to its own segment with plain stores, so counting takes no lock and no system call. A
worker that is killed leaves everything it has counted behind, and its successor continues in the
same segment. No file is involved, so a read-only file system will do.

A segment is the number of its used bytes, then records, each the series of a family with its label
values:

    bytes of the record (uint32), number of the family (uint16), bytes of the key (uint16),
    revision (uint64), cells (float64), key (label values as JSON), padding

- A record keeps its place and its size for good, so a reader can always walk from one to the next.
- Its revision is even while it holds a series, and odd while it is free or being written.
- A reader copies the record and keeps the copy if the revision was the same even number before and
  after, so it never sees the labels of one series with the numbers of another.
- A free record is used again for the next series of exactly its size. Sizes are multiples of 64
  bytes, so series of the same family mostly have the same size.
"""

import json
import logging
import mmap
import struct
import threading
from collections.abc import Iterator
from typing import TypeAlias

from service.metrics.families import FAMILIES, Family

Cells: TypeAlias = "memoryview[float]"
"""The numbers of one series: float64."""
Labels: TypeAlias = tuple[str, ...]
Series: TypeAlias = tuple[Family, Labels, list[float]]
"""A copy of a series: its family, its label values and its numbers."""

# Most of it is address space alone: a page takes memory when it is first written to.
SEGMENT_BYTES = 4 * 1024 * 1024
_RECORD_GRANULE = 64
_FIRST_RECORD = 64
_WORD_BYTES = 8
_HEAD = struct.Struct("=IHH")  # size, family, key bytes
_HEAD_BYTES = _HEAD.size + _WORD_BYTES  # with the revision
_FAMILIES = {family.name: family for family in FAMILIES}
_DISCARD_BYTES = 8192

_log = logging.getLogger(__name__)


class SharedMemory:
    """Segments that processes forked from this one share with it."""

    def __init__(self, segments: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Take the memory; it is freed when the last process that shares it ends.

        Args:
            segments: One for each process that writes.
            segment_bytes: Size of one, a multiple of 64.
        """
        self._memory = mmap.mmap(-1, segments * segment_bytes)  # anonymous and shared
        whole = memoryview(self._memory)
        self.segments = [
            Segment(whole[first : first + segment_bytes])
            for first in range(0, len(whole), segment_bytes)
        ]


class Segment:
    """The series of one process.

    Only one process writes, on any of its threads; any process reads.
    """

    def __init__(self, memory: memoryview) -> None:
        """Use a piece of memory, empty (zeros) or with the records of a predecessor."""
        self._memory = memory
        self._words = memory.cast("Q")
        self._lock = threading.Lock()  # for records that are added or freed, not for counting
        self._known: dict[tuple[str, Labels], Cells] | None = None
        self._places: dict[tuple[str, Labels], int] = {}
        self._free: dict[int, list[int]] = {}

    def cells(self, family: Family, *labels: str) -> Cells:
        """Find or add the series of a family with these label values.

        A full segment returns numbers that are not read by anyone, and logs an error.
        """
        with self._lock:
            known = self._known_cells()
            key = (family.name, labels)
            if key not in known:
                known[key] = self._add(family, labels)
            return known[key]

    def forget(self, **labels: str) -> None:
        """Remove every series that has all of these labels.

        Cells of them must not be written to any more: their room is used again.
        """
        with self._lock:
            known = self._known_cells()
            for key in [key for key in known if labels.items() <= _named_labels(*key).items()]:
                del known[key]
                if (place := self._places.pop(key, None)) is not None:
                    self._words[_revision_of(place)] += 1  # it is odd
                    self._free.setdefault(self._size(place), []).append(place)

    def series(self) -> Iterator[Series]:
        """Copy every series that is there, in whichever process."""
        for place in self._record_places():
            copied = self._copy(place)
            if copied is not None:
                yield copied

    def end_gauges(self) -> None:
        """Set to zero what a worker that has ended said of its present state."""
        with self._lock:
            self._known = None  # its successor finds the series that the worker added
            for (name, _), cells in self._known_cells().items():
                if _FAMILIES[name].kind == "gauge":
                    cells[0] = 0.0
            self._known = None

    def _known_cells(self) -> dict[tuple[str, Labels], Cells]:
        """Return the cells by family and labels; after a fork, read them from memory."""
        if self._known is None:
            self._known, self._places, self._free = {}, {}, {}
            for place in self._record_places():
                copied = self._copy(place)
                if copied is None:
                    self._free.setdefault(self._size(place), []).append(place)
                else:
                    family, labels, _ = copied
                    self._known[family.name, labels] = self._cells_at(place, family)
                    self._places[family.name, labels] = place
        return self._known

    def _record_places(self) -> Iterator[int]:
        place = _FIRST_RECORD
        while place < self._words[0]:
            yield place
            place += self._size(place)

    def _size(self, place: int) -> int:
        return _HEAD.unpack_from(self._memory, place)[0]

    def _cells_at(self, place: int, family: Family) -> Cells:
        first = place + _HEAD_BYTES
        return self._memory[first : first + family.cells * _WORD_BYTES].cast("d")

    def _copy(self, place: int) -> Series | None:
        """Copy the record at a place, if it holds a series."""
        while (revision := self._words[_revision_of(place)]) % 2 == 0:
            _, number, key_bytes = _HEAD.unpack_from(self._memory, place)
            family = FAMILIES[int(number)]
            numbers: list[float] = [*self._cells_at(place, family)]
            first = place + _HEAD_BYTES + family.cells * _WORD_BYTES
            key = bytes(self._memory[first : first + key_bytes])
            if self._words[_revision_of(place)] == revision:
                return family, tuple(json.loads(key)), numbers
        return None

    def _add(self, family: Family, labels: Labels) -> Cells:
        key = json.dumps(labels).encode()
        content_bytes = _HEAD_BYTES + family.cells * _WORD_BYTES + len(key)
        size = -(-content_bytes // _RECORD_GRANULE) * _RECORD_GRANULE
        place = self._take_place(size)
        if place is None:
            _log.error("no room for another series", extra={"metric": family.name})
            return memoryview(bytearray(family.cells * _WORD_BYTES)).cast("d")
        _HEAD.pack_into(self._memory, place, size, FAMILIES.index(family), len(key))
        cells = self._cells_at(place, family)
        for number in range(len(cells)):
            cells[number] = 0.0
        first = place + _HEAD_BYTES + family.cells * _WORD_BYTES
        self._memory[first : first + len(key)] = key
        self._words[_revision_of(place)] += 1  # it is even
        self._words[0] = max(self._words[0], place + size)
        self._places[family.name, labels] = place
        return cells

    def _take_place(self, size: int) -> int | None:
        """Find room for a record, with an odd revision."""
        free = self._free.get(size)
        if free:
            return free.pop()
        place = max(_FIRST_RECORD, self._words[0])
        if place + size > len(self._memory):
            return None
        self._words[_revision_of(place)] = 1
        return place


def discarding_segment() -> Segment:
    """Make a segment that is not read by anyone, for meters of what has been forgotten."""
    return Segment(memoryview(bytearray(_DISCARD_BYTES)))


def _revision_of(place: int) -> int:
    return (place + _HEAD.size) // _WORD_BYTES


def _named_labels(family_name: str, values: Labels) -> dict[str, str]:
    return dict(zip(_FAMILIES[family_name].labels, values, strict=False))
