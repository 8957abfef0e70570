"""Fields and arrays to JSON text."""

import asyncio
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
from service.off_loop import CostlyWork
from tests.formats.formats import COLOR, TABLE, rows_of


@given(rows=rows_of(COLOR) | rows_of(TABLE))
def test_written_arrays_read_back_to_the_bit(rows: np.ndarray) -> None:
    written = json.loads(bytes(write_json({"rows": rows, "threshold": None, "model": "a"})))

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

    written = json.loads(bytes(write_json({"p_values": p_values, "anomalies": anomalies})))

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


@given(
    rows=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=6)),
    slice_values=st.integers(1, 50),
)
def test_large_arrays_are_the_same_text_when_written_in_slices(
    rows: np.ndarray, slice_values: int
) -> None:
    whole = orjson.dumps({"rows": rows, "seed": 1}, option=orjson.OPT_SERIALIZE_NUMPY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_SLICE_VALUES", slice_values)
        patch.setattr(writing, "_needs_own_writer", lambda _: True)
        patch.setattr(writing, "_MIN_VALUES_FOR_LATER_BRACKETS", 4)
        for max_joined in (0, 10**9):
            patch.setattr(writing, "_MAX_JOINED_BYTES", max_joined)
            assert bytes(write_json({"rows": rows, "seed": 1})) == whole


@pytest.mark.parametrize("decimals", [None, 3])
async def test_on_an_event_loop_large_arrays_are_left_to_a_thread(decimals: int | None) -> None:
    rows = np.full((writing._MAX_INLINE_VALUES // 4, 4), 0.5, np.float32)

    on_the_loop = write_json({"rows": rows}, decimals)
    with pytest.raises(CostlyWork):
        write_json({"rows": np.concatenate([rows, rows[:1]])}, decimals)

    assert json.loads(bytes(on_the_loop)) == {"rows": rows.tolist()}
    assert on_the_loop == await asyncio.to_thread(write_json, {"rows": rows}, decimals)
