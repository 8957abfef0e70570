"""The rows in a form: pictures and arrays, a file each."""

import numpy as np

from service.arrays import FloatArray
from service.errors import InvalidInput, RequestError, TooManyRows
from service.formats.first_bytes import JPEG, NPY, PNG, kind_of
from service.formats.form import Part
from service.formats.image import read_picture
from service.formats.npy import read_npy
from service.formats.row_format import RowFormat


def rows_of_files(files: list[Part], row_format: RowFormat) -> FloatArray:
    """Read the files of a form, in their order.

    Args:
        files: PNG or JPEG files for models of images, a row each, and ``.npy`` files of any number
            of rows. Their first bytes tell what they are.
        row_format: What the rows should be.

    Returns:
        Contiguous float32, shape (rows, *row shape).

    Raises:
        InvalidInput: A file is not what the model takes; the error names its part.
        TooManyRows: More rows than the limit.
    """
    if not files:
        raise InvalidInput.at("", "the form has no file; send rows as files: -F file=@a.png")
    row_format.check_row_count(len(files))
    arrays = [_read(part, row_format) for part in files]
    rows = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    row_format.check_row_count(len(rows))
    return rows


def _read(part: Part, row_format: RowFormat) -> FloatArray:
    try:
        if part.content.startswith(NPY):
            return read_npy(part.content, row_format)
        if row_format.is_image:
            return read_picture(part.content, row_format)
    except TooManyRows:
        raise
    except RequestError as error:
        if any(place.pointer == "/white" for place in error.field_errors):
            raise
        raise part.error(str(error)) from error
    if part.content.startswith((PNG, JPEG)):
        raise part.error(f"model {row_format.model} does not take pictures here")
    kind = kind_of(part.content)
    named = "not a .npy file" if kind is None else f"{kind.name}, not a .npy file"
    raise part.error(f"the file is {named}")
