"""What rows a model takes, whatever media type they come in."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import ColumnSpec
from service.errors import InvalidInput, TooManyRows
from service.formats.json import JsonBody
from service.formats.rows import (
    MAX_ERRORS,
    RowFormat,
    conditions_array,
    pointer_to,
    rows_from_lists,
    rows_to_lists,
)
from service.formats.typed_columns import TypedColumns
from tests.bundles import LABELLED, PLANE, POSTCARD, STAMP, WAVE, tiny_manifest
from tests.formats.formats import COLUMNS, GREY, MAX_ROWS, PEOPLE, SERIES, TABLE

LABEL = ColumnSpec(name="label", type="categorical", vocabulary=("cat", 3))
WEIGHT = ColumnSpec(name="weight")
SOLD = ColumnSpec(name="sold/lent", type="boolean")


def people(*rows: list[object]) -> np.ndarray:
    return rows_from_lists(list(rows), PEOPLE)


@pytest.mark.parametrize(
    ("model", "forms"),
    [
        (PLANE, ((4,),)),
        (STAMP, ((6, 4, 1), (6, 4), (24,))),
        (POSTCARD, ((3, 5, 3), (45,))),
        (WAVE, ((8, 1), (8,))),
    ],
)
def test_a_row_comes_whole_without_its_single_channel_or_flat(
    model: object, forms: tuple[object, ...]
) -> None:
    row_format = RowFormat.of_inputs(tiny_manifest(model), MAX_ROWS)  # pyright: ignore[reportArgumentType]  # a tiny model

    assert row_format.forms == forms


def test_codes_have_no_channels_columns_or_range() -> None:
    row_format = RowFormat.of_codes(tiny_manifest(STAMP), MAX_ROWS)

    assert row_format.field == "codes"
    assert row_format.forms == ((2,),)
    assert not row_format.is_image
    assert row_format.typed_columns is None


def test_columns_of_numbers_alone_are_read_the_fast_way() -> None:
    columns = (ColumnSpec(name="a"), ColumnSpec(name="b"))
    row_format = RowFormat("inputs", (2,), False, False, columns, MAX_ROWS)

    assert row_format.typed_columns is None
    assert PEOPLE.typed_columns == COLUMNS


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
        ([41, True], "row 0 has 2 values, the model takes 3"),
        ({"age": 41}, "row 0 is an object, a list of values is expected"),
    ],
)
def test_a_wrong_typed_value_is_named_by_its_column(row: list[object], detail: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        people(row)

    assert str(refused.value) == detail
    assert refused.value.field_errors[0].pointer == "/inputs/0"


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
def test_typed_rows_mean_the_same_by_column_as_value_by_value(rows: list[object]) -> None:
    by_column = outcome(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TypedColumns, "numbers", lambda *_: None)
        assert outcome(rows) == by_column


def outcome(rows: list[object]) -> object:
    try:
        return rows_from_lists(rows, PEOPLE).tobytes()
    except InvalidInput as error:
        return str(error), error.field_errors


def test_typed_rows_that_are_right_are_read_by_column() -> None:
    found = TypedColumns(COLUMNS).numbers([[41, True, 7.0], [None, False, "Bern"]])

    np.testing.assert_array_equal(found, [[41, 1, 2], [np.nan, 0, 0]])


def test_a_category_may_be_missing_where_its_column_says_so() -> None:
    column = ColumnSpec(name="label", type="categorical", vocabulary=("cat", 3), nullable=True)
    row_format = RowFormat("inputs", (1,), False, False, (column,), MAX_ROWS)

    found = rows_from_lists([["cat"], [None], [3]], row_format)

    np.testing.assert_array_equal(found, [[0], [np.nan], [1]])
    np.testing.assert_array_equal(TypedColumns((column,)).numbers([[None]]), [[np.nan]])


def test_codes_of_categories_and_booleans_are_checked_where_rows_come_as_numbers() -> None:
    good = np.array([[41.5, 1, 2], [np.nan, 0, 0]])
    np.testing.assert_array_equal(PEOPLE.cast(good), good)
    for column, code in ((1, 2), (1, 0.5), (1, np.nan), (2, 3), (2, -1), (2, 1.5), (0, np.inf)):
        wrong = good.copy()
        wrong[1, column] = code
        with pytest.raises(InvalidInput) as refused:
            PEOPLE.cast(wrong)
        assert COLUMNS[column].name in str(refused.value)
        assert refused.value.field_errors[0].pointer == "/inputs/1"


def test_only_the_first_faults_of_many_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        TABLE.cast(np.full((MAX_ROWS, 4), np.nan))

    assert len(refused.value.field_errors) == MAX_ERRORS
    assert str(refused.value) == (
        f"row 0 has a value that is not finite as float32 ({MAX_ROWS - 1} more rows are wrong)"
    )


def test_limits_hold_before_anything_is_looked_at() -> None:
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
def test_typed_rows_survive_the_way_to_numbers_and_back(
    rows: list[tuple[float, bool, str | int]],
) -> None:
    body = json.dumps({"inputs": rows}).encode()

    numbers = JsonBody(body, "inputs", ()).rows(PEOPLE)

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


def test_one_condition_holds_for_all_rows_and_a_list_for_one_each() -> None:
    found = conditions_array({"label": "cat", "weight": [0.5, 2, -1]}, (LABEL, WEIGHT), 3)

    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 0.5], [0, 2], [0, -1]])


def test_a_model_without_conditions_takes_none() -> None:
    assert conditions_array(None, None, 3) is None
    assert conditions_array({}, None, 3) is None
    with pytest.raises(InvalidInput, match="the model takes no conditions"):
        conditions_array({"label": "cat"}, None, 3)


@pytest.mark.parametrize(
    ("conditions", "pointer", "detail"),
    [
        (None, "/conditions/label", "the model needs the condition label"),
        ({"label": "cat"}, "/conditions/weight", "the model needs the condition weight"),
        (
            {"label": "cat", "weight": 1, "sold/lent": True, "colour": "red"},
            "/conditions",
            "the model takes the conditions label, weight, sold/lent",
        ),
        (
            {"label": ["cat"], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "1 conditions for 2 rows",
        ),
        (
            {"label": [], "weight": 1, "sold/lent": True},
            "/conditions/label",
            "0 conditions for 2 rows",
        ),
        (
            {"label": "dog", "weight": 1, "sold/lent": True},
            "/conditions/label",
            "the condition label has a category that is not in the vocabulary",
        ),
        (
            {"label": "cat", "weight": ["1", 2], "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a string where a number is expected",
        ),
        (
            {"label": "cat", "weight": 1e300, "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a value that is not finite as float32",
        ),
        (
            {"label": "cat", "weight": 10**400, "sold/lent": True},
            "/conditions/weight",
            "the condition weight has a value that is not finite as float32",
        ),
        (
            {"label": "cat", "weight": 1, "sold/lent": 1},
            "/conditions/sold~1lent",
            "the condition sold/lent has a number where a boolean is expected",
        ),
    ],
)
def test_wrong_conditions_are_named(
    conditions: dict[str, object] | None, pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        conditions_array(conditions, (LABEL, WEIGHT, SOLD), 2)

    assert str(refused.value) == detail
    assert [error.pointer for error in refused.value.field_errors] == [pointer]


def test_conditions_of_the_tiny_conditional_model_are_its_vocabulary() -> None:
    found = conditions_array({"label": ["cat", "dog", 3]}, LABELLED.conditions, 3)

    np.testing.assert_array_equal(found, [[0], [1], [2]])


def test_pointers_are_escaped_and_kept_short() -> None:
    assert pointer_to("inputs", 3) == "/inputs/3"
    assert pointer_to("a/b~c") == "/a~1b~0c"
    assert len(pointer_to("x" * 1000)) == 80
    assert pointer_to() == ""


@pytest.mark.parametrize(
    ("row_format", "words"),
    [
        (TABLE, "4"),
        (SERIES, "5, as (5, 1) or (5,)"),
        (GREY, "6, as (3, 2, 1) or (3, 2) or (6,)"),
    ],
)
def test_a_row_is_described_in_words(row_format: RowFormat, words: str) -> None:
    assert row_format.expected() == words


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 1e-45])
def test_an_image_holds_everything_from_zero_to_one(value: float) -> None:
    rows = np.full((2, 6), value, np.float32)

    np.testing.assert_array_equal(GREY.cast(rows), rows.reshape(2, 3, 2, 1))


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (np.nextafter(np.float32(1), np.float32(2)), "row 1 has a value outside [0, 1]"),
        (-1e-45, "row 1 has a value outside [0, 1]"),
        (np.inf, "row 1 has a value that is not finite as float32"),
        (-np.inf, "row 1 has a value that is not finite as float32"),
        (np.nan, "row 1 has a value that is not finite as float32"),
        (-np.nan, "row 1 has a value that is not finite as float32"),
    ],
)
def test_an_image_holds_nothing_else(value: float, detail: str) -> None:
    rows = np.zeros((2, 6), np.float32)
    rows[1, 5] = value

    with pytest.raises(InvalidInput) as refused:
        GREY.cast(rows)
    assert str(refused.value) == detail
