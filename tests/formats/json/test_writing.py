"""Fields and arrays to JSON text."""

import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.formats.json import writing
from service.formats.json.writing import write_json
from tests.formats.formats import COLOR, TABLE, rows_of


@given(rows=rows_of(COLOR) | rows_of(TABLE))
def test_written_arrays_read_back_to_the_bit(rows: np.ndarray) -> None:
    written = json.loads(write_json({"rows": rows, "threshold": None, "model": "a"}))

    assert (written["threshold"], written["model"]) == (None, "a")
    np.testing.assert_array_equal(np.array(written["rows"], np.float32), rows)


@given(
    rows=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=5, max_side=4)),
    min_values=st.sampled_from([0, 10**9]),
)
def test_lists_of_one_number_are_written_like_any_other(rows: np.ndarray, min_values: int) -> None:
    rows = np.concatenate([rows, rows])[..., :1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_MIN_VALUES_FOR_LATER_BRACKETS", min_values)
        written = write_json({"rows": rows, "seed": 1})

    fields = {"rows": np.ascontiguousarray(rows), "seed": 1}
    assert written == orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def test_written_scores_keep_their_precision() -> None:
    p_values = np.array([1 / 3, math.pi / 7], np.float64)
    anomalies = np.array([True, False])

    written = json.loads(write_json({"p_values": p_values, "anomalies": anomalies}))

    assert written == {"p_values": [1 / 3, math.pi / 7], "anomalies": [True, False]}


@pytest.mark.parametrize("more_values", [-1, 0, 1])
def test_lists_of_one_are_written_alike_on_both_sides_of_the_size_that_decides_how(
    more_values: int,
) -> None:
    count = writing._MIN_VALUES_FOR_LATER_BRACKETS + more_values
    rows = np.random.default_rng(3).standard_normal((count, 1), dtype=np.float32)

    assert write_json({"rows": rows}) == orjson.dumps(
        {"rows": rows}, option=orjson.OPT_SERIALIZE_NUMPY
    )
