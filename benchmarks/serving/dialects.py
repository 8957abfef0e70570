"""How rows are written to each kind of server, and how its answers are read.

JSON carries every float32 in its shortest text, as a client would send it. Rows go flat, in
row-major order: every server takes them so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

JSON = "application/json"
OCTETS = "application/octet-stream"
INFERENCE_HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    """Headers and body of a request."""

    headers: dict[str, str]
    content: bytes


class Dialect(Protocol):
    """One way of putting rows into bodies and getting them out again."""

    def write(self, rows: Rows) -> Request:
        """Make the request for rows of the model's shape."""
        ...

    def read(self, headers: Mapping[str, str], body: bytes) -> Rows:
        """Take the answered numbers out of a body, in row-major order but of whatever shape."""
        ...


@dataclass(frozen=True)
class NamedLists:
    """JSON: ``{"inputs": rows}``, answered by a field of the same kind.

    Attributes:
        answer: The field; with none, the whole answer is the rows.
    """

    answer: str | None

    def write(self, rows: Rows) -> Request:
        """Make the request."""
        lists = [_shortest(row) for row in rows.reshape(len(rows), -1)]
        return Request({"Content-Type": JSON, "Accept": JSON}, _compact({"inputs": lists}))

    def read(self, headers: Mapping[str, str], body: bytes) -> Rows:  # noqa: ARG002
        """Take the rows out."""
        document = json.loads(body)
        return np.array(document if self.answer is None else document[self.answer], np.float32)


@dataclass(frozen=True)
class Octets:
    """Nothing but the little-endian float32 values, both ways."""

    def write(self, rows: Rows) -> Request:
        """Make the request."""
        return Request({"Content-Type": OCTETS, "Accept": OCTETS}, rows.astype("<f4").tobytes())

    def read(self, headers: Mapping[str, str], body: bytes) -> Rows:  # noqa: ARG002
        """Take the rows out."""
        return np.frombuffer(body, "<f4")


@dataclass(frozen=True)
class OpenInference:
    """The Open Inference Protocol (KServe v2) in JSON."""

    def write(self, rows: Rows) -> Request:
        """Make the request."""
        tensor = {
            "name": "inputs",
            "datatype": "FP32",
            "shape": list(rows.shape),
            "data": _shortest(rows.ravel()),
        }
        return Request({"Content-Type": JSON, "Accept": JSON}, _compact({"inputs": [tensor]}))

    def read(self, headers: Mapping[str, str], body: bytes) -> Rows:  # noqa: ARG002
        """Take the first output out."""
        return np.array(json.loads(body)["outputs"][0]["data"], np.float32)


@dataclass(frozen=True)
class OpenInferenceBinary:
    """The same protocol with its binary tensor extension, both ways: JSON, then raw values."""

    def write(self, rows: Rows) -> Request:
        """Make the request."""
        values = rows.astype("<f4").tobytes()
        tensor = {
            "name": "inputs",
            "datatype": "FP32",
            "shape": list(rows.shape),
            "parameters": {"binary_data_size": len(values)},
        }
        head = _compact({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": OCTETS, INFERENCE_HEADER: str(len(head))}
        return Request(headers, head + values)

    def read(self, headers: Mapping[str, str], body: bytes) -> Rows:
        """Take the only output out."""
        return np.frombuffer(body[int(headers[INFERENCE_HEADER]) :], "<f4")


def _shortest(values: Rows) -> list[float]:
    return [float(str(value)) for value in values]


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
