"""From a picture file to samples and alpha."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.arrays import FloatArray
from service.errors import InvalidInput
from service.formats.picture_files.picture_file import PictureFile, incomplete

Samples = NDArray[np.uint8] | FloatArray
"""Shape (height, width, 1 or 3): bytes, or numbers in [0, 1]."""
_Stored = NDArray[Any]

# 12-bit data that nobody has scaled lie below; a picture this dark has hardly anything to see.
_MIN_BRIGHTEST = 4096
_MAX_SAMPLE = 65_535


def decode(picture: PictureFile, white: int | None) -> tuple[Samples, FloatArray | None]:
    """Decode a picture, whose size has been checked.

    Args:
        picture: The file.
        white: The sample that is white, of a picture of 16 bits a sample.

    Returns:
        Samples as stored, and alpha in [0, 1], shape (height, width, 1), if there is any.

    Raises:
        MalformedBody: The file is damaged.
        InvalidInput: What is white cannot be known, or is not what was stated.
    """
    try:
        image = Image.open(io.BytesIO(picture.pixels), formats=[picture.kind])
        stored = np.asarray(image)
    except Exception as error:
        # Pillow's readers raise errors of many types for damaged files.
        raise incomplete(picture.kind) from error
    if image.mode == "P":
        stored, alpha = _colors(stored, picture)
    else:
        stored = stored[..., None] if stored.ndim == 2 else stored
        stored, alpha = _split(stored, picture)
    if picture.bits == 16:
        return _scaled(stored, picture, white), alpha
    if white is not None:
        detail = f"white is for pictures of 16 bits a sample; this one has {picture.bits}"
        raise InvalidInput.at("/white", detail)
    return stored.astype(np.uint8, copy=False) * np.uint8(255 if stored.dtype == bool else 1), alpha


def _colors(
    indices: NDArray[np.uint8], picture: PictureFile
) -> tuple[NDArray[np.uint8], FloatArray | None]:
    """Look colors up in the palette."""
    palette = np.frombuffer(picture.palette or b"", np.uint8).reshape(-1, 3)
    if indices.max() >= len(palette):
        raise incomplete(picture.kind)
    if picture.transparency is None:
        return palette[indices], None
    alphas = np.ones(len(palette), np.float32)
    stated = np.frombuffer(picture.transparency, np.uint8)
    alphas[: len(stated)] = stated / np.float32(255)
    return palette[indices], alphas[indices][..., None]


def _split(stored: _Stored, picture: PictureFile) -> tuple[NDArray[np.generic], FloatArray | None]:
    """Split alpha off, or make it of the transparent color."""
    if stored.shape[-1] in (2, 4):
        return stored[..., :-1], stored[..., -1:].astype(np.float32) / np.float32(255)
    if picture.transparency is None:
        return stored, None
    transparent = np.frombuffer(picture.transparency, ">u2").astype(np.int64)
    if 1 < picture.bits < 8:
        transparent = transparent * (255 // (2**picture.bits - 1))  # as Pillow widens samples
    is_opaque = (stored != transparent).any(axis=-1, keepdims=True)
    return stored, is_opaque.astype(np.float32)


def _scaled(stored: _Stored, picture: PictureFile, white: int | None) -> FloatArray:
    samples = stored.astype(np.int64)
    brightest = int(samples.max())
    if white is not None:
        if brightest > white:
            detail = f"the picture has samples above the white that was stated, {white}"
            raise InvalidInput.at("/white", detail)
    elif 0 < brightest < _MIN_BRIGHTEST:
        raise InvalidInput.at(
            "/white",
            f"no sample of this 16-bit picture is above {_MIN_BRIGHTEST - 1}, as of 12-bit data:"
            f" state its white, such as white={_MIN_BRIGHTEST - 1} or white={_MAX_SAMPLE}",
        )
    elif picture.significant_bits is not None and 0 < picture.significant_bits < 16:
        # The PNG specification, section 11.3.2.7: the original sample is in the highest bits.
        samples >>= 16 - picture.significant_bits
        white = 2**picture.significant_bits - 1
    return (samples / (white or _MAX_SAMPLE)).astype(np.float32)
