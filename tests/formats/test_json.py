"""JSON to arrays and back."""

import itertools
import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import InvalidInput, MalformedBody, RequestError, TooManyRows
from service.formats import json as json_payload
from service.formats import lists_of_one, nesting
from service.formats.json import JsonBody, write_json
from service.formats.row_format import RowFormat
from tests.formats.formats import (
    COLOUR,
    GREY,
    MAX_ROWS,
    PEOPLE,
    SERIES,
    TABLE,
    formats,
    json_values,
    rows_of,
)

OPTIONS = ("model", "ids", "conditions")
COLUMN = RowFormat("codes", (1,), False, False, None, MAX_ROWS)
NOT_FINITE = "NaN and Infinity are not JSON; every value must be a finite number"

# From which size on lists are visited, and searched for: always or never.
list_sizes = st.tuples(st.sampled_from([0, 10**9]), st.sampled_from([0, 10**9]))
whitespace = st.text(" \t\r\n", max_size=3)
# Everything that means something outside of a string and nothing inside.
tricky_texts = st.text(st.sampled_from('[]{},:"\\/ \n\t1e.-é€😀'), max_size=12)


# What breaks JSON, or turns it into other JSON.
damages = st.sampled_from([*'[]{},:" 15-.', "[5]", "[]", "],[", "null", "1e999", '"a"', "[ 5]"])
pieces_of_json = st.sampled_from([5, [5], [[5]], "[5]", "a", [], ["[", 5], {"a": [5]}])


def read(body: bytes | str | dict[str, Any], row_format: RowFormat) -> np.ndarray:
    text = json.dumps(body) if isinstance(body, dict) else body
    content = text.encode() if isinstance(text, str) else text
    return JsonBody(content, row_format.field, OPTIONS).rows(row_format)


def set_list_sizes(patch: pytest.MonkeyPatch, sizes: tuple[int, int]) -> None:
    patch.setattr(nesting, "_VISITED_LIST_BYTES", sizes[0])
    patch.setattr(nesting, "_SEARCHED_LIST_BYTES", sizes[1])


def in_form(row: np.ndarray, form: tuple[int, ...]) -> list[Any]:
    return row.reshape(form).tolist()


@given(st.data())
def test_rows_in_every_form_come_back_to_the_bit(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    form = data.draw(st.sampled_from(row_format.forms))

    found = read({row_format.field: [in_form(row, form) for row in rows]}, row_format)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, rows, strict=True)


