"""Rows to and from plain Python lists."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import ColumnSpec
from service.errors import InvalidInput, TooManyRows
from service.formats.json.body import JsonBody
from service.formats.row_lists import rows_from_lists, rows_to_lists
from service.formats.typed_columns import TypedColumns
from tests.formats.formats import COLUMNS, MAX_ROWS, PEOPLE, TABLE, format_of


def people(*rows: list[object]) -> np.ndarray:
    return rows_from_lists(list(rows), PEOPLE)


def test_typed_values_become_the_numbers_that_graphs_take() -> None:
    found = people([41.5, True, "Oslo"], [None, False, 7], [-3, True, "Bern"], [0, False, 7.0])

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[41.5, 1, 1], [np.nan, 0, 2], [-3, 1, 0], [0, 0, 2]])


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (["41", True, "Oslo"], "row 0 has a string where a number is expected (column age)"),
        ([True, True, "Oslo"], "row 0 has a boolean where a number is expected (column age)"),
        ([1e300, True, "Oslo"], "row 0 has a value of column age that is not finite as float32"),
        ([10**400, True, "Oslo"], "row 0 has a value of column age that is not finite as float32"),
        ([41, 1, "Oslo"], "row 0 has a number where a boolean is expected (column member)"),
        ([41, None, "Oslo"], "row 0 has null where a boolean is expected (column member)"),
        ([41, "true", "Oslo"], "row 0 has a string where a boolean is expected (column member)"),
        ([41, True, "Paris"], "row 0 has a category that is not in the vocabulary (column city)"),
        ([41, True, 8], "row 0 has a category that is not in the vocabulary (column city)"),
        ([41, True, 7.5], "row 0 has a category that is not in the vocabulary (column city)"),
        ([41, True, True], "row 0 has a boolean where a category is expected (column city)"),
        ([41, True, None], "row 0 has null where a category is expected (column city)"),
        ([41, True, ["Oslo"]], "row 0 is nested too deeply"),
        ([41, True], "row 0 has 2 values; model people takes 3"),
        ({"age": 41}, "row 0 is an object; a list of values is expected"),
    ],
)
def test_a_wrong_typed_value_is_named_by_its_column(row: list[object], detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        people(row)

    assert str(caught.value) == detail
    assert caught.value.field_errors[0].pointer == "/inputs/0"


@given(
    rows=st.lists(
        st.lists(
            st.none()
            | st.booleans()
            | st.sampled_from([7, 7.0, 8, 10**30, 10**400, 1e300, -0.5])
            | st.sampled_from(["Bern", "Oslo", "7"])
            | st.just([1]),
            min_size=2,
            max_size=4,
        )
        | st.tuples(
            st.none() | st.integers() | st.floats(-9, 9),
            st.booleans(),
            st.sampled_from(["Bern", "Oslo", 7, 7.0]),
        ).map(list)
        | st.none(),
        min_size=1,
        max_size=5,
    )
)
def test_typed_rows_are_read_alike_by_column_and_value_by_value(rows: list[object]) -> None:
    by_column = outcome(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TypedColumns, "numbers", lambda *_: None)
        assert outcome(rows) == by_column


def outcome(rows: list[object]) -> object:
    try:
        return rows_from_lists(rows, PEOPLE).tobytes()
    except InvalidInput as error:
        return str(error), error.field_errors


def test_a_category_may_be_missing_where_its_column_says_so() -> None:
    column = ColumnSpec(name="label", type="categorical", vocabulary=("cat", 3), nullable=True)
    row_format = format_of((1,), columns=(column,))

    found = rows_from_lists([["cat"], [None], [3]], row_format)

    np.testing.assert_array_equal(found, [[0], [np.nan], [1]])
    np.testing.assert_array_equal(TypedColumns((column,)).numbers([[None]]), [[np.nan]])


def test_the_number_of_rows_is_checked_before_any_value() -> None:
    with pytest.raises(TooManyRows):
        rows_from_lists([None] * (MAX_ROWS + 1), TABLE)
    with pytest.raises(InvalidInput):
        rows_from_lists([], TABLE)


@given(
    rows=st.lists(
        st.tuples(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.sampled_from(["Bern", "Oslo", 7]),
        ),
        min_size=1,
        max_size=MAX_ROWS,
    )
)
def test_typed_rows_are_the_same_after_conversion_to_numbers_and_back(
    rows: list[tuple[float, bool, str | int]],
) -> None:
    body = json.dumps({"inputs": rows}).encode()

    numbers = JsonBody(body, "inputs", (), MAX_ROWS).rows(PEOPLE)

    assert rows_to_lists(numbers, COLUMNS) == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("numbers", "values"),
    [
        ([0.4, 0.49, -0.6], [0.4, False, "Bern"]),
        ([0.4, 0.5, 0.6], [0.4, True, "Oslo"]),
        ([0.4, 9.0, 99.0], [0.4, True, 7]),
        ([0.4, -9.0, -99.0], [0.4, False, "Bern"]),
        ([0.4, 3e38, 3e38], [0.4, True, 7]),
    ],
)
def test_decoded_numbers_become_the_nearest_value_of_their_column(
    numbers: list[float], values: list[object]
) -> None:
    found = rows_to_lists(np.array([numbers], np.float64).astype(np.float32), COLUMNS)

    assert found == [[pytest.approx(values[0]), *values[1:]]]
