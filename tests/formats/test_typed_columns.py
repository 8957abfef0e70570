"""Tables of numbers, booleans and categories, column by column."""

import numpy as np

from service.formats.typed_columns import TypedColumns
from tests.formats.formats import COLUMNS


def test_typed_rows_that_are_right_are_read_by_column() -> None:
    found = TypedColumns(COLUMNS).numbers([[41, True, 7.0], [None, False, "Bern"]])

    np.testing.assert_array_equal(found, [[41, 1, 2], [np.nan, 0, 0]])
