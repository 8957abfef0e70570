"""However the lists of a body are checked, right rows are read and wrong ones are found."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, MalformedBody, RequestError
from service.formats.json import body as json_body
from service.formats.json import lists_of_one
from service.formats.json.body import JsonBody
from service.formats.row_format import RowFormat
from tests.formats.formats import GRAY, MAX_ROWS, SERIES, TABLE, format_of, formats, rows_of
from tests.formats.json.bodies import EVERY_PATH, OPTIONS, Sizes, forbid_slow_path, in_form, read

COLUMN = format_of((1,), field="codes")

paths = st.sampled_from(EVERY_PATH)
on_every_path = pytest.mark.parametrize("sizes", EVERY_PATH, ids=lambda sizes: f"{tuple(sizes)}")
whitespace = st.text(" \t\r\n", max_size=3)
# Characters that have a meaning outside of a string only.
tricky_texts = st.text(st.sampled_from('[]{},:"\\/ \n\t1e.-é€😀'), max_size=12)
# What breaks JSON, or turns it into other JSON.
damages = st.sampled_from([*'[]{},:" 15-.', "[5]", "[]", "],[", "null", "1e999", '"a"', "[ 5]"])
pieces_of_json = st.sampled_from([5, [5], [[5]], "[5]", "a", [], ["[", 5], {"a": [5]}])


@given(st.data())
def test_whitespace_and_other_fields_do_not_prevent_the_fast_path(
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
        forbid_slow_path(patch)
        data.draw(paths).apply(patch)
        np.testing.assert_array_equal(read(text, row_format), rows)


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
        data.draw(paths).apply(patch)
        with pytest.raises(InvalidInput) as caught:
            read({row_format.field: values}, row_format)

    assert caught.value.field_errors[0].pointer == f"/{row_format.field}/{number}"


@on_every_path
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
def test_brackets_in_other_fields_neither_hide_nor_make_a_ragged_row(
    others: str, position: str, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes.apply(monkeypatch)

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
def test_a_damaged_body_has_the_same_outcome_on_every_path(data: st.DataObject) -> None:
    row_format = data.draw(st.sampled_from([GRAY, SERIES, TABLE, COLUMN]))
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
    for sizes in EVERY_PATH:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lists_of_one, "_BLOCK_BYTES", 3)
            sizes.apply(patch)
            found.append(outcome(text.encode(), row_format))
    *whole, sliced = found

    assert all(one == whole[0] for one in whole)
    # Slices are read until something is wrong, so of two errors another one may be found.
    assert sliced == whole[0] or not (isinstance(sliced, bytes) or isinstance(whole[0], bytes))


@on_every_path
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
def test_lists_of_one_in_the_wrong_place_do_not_make_a_row_regular(
    rows: str, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes.apply(monkeypatch)
    for body in (
        f'{{"inputs": [{rows}]}}',
        f'{{"ids": [5], "inputs": [{rows}]}}',
        f'{{"inputs": [{rows}], "ids": [5]}}',
        f'{{"inputs": [{rows}], "model": "[5]"}}',
    ):
        with pytest.raises(InvalidInput, match="row 0"):
            read(body, GRAY)


@on_every_path
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
def test_brackets_out_of_order_are_not_json(
    text: str, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes.apply(monkeypatch)
    for body in (f'{{"inputs": [[[1]], {text}]}}', f'{{"inputs": [[[1], {text}]]}}'):
        with pytest.raises(MalformedBody, match="the body is not valid JSON"):
            read(body, SERIES)


@on_every_path
@pytest.mark.parametrize(
    "others", ['"ids": ["a"], ', '"model": "[5]", ', '"model": "a", "ids": [5], ', '"model": "a", ']
)
def test_lists_of_one_are_read_beside_any_field(
    others: str, sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes.apply(monkeypatch)
    rows = "[[[1], [2], [3], [4], [5e0]]]"
    for body in (f'{{{others}"inputs": {rows}}}', f'{{"inputs": {rows}, {others[:-2]}}}'):
        found = JsonBody(body.encode(), "inputs", OPTIONS, MAX_ROWS)
        assert found.fields == {
            name: value for name, value in json.loads(body).items() if name != "inputs"
        }
        np.testing.assert_array_equal(found.rows(SERIES).ravel(), [1, 2, 3, 4, 5])


@pytest.mark.parametrize("more_bytes", [-1, 0, 1])
@pytest.mark.parametrize(
    "rows",
    [
        "[[[1], [2], [3], [4], [5e0]], [[6], [7], [8], [9], [0.125]]]",
        "[[[1], [2], [3], [4], [5e0]], [[6], [7], [8], [9], []]]",
        "[[[1], [2], [3], [4], [5e0]], [[6], [7], [8], [9], [1e999]]]",
    ],
    ids=["right", "ragged", "not finite"],
)
def test_a_body_means_the_same_on_both_sides_of_the_size_from_which_it_is_unwrapped(
    rows: str, more_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'{{"inputs": {rows}}}'.encode()
    expected = outcome(body, SERIES)
    unwrapped: list[int] = []

    def unwrap(body: bytes) -> object:
        unwrapped.append(len(body))
        return lists_of_one.unwrap(body)

    monkeypatch.setattr(json_body, "unwrap", unwrap)
    size = json_body._MIN_UNWRAPPED_BYTES + more_bytes
    assert outcome(body.ljust(size), SERIES) == expected
    assert unwrapped == ([size] if more_bytes >= 0 else [])
