"""The nesting of lists, found from simdjson's lists and from the text."""

import json

import numpy as np
import pytest
import simdjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.formats.json import nesting
from service.formats.json.nesting import depth, have_lengths, is_array, lists_in, shape_of

shapes = hnp.array_shapes(max_dims=4, max_side=4)


def parse(value: object) -> simdjson.Array:
    parsed = simdjson.Parser().parse(json.dumps(value).encode())
    assert isinstance(parsed, simdjson.Array)
    return parsed


@given(shape=shapes)
def test_an_array_has_its_own_shape_and_number_of_lists(shape: tuple[int, ...]) -> None:
    lists = np.ones(shape).tolist()

    assert shape_of(parse(lists)) == shape
    assert have_lengths(parse(lists), shape)
    assert lists_in(shape) == json.dumps(lists).count("[")


@given(shape=shapes, other=shapes)
def test_an_array_does_not_have_the_lengths_of_another_shape(
    shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    if other[0] == shape[0] and other != shape[: len(other)]:
        assert not have_lengths(parse(np.ones(shape).tolist()), other)


@pytest.mark.parametrize(
    "lists", [[[1, 2], [3]], [[1, 2], 3], [1, 2], [[1], [2]], [[1, 2], []], [[1, 2], [1, 2, 3]]]
)
def test_one_list_of_another_length_is_found(lists: list[object]) -> None:
    assert not have_lengths(parse(lists), (2, 2))


@pytest.mark.parametrize("visited_list_bytes", [0, 10**9], ids=["visited", "skeleton"])
@pytest.mark.parametrize("text", ["a", "[", '"[', "\\", "[]"])
@given(shape=shapes, place=st.integers(0))
def test_a_list_too_many_is_found_in_lists_and_in_the_text(
    visited_list_bytes: int, text: str, shape: tuple[int, ...], place: int
) -> None:
    right = np.ones(shape).tolist()
    wrong = np.ones(shape).tolist()
    innermost = wrong
    for length in shape[:-1]:
        innermost = innermost[place % length]
    innermost[place % shape[-1]] = [1]

    for lists, expected in ((right, True), (wrong, False)):
        body = json.dumps({"model": text, "rows": lists}).encode()
        fields = {"model": text, "rows": parse(lists)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nesting, "_VISITED_LIST_BYTES", visited_list_bytes)
            assert is_array(body, fields, "rows", shape) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"5", 0), (b"[]", 1), (b'{"a": [[1], {}]}', 3), (b'["[[[[", "\\"["]', 1), (b"[[], [[]]]", 3)],
)
def test_depth_counts_lists_and_objects_outside_of_texts(body: bytes, expected: int) -> None:
    assert depth(body) == expected
