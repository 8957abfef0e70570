"""A picture file, reduced to what its pixels are."""

from dataclasses import dataclass

from service.errors import MalformedBody


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFile:
    """A picture whose pixels have not been decoded.

    What a file contains beside its pixels (comments, profiles, thumbnails, further pictures) never
    reaches the decoder.

    Attributes:
        kind: As Pillow names it.
        width: In pixels, as stored.
        height: In pixels, as stored.
        orientation: How to turn what is stored, 1 to 8, as EXIF counts them.
        pixels: A file of nothing but the pixels.
        bits: Bits a sample.
        significant_bits: Bits a gray sample had before it was widened to ``bits``.
        palette: Red, green and blue of every color of the palette, if there is one.
        transparency: Alpha of the palette's first colors, or the samples of the transparent color.
    """

    kind: str
    width: int
    height: int
    pixels: bytes
    orientation: int = 1
    bits: int = 8
    significant_bits: int | None = None
    palette: bytes | None = None
    transparency: bytes | None = None

    @property
    def seen_size(self) -> tuple[int, int]:
        """Width and height of the picture once it is turned."""
        if self.orientation > 4:
            return self.height, self.width
        return self.width, self.height


def incomplete(kind: str) -> MalformedBody:
    """Return the error for a file that is damaged or not complete."""
    return MalformedBody(f"the body is not a complete {kind} file")
