"""Numbers that several processes can read while one of them writes: a segment of memory each.

A worker adds to its own segment with plain stores, so counting takes no lock and no system call,
and a worker that is killed leaves everything it has counted behind: the memory belongs to all.
Its successor goes on in the same segment. No file is involved, so a read-only system will do.
"""

import json
import logging
import mmap
import struct
from collections.abc import Iterator
from typing import TypeAlias

from service.metrics.families import FAMILIES, Family

Cells: TypeAlias = "memoryview[float]"
"""The numbers of one series: float64."""

# Most of it is address space alone: a page takes memory when it is first written to.
SEGMENT_BYTES = 4 * 1024 * 1024
_USED = struct.Struct("=Q")
_HEAD = struct.Struct("=IHH")  # bytes of the record, number of its family, bytes of its key
_CELL_BYTES = 8

_log = logging.getLogger(__name__)


class SharedMemory:
    """Segments that processes forked from this one share with it."""

    def __init__(self, segments: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Take the memory; it is given back when the last process that shares it ends.

        Args:
            segments: One for each process that writes.
            segment_bytes: Size of one, a multiple of 8.
        """
        self._memory = mmap.mmap(-1, segments * segment_bytes)  # anonymous and shared
        whole = memoryview(self._memory)
        self.segments = [
            Segment(whole[first : first + segment_bytes])
            for first in range(0, len(whole), segment_bytes)
        ]


class Segment:
    """The series of one process, each a record that is appended once and then only added to.

    A reader sees a record whole or not at all: the length in front is stored after it is written.
    """

    def __init__(self, memory: memoryview) -> None:
        """Use a piece of memory, empty (zeros) or with the records of a predecessor."""
        self._memory = memory
        self._known: dict[tuple[str, tuple[str, ...]], Cells] | None = None

    def cells(self, family: Family, *labels: str) -> Cells:
        """Find or append the series of a family with these label values.

        A full segment hands out numbers that nobody reads, and says so in the log.
        """
        if self._known is None:
            self._known = {(known.name, values): cells for known, values, cells in self.series()}
        key = (family.name, labels)
        if key not in self._known:
            self._known[key] = self._append(family, labels)
        return self._known[key]

    def series(self) -> Iterator[tuple[Family, tuple[str, ...], Cells]]:
        """Iterate over what has been appended: family, label values, numbers."""
        place = _USED.size
        while place < self._used:
            size, number, key_bytes = _HEAD.unpack_from(self._memory, place)
            key_end = place + _HEAD.size + key_bytes
            labels = json.loads(bytes(self._memory[place + _HEAD.size : key_end]))
            cells = self._memory[_aligned(key_end) : place + size].cast("d")
            yield FAMILIES[number], tuple(labels), cells
            place += size

    def end_gauges(self) -> None:
        """Forget what a worker that has ended said of its present state."""
        for family, _, cells in self.series():
            if family.kind == "gauge":
                cells[0] = 0.0
        self._known = None  # its successor finds the series that it appended

    @property
    def _used(self) -> int:
        return max(_USED.size, _USED.unpack_from(self._memory)[0])

    def _append(self, family: Family, labels: tuple[str, ...]) -> Cells:
        key = json.dumps(labels).encode()
        place = self._used
        first = _aligned(place + _HEAD.size + len(key))
        end = first + family.cells * _CELL_BYTES
        if end > len(self._memory):
            _log.error("no room for another series", extra={"metric": family.name})
            return memoryview(bytearray(family.cells * _CELL_BYTES)).cast("d")
        _HEAD.pack_into(self._memory, place, end - place, FAMILIES.index(family), len(key))
        self._memory[place + _HEAD.size : place + _HEAD.size + len(key)] = key
        _USED.pack_into(self._memory, 0, end)
        return self._memory[first:end].cast("d")


def _aligned(place: int) -> int:
    return -(-place // _CELL_BYTES) * _CELL_BYTES
