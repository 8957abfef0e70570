"""What error messages call the values and the places of a JSON body."""

from typing import Any

_MAX_POINTER_CHARACTERS = 80
_TYPES: dict[type[Any], str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def json_type(value: object) -> str:
    """Return the JSON type of a Python value, with its article.

    Example:
        >>> json_type({"a": 1})
        'an object'
    """
    return _TYPES.get(type(value), "a value of another type")


def pointer_to(*steps: str | int) -> str:
    """Write a JSON pointer, truncated because field names may be a client's own long text.

    Example:
        >>> pointer_to("conditions", "sold/lent")
        '/conditions/sold~1lent'

    Source: RFC 6901.
    """
    escaped = [str(step).replace("~", "~0").replace("/", "~1") for step in steps]
    return "".join(f"/{step}" for step in escaped)[:_MAX_POINTER_CHARACTERS]
