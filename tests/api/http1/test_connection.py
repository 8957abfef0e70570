"""Whatever comes on a connection, and however it is cut, is answered rightly and in order."""

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.metrics import families
from tests.api.clients import RAW, SHARED_LOOP
from tests.api.sockets import Answer, Server, chunks, open_server, request, until
from tests.bundles import PLANE, POSTCARD
from tests.faulty_model import publish_faulty_model, slow_rows

pytestmark = SHARED_LOOP

_TURNS = 200  # of the event loop, in which the system's part of a connection ends
BODY_BYTES = 200
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
HEADS: list[dict[str, str]] = [
    {},
    {"X-Request-Id": "one"},
    {"X-Request-Id": "one", "X-Other": "two"},
    {"Content-Type": "application/json", "X-Request-Id": "three"},
    {"Connection": "keep-alive"},
]
HEALTHZ = request(method="GET", path="/healthz")
ROWS = PLANE.rows(2)
GOOD = request(json.dumps({"model": "plane", "inputs": ROWS.tolist()}).encode())
SLOW = request(json.dumps({"inputs": slow_rows(0.3).tolist()}).encode())

Check = Callable[[Answer], None]


@dataclass(frozen=True)
class Said:
    """A part of what a client says, and what each answer to it has to be."""

    data: bytes
    checks: tuple[Check, ...] = ()

    def __repr__(self) -> str:
        return f"{self.data!r} -> {len(self.checks)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_models_dir: Path) -> AsyncGenerator[Server]:
    async with open_server(tiny_models_dir, default_model="plane") as server:
        yield server


def status(expected: int, slug: str = "", request_id: str | None = None) -> Check:
    def check(answer: Answer) -> None:
        assert answer.status == expected, answer
        if slug:
            assert answer.json()["type"] == f"/errors#{slug}"
        if request_id is not None:
            assert answer.values("x-request-id") == [request_id]

    return check


def codes_of(rows: np.ndarray, request_id: str | None = None) -> Check:
    def check(answer: Answer) -> None:
        status(200, request_id=request_id)(answer)
        if answer.values("content-type") == [RAW]:
            codes = np.frombuffer(answer.body, "<f4").reshape(-1, 2)
        else:
            codes = np.array(answer.json()["codes"])
        np.testing.assert_allclose(codes, PLANE.encode(rows), atol=1e-4)

    return check


def rounded_rows(seed: int) -> np.ndarray:
    """Make rows whose text is short, so that all bodies can have one length."""
    return np.round(PLANE.rows(1 + seed % 3, seed=seed), 2)


def padded(text: str, blanks_first: bool = False) -> bytes:
    """Give a body the length of all others; what is added looks like the end of a head."""
    blanks = ("\r\n" * BODY_BYTES)[: BODY_BYTES - len(text)]
    assert len(text) <= BODY_BYTES
    return (blanks + text if blanks_first else text + blanks).encode()


def encoding(head: int, seed: int, blanks_first: bool) -> Said:
    rows = rounded_rows(seed)
    text = json.dumps({"inputs": [[round(float(value), 2) for value in row] for row in rows]})
    body = padded(text, blanks_first)
    check = codes_of(rows, HEADS[head].get("X-Request-Id"))
    return Said(request(body, headers=HEADS[head]), (check,))


def other_ways(head: int, seed: int) -> list[Said]:
    """Encodings that come otherwise."""
    rows = rounded_rows(seed)
    text = json.dumps({"inputs": [[round(float(value), 2) for value in row] for row in rows]})
    body, check = padded(text), codes_of(rows)
    return [
        Said(request(headers=HEADS[head] | CHUNKED) + chunks(body), (check,)),
        Said(request(headers=CHUNKED) + chunks(body[:7], body[7:], b"\r\n\r\n"), (check,)),
        Said(request(body, headers={"Expect": "100-continue"}), (status(100), check)),
        Said(request(body, headers={"Expect": "miracles"}), (check,)),
        Said(request(body, path="/%65ncode"), (check,)),
        Said(request(body, path="http://latentserve/encode"), (check,)),
        Said(request(rows.astype("<f4").tobytes(), headers={"Content-Type": RAW}), (check,)),
        Said(
            request(rows.astype("<f4").tobytes(), headers={"Content-Type": RAW, "Accept": RAW}),
            (check,),
        ),
    ]


