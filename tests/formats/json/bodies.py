"""Read JSON bodies as the service does, and choose how their lists are checked."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from service.formats.json import body as json_body
from service.formats.json import nesting, sliced_body, sliced_numbers, structure
from service.formats.json.body import JsonBody
from service.formats.json.parsing import parse_items
from service.formats.row_format import RowFormat

OPTIONS = ("model", "ids", "conditions")


def read(body: bytes | str | dict[str, Any], row_format: RowFormat) -> np.ndarray:
    text = json.dumps(body) if isinstance(body, dict) else body
    content = text.encode() if isinstance(text, str) else text
    return JsonBody(content, row_format.field, OPTIONS, row_format.max_rows).rows(row_format)


def in_form(row: np.ndarray, form: tuple[int, ...]) -> list[Any]:
    return row.reshape(form).tolist()


class Sizes(NamedTuple):
    """Sizes from which a body is read in another way: 0 for always, a billion for never.

    Attributes:
        visited: Bytes of a list, from which lists are visited instead of their text looked at.
        searched: Bytes of a list, from which its end is searched for.
        unwrapped: Bytes of a body, from which it is read without its lists of one number.
        whole: Bytes of a body, up to which it is not read slice by slice.
    """

    visited: int
    searched: int
    unwrapped: int
    whole: int = 10**9

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(nesting, "_VISITED_LIST_BYTES", self.visited)
        patch.setattr(nesting, "_SEARCHED_LIST_BYTES", self.searched)
        patch.setattr(json_body, "_MIN_UNWRAPPED_BYTES", self.unwrapped)
        patch.setattr(json_body, "_MAX_WHOLE_BYTES", self.whole)
        if self.whole == 0:
            patch.setattr(structure, "_BLOCK_BYTES", 3)
            patch.setattr(sliced_body, "SLICE_BYTES", 7)
            patch.setattr(sliced_numbers, "SLICE_BYTES", 7)
            patch.setattr(sliced_numbers, "_MAX_NUMBER_BYTES", 10**6)


EVERY_PATH = [
    Sizes(visited, searched, unwrapped)
    for visited, searched in ((0, 0), (0, 10**9), (10**9, 0))
    for unwrapped in (0, 10**9)
]
EVERY_PATH.append(Sizes(0, 0, 0, whole=0))


def forbid_slow_path(patch: pytest.MonkeyPatch) -> None:
    """Let a test fail that converts rows value by value."""

    def fail(*_: object) -> Any:
        raise AssertionError("the slow path was taken")

    def parse_options(text: bytes, parse_int: object = None) -> list[object]:
        return fail() if parse_int else parse_items(text)

    patch.setattr(json_body, "rows_from_lists", fail)
    patch.setattr(sliced_body, "parse_items", parse_options)
