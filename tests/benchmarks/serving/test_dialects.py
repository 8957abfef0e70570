"""Rows survive every dialect to the bit, whatever a server's answers are wrapped in."""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.serving.dialects import (
    Dialect,
    NamedLists,
    Octets,
    OpenInference,
    OpenInferenceBinary,
    Request,
    Rows,
)

HARD = np.array([0.1, 1 / 3, 1e-45, 3.4028235e38, -0.0, 16777216.0], np.float32)


def rows_of(count: int) -> Rows:
    generator = np.random.default_rng(3)
    rows = generator.random((count, 2, 3), dtype=np.float32)
    rows[0] = HARD.reshape(2, 3)
    return rows


def sent(request: Request) -> dict[str, Any]:
    return json.loads(request.content)


def test_named_lists_are_flat_rows() -> None:
    rows = rows_of(4)
    request = NamedLists("reconstructions").write(rows)
    assert request.headers["Content-Type"] == "application/json"
    assert np.array_equal(np.array(sent(request)["inputs"], np.float32), rows.reshape(4, 6))


def test_numbers_are_written_as_short_as_float32_can_be() -> None:
    request = NamedLists("reconstructions").write(np.full((1, 2), 0.1, np.float32))
    assert request.content == b'{"inputs":[[0.1,0.1]]}'


@pytest.mark.parametrize(
    ("answer", "document"),
    [("scores", {"scores": [1.5, 2.5], "model": "m"}), (None, [1.5, 2.5])],
)
def test_named_lists_are_read_from_their_field_or_the_whole_answer(
    answer: str | None, document: Any
) -> None:
    found = NamedLists(answer).read({}, json.dumps(document).encode())
    assert found.tolist() == [1.5, 2.5]


def test_open_inference_names_tensor_type_and_shape() -> None:
    rows = rows_of(3)
    (tensor,) = sent(OpenInference().write(rows))["inputs"]
    assert (tensor["name"], tensor["datatype"]) == ("inputs", "FP32")
    assert tensor["shape"] == [3, 2, 3]
    assert np.array_equal(np.array(tensor["data"], np.float32), rows.ravel())
    answer = {"outputs": [{"name": "outputs", "shape": [3, 2, 3], "data": tensor["data"]}]}
    found = OpenInference().read({}, json.dumps(answer).encode())
    assert np.array_equal(found, rows.ravel())


def test_the_binary_extension_puts_values_behind_a_head_of_the_stated_length() -> None:
    rows = rows_of(3)
    request = OpenInferenceBinary().write(rows)
    length = int(request.headers["Inference-Header-Content-Length"])
    head = json.loads(request.content[:length])
    (tensor,) = head["inputs"]
    assert tensor["parameters"] == {"binary_data_size": rows.nbytes}
    assert head["parameters"] == {"binary_data_output": True}
    assert request.content[length:] == rows.tobytes()
    found = OpenInferenceBinary().read(request.headers, request.content)
    assert np.array_equal(found, rows.ravel())


@pytest.mark.parametrize("rows", [rows_of(1), rows_of(5)])
def test_octets_are_the_values_alone(rows: Rows) -> None:
    dialect: Dialect = Octets()
    request = dialect.write(rows)
    assert len(request.content) == rows.nbytes
    assert np.array_equal(dialect.read(request.headers, request.content), rows.ravel())
