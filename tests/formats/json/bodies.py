"""Read JSON bodies as the service does, and choose how their lists are checked."""

import json
from typing import Any

import numpy as np
import pytest

from service.formats.json import body as json_body
from service.formats.json import nesting
from service.formats.json.body import JsonBody
from service.formats.row_format import RowFormat

OPTIONS = ("model", "ids", "conditions")


def read(body: bytes | str | dict[str, Any], row_format: RowFormat) -> np.ndarray:
    text = json.dumps(body) if isinstance(body, dict) else body
    content = text.encode() if isinstance(text, str) else text
    return JsonBody(content, row_format.field, OPTIONS).rows(row_format)


def in_form(row: np.ndarray, form: tuple[int, ...]) -> list[Any]:
    return row.reshape(form).tolist()


def set_list_sizes(patch: pytest.MonkeyPatch, sizes: tuple[int, int]) -> None:
    patch.setattr(nesting, "_VISITED_LIST_BYTES", sizes[0])
    patch.setattr(nesting, "_SEARCHED_LIST_BYTES", sizes[1])


def forbid_slow_path(patch: pytest.MonkeyPatch) -> None:
    """Let a test fail that converts rows value by value."""

    def fail(*_: object) -> np.ndarray:
        raise AssertionError("the slow path was taken")

    patch.setattr(json_body, "rows_from_lists", fail)
