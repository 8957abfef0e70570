"""Content negotiation: the media type of a body, and of the response to an Accept header."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.media_types import FORM, body_type, choose_type, readable_types, writable_types
from service.errors import NotAcceptable, UnsupportedMediaType
from tests.api.clients import JPEG, JSON, NPY, PNG, RAW

HTTP_API = Path(__file__).parents[2] / "docs" / "http-api.md"
DENSE = (JSON, NPY, RAW)
ALL = (JSON, NPY, RAW, PNG, JPEG)


def test_picture_formats_are_offered_for_models_of_images_only() -> None:
    assert readable_types(takes_rows=True, is_image=True) == (*ALL, FORM)
    assert readable_types(takes_rows=True, is_image=False) == (*DENSE, FORM)
    assert readable_types(takes_rows=False, is_image=True) == (JSON,)
    assert writable_types(is_image=True) == ALL
    assert writable_types(is_image=False) == DENSE


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        (" ", JSON),
        ("application/json", JSON),
        ("Application/JSON", JSON),
        ("application/json; charset=utf-8", JSON),
        ('application/json;charset="UTF-8"', JSON),
        ("application/json; charset=utf8", JSON),
        ("application/json; charset=utf-8; profile=x", JSON),
        ('application/json; profile="https://example.org"', JSON),
        ("application/json;", JSON),
        ("application/x-www-form-urlencoded", JSON),
        ("text/plain;charset=UTF-8", JSON),
        ("text/plain", JSON),
        ("text/json", JSON),
        ("application/vnd.api+json", JSON),
        ("application/problem+json; charset=utf-8", JSON),
        ("application/json; charset=us-ascii", JSON),
        ("multipart/form-data; boundary=x", FORM),
        ("application/npy", NPY),
        ("binary/octet-stream", RAW),
        ('application/octet-stream; dtype="<f4"', RAW),
        ("image/jpg", JPEG),
        ("image/pjpeg", JPEG),
        ("image/x-png", PNG),
        ("application/x-npy", NPY),
        ("application/x-npy; version=1", NPY),
        ("application/octet-stream", RAW),
        ("Application/Octet-Stream; type=float32", RAW),
        ("image/png", PNG),
        (" image/jpeg ", JPEG),
        ("image/jpeg; charset=binary", JPEG),
    ],
)
def test_a_body_has_the_media_type_it_states_or_is_json(
    content_type: str | None, media_type: str
) -> None:
    assert body_type(content_type) == media_type


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/csv", "application/octets", "image/gif", "image/*", "json", "application/json2"),
        *("multipart/mixed; boundary=x", "multipart/form"),
    ],
)
def test_other_media_types_are_rejected(content_type: str) -> None:
    with pytest.raises(
        UnsupportedMediaType, match="this media type is not supported; send application/json, "
    ):
        body_type(content_type)


@pytest.mark.parametrize("name", ["application/x-ndjson", "application/jsonl"])
def test_json_line_by_line_is_rejected_with_what_to_send(name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="send one JSON object with all rows in one"):
        body_type(name)


@pytest.mark.parametrize("parameter", ["dtype=float64", "type='<f8'", "datatype=int32", "dtype="])
def test_bare_numbers_of_another_type_are_rejected(parameter: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="little-endian float32 and as no other type"):
        body_type(f"application/octet-stream; {parameter}")


@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "text/json"])
@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"iso-8859-1"'])
def test_json_is_read_as_utf_8_only(media_type: str, charset: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="JSON must be in UTF-8"):
        body_type(f"{media_type}; charset={charset}")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("image/*", PNG),
        ("image/jpeg", JPEG),
        ("IMAGE/PNG", PNG),
        ("image/jpg", JPEG),
        ("application/x-npy, application/json;q=0.9", NPY),
        ("application/json;q=0.9, application/x-npy", NPY),
        ("image/png;q=0.5, image/jpeg;q=0.6", JPEG),
        ("image/png; q=0.5 , image/jpeg; q=0.5", PNG),
        ("image/*, application/json;q=0.1", PNG),
        ("image/*;q=0.2, image/jpeg;q=0.3", JPEG),
        ("*/*, application/json;q=0", NPY),
        ("*/*;q=0.1, image/*;q=0, application/*;q=0, image/jpeg;q=0.05", JPEG),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JPEG),
        ("application/json; charset=utf-8", JSON),
        ("application/json;q=0.0, application/json;q=1", JSON),
        (",, application/x-npy ,", NPY),
    ],
)
def test_the_best_type_that_a_client_accepts_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose_type(accept, ALL) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/gif",
        "application/json;q=0",
        "*/*;q=0",
        "application/json;q=nan",
        "application/json;q=2",
        "application/json;q=-1",
        "application/json;q=much",
        "application/*;q=0, image/png",
        "json",
    ],
)
def test_a_client_that_accepts_none_of_the_offers_is_told_the_offers(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="written as application/json, application/x-npy"):
        choose_type(accept, DENSE)


@given(accept=st.text(st.sampled_from("aijmnp*/;q=.,01 -"), max_size=40) | st.text(max_size=20))
def test_whatever_is_accepted_an_offer_is_chosen_or_the_client_told(accept: str) -> None:
    with suppress(NotAcceptable):
        assert choose_type(accept, ALL) in ALL


@given(content_type=st.text(st.sampled_from('aijnops*/;=charset-8 "'), max_size=40))
def test_whatever_type_is_stated_it_is_known_or_rejected(content_type: str) -> None:
    with suppress(UnsupportedMediaType):
        assert body_type(content_type) in (*ALL, FORM)


def test_the_media_types_of_the_documentation_are_those_that_are_read_and_written() -> None:
    section = HTTP_API.read_text().split("## Media types")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)

    assert set(re.findall(r"`([a-z]+/[^`]+)`", " ".join(cells))) == {*ALL, FORM}
