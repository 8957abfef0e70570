"""Lists of one number, and the same text without them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.formats.json import lists_of_one
from service.formats.json.lists_of_one import unwrap
from service.formats.json.nesting import lists_in

floats = st.floats(allow_nan=False, allow_infinity=False)


@given(
    values=hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=floats),
    separators=st.sampled_from([(",", ":"), (", ", ": "), ("\n,", " :")]),
    block_bytes=st.integers(1, 40),
)
def test_numbers_lose_the_lists_around_them_and_nothing_else(
    values: np.ndarray, separators: tuple[str, str], block_bytes: int
) -> None:
    body = json.dumps({"inputs": values[..., None].tolist(), "seed": 5}, separators=separators)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists_of_one, "_BLOCK_BYTES", block_bytes)
        unwrapped = unwrap(body.encode())

    assert unwrapped is not None
    assert json.loads(bytes(unwrapped.text)) == {"inputs": values.tolist(), "seed": 5}
    assert unwrapped.lists_of_one == values.size
    assert unwrapped.lists == lists_in(values.shape)
    assert len(unwrapped.text) == len(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [[1, 2], [3, 4]]}',
        b'{"inputs": [5]}',
        b'{"inputs": [[]]}',
        b'{"inputs": []}',
        b'{"inputs": 5}',
        b'{"inputs": [["a"]]}',
        b'{"inputs": [[null], [5]]}',
        b"",
        b"[",
    ],
)
def test_a_text_whose_first_number_is_not_in_a_list_of_its_own_is_not_unwrapped(
    body: bytes,
) -> None:
    assert unwrap(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"ids": [5], "inputs": [[5]]}',
        b'{"inputs": [[5]], "ids": [5]}',
        b'{"inputs": [[5]], "model": "]"}',
        b'{"inputs": [[5], ["a"]]}',
        b'{"inputs": [[5], {"a": [5]}]}',
    ],
)
def test_a_text_with_quotes_between_its_brackets_is_not_unwrapped(body: bytes) -> None:
    assert unwrap(body) is None


@pytest.mark.parametrize("body", [b'{"inputs": [[5], [6, 7]]}', b'{"inputs": [[5], [6 ], [ 7]]}'])
def test_brackets_that_are_not_beside_a_number_stay_and_are_counted(body: bytes) -> None:
    unwrapped = unwrap(body)

    assert unwrapped is not None
    assert unwrapped.lists_of_one == 2
    assert bytes(unwrapped.text).count(b"[") == unwrapped.lists