@given(st.data())
def test_every_row_may_come_in_a_form_of_its_own(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    values = [in_form(row, data.draw(st.sampled_from(row_format.forms))) for row in rows]

    np.testing.assert_array_equal(read({row_format.field: values}, row_format), rows)


@given(st.data())
def test_neither_whitespace_nor_what_other_fields_say_disturbs_the_fast_way(
    data: st.DataObject,
) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    form = data.draw(st.sampled_from(row_format.forms))
    fields = {
        row_format.field: [in_form(row, form) for row in rows],
        "model": data.draw(tricky_texts),
        "ids": data.draw(st.lists(tricky_texts | st.integers(0, 9), max_size=4)),
        "conditions": data.draw(st.dictionaries(tricky_texts, tricky_texts, max_size=3)),
    }
    order = data.draw(st.permutations(list(fields)))
    comma = f"{data.draw(whitespace)},{data.draw(whitespace)}"
    colon = f"{data.draw(whitespace)}:{data.draw(whitespace)}"
    text = json.dumps(
        {name: fields[name] for name in order},
        ensure_ascii=data.draw(st.booleans()),
        separators=(comma, colon),
        indent=data.draw(st.none() | st.integers(0, 2)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_payload, "rows_from_lists", _never)
        set_list_sizes(patch, data.draw(list_sizes))
        np.testing.assert_array_equal(read(text, row_format), rows)


def _never(*_: object) -> np.ndarray:
    raise AssertionError("the slow way was taken")


@given(value=json_values, row_format=formats)
def test_whatever_json_value_stands_for_rows_only_a_request_error_is_raised(
    value: object, row_format: RowFormat
) -> None:
    try:
        rows = read({row_format.field: value}, row_format)
    except RequestError:
        return
    assert rows.shape[1:] == row_format.shape
    assert np.isfinite(rows).all()


@given(value=json_values)
def test_whatever_json_value_stands_for_typed_rows_only_a_request_error_is_raised(
    value: object,
) -> None:
    try:
        rows = read({"inputs": value}, PEOPLE)
    except RequestError:
        return
    assert rows.shape[1:] == PEOPLE.shape


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_bytes_stand_for_a_body_only_a_request_error_is_raised(body: bytes) -> None:
    with pytest.raises(RequestError):
        read(body, TABLE)


@given(st.data())
def test_a_body_with_one_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(json.dumps({"inputs": [[1.5, -2e3, 0, 4]], "ids": ["a\u20ac"]}).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = read(bytes(body), TABLE)
    except RequestError:
        return
    assert rows.shape == (1, 4)
    assert np.isfinite(rows).all()


@given(st.data())
def test_a_ragged_row_is_found_by_its_pointer(data: st.DataObject) -> None:
    row_format = data.draw(formats)
    rows = data.draw(rows_of(row_format))
    number = data.draw(st.integers(0, len(rows) - 1))
    values = rows.tolist()
    damaged = values[number]
    for _ in range(data.draw(st.integers(0, len(row_format.shape) - 1))):
        damaged = damaged[data.draw(st.integers(0, len(damaged) - 1))]
    place = data.draw(st.integers(0, len(damaged) - 1))
    damage = data.draw(st.sampled_from(["drop", "repeat", "nest", "flatten"]))
    if damage == "drop":
        del damaged[place]
    elif damage == "repeat":
        damaged.insert(place, damaged[place])
    elif damage == "nest":
        damaged[place] = [damaged[place]]
    else:
        damaged[place] = "a text"

    with pytest.MonkeyPatch.context() as patch:
        set_list_sizes(patch, data.draw(list_sizes))
        with pytest.raises(InvalidInput) as refused:
            read({row_format.field: values}, row_format)

    assert refused.value.field_errors[0].pointer == f"/{row_format.field}/{number}"


@pytest.mark.parametrize("sizes", [(0, 0), (0, 10**9), (10**9, 0)])
@pytest.mark.parametrize(
    "others",
    [
        '"ids": ["a", "["], ',
        '"model": "[", ',
        '"[": 1, ',
        '"model": "\\"[", ',
        '"conditions": {"a": [1, [2, 3]]}, ',
        '"x": [[[[]]]], ',
    ],
)
@pytest.mark.parametrize("position", ["before", "after"])
def test_brackets_elsewhere_neither_hide_nor_make_a_ragged_row(
    others: str, position: str, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_list_sizes(monkeypatch, sizes)

    def body(rows: str) -> str:
        fields = f'{others}"inputs": {rows}'
        return f'{{"inputs": {rows}, {others[:-2]}}}' if position == "after" else f"{{{fields}}}"

    found = read(body("[[1, 2, 3, 4], [5, 6, 7, 8]]"), TABLE)
    np.testing.assert_array_equal(found, [[1, 2, 3, 4], [5, 6, 7, 8]])
    for rows in (
        "[[1, [2, 3], 4, []]]",
        "[[[1, 2], [3, 4], [], []]]",
        "[[1, 2, 3, 4, 5], [6, 7, 8]]",
    ):
        with pytest.raises(InvalidInput):
            read(body(rows), TABLE)


def outcome(body: bytes, row_format: RowFormat) -> object:
    """Return the bits of what is read, or what is wrong."""
    try:
        return read(body, row_format).tobytes()
    except RequestError as error:
        return type(error), str(error), getattr(error, "field_errors", None)


@given(st.data())
def test_a_damaged_body_means_the_same_however_it_is_looked_at(data: st.DataObject) -> None:
    row_format = data.draw(st.sampled_from([GREY, SERIES, TABLE, COLUMN]))
    rows = data.draw(rows_of(row_format))
    fields = {
        row_format.field: [
            in_form(row, data.draw(st.sampled_from(row_format.forms))) for row in rows
        ]
    }
    fields |= data.draw(st.dictionaries(st.sampled_from(OPTIONS), pieces_of_json, max_size=1))
    order = data.draw(st.permutations(list(fields)))
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :")]))
    text = json.dumps({name: fields[name] for name in order}, separators=separators)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(text)))
        end = place + data.draw(st.integers(0, 2))
        text = text[:place] + data.draw(damages) + text[end:]

    found: list[object] = []
    for unwrap, sizes in itertools.product(
        (lists_of_one.unwrap, lambda _: None), ((0, 0), (0, 10**9), (10**9, 0))
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_payload, "unwrap", unwrap)
            patch.setattr(lists_of_one, "_BLOCK_BYTES", 3)
            set_list_sizes(patch, sizes)
            found.append(outcome(text.encode(), row_format))

    assert all(one == found[0] for one in found)


@pytest.mark.parametrize(
    "rows",
    [
        "[[[[1]], 1], [[1], [1]], [[1], [1]]]",
        "[[[1], [[1]]], [[1], 1], [[1], [1]]]",
        "[[[1], []], [[1, 1], [1]], [[1], [1]]]",
        "[[[1], [1]], [[1], [1]], [[1], [1], [1]]]",
        "[[[1], [1]], [[1], [1], [1]], [[1]]]",
        "[[[[1], [1]], [[1], [1]], [[1], [1]]]]",
    ],
)
def test_lists_of_one_elsewhere_make_no_row_regular(rows: str) -> None:
    for body in (
        f'{{"inputs": [{rows}]}}',
        f'{{"ids": [5], "inputs": [{rows}]}}',
        f'{{"inputs": [{rows}], "ids": [5]}}',
        f'{{"inputs": [{rows}], "model": "[5]"}}',
    ):
        with pytest.raises(InvalidInput, match="row 0"):
            read(body, GREY)


@pytest.mark.parametrize(
    "text",
    [
        "1[[], [1]]",
        "[1] [1]",
        "[[1]1]",
        "[[1] 1]",
        "[[1][,1]]",
        "[1[,1]]",
        "[[01]]",
        "[[1.]]",
        "[[.1]]",
    ],
)
def test_brackets_out_of_order_are_no_json_without_them_either(text: str) -> None:
    for body in (f'{{"inputs": [[[1]], {text}]}}', f'{{"inputs": [[[1], {text}]]}}'):
        with pytest.raises(MalformedBody, match="the body is not valid JSON"):
            read(body, SERIES)


@pytest.mark.parametrize(
    "others", ['"ids": ["a"], ', '"model": "[5]", ', '"model": "a", "ids": [5], ', '"model": "a", ']
)
def test_lists_of_one_are_read_beside_any_field(others: str) -> None:
    rows = "[[[1], [2], [3], [4], [5e0]]]"
    for body in (f'{{{others}"inputs": {rows}}}', f'{{"inputs": {rows}, {others[:-2]}}}'):
        found = JsonBody(body.encode(), "inputs", OPTIONS)
        assert found.fields == {
            name: value for name, value in json.loads(body).items() if name != "inputs"
        }
        np.testing.assert_array_equal(found.rows(SERIES).ravel(), [1, 2, 3, 4, 5])


def test_rows_whose_values_only_add_up_are_refused() -> None:
    """The numbers alone would fill two rows of four; their brackets say otherwise."""
    with pytest.raises(InvalidInput) as refused:
        read({"inputs": [[1, 2, 3, 4], [5, 6, 7], [8]]}, TABLE)

    assert [error.pointer for error in refused.value.field_errors] == ["/inputs/1", "/inputs/2"]
    assert str(refused.value) == "row 1 has 3 values, the model takes 4 (1 more row is wrong)"


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ([[0, 0], [0, 0], [0]], "row 0 is ragged: its lists have different lengths"),
        ([[0, 0], [0, 0], 0], "row 0 mixes lists and values"),
        ([[[[0]], [[0]]]] * 3, "row 0 is nested too deeply"),
        ([[0, 0]] * 2, "row 0 has shape (2, 2), the model takes (3, 2, 1) or (3, 2) or (6,)"),
        ([0] * 5, "row 0 has 5 values, the model takes 6, as (3, 2, 1) or (3, 2) or (6,)"),
        ([], "row 0 has 0 values, the model takes 6, as (3, 2, 1) or (3, 2) or (6,)"),
        (7, "row 0 is a number, a list of values is expected"),
        ({}, "row 0 is an object, a list of values is expected"),
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
    with pytest.raises(InvalidInput) as refused:
        read({"inputs": [row]}, GREY)

    assert str(refused.value) == detail
    assert refused.value.field_errors[0].pointer == "/inputs/0"


def test_every_wrong_row_is_counted_and_the_first_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"inputs": [[2] * 6, [0] * 6, [2] * 6, [2] * 6]}, GREY)

    assert str(refused.value) == "row 0 has a value outside [0, 1] (2 more rows are wrong)"
    assert [error.pointer for error in refused.value.field_errors] == [
        "/inputs/0",
        "/inputs/2",
        "/inputs/3",
    ]


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        ([], "inputs has no rows; one is the least"),
        (None, "inputs is null, a list of rows is expected"),
        ("rows", "inputs is a string, a list of rows is expected"),
        ({"0": [1, 2, 3, 4]}, "inputs is an object, a list of rows is expected"),
        ([1, 2, 3, 4], "inputs is one row; a list of rows is expected: put the row in a list"),
    ],
)
def test_what_is_no_list_of_rows_is_refused_as_a_whole(rows: object, detail: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"inputs": rows}, TABLE)

    assert str(refused.value) == detail
    assert [error.pointer for error in refused.value.field_errors] == ["/inputs"]