def refusals(head: int, inner: bytes) -> list[Said]:
    """Requests that are refused, some before their bodies have come, which look like requests."""
    malformed = status(400, "malformed-body", HEADS[head].get("X-Request-Id"))
    like_others = inner[:BODY_BYTES].ljust(BODY_BYTES)
    text = {"Content-Type": "text/csv"}
    return [
        Said(request(like_others, headers=HEADS[head]), (malformed,)),
        Said(request(b"", headers=HEADS[head]), (malformed,)),
        Said(request(inner, headers=text), (status(415),)),
        Said(request(headers=text | CHUNKED) + chunks(inner, inner), (status(415),)),
        Said(request(inner, headers={"Content-Encoding": "br"}), (status(415),)),
        Said(request(inner, path="/decode", headers=HEADS[head]), (status(400),)),
        Said(request(inner, path="/nowhere"), (status(404, "not-found"),)),
        Said(request(inner, method="PUT"), (status(405, "method-not-allowed"),)),
        Said(request(b"{}"), (status(422, "invalid-input"),)),
    ]


@st.composite
def parts(draw: st.DrawFn) -> Said:
    head = draw(st.integers(0, len(HEADS) - 1))
    seed = draw(st.integers(0, 50))
    plain = encoding(head, seed, draw(st.booleans()))
    kind = draw(st.integers(0, 9))
    if kind < 5:
        return plain
    if kind < 7:
        return draw(st.sampled_from(other_ways(head, seed)))
    if kind < 9:
        return draw(st.sampled_from(refusals(head, plain.data)))
    return draw(st.sampled_from([Said(HEALTHZ, (status(200),)), Said(b"\r\n"), Said(b"\r\n\r\n")]))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Said], list[tuple[bytes, bool]]]:
    """Return what is said, and its pieces, each with whether its answers are waited for."""
    said = draw(st.lists(parts(), min_size=2, max_size=8))
    data = b"".join(part.data for part in said)
    places = set(draw(st.lists(st.integers(1, len(data)), max_size=10)))
    begin = 0
    for part in said:
        begin += len(part.data)
        if draw(st.booleans()):
            places.add(begin)
        head_end = begin - len(part.data) + part.data.find(b"\r\n\r\n") + 4
        if draw(st.integers(0, 3)) == 0 and 0 < head_end < len(data):
            places.add(head_end)
    ends = sorted(places | {len(data)})
    pieces = [data[first:last] for first, last in zip([0, *ends], ends, strict=False)]
    return said, [(piece, draw(st.booleans())) for piece in pieces]


def expect_answers(said: list[Said], answers: list[Answer]) -> None:
    checks = [check for part in said for check in part.checks]
    assert len(answers) == len(checks), [answer.status for answer in answers]
    for check, answer in zip(checks, answers, strict=True):
        check(answer)
        assert answer.values("connection") == []


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
async def test_every_request_is_answered_in_order(
    server: Server, conversation: tuple[list[Said], list[tuple[bytes, bool]]]
) -> None:
    said, pieces = conversation
    async with server.connect() as client:
        for piece, waits in pieces:
            await client.deliver(piece)
            if waits:
                await client.settle()
        await client.settle()
        assert not client.transport.is_closing()
        answers = await client.all_answers()

    expect_answers(said, answers)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
async def test_every_request_over_the_network_is_answered_in_order(
    server: Server, conversation: tuple[list[Said], list[tuple[bytes, bool]]]
) -> None:
    """Here the system cuts and joins as it likes."""
    said, pieces = conversation
    async with server.connect() as client:
        await client.send(*[piece for piece, _ in pieces])
        answers = [await client.receive() for part in said for _ in part.checks]
        await client.send(HEALTHZ)
        assert (await client.receive()).json() == {"status": "alive"}

    expect_answers(said, answers)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 100])
async def test_pieces_of_any_size_are_answered(server: Server, size: int) -> None:
    said = [
        encoding(0, 1, False),
        encoding(0, 2, True),
        Said(b"\r\n"),
        *refusals(0, encoding(0, 2, True).data),
        *other_ways(0, 3),
        encoding(1, 4, False),
        encoding(1, 5, False),
    ]
    data = b"".join(part.data for part in said)
    async with server.connect() as client:
        for first in range(0, len(data), size):
            await client.deliver(data[first : first + size])
        answers = await client.all_answers()

    expect_answers(said, answers)


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"model": "nobody", "inputs": [[1]]}'])
async def test_thousands_of_requests_in_one_piece_are_answered(server: Server, body: bytes) -> None:
    each = request(body)
    async with server.connect() as client:
        await client.deliver(each)
        first = await client.receive()
        await client.deliver(each * 3000)
        answers = await client.all_answers()

    assert len(answers) == 3000
    assert {answer.comparable() for answer in answers} == {first.comparable()}


async def test_requests_that_come_while_a_model_works_wait_for_their_turn(
    faulty_server: Server,
) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(SLOW, GOOD, request(b"nonsense"), HEALTHZ, GOOD)
        answers = [await client.receive() for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 400, 200, 200]
    codes_of(ROWS)(answers[1])
    codes_of(ROWS)(answers[4])


