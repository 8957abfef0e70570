"""What holds for every media type of the table."""

import re

import numpy as np
import pytest

from service.formats.array_formats import ARRAY_FORMATS, ArrayFormat
from service.formats.row_format import RowFormat
from tests.formats.formats import GRAY, TABLE, image_format

SCORES = np.array([(0.5, 0.25, True), (1.5, 1.0, False)], "<f4,<f8,?")
LARGE = image_format(16, 24, 3)

FORMATS = tuple(ARRAY_FORMATS.values())
IN_PAIRS = [
    pytest.param(array_format, row_format, id=f"{array_format.media_type} {row_format.shape}")
    for array_format in FORMATS
    for row_format in (TABLE, GRAY, LARGE)
    if row_format.is_image or not array_format.pictures_only
]


def smooth_row(row_format: RowFormat) -> np.ndarray:
    """A gradient, which lossy formats keep nearly unchanged."""
    return np.linspace(0.1, 0.9, row_format.size, dtype=np.float32).reshape(1, *row_format.shape)


@pytest.mark.parametrize(("array_format", "row_format"), IN_PAIRS)
def test_a_format_reads_what_it_writes(array_format: ArrayFormat, row_format: RowFormat) -> None:
    row = smooth_row(row_format)

    found = array_format.read(bytes(array_format.write(row)), row_format)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, row, atol=0.05 if array_format.pictures_only else 0)
    assert found.shape == row.shape


@pytest.mark.parametrize(
    "array_format",
    [array_format for array_format in FORMATS if not array_format.pictures_only],
    ids=lambda array_format: array_format.media_type,
)
def test_a_format_that_is_not_for_pictures_only_writes_scores(array_format: ArrayFormat) -> None:
    assert len(array_format.write(SCORES)) > 0


def test_formats_are_found_by_a_media_type_in_lower_case_without_parameters() -> None:
    for media_type, array_format in ARRAY_FORMATS.items():
        assert media_type == array_format.media_type
        assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", media_type)


def test_only_raw_numbers_have_a_header_and_it_states_their_shape() -> None:
    headers = [
        (media_type, header.encoded_name, header.value(SCORES))
        for media_type, array_format in ARRAY_FORMATS.items()
        for header in array_format.headers
    ]

    assert headers == [("application/octet-stream", b"x-shape", b"2,3")]
