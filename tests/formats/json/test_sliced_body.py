"""Large JSON bodies: what is refused before it becomes Python objects, and what is read."""

import json
import tracemalloc

import numpy as np
import pytest

from service.errors import InvalidInput, LatentServeError, MalformedBody, RequestError, TooManyRows
from service.formats.json import body as json_body
from service.formats.json import sliced_body
from service.formats.json.body import JsonBody
from service.formats.json.sliced_body import SlicedBody
from service.formats.row_format import RowFormat
from service.off_loop import CostlyWork
from tests.formats.formats import COLUMNS
from tests.formats.json.bodies import OPTIONS

MANY = 400_000
MAX_ROWS = 1000
TABLE = RowFormat(field="inputs", model="table", shape=(4,), max_rows=MAX_ROWS)
PEOPLE = RowFormat(field="inputs", model="people", shape=(3,), max_rows=MAX_ROWS, columns=COLUMNS)
ROWS = '"inputs": [[1, 2, 3, 4]]'


EMPTY, WRONG_ROW, CITY = '""', '["a"]', '"Bern"'
KEYS = ", ".join(f'"{number}": 1' for number in range(MANY))


def read(text: str, row_format: RowFormat = TABLE) -> np.ndarray:
    return JsonBody(text.encode(), "inputs", OPTIONS, MAX_ROWS).rows(row_format)


def many(unit: str) -> str:
    return ", ".join([unit] * MANY)


@pytest.mark.parametrize(
    ("text", "row_format", "error", "detail"),
    [
        (
            "{" + KEYS + "}",
            TABLE,
            InvalidInput,
            f"the body has {MANY} fields; at most 64 are read",
        ),
        (
            f'{{{ROWS}, "ids": [{many("1")}]}}',
            TABLE,
            InvalidInput,
            f"ids has {MANY} values; a request has at most {MAX_ROWS} rows",
        ),
        (
            f'{{{ROWS}, "ids": [{many(EMPTY)}]}}',
            TABLE,
            InvalidInput,
            f"ids has {MANY} values; a request has at most {MAX_ROWS} rows",
        ),
        (
            f'{{{ROWS}, "ids": [[{many("{}")}]]}}',
            TABLE,
            InvalidInput,
            f"ids has {MANY} values; a request has at most {MAX_ROWS} rows",
        ),
        (
            f'{{{ROWS}, "conditions": {{"label": [{many("1")}]}}}}',
            TABLE,
            InvalidInput,
            f"conditions has {MANY} values; a request has at most {MAX_ROWS} rows",
        ),
        (
            f'{{{ROWS}, "conditions": {{{KEYS}}}}}',
            TABLE,
            InvalidInput,
            f"conditions has {MANY} fields; at most 64 are read",
        ),
        (
            f'{{{ROWS}, "model": "{"a" * 2**21}"}}',
            TABLE,
            InvalidInput,
            f"model has a value of {2**21 + 2} bytes; at most 1048576 are read",
        ),
        (
            f'{{"inputs": [[1, 2, 3, {"9" * 30}], {many("{}")}]}}',
            TABLE,
            TooManyRows,
            f"the request has {MANY + 1} rows; the limit is {MAX_ROWS}: split it",
        ),
        (
            f'{{"inputs": [{many(WRONG_ROW)}]}}',
            PEOPLE,
            TooManyRows,
            f"the request has {MANY} rows; the limit is {MAX_ROWS}: split it",
        ),
        (
            f'{{"inputs": [[{many(CITY)}]]}}',
            PEOPLE,
            InvalidInput,
            "row 0 has too many values; model people takes 3",
        ),
        (
            f'{{"inputs": [[1, 2, 3, {"9" * 2**21}]]}}',
            TABLE,
            InvalidInput,
            "row 0 is not an array of numbers; model table takes 4",
        ),
        (
            '{"inputs": ' + "[" * 2**20 + "]" * 2**20 + "}",
            TABLE,
            InvalidInput,
            "row 0 is not an array of numbers; model table takes 4",
        ),
        (f"{{{ROWS}, {many(ROWS)[:2**21]}", TABLE, MalformedBody, "the body is not valid JSON"),
        (f"[{many('1')}]", TABLE, MalformedBody, "the body is a list; a JSON object is expected"),
    ],
    ids=[
        "keys", "ids", "empty ids", "objects in an id", "conditions", "names of conditions",
        "a long text", "an oversized number and objects", "rows", "values of a row",
        "a long number", "nesting", "the same field", "a list",
    ],
)  # fmt: skip
def test_very_many_of_anything_are_counted_before_they_become_objects(
    text: str, row_format: RowFormat, error: type[LatentServeError], detail: str
) -> None:
    body = text.encode()
    assert len(body) > 2**19
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            JsonBody(body, "inputs", OPTIONS, MAX_ROWS).rows(row_format)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert str(caught.value) == detail
    assert peak < 1.2 * len(body) + 4 * 2**20  # a Python object has 28 bytes or more


