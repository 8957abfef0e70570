"""Which coding a response gets, by Accept-Encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.content_codings import choose_coding


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        (b"", None),
        (b"identity", None),
        (b"gzip", "gzip"),
        (b"x-gzip", "gzip"),
        (b"GZIP", "gzip"),
        (b"gzip, deflate", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"br, deflate", None),
        (b"zstd;q=0.5, gzip", "gzip"),
        (b"zstd;q=0.5, gzip;q=0.5", "zstd"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.5, identity", None),
        (b"gzip;q=0.5, identity;q=0.4", "gzip"),
        (b"identity;q=0, gzip;q=0.1", "gzip"),
        (b"*", "zstd"),
        (b"*;q=0", None),
        (b"*;q=0, gzip", "gzip"),
        (b"zstd;q=0, *", "gzip"),
        (b"gzip;q=much", None),
        (b"gzip;q=nan", None),
        (b"gzip;q=2", None),
        (b"identity;q=0", None),  # there is nothing better for it
    ],
)
def test_the_best_coding_that_a_client_accepts_is_chosen(
    accepted: bytes | None, coding: str | None
) -> None:
    assert choose_coding(accepted, is_text=True) == coding


def test_numbers_are_never_compressed_with_gzip() -> None:
    assert choose_coding(b"gzip, deflate", is_text=False) is None
    assert choose_coding(b"gzip, zstd;q=0.5", is_text=False) == "zstd"


@given(accepted=st.binary(max_size=30) | st.text("gzipstd*;q=.,01 ").map(str.encode))
def test_whatever_is_accepted_a_coding_or_none_is_chosen(accepted: bytes) -> None:
    assert choose_coding(accepted, is_text=True) in (None, "gzip", "zstd")
