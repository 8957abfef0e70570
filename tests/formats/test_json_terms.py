"""What error messages call the values and the places of a JSON body."""

import json

import pytest

from service.formats.json_terms import json_type, pointer_to


def test_pointers_are_escaped_and_kept_short() -> None:
    assert pointer_to("inputs", 3) == "/inputs/3"
    assert pointer_to("a/b~c") == "/a~1b~0c"
    assert len(pointer_to("x" * 1000)) == 80
    assert pointer_to() == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{}", "an object"),
        ("[1]", "a list"),
        ('"1"', "a string"),
        ("true", "a boolean"),
        ("1", "a number"),
        ("1.5", "a number"),
        ("null", "null"),
    ],
)
def test_a_json_value_is_named_by_its_type(text: str, name: str) -> None:
    assert json_type(json.loads(text)) == name


def test_a_value_that_json_does_not_have_is_named_too() -> None:
    assert json_type(b"") == "a value of another type"
