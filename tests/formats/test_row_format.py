"""What rows a model takes, whatever media type they come in."""

import numpy as np
import pytest

from service.bundle.manifest import ColumnSpec
from service.errors import InvalidInput
from service.formats.row_format import MAX_ERRORS, RowFormat
from tests.bundles import PLANE, POSTCARD, STAMP, WAVE, tiny_manifest
from tests.formats.formats import COLUMNS, GRAY, MAX_ROWS, PEOPLE, SERIES, TABLE, format_of


@pytest.mark.parametrize(
    ("model", "forms"),
    [
        (PLANE, ((4,),)),
        (STAMP, ((6, 4, 1), (6, 4), (24,))),
        (POSTCARD, ((3, 5, 3), (45,))),
        (WAVE, ((8, 1), (8,))),
    ],
)
def test_a_row_may_come_in_full_without_its_single_channel_or_flat(
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


def test_columns_that_are_all_numbers_take_the_fast_path() -> None:
    columns = (ColumnSpec(name="a"), ColumnSpec(name="b"))
    row_format = format_of((2,), columns=columns)

    assert row_format.typed_columns is None
    assert PEOPLE.typed_columns == COLUMNS


def test_codes_of_categories_and_booleans_are_checked_where_rows_come_as_numbers() -> None:
    good = np.array([[41.5, 1, 2], [np.nan, 0, 0]])
    np.testing.assert_array_equal(PEOPLE.cast(good), good)
    for column, code in ((1, 2), (1, 0.5), (1, np.nan), (2, 3), (2, -1), (2, 1.5), (0, np.inf)):
        wrong = good.copy()
        wrong[1, column] = code
        with pytest.raises(InvalidInput) as caught:
            PEOPLE.cast(wrong)
        assert COLUMNS[column].name in str(caught.value)
        assert caught.value.field_errors[0].pointer == "/inputs/1"


def test_only_the_first_of_many_wrong_rows_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        TABLE.cast(np.full((MAX_ROWS, 4), np.nan))

    assert len(caught.value.field_errors) == MAX_ERRORS
    assert str(caught.value) == (
        f"row 0 has a value that is not finite as float32 ({MAX_ROWS - 1} more rows are wrong)"
    )


@pytest.mark.parametrize(
    ("row_format", "words"),
    [
        (TABLE, "model table takes 4"),
        (SERIES, "model series takes 5, as (5, 1) or (5,)"),
        (GRAY, "model image takes 6, as (3, 2, 1) or (3, 2) or (6,)"),
    ],
)
def test_a_row_is_described_in_words(row_format: RowFormat, words: str) -> None:
    assert row_format.expected == words


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 1e-45])
def test_an_image_may_hold_every_value_from_zero_to_one(value: float) -> None:
    rows = np.full((2, 6), value, np.float32)

    np.testing.assert_array_equal(GRAY.cast(rows), rows.reshape(2, 3, 2, 1))


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (np.nextafter(np.float32(1), np.float32(2)), "row 1 has a value outside [0, 1]"),
        (-1e-45, "row 1 has a value outside [0, 1]"),
        (1.5, "row 1 has a value outside [0, 1]"),
        (255, "row 1 has a value outside [0, 1]: divide pixels of 0 to 255 by 255"),
        (-1, "row 1 has a value outside [0, 1]: of pixels of -1 to 1, send (pixel + 1) / 2"),
        (65535, "row 1 has a value outside [0, 1]"),
        (np.inf, "row 1 has a value that is not finite as float32"),
        (-np.inf, "row 1 has a value that is not finite as float32"),
        (np.nan, "row 1 has a value that is not finite as float32"),
        (-np.nan, "row 1 has a value that is not finite as float32"),
    ],
)
def test_an_image_may_not_hold_any_other_value(value: float, detail: str) -> None:
    rows = np.zeros((2, 6), np.float32)
    rows[1, 5] = value

    with pytest.raises(InvalidInput) as caught:
        GRAY.cast(rows)
    assert str(caught.value) == detail