def test_a_body_without_the_field_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"model": "a"}, TABLE)

    assert str(refused.value) == "the body has no field inputs"
    assert refused.value.field_errors[0].pointer == "/inputs"


def test_one_row_more_than_the_limit_is_too_many() -> None:
    row = [0, 0, 0, 0]

    assert read({"inputs": [row] * MAX_ROWS}, TABLE).shape == (MAX_ROWS, 4)
    with pytest.raises(
        TooManyRows, match=f"{MAX_ROWS + 1} rows were sent, {MAX_ROWS} is the limit"
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
        "[" * 900 + "1" + "]" * 900,
    ],
    ids=lambda row: row[:12],
)
@pytest.mark.parametrize("row_format", [TABLE, GREY, PEOPLE], ids=["table", "image", "typed"])
def test_a_row_of_very_many_values_is_refused_before_they_are_looked_at(
    row: str, row_format: RowFormat
) -> None:
    """Each list cost two microseconds and a hundred bytes: this body would have taken a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_payload, "rows_from_lists", _never)
        with pytest.raises(InvalidInput, match="row 0 holds more than a row's values") as refused:
            read('{"inputs": [' + row + "]}", row_format)

    assert refused.value.field_errors[0].pointer == "/inputs/0"


@pytest.mark.parametrize("beyond", ["1e999", "9" * 30])
def test_very_many_values_beside_an_oversized_number_are_not_walked_through(beyond: str) -> None:
    lists = "[]," * 100_000
    with pytest.raises(InvalidInput, match="row 0 has 100001 lists, the model takes 6 values"):
        read(f'{{"inputs": [[{lists}[]], [{beyond}]]}}', GREY)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("-0", 0.0),
        ("1E2", 100.0),
        ("1e-400", 0.0),
        ("0.1", np.float32(0.1)),
        ("9223372036854775807", np.float32(2**63)),
        ("18446744073709551615", np.float32(2**64)),
        ("18446744073709551616", np.float32(2**64)),
        ("-9223372036854775809", np.float32(-(2**63))),
        ("123456789012345678901234567890", np.float32(1.2345679e29)),
        ("340282346638528859811704183484516925440", np.finfo(np.float32).max),
        ("1" + "0" * 38, np.float32(1e38)),
    ],
)
def test_numbers_mean_the_nearest_float32_however_long_they_are(number: str, value: float) -> None:
    found = read(f'{{"inputs": [[{number}, 1, 2, 3]]}}', TABLE)

    np.testing.assert_array_equal(found, np.array([[value, 1, 2, 3]], np.float32))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e39", "9" * 310, "9" * 20_000])
def test_numbers_beyond_float32_are_refused(number: str) -> None:
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
        (b'{"inputs": [[1, 2, 3, 4]], "inputs": []}', "the body names a field twice"),
        (b'{"inputs": [[1, 2, 3, 4]], "in\\u0070uts": []}', "the body names a field twice"),
        (b'{"inputs": [[1e999, 2, 3, 4]], "a": 1, "a": 2}', "the body names a field twice"),
        (b'{"conditions": {"a": 1, "a": 2}}', "the body names a field twice"),
        (b'{"conditions": {"a": 1e999, "a": 2}}', "the body names a field twice"),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(body: bytes, detail: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        read(body, TABLE)

    assert str(refused.value) == detail


def test_fields_besides_rows_are_plain_values_and_unknown_ones_are_not_read() -> None:
    body = b"""{"ids": [1, "a"], "inputs": [], "conditions": {"a": [1.5, true]},
        "other": [1], "a\\u0000": 2}"""
    fields = JsonBody(body, "inputs", OPTIONS).fields

    assert fields == {
        "ids": [1, "a"],
        "conditions": {"a": [1.5, True]},
        "other": None,
        "a\0": None,
    }


def test_a_body_of_very_many_unknown_fields_is_read_in_linear_time() -> None:
    names = [f"field-{number}" for number in range(100_000)]
    body = json.dumps(dict.fromkeys(names, 1)).encode()

    assert list(JsonBody(body, "inputs", OPTIONS).fields) == names


@given(rows=rows_of(COLOUR) | rows_of(TABLE))
def test_written_arrays_read_back_to_the_bit(rows: np.ndarray) -> None:
    written = json.loads(write_json({"rows": rows, "threshold": None, "model": "a"}))

    assert (written["threshold"], written["model"]) == (None, "a")
    np.testing.assert_array_equal(np.array(written["rows"], np.float32), rows)


@given(rows=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=5, max_side=4)))
def test_lists_of_one_number_are_written_like_any_other(rows: np.ndarray) -> None:
    rows = np.concatenate([rows, rows])[..., :1]

    written = write_json({"rows": rows, "seed": 1})

    fields = {"rows": np.ascontiguousarray(rows), "seed": 1}
    assert written == orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY)


def test_written_scores_keep_their_precision() -> None:
    p_values = np.array([1 / 3, math.pi / 7], np.float64)
    anomalies = np.array([True, False])

    written = json.loads(write_json({"p_values": p_values, "anomalies": anomalies}))

    assert written == {"p_values": [1 / 3, math.pi / 7], "anomalies": [True, False]}
