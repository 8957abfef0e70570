"""The traffic that every server of the comparison gets."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.serving.dialects import Rows

DENSE = "dense"
CONVOLUTIONAL = "conv"

RECONSTRUCT = "reconstruct"
SCORE = "anomaly-score"


class Encoding(StrEnum):
    """Whether numbers travel as text or as they lie in memory."""

    JSON = "JSON"
    BINARY = "binary"


@dataclass(frozen=True)
class Load:
    """One kind of traffic.

    Attributes:
        key: Its name on the command line.
        model: Which model it is for.
        encoding: How its numbers travel.
        rows: Rows of each request.
        connections: How many requests are open at once.
        call: What is asked for.
    """

    key: str
    model: str
    encoding: Encoding
    rows: int
    connections: int
    call: str = RECONSTRUCT

    @property
    def title(self) -> str:
        """Its name in the tables."""
        rows = f"{self.rows} row{'' if self.rows == 1 else 's'}"
        connections = f"{self.connections} connection{'' if self.connections == 1 else 's'}"
        call = "" if self.call == RECONSTRUCT else f"/{self.call}, "
        return f"{self.model}: {call}{self.encoding}, {rows}, {connections}"


JSON_ROWS = Load("json-64x8", DENSE, Encoding.JSON, 64, 8)
SCORED_ROWS = Load("score-json-64x8", DENSE, Encoding.JSON, 64, 8, SCORE)

LOADS = (
    Load("json-1x64", DENSE, Encoding.JSON, 1, 64),
    Load("json-1x1", DENSE, Encoding.JSON, 1, 1),
    JSON_ROWS,
    SCORED_ROWS,
    Load("binary-1x64", DENSE, Encoding.BINARY, 1, 64),
    Load("binary-64x8", DENSE, Encoding.BINARY, 64, 8),
    Load("conv-json-64x8", CONVOLUTIONAL, Encoding.JSON, 64, 8),
    Load("conv-binary-64x8", CONVOLUTIONAL, Encoding.BINARY, 64, 8),
)


def example_rows(count: int, shape: tuple[int, ...]) -> Rows:
    """Make rows of random values between 0 and 1: the longest text that float32 needs.

    Args:
        count: How many.
        shape: Shape of one.
    """
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)
