"""A head that is known again means what the parser would say, whatever comes around it."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.api.clients import SHARED_LOOP
from tests.api.sockets import Answer, Client, Server, chunks, open_server, request
from tests.bundles import PLANE

pytestmark = SHARED_LOOP

BODY = json.dumps({"model": "plane", "inputs": PLANE.rows(2).tolist()}).encode()
GOOD = request(BODY)
HEAD = GOOD.removesuffix(BODY)
REFUSED = request(GOOD, headers={"Content-Type": "text/csv"})
REFUSED_HEAD = REFUSED.removesuffix(GOOD)
REFUSED_AND_CLOSED = request(GOOD, headers={"Content-Type": "text/csv", "Expect": "miracles"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    async with open_server(tiny_models_dir) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain_server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    async with open_server(tiny_models_dir, plain=True) as server:
        yield server


async def test_a_known_head_is_not_parsed_again(server: Server) -> None:
    async with server.connect() as client:
        await client.deliver(GOOD)
        first = await client.receive()
        parser, client.protocol.parser = client.protocol.parser, None
        await client.deliver(GOOD)
        second = await client.receive()
        client.protocol.parser = parser

    assert first.status == 200
    assert second.comparable() == first.comparable()


@pytest.mark.parametrize(
    "pieces",
    [
        [GOOD],
        [HEAD, BODY],
        [HEAD + BODY[:1], BODY[1:-1], BODY[-1:]],
        [b"\r\n", GOOD],
        [b"\r\n", b"\r\n\r\n", GOOD],
        [GOOD[:30], GOOD[30:], GOOD],
        [request(BODY, path="/decode"), GOOD],
        [request(method="GET", path="/healthz"), GOOD],
        [GOOD + b"\r\n", GOOD],
        [GOOD + GOOD, GOOD],
    ],
)
async def test_the_head_of_a_whole_request_is_learnt(server: Server, pieces: list[bytes]) -> None:
    async with server.connect() as client:
        for piece in pieces:
            await client.deliver(piece)
            await client.settle()
        memory = client.connection._memory

        assert memory.knows(GOOD)
        assert memory.knows(HEAD)
        assert memory.body_bytes == len(BODY)
        assert memory.body_of(GOOD) == BODY
        assert memory.body_of(GOOD + b"POST") == BODY + b"POST"
        assert not memory.knows(HEAD[:-1])
        assert not memory.knows(b"\r\n" + GOOD)


async def test_a_line_end_before_a_head_is_learnt_with_it(server: Server) -> None:
    async with server.connect() as client:
        await client.deliver(b"\r\n" + GOOD)
        await client.settle()
        memory = client.connection._memory

        assert memory.knows(b"\r\n" + GOOD)
        assert not memory.knows(GOOD)
        assert memory.body_of(b"\r\n" + GOOD) == BODY


NOT_LEARNT = {
    "a cut head": [GOOD[:30], GOOD[30:]],
    "a head cut before its last byte": [HEAD[:-1], HEAD[-1:] + BODY],
    "what follows a line end": [b"\r\n\r\n" + GOOD],
    "what a line end follows": [GOOD + b"\r\n"],
    "what two line ends follow": [GOOD + b"\r\n\r\n"],
    "two requests": [GOOD + GOOD],
    "a request and the first byte of the next": [GOOD + b"P"],
    "what ends in one piece with another": [GOOD[:-1], GOOD[-1:] + GOOD],
    "a chunked body": [request(path="/encode", headers={"Content-Length": "", "Transfer-Encoding":
                               "chunked"}) + chunks(BODY)],
    "an old version": [request(BODY, version="1.0")],
    "a last request": [request(BODY, headers={"Connection": "close"})],
    "another path": [request(BODY, path="/nowhere")],
    "another method": [request(BODY, method="PUT")],
    "a percent-encoded path": [request(BODY, path="/%65ncode")],
    "a whole URL": [request(BODY, path="http://latentserve/encode")],
    "an expectation": [request(BODY, headers={"Expect": "100-continue"})],
    "an expectation that nobody knows": [request(BODY, headers={"Expect": "miracles"})],
    "an upgrade": [request(b"", headers={"Connection": "upgrade", "Upgrade": "h2c"})],
    "what is refused by its head": [request(BODY, headers={"Content-Type": "text/csv"})],
    "what is refused by its length": [request(b" " * 4000)],
    "a body on its way": [GOOD[:-1]],
}  # fmt: skip


@pytest.mark.parametrize("pieces", NOT_LEARNT.values(), ids=NOT_LEARNT)
async def test_what_might_mean_something_else_is_not_learnt(
    tiny_models_dir: Path, pieces: list[bytes]
) -> None:
    async with (
        open_server(tiny_models_dir, max_body_bytes=2000) as server,
        server.connect() as client,
    ):
        for piece in pieces:
            await client.deliver(piece)
        await client.settle()

        memory = client.connection._memory
        assert memory.head is None
        assert memory._parsing or memory._first == b""  # what came is not kept for nothing


async def test_a_known_head_is_another_requests_body_while_that_is_on_its_way(
    server: Server,
) -> None:
    other = request(GOOD, path="/decode?model=plane")
    async with server.connect() as client:
        await client.deliver(GOOD, other[: -len(GOOD)])
        assert not client.connection._memory.knows(GOOD)
        await client.deliver(GOOD)
        answers = await client.all_answers()

    assert [answer.status for answer in answers] == [200, 400]


async def test_a_known_head_is_part_of_a_head_that_is_on_its_way(server: Server) -> None:
    async with server.connect() as client:
        await client.deliver(GOOD)
        await client.settle()
        await client.deliver(b"GET /", GOOD)
        answers = await client.all_answers()

    # What follows "GET /" is no URL but two: the version is not where it belongs.
    assert [answer.status for answer in answers] == [200, 400]


# Requests that some parser somewhere reads otherwise than another. The bodies look like requests.

ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n"])
LINES = [
    b"Host: latentserve",
    b"X-Request-Id: mine",
    b"Content-Length: %d",
    b"content-length:%d",
    b"Content-Length: 0%d",
    b"Content-Length: +%d",
    b"Content-Length: %d, %d",
    b"Content-Length : %d",
    b" Content-Length: %d",
    b"Content-Length:\r\n %d",
    b"X: a\r\n Content-Length: %d",
    b"X: a\nContent-Length: %d",
    b"X: a\rContent-Length: %d",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:  Chunked ",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"X: Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: close, transfer-encoding",
    b"Expect: 100-continue",
    b"Expect: miracles",
    b"Content-Type: text/csv",
    b"Content-Type: application/octet-stream",
    b"X: ",
    b"X:",
    b"X",
    b":",
]
TARGETS = [
    *([b"/encode"] * 6),
    b"/encode?model=plane",
    b"/encode?",
    b"/encode#here",
    b"/encode?model=plane#here",
    b"/%65ncode",
    b"//encode",
    b"/encode/",
    b"http://latentserve/encode",
    b"*",
    b"/healthz",
    b"/encode?%ff\xff",
]
BODIES = [
    b"",
    BODY,
    GOOD,
    HEAD,
    b"\r\n",
    b"\r\n\r\n",
    chunks(BODY),
    chunks(BODY[:9], BODY[9:]),
    chunks() + GOOD,
    b"0\r\n\r\n",
    b"\r\n\r\n" + GOOD,
    BODY + b"\r\n\r\n",
    b" " * (len(BODY) - 4) + b"\r\n\r\n",
]


@st.composite
def suspicious_requests(draw: st.DrawFn) -> bytes:
    """Make a request that is odd here and there, with a body of about the length it says."""
    method = draw(st.sampled_from([b"POST"] * 6 + [b"GET", b"PUT", b"post", b"POST "]))
    version = draw(st.sampled_from([b" HTTP/1.1"] * 8 + [b" HTTP/1.0", b" HTTP/2.0", b""]))
    body = draw(st.sampled_from(BODIES))
    length = max(0, len(body) + draw(st.sampled_from([0] * 6 + [-4, -2, -1, 1, 2, 4])))
    lines = draw(st.lists(st.sampled_from(LINES), max_size=3))
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d")
    filled = [line.replace(b"%d", b"%d" % length) for line in lines]
    parts = [method + b" " + draw(st.sampled_from(TARGETS)) + version, *filled, b""]
    return b"".join([part + draw(ENDS) for part in parts]) + body


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Cut what a client says into pieces, most of them where something ends."""
    message = st.one_of(
        st.just(GOOD),
        st.sampled_from([GOOD, HEAD + b" " * len(BODY), REFUSED, REFUSED_AND_CLOSED]),
        st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n", b" "]),
        suspicious_requests(),
    )
    said: list[bytes] = draw(st.lists(message, min_size=1, max_size=4))
    if draw(st.booleans()):
        said = [GOOD, *said, GOOD]
    places: set[int] = set()
    begin = 0
    for each in said:
        whole = range(begin + 1, begin + len(each) + 1)
        head_end = min(begin + each.find(b"\r\n\r\n") + 4, begin + len(each))
        places |= draw(st.sets(st.sampled_from([head_end - 1, head_end, head_end + 1]), max_size=1))
        places |= draw(st.sets(st.sampled_from(whole), max_size=2))
        begin += len(each)
        if draw(st.integers(0, 3)):
            places.add(begin)
    ends = sorted({*places, begin} - {0})
    data = b"".join(said)
    return [data[first:last] for first, last in zip([0, *ends], ends, strict=False)]


