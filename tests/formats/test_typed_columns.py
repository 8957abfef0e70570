"""Tables of numbers, booleans and categories, column by column."""

import numpy as np

from service.formats.typed_columns import TypedColumns
from tests.formats.formats import COLUMNS


def test_typed_rows_that_are_right_are_read_by_column() -> None:
    found = TypedColumns(COLUMNS).numbers([[41, True, 7.0], [None, False, "Bern"]])

    np.testing.assert_array_equal(found, [[41, 1, 2], [np.nan, 0, 0]])


def test_signaling_nans_are_missing_or_wrong_like_any_other_nan() -> None:
    signaling = np.array([[0x7F810000] * 3], np.uint32).view(np.float32)

    np.testing.assert_array_equal(TypedColumns(COLUMNS).wrong(signaling), [[False, True, True]])
