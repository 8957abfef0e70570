"""Row formats of every kind, and how hypothesis draws rows for them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.bundle.manifest import ColumnSpec
from service.formats.row_format import RowFormat

MAX_ROWS = 12


def format_of(
    shape: tuple[int, ...], *, model: str = "table", field: str = "inputs", **facts: Any
) -> RowFormat:
    """Describe rows of numbers; ``facts`` are further fields of the format."""
    return RowFormat(field=field, model=model, shape=shape, max_rows=MAX_ROWS, **facts)


def image_format(*shape: int) -> RowFormat:
    return format_of(shape, model="image", is_image=True, has_channels=True)


TABLE = format_of((4,))
GRAY = image_format(3, 2, 1)
COLOR = image_format(2, 3, 3)
SERIES = format_of((5, 1), model="series", has_channels=True)
CHANNELS = format_of((3, 2), model="channels", has_channels=True)
CODES = format_of((2,), field="codes")
FORMATS = (TABLE, GRAY, COLOR, SERIES, CHANNELS, CODES)

COLUMNS = (
    ColumnSpec(name="age", nullable=True),
    ColumnSpec(name="member", type="boolean"),
    ColumnSpec(name="city", type="categorical", vocabulary=("Bern", "Oslo", 7)),
)
PEOPLE = format_of((3,), model="people", columns=COLUMNS)

formats = st.sampled_from(FORMATS)


@st.composite
def rows_of(draw: st.DrawFn, row_format: RowFormat) -> np.ndarray:
    """Draw rows that a format takes: float32, in [0, 1] for images."""
    count = draw(st.integers(1, 4))
    low, high = (0.0, 1.0) if row_format.is_image else (None, None)
    values = st.floats(low, high, width=32, allow_nan=False, allow_infinity=False)
    return draw(hnp.arrays(np.float32, (count, *row_format.shape), elements=values))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**320), 10**320)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)
