"""``multipart/form-data``: files and texts in one body, as browsers and HTTP clients send forms."""

import re
from dataclasses import dataclass

from service.errors import FieldError, InvalidInput, MalformedBody
from service.formats.json_terms import pointer_to

_PARAMETER = re.compile(r"\s*;\s*([\w*-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\"\s]*))")
_MAX_HEAD_BYTES = 2048
_LINE_END = b"\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_PLAIN_TRANSFER = ("", "7bit", "8bit", "binary")
_MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form.

    Attributes:
        number: Counted from 1.
        name: Of the field.
        filename: Of the file that it was; None for a text.
        content: Its bytes.
    """

    number: int
    name: str
    filename: str | None
    content: bytes

    def error(self, problem: str) -> InvalidInput:
        """Return the error for a part that is of no use.

        Args:
            problem: The sentence behind the part's name.
        """
        pointer = pointer_to(self.name)
        shown = f" ({self.name[:_MAX_SHOWN_CHARACTERS]})" * bool(self.name)
        detail = f"part {self.number} of the form{shown}: {problem}"
        return InvalidInput(detail, [FieldError(pointer, detail)])

    def text(self) -> str:
        """Return the content as text.

        Raises:
            InvalidInput: It is not UTF-8.
        """
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise self.error("the text is not UTF-8") from error


def header_parameters(value: str) -> dict[str, str]:
    """Return the parameters of a header's value, their names in lower case.

    Example:
        >>> header_parameters('form-data; name="file"; filename=a.png')
        {'name': 'file', 'filename': 'a.png'}
    """
    parameters: dict[str, str] = {}
    position = max(0, value.find(";"))
    while (found := _PARAMETER.match(value, position)) is not None:
        name, quoted, token = found.groups()
        text = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(name.lower(), text)
        position = found.end()
    return parameters


def read_form(body: bytes, content_type: str, max_parts: int) -> list[Part]:
    """Cut a form into its parts.

    What stands in front of the first part and behind the last one is ignored, and so is the empty
    part that a browser sends for a choice of a file that was left out.

    Args:
        body: The body.
        content_type: The request's, which names the boundary.
        max_parts: Parts of one form at most.

    Raises:
        MalformedBody: The body is not such a form.
        InvalidInput: A part has no name, or a transfer encoding.

    Source: RFC 7578; RFC 2046, section 5.1.1.
    """
    boundary = header_parameters(content_type).get("boundary", "").encode("latin-1")
    if not 0 < len(boundary) <= 70:
        raise MalformedBody("the Content-Type of the form has no boundary")
    delimiter = _LINE_END + b"--" + boundary
    content = _LINE_END + body
    position = content.find(delimiter)
    parts: list[Part] = []
    while position >= 0:
        position += len(delimiter)
        if content.startswith(b"--", position):
            return [part for part in parts if part.filename != "" or part.content]
        start = content.find(_LINE_END, position)
        position = content.find(delimiter, max(start, position))
        if start < 0 or position < 0:
            break
        if len(parts) == max_parts:
            raise MalformedBody(f"the form has more than {max_parts} parts")
        parts.append(_part(len(parts) + 1, content, start, position))
    raise MalformedBody("the body is not a complete form of the boundary in its Content-Type")


def _part(number: int, content: bytes, start: int, end: int) -> Part:
    """Read the part between two places; it begins with the end of its boundary's line."""
    head_end = content.find(_END_OF_HEAD, start, min(end, start + _MAX_HEAD_BYTES))
    if head_end < 0:
        raise MalformedBody(
            f"part {number} of the form has no end of its headers within {_MAX_HEAD_BYTES} bytes"
        )
    headers: dict[str, str] = {}
    for line in content[start + len(_LINE_END) : head_end].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    parameters = header_parameters(headers.get("content-disposition", ""))
    filename = parameters.get("filename", parameters.get("filename*"))
    part = Part(
        number, parameters.get("name", ""), filename, content[head_end + len(_END_OF_HEAD) : end]
    )
    if not part.name:
        raise part.error("its Content-Disposition has no name")
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN_TRANSFER:
        raise part.error("a Content-Transfer-Encoding is not read; send the bytes")
    return part
