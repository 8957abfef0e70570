"""Errors of JSON bodies: what is wrong, and where."""

import pytest

from service.errors import InvalidInput, MalformedBody, TooManyRows
from service.formats.row_format import RowFormat
from tests.formats.formats import GRAY, MAX_ROWS, PEOPLE, TABLE
from tests.formats.json.bodies import forbid_slow_path, read

NOT_FINITE = "NaN and Infinity are not JSON; every value must be a finite number"


def test_rows_whose_number_of_values_is_right_only_in_total_are_rejected() -> None:
    """Eight numbers in all, as two rows of four have, but in lists of other lengths."""
    with pytest.raises(InvalidInput) as caught:
        read({"inputs": [[1, 2, 3, 4], [5, 6, 7], [8]]}, TABLE)

    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/1", "/inputs/2"]
    assert str(caught.value) == "row 1 has 3 values; model table takes 4 (1 more row is wrong)"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ([[0, 0], [0, 0], [0]], "row 0 is ragged: its lists have different lengths"),
        ([[0, 0], [0, 0], 0], "row 0 mixes lists and values"),
        ([[[[0]], [[0]]]] * 3, "row 0 is nested too deeply"),
        ([[0, 0]] * 2, "row 0 has shape (2, 2); model image takes (3, 2, 1) or (3, 2) or (6,)"),
        ([0] * 5, "row 0 has 5 values; model image takes 6, as (3, 2, 1) or (3, 2) or (6,)"),
        ([], "row 0 has 0 values; model image takes 6, as (3, 2, 1) or (3, 2) or (6,)"),
        (7, "row 0 is a number; a list of values is expected"),
        ({}, "row 0 is an object; a list of values is expected"),
        (["1"] * 6, "row 0 has a string where a number is expected"),
        ([None] * 6, "row 0 has null where a number is expected"),
        ([True] * 6, "row 0 has a boolean where a number is expected"),
        ([{}] * 6, "row 0 has an object where a number is expected"),
        ([1.5] * 6, "row 0 has a value outside [0, 1]"),
        ([-0.001] * 6, "row 0 has a value outside [0, 1]"),
        ([1e300] * 6, "row 0 has a value that is not finite as float32"),
        ([10**30] * 6, "row 0 has a value outside [0, 1]"),
        ([10**400] * 6, "row 0 has a value that is not finite as float32"),
        ([10**4000] * 6, "row 0 has a value that is not finite as float32"),
    ],
)
def test_a_wrong_row_is_named_with_what_is_wrong_about_it(row: object, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read({"inputs": [row]}, GRAY)

    assert str(caught.value) == detail
    assert caught.value.field_errors[0].pointer == "/inputs/0"


def test_every_wrong_row_is_counted_and_the_first_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        read({"inputs": [[2] * 6, [0] * 6, [2] * 6, [2] * 6]}, GRAY)

    assert str(caught.value) == "row 0 has a value outside [0, 1] (2 more rows are wrong)"
    assert [error.pointer for error in caught.value.field_errors] == [
        "/inputs/0",
        "/inputs/2",
        "/inputs/3",
    ]


@pytest.mark.parametrize(
    "row",
    [
        [[[0.5], [0.5]], [[0.5], [0.5]], [[0.5], [0.5]]],
        [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]],
        [0.5] * 6,
    ],
)
def test_one_image_that_is_in_no_list_is_rejected_as_one(row: object) -> None:
    with pytest.raises(InvalidInput, match="inputs is one row; a list of rows is expected"):
        read({"inputs": row}, GRAY)