async def answers_in_turn(client: Client, data: bytes) -> list[Answer]:
    """Say it byte by byte, and wait for each answer as soon as there can be one."""
    before: tuple[object, bool] = (None, False)
    for number in range(len(data)):
        await client.deliver(data[number : number + 1])
        cycle = client.protocol.cycle
        now = (cycle, cycle is not None and not cycle.more_body)
        if now != before:
            await client.settle()
        before = now
    return await client.all_answers()


async def answers_to_pieces(client: Client, conversation: list[bytes]) -> list[Answer]:
    for piece in conversation:
        await client.deliver(piece)
        await client.settle()
    return await client.all_answers()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
@example([GOOD, HEAD[:-2], b"\n", BODY])
@example([b"\r\n" + GOOD, b"\r\n" + GOOD, GOOD])
@example([GOOD + b"\r\n", GOOD, GOOD])
@example([GOOD, REFUSED_HEAD, GOOD, GOOD])
@example([GOOD, REFUSED_AND_CLOSED, GOOD])
@example([REFUSED_AND_CLOSED + b"nonsense"])
@example([GOOD, b"POST /encode HTTP/1.1\nContent-Length: 4\n\n\r\n\r\n\r\n\r\n", GOOD])
async def test_connections_answer_what_the_parser_says(
    server: Server, plain_server: Server, conversation: list[bytes]
) -> None:
    """What uvicorn's own connection says to the same, byte after byte, is the measure."""
    async with plain_server.connect() as client:
        expected = await answers_in_turn(client, b"".join(conversation))
    async with server.connect() as client:
        found = await answers_to_pieces(client, conversation)

    right = [answer.comparable("connection") for answer in expected]
    answers = [answer.comparable("connection") for answer in found]
    if answers and is_end(answers[-1]):
        # What is no HTTP ends a connection at once, also before earlier requests are answered.
        assert expected[-1].values("connection") == ["close"]
        assert answers[:-1] == right[: len(answers) - 1]
    else:
        assert answers == right


def is_end(answer: Answer) -> bool:
    return answer.status == 400 and answer.values("content-type") == ["text/plain; charset=utf-8"]
