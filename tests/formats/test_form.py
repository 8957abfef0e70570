"""Forms: what is cut into parts, and what is rejected with the part's name."""

import time
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, MalformedBody, RequestError
from service.formats.form import Part, header_parameters, read_form

TYPE = "multipart/form-data; boundary=cut"


def form(*parts: tuple[str, bytes], end: bytes = b"--cut--\r\n") -> bytes:
    pieces = [b"--cut\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts]
    return b"".join(pieces) + end


def disposition(name: str, rest: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{rest}'


names = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n%', categories=["L", "N"]),
                min_size=1, max_size=20)  # fmt: skip


@given(
    files=st.lists(st.tuples(names, st.binary(max_size=200)), max_size=4),
    texts=st.dictionaries(names, st.text(max_size=30), max_size=4),
)
def test_what_httpx_writes_is_read(files: list[tuple[str, bytes]], texts: dict[str, str]) -> None:
    request = httpx.Request(
        "POST", "http://x", data=texts,
        files=[*((name, ("a.png", content)) for name, content in files), ("last", ("b", b"c"))],
    )  # fmt: skip

    parts = read_form(request.read(), request.headers["content-type"], 100)

    sent = [(part.name, part.filename, part.content) for part in parts]
    assert sent == [
        *((name, None, text.encode()) for name, text in texts.items()),
        *((name, "a.png", content) for name, content in files),
        ("last", "b", b"c"),
    ]
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))


def test_what_stands_around_the_parts_is_ignored() -> None:
    body = b"preamble\r\n" + form((disposition("a"), b"1"), end=b"--cut-- \r\nepilogue")

    assert read_form(body, TYPE, 10) == [Part(1, "a", None, b"1")]


def test_blanks_behind_a_boundary_and_a_quoted_one_are_read() -> None:
    body = form((disposition("a"), b"1")).replace(b"--cut\r\n", b"--cut \t\r\n")

    assert read_form(body, 'multipart/form-data; charset=utf-8; boundary="cut"', 10) == [
        Part(1, "a", None, b"1")
    ]


def test_content_that_looks_like_a_boundary_is_content() -> None:
    content = b"x--cut\n--cut--\n\r\n-cut\r\n--cu"

    assert read_form(form((disposition("a"), content)), TYPE, 10)[0].content == content


def test_a_choice_of_a_file_that_was_left_out_is_no_part() -> None:
    body = form((disposition("file", '; filename=""'), b""), (disposition("a"), b""))

    assert [part.name for part in read_form(body, TYPE, 10)] == ["a"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not a complete form"),
        (b"--cut", "not a complete form"),
        (form((disposition("a"), b"1"), end=b""), "not a complete form"),
        (form((disposition("a"), b"1"), end=b"--other--"), "not a complete form"),
        (form((disposition("a"), b"1")).replace(b"\r\n", b"\n"), "not a complete form"),
        (b"--cut\r\nnothing\r\n--cut--", "part 1 of the form has no end of its headers"),
        (form(("X: " + "y" * 3000, b"1")), "part 1 of the form has no end of its headers"),
        (form(*[(disposition("a"), b"")] * 11), "more than 10 parts"),
    ],
)
def test_what_is_not_a_form_is_rejected(body: bytes, problem: str) -> None:
    with pytest.raises(MalformedBody, match=problem):
        read_form(body, TYPE, 10)


@pytest.mark.parametrize("content_type", ["multipart/form-data", TYPE[:-3], f"{TYPE}{'x' * 80}"])
def test_a_form_needs_a_boundary(content_type: str) -> None:
    with pytest.raises(MalformedBody, match="has no boundary"):
        read_form(form((disposition("a"), b"1")), content_type, 10)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (
            "Content-Type: image/png",
            r"part 1 of the form: its Content-Disposition has no name",
        ),
        (
            disposition("a") + "\r\nContent-Transfer-Encoding: base64",
            r"part 1 of the form \(a\): a Content-Transfer-Encoding is not read",
        ),
    ],
)
def test_a_part_of_no_use_is_named(head: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        read_form(form((head, b"1")), TYPE, 10)


def test_a_long_name_of_a_part_is_truncated() -> None:
    error = Part(1, "n" * 500, None, b"").error("of no use")

    assert len(str(error)) < 100


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        ("form-data", {}),
        ('form-data; name="a\\"b"; filename="c;d.png"', {"name": 'a"b', "filename": "c;d.png"}),
        ("form-data;NAME=a ; filename*=UTF-8''x", {"name": "a", "filename*": "UTF-8''x"}),
        ('form-data; name="a', {"name": ""}),
        ("x; a=1; a=2", {"a": "1"}),
    ],
)
def test_the_parameters_of_a_header_are_read(value: str, parameters: dict[str, str]) -> None:
    assert header_parameters(value) == parameters


@given(st.text(st.sampled_from('ab=;"\\ \t,é'), max_size=40))
def test_whatever_a_header_says_it_is_read(value: str) -> None:
    assert isinstance(header_parameters(value), dict)


@given(body=st.binary(max_size=100), around=st.booleans())
def test_whatever_bytes_come_they_are_read_or_rejected(body: bytes, around: bool) -> None:
    with suppress(RequestError):
        read_form(form((disposition("a"), b""), end=body) if around else body, TYPE, 10)


@pytest.mark.parametrize(
    "filling", [b"\r\n--cu", b"\r\n--cu" + b"c" * 60, b'; a="', b"\r\n", b"-"], ids=repr
)
def test_the_time_grows_with_the_bytes_alone(filling: bytes) -> None:
    content = filling * (4_000_000 // len(filling))
    body = form((disposition("file", '; filename="a"'), content))
    started = time.process_time()

    (part,) = read_form(body, TYPE, 10)

    assert part.content == content
    assert time.process_time() - started < 1