def test_rows_behind_the_last_error_that_is_reported_are_not_counted() -> None:
    with pytest.raises(InvalidInput, match=r"\(at least 9 more rows are wrong\)"):
        read({"inputs": [[1]] * MAX_ROWS}, TABLE)


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        ([], "inputs has no rows; send at least one"),
        (None, "inputs is null; a list of rows is expected"),
        ("rows", "inputs is a string; a list of rows is expected"),
        ({"0": [1, 2, 3, 4]}, "inputs is an object; a list of rows is expected"),
        ([1, 2, 3, 4], "inputs is one row; a list of rows is expected: put it in a list"),
    ],
)
def test_what_is_not_a_list_of_rows_is_rejected_as_a_whole(rows: object, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read({"inputs": rows}, TABLE)

    assert str(caught.value) == detail
    assert [error.pointer for error in caught.value.field_errors] == ["/inputs"]


def test_a_body_without_the_field_is_rejected() -> None:
    with pytest.raises(InvalidInput) as caught:
        read({"model": "a"}, TABLE)

    assert str(caught.value) == "the body has no field inputs; a list of rows is expected"
    assert caught.value.field_errors[0].pointer == "/inputs"


def test_one_row_more_than_the_limit_is_too_many() -> None:
    row = [0, 0, 0, 0]

    assert read({"inputs": [row] * MAX_ROWS}, TABLE).shape == (MAX_ROWS, 4)
    with pytest.raises(
        TooManyRows, match=f"the request has {MAX_ROWS + 1} rows; the limit is {MAX_ROWS}: split it"
    ):
        read({"inputs": [row] * (MAX_ROWS + 1)}, TABLE)
    with pytest.raises(TooManyRows):
        read({"inputs": [["a"]] * (MAX_ROWS + 1)}, TABLE)


MANY = 200_000


@pytest.mark.parametrize(
    "row",
    [
        "[" + "[]," * MANY + "[]]",
        "[" + "[[]]," * MANY + "[]]",
        "[[" + "[]," * MANY + "[]]]",
        "[[[" + "[]," * MANY + "[]]]]",
        "[" + "1," * MANY + "1]",
        "[" + "{}," * MANY + "1]",
        '{"a": [' + "1," * MANY + "1]}",
    ],
    ids=lambda row: row[:12],
)
@pytest.mark.parametrize("row_format", [TABLE, GRAY, PEOPLE], ids=["table", "image", "typed"])
def test_a_row_of_very_many_values_is_rejected_before_they_are_converted(
    row: str, row_format: RowFormat
) -> None:
    """To convert each list takes two microseconds and a hundred bytes."""
    with pytest.MonkeyPatch.context() as patch:
        forbid_slow_path(patch)
        with pytest.raises(InvalidInput) as caught:
            read('{"inputs": [' + row + "]}", row_format)

    assert str(caught.value) == f"row 0 has too many values; {row_format.expected}"
    assert caught.value.field_errors[0].pointer == "/inputs/0"


@pytest.mark.parametrize("beyond", ["1e999", "9" * 30])
def test_very_many_values_beside_an_oversized_number_are_not_visited(beyond: str) -> None:
    lists = "[]," * 100_000
    with pytest.raises(InvalidInput, match="row 0 has too many values; model image takes 6"):
        read(f'{{"inputs": [[{lists}[]], [{beyond}]]}}', GRAY)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e39", "9" * 310, "9" * 20_000])
def test_numbers_beyond_float32_are_rejected(number: str) -> None:
    with pytest.raises(InvalidInput, match="row 0 has a value that is not finite as float32"):
        read(f'{{"inputs": [[{number}, 1, 2, 3]]}}', TABLE)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty; a JSON object is expected"),
        (b" ", "the body is not valid JSON"),
        (b"{", "the body is not valid JSON"),
        (b'{"inputs": [[1, 2, 3, 4]]} x', "the body is not valid JSON"),
        (b'{"inputs": [[1, 2, 3, 4],]}', "the body is not valid JSON"),
        (b'{"inputs": [[01, 2, 3, 4]]}', "the body is not valid JSON"),
        (b'{"inputs": [[1., 2, 3, 4]]}', "the body is not valid JSON"),
        (b"{'inputs': [[1, 2, 3, 4]]}", "the body is not valid JSON"),
        (b'{"inputs": [[1, 2, 3, 4]], "ids": ["\\ud800"]}', "the body is not valid JSON"),
        (b'{"inputs": [[1, 2, 3, 1e999]], "ids": ["\\ud800"]}', "the body is not valid JSON"),
        (b'{"inputs": [[1, 2, 3, 1e999]], "\\ud800": []}', "the body is not valid JSON"),
        (b"[[1, 2, 3, 4]]", "the body is a list; a JSON object is expected"),
        (b'"inputs"', "the body is a string; a JSON object is expected"),
        (b"null", "the body is null; a JSON object is expected"),
        (b"1e999", "the body is a number; a JSON object is expected"),
        (b"1" * 5_000, "the body is a number; a JSON object is expected"),
        (b'{"ids": ["\xff"]}', "the body is not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "the body is not UTF-8"),
        (b'{"inputs": [[NaN, 2, 3, 4]]}', NOT_FINITE),
        (b'{"inputs": [[1, -Infinity, 3, 4]]}', NOT_FINITE),
        (b'{"inputs": [[1, Infinity, 3, 1e999]]}', NOT_FINITE),
        (b'{"inputs":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "the body is nested too deeply"),
        (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, "the body is nested too deeply"),
        (
            b'{"ids":' + b"[" * 1_010 + b"1e999" + b"]" * 1_010 + b"}",
            "the body is nested too deeply",
        ),
        (b'{"inputs": [[1, 2, 3, 4]], "inputs": []}', "the body contains a field twice"),
        (b'{"inputs": [[1, 2, 3, 4]], "in\\u0070uts": []}', "the body contains a field twice"),
        (b'{"inputs": [[1e999, 2, 3, 4]], "a": 1, "a": 2}', "the body contains a field twice"),
        (b'{"conditions": {"a": 1, "a": 2}}', "the body contains a field twice"),
        (b'{"conditions": {"a": 1e999, "a": 2}}', "the body contains a field twice"),
    ],
)
def test_a_malformed_body_is_rejected_with_the_reason(body: bytes, detail: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        read(body, TABLE)

    assert str(caught.value) == detail