@pytest.mark.parametrize(
    "asked", [{"Connection": "Upgrade", "Upgrade": "h2c"}, {"Connection": "upgrade, keep-alive",
                                                          "Upgrade": "websocket"}]
)  # fmt: skip
async def test_the_body_of_a_request_that_offers_another_protocol_is_a_body(
    server: Server, asked: dict[str, str]
) -> None:
    said = request(GOOD, headers=asked)
    async with server.connect() as client:
        await client.deliver(GOOD)
        await client.settle()
        await client.deliver(said[: -len(GOOD)], GOOD)
        answers = await client.all_answers()

    assert [answer.status for answer in answers] == [200, 400]
    status(400, "malformed-body")(answers[1])
    assert answers[1].values("connection") == []


@pytest.mark.parametrize("path", ["/nowhere", "/%65ncode"])
async def test_nor_is_it_where_the_application_answers(server: Server, path: str) -> None:
    offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
    async with server.connect() as client:
        await client.deliver(request(GOOD, path=path, headers=offer), GOOD)
        answers = await client.all_answers()

    assert [answer.status for answer in answers] == [404 if path == "/nowhere" else 400, 200]


@pytest.mark.parametrize("cut", [0, len(GOOD)])
async def test_a_body_behind_an_offer_in_turn_is_never_a_request(server: Server, cut: int) -> None:
    offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
    said = HEALTHZ + request(GOOD, headers=offer)
    async with server.connect() as client:
        await client.deliver(said[: len(said) - cut], said[len(said) - cut :], GOOD)
        answers = await client.all_answers()

    assert [answer.status for answer in answers] == [200, 400, 200]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (request(GOOD.partition(b"\r\n\r\n")[2], version="1.0"), True),
        (request(GOOD.partition(b"\r\n\r\n")[2], headers={"Connection": "close"}), True),
        (GOOD, False),
    ],
    ids=["HTTP/1.0", "Connection: close", "kept"],
)
async def test_a_connection_ends_with_the_request_that_says_so(
    server: Server, said: bytes, named: bool
) -> None:
    async with server.connect() as client:
        await client.deliver(GOOD)
        codes_of(ROWS)(await client.receive())
        await client.deliver(said + GOOD)
        if named:
            answers = await client.answers()
        else:
            answers = [await client.receive(), await client.receive()]

    assert len(answers) == (1 if named else 2)
    codes_of(ROWS)(answers[0])
    assert answers[0].values("connection") == (["close"] if named else [])


@pytest.mark.parametrize("length", ["0", ""], ids=["an empty body", "without a length"])
async def test_a_request_without_a_body_ends_its_connection_too(
    server: Server, length: str
) -> None:
    said = request(
        path="/sample?model=postcard&count=1",
        headers={"Connection": "close", "Content-Length": length},
    )
    async with server.connect() as client:
        await client.deliver(said + GOOD)
        (answer,) = await client.answers()

    assert answer.status == 200
    assert answer.values("connection") == ["close"]


async def test_a_client_that_does_not_read_is_not_read_from(tiny_models_dir: Path) -> None:
    """Its requests wait in the system's buffers, and are answered when it reads at last."""
    count = 200
    answer_bytes = 4 * count * POSTCARD.size
    fields = json.dumps({"model": "postcard", "count": count, "seed": 1})
    said = request(fields.encode().ljust(16_384), "/sample", headers={"Accept": RAW})
    async with open_server(tiny_models_dir) as server, server.connect() as client:
        series = families.REQUESTS, "sample", "postcard", "1", "200"
        counted = server.service.memory.segments[0].cells(*series)
        sent, reads = 0, False

        async def send() -> None:
            nonlocal sent
            while not reads:
                sent += 1
                assert sent < 10_000
                await client.send(said)

        sending = asyncio.create_task(send())
        await until(lambda: sending.done() or not client.transport.is_reading())
        await client.settle_for_good(lambda: sent + counted[0])
        assert not sending.done()
        assert not client.transport.is_reading()
        assert client.connection._writer.is_paused
        assert client.transport.get_write_buffer_size() < 2**20
        assert len(client.connection._framing.held) < 2**20

        reads = True
        answers = [await client.receive() for _ in range(sent)]
        await sending
        assert counted[0] == sent
    assert {answer.status for answer in answers} == {200}
    assert {answer.body for answer in answers} == {answers[0].body}
    assert len(answers[0].body) == answer_bytes


async def test_a_client_that_leaves_with_requests_in_turn_is_forgotten(
    faulty_server: Server,
) -> None:
    async with faulty_server.connect() as client:
        await client.deliver(SLOW, GOOD + GOOD)
        assert client.connection._framing.held == GOOD + GOOD
    await until(lambda: not faulty_server.tasks())
    assert not faulty_server.is_open(client.protocol)


