"""The items of a JSON list are found without parsing them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MalformedBody
from service.formats.json import structure
from service.formats.json.structure import split_items
from tests.formats.formats import json_values

texts = st.text(st.sampled_from('[]{},:"\\ a€'), max_size=9)
values = st.lists(json_values | texts | st.lists(texts, max_size=3), max_size=6)


def leaves(value: Any) -> int:
    """Count values as commas do: an empty list or object is one."""
    if isinstance(value, list | dict) and value:
        return sum(map(leaves, value.values() if isinstance(value, dict) else value))
    return 1


@given(items=values, block=st.integers(1, 40), indent=st.none() | st.integers(0, 2))
def test_the_spans_of_a_list_are_its_items(
    items: list[Any], block: int, indent: int | None
) -> None:
    body = json.dumps(items, ensure_ascii=False, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "_BLOCK_BYTES", block)
        found = split_items(body, 1, len(body) - 1, max_items=100)

    assert [json.loads(body[first:last]) for first, last in found.spans] == items
    assert found.count == len(items)
    assert found.values == (leaves(items) if items else 0)


def test_no_more_spans_are_kept_than_were_asked_for_but_all_are_counted() -> None:
    body = b"[" + b"1," * 99_999 + b"[1,1]]"

    found = split_items(body, 1, len(body) - 1, max_items=2)

    assert (found.count, found.spans, found.values) == (100_000, [(1, 2), (3, 4)], 100_001)


@pytest.mark.parametrize("text", ["[1", "1]", "{", '"', '"\\"', "]1,[", "1],[2"])
@pytest.mark.parametrize("block", [1, 100])
def test_brackets_and_quotes_that_do_not_pair_are_rejected(
    text: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "_BLOCK_BYTES", block)

    with pytest.raises(MalformedBody, match="the body is not valid JSON"):
        split_items(text.encode(), 0, len(text), max_items=10)