def test_fields_beside_rows_are_read_whatever_is_large() -> None:
    padding = " " * 2**21
    ids = ["a\u20ac[", 7, 10**25, "\\"] * 100
    fields = {"model": "a,b", "ids": ids, "conditions": {"c": [1.5] * 400, "d": "x"}, "x": [1]}
    text = json.dumps({"inputs": [[1, 2, 3, 4]] * 400, **fields}) + padding

    found = JsonBody(text.encode(), "inputs", OPTIONS, MAX_ROWS)

    assert found.fields == {**fields, "x": None}
    np.testing.assert_array_equal(found.rows(TABLE), [[1, 2, 3, 4]] * 400)


def test_a_wrong_row_among_many_is_named() -> None:
    rows = [[0.125, 2, 3, 4]] * 900 + [[1, 2, 3]] + [[1, 2, None, 4]] + [[1, 2, 3, 4]]
    text = json.dumps({"inputs": rows, "ids": [" " * 2**10] * 1000})

    with pytest.raises(InvalidInput) as caught:
        read(text)

    assert [error.pointer for error in caught.value.field_errors] == ["/inputs/900", "/inputs/901"]
    assert str(caught.value) == "row 900 has 3 values; model table takes 4 (1 more row is wrong)"


def test_rows_of_every_form_and_type_are_joined() -> None:
    padding = " " * 2**21
    typed = read(json.dumps({"inputs": [[41, True, "Oslo"], [None, False, 7]]}) + padding, PEOPLE)
    mixed = RowFormat(field="inputs", model="m", shape=(2, 1), max_rows=MAX_ROWS, has_channels=True)

    np.testing.assert_array_equal(typed, [[41, 1, 1], [np.nan, 0, 2]])
    found = read(json.dumps({"inputs": [[1, 2], [[3], [4]]]}) + padding, mixed)
    np.testing.assert_array_equal(found.reshape(2, 2), [[1, 2], [3, 4]])


@pytest.mark.parametrize("rows", ["[]", "null", "1", '"a"', "{}", "[1, 2, 3, 4]", "", "1 2"])
def test_what_is_not_a_list_of_rows_is_rejected_as_in_a_small_body(rows: str) -> None:
    outcomes: set[tuple[type[Exception], str]] = set()
    for padding in ("", " " * 2**21):
        with pytest.raises(RequestError) as caught:
            read(f'{{"inputs": {rows}{padding}}}')
        outcomes.add((caught.type, str(caught.value)))

    assert len(outcomes) == 1


@pytest.mark.parametrize("rows", ["[[1, 2, 3, 4], ]", "[ , [1, 2, 3, 4]]", "[[1, 2, 3, 4], , [1]]"])
@pytest.mark.parametrize("row_format", [TABLE, PEOPLE], ids=["table", "typed"])
@pytest.mark.parametrize("slice_bytes", [1, 2**18])
def test_nothing_between_two_commas_is_not_json(
    rows: str, row_format: RowFormat, slice_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliced_body, "SLICE_BYTES", slice_bytes)
    for text in (f'{{"inputs": {rows}}}', f'{{{ROWS}, "ids": {rows}}}'):
        with pytest.raises(MalformedBody, match="the body is not valid JSON"):
            SlicedBody(text.encode(), "inputs", OPTIONS, MAX_ROWS).rows(row_format)


async def test_on_an_event_loop_small_bodies_are_read_and_costly_ones_are_not() -> None:
    assert read(f"{{{ROWS}}}").shape == (1, 4)
    assert read(json.dumps({"inputs": [[0.1, 0.2, 0.3, 0.4]] * MAX_ROWS})).shape == (MAX_ROWS, 4)
    for text, row_format in (
        (f"{{{ROWS}}}" + " " * json_body._MAX_WHOLE_BYTES, TABLE),
        (json.dumps({"inputs": [[41.25, True, "Oslo"]] * MAX_ROWS}) + " " * 2**16, PEOPLE),
        (f'{{{ROWS}, "ids": [{", ".join(["1"] * 30_000)}]}}', TABLE),
        (f'{{"inputs": [[1, 2, 3, {"9" * 30}]]}}' + " " * 2**16, TABLE),
    ):
        with pytest.raises((CostlyWork, InvalidInput)) as caught:
            read(text, row_format)
        assert isinstance(caught.value, CostlyWork) or "ids has 30000 values" in str(caught.value)


def test_a_sliced_body_is_read_without_an_event_loop_at_any_size() -> None:
    body = SlicedBody(b'{"inputs": [[1, 2, 3, 4]], "model": "a"}', "inputs", OPTIONS, MAX_ROWS)

    assert body.fields == {"model": "a"}
    np.testing.assert_array_equal(body.rows(TABLE), [[1, 2, 3, 4]])