@pytest.mark.slow
async def test_a_full_queue_is_said_to_be_full(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with (
        open_server(tmp_path, max_rows=2, max_queue_rows=2) as server,
        server.connect() as first,
        server.connect() as second,
        server.connect() as third,
    ):
        await first.deliver(SLOW)
        for _ in range(5):
            await asyncio.sleep(0)
        await second.deliver(GOOD)
        await third.deliver(GOOD)
        refused = await third.receive()
        assert (await first.receive()).status == 200
        codes_of(ROWS)(await second.receive())
        await third.deliver(GOOD)
        codes_of(ROWS)(await third.receive())

    status(503, "queue-full")(refused)
    assert refused.values("retry-after") == ["1"]
    assert refused.json()["detail"] == ("2 rows wait already; 2 more would exceed the limit of 2")


async def test_a_server_that_stops_finishes_what_it_has_begun(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    async with (
        open_server(tmp_path, shutdown_timeout_seconds=60) as server,
        server.connect() as idle,
        server.connect() as working,
        server.connect() as sending,
    ):
        await idle.deliver(GOOD)
        codes_of(ROWS)(await idle.receive())
        await working.deliver(SLOW)
        await sending.deliver(GOOD[:-1])
        server.stop()
        assert await idle.answers() == []
        await sending.deliver(GOOD[-1:])
        answers = await working.answers(), await sending.answers()

    for (answer,) in answers:
        assert answer.values("connection") == ["close"]
        status(200)(answer)
    codes_of(ROWS)(answers[1][0])


@pytest.mark.slow
async def test_a_server_that_stops_does_not_wait_forever(tmp_path: Path) -> None:
    publish_faulty_model(tmp_path)
    very_slow = request(json.dumps({"inputs": slow_rows(4.0).tolist()}).encode())
    async with (
        open_server(tmp_path, shutdown_timeout_seconds=1) as server,
        server.connect() as working,
        server.connect() as working_over_asgi,
        server.connect() as sending,
        server.connect() as pipelining,
    ):
        await working.deliver(very_slow)
        await working_over_asgi.deliver(very_slow.replace(b"/encode", b"/%65ncode"))
        await sending.deliver(GOOD[:-1])
        await pipelining.deliver(very_slow, GOOD)
        server.stop()
        clients = working, working_over_asgi, sending
        answers = [await client.answers() for client in clients]
        (first, *_) = await pipelining.answers()

    for (answer,) in answers:
        status(503, "draining")(answer)
        assert answer.values("retry-after") == ["1"]
        assert answer.values("connection") == ["close"]
    status(503, "draining")(first)


async def test_connections_are_counted_while_they_are_open(tiny_models_dir: Path) -> None:
    async with open_server(tiny_models_dir) as server:
        status = server.service.status.workers[0]
        async with server.connect() as client, server.connect():
            assert status.open_connections == 2
            await client.deliver(request(GOOD, headers={"Connection": "close"}))
            await client.answers()
            await until(client.is_gone)
            assert status.open_connections == 1
        await until(lambda: status.open_connections == 0)


async def test_a_connection_that_has_gone_is_freed_at_once(server: Server) -> None:
    gc.collect()
    gc.disable()
    try:
        async with server.connect() as client:
            for _ in range(2):
                await client.deliver(GOOD)
                assert (await client.receive()).status == 200
            gone = weakref.ref(client.protocol)
        del client
        for _ in range(_TURNS):
            await asyncio.sleep(0.001)
        assert gone() is None
    finally:
        gc.enable()


async def test_a_head_that_does_not_end_is_read_no_further(server: Server) -> None:
    endless = b"POST /encode HTTP/1.1\r\nX-Long: " + b"x" * 1000
    async with server.connect() as client:
        await client.deliver(endless, *[b"x" * 10_000] * 6)
        assert not client.transport.is_closing()
        await client.deliver(*[b"x" * 10_000] * 10)
        (answer,) = await client.answers()

    assert answer.status == 431
    assert answer.values("connection") == ["close"]
    assert answer.json()["type"] == "/errors#head-too-large"
    assert answer.json()["request_id"] == answer.values("x-request-id")[0]


async def test_long_heads_that_end_may_follow_each_other(server: Server) -> None:
    said = request(GOOD.partition(b"\r\n\r\n")[2], headers={"X-Long": "x" * 40_000})
    pieces = [said[first : first + 9000] for first in range(0, len(said), 9000)]
    async with server.connect() as client:
        for _ in range(4):
            await client.deliver(*pieces)
            assert (await client.receive()).status == 200
