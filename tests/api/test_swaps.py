"""Versions are swapped while clients send requests: every request is answered, by one version."""

import asyncio
import gc
import itertools
import json
import platform
import resource
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.app import Service, create_service
from service.bundle.storage import BundleLocation
from service.catalog.desired_state import DesiredState, DesiredVersion
from service.catalog.loading import LoadedModel
from service.settings import Settings
from tests.api import sockets
from tests.api.clients import JSON_BODY, Client, lifespan
from tests.bundles import PLANE, TinyModel, publish_tiny

BUNDLES = [replace(PLANE, encoding=factor * PLANE.encoding) for factor in (1, 2, 3, 4)]
ROWS = [PLANE.rows(count, seed=count) for count in (1, 2, 7)]
QUIET: dict[str, Any] = {"access_log": False, "log_level": "error", "threads": 2}


def bundle_of(version: int) -> TinyModel:
    return BUNDLES[version % len(BUNDLES)]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A folder of each bundle."""
    return [
        publish_tiny(tmp_path / str(number), bundle).folder for number, bundle in enumerate(BUNDLES)
    ]


def desired_of(folders: list[Path], *versions: int) -> DesiredState:
    locations = [
        BundleLocation("plane", version, folders[version % len(folders)]) for version in versions
    ]
    return DesiredState(tuple(map(DesiredVersion, locations)))


@dataclass
class Load:
    """What clients have received so far.

    Attributes:
        answers: Number of right answers.
        versions: Versions that have answered.
        failures: Everything else.
    """

    answers: int = 0
    versions: set[int] = field(default_factory=set)
    failures: list[object] = field(default_factory=list)

    def check(self, call: str, rows: np.ndarray, status: int, body: bytes) -> None:
        """Compare an answer with what the version that it names computes."""
        if status != 200:
            self.failures.append((status, body))
            return
        answer = json.loads(body)
        model = bundle_of(answer["version"])
        found, expected = {
            "encode": lambda: (answer["codes"], model.encode(rows)),
            "reconstruct": lambda: (answer["reconstructions"], model.reconstruct(rows)),
            "anomaly-score": lambda: (answer["scores"], model.score(rows)),
        }[call]()
        if np.allclose(found, expected, rtol=1e-4, atol=1e-4):
            self.answers += 1
            self.versions.add(answer["version"])
        else:
            self.failures.append((answer, expected.tolist()))


REQUESTS = [
    (call, rows, json.dumps({"inputs": rows.tolist()}).encode())
    for call, rows in itertools.product(("encode", "reconstruct", "anomaly-score"), ROWS)
]


Ask = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Sends a body to a call; returns the status and the body of the answer."""


@asynccontextmanager
async def clients_of(load: Load, asks: list[Ask]) -> AsyncIterator[None]:
    """Run a client for each connection until the block ends."""
    stopping = asyncio.Event()
    requests = itertools.cycle(REQUESTS)

    async def run(ask: Ask) -> None:
        while not stopping.is_set():
            call, rows, body = next(requests)
            try:
                load.check(call, rows, *await ask(call, body))
            except Exception as error:  # noqa: BLE001  # for the test to see
                load.failures.append(error)
                return

    tasks = [asyncio.create_task(run(ask)) for ask in asks]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def at_least(load: Load, more: int) -> None:
    """Wait until there are so many more answers."""
    wanted = load.answers + more
    while load.answers < wanted and not load.failures:  # noqa: ASYNC110  # no event tells it
        await asyncio.sleep(0)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@asynccontextmanager
async def opened_service(folders: list[Path], tmp_path: Path) -> AsyncIterator[Service]:
    """A service that is given its versions by the test alone."""
    service = create_service(Settings(models_dir=tmp_path, **QUIET))
    async with lifespan(service.app):
        await service.reconciler.reconcile(desired_of(folders, 1))
        yield service


@pytest.fixture
def frozen_objects() -> Iterator[None]:
    """Objects made before the test are exempt from garbage collection, as in a worker."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("frozen_objects")
@pytest.mark.skipif(platform.system() != "Linux", reason="reads memory from /proc")
async def test_a_thousand_swaps_under_load_lose_nothing_and_take_no_memory(
    tmp_path: Path, folders: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    load = Load()
    models: list[weakref.ref[LoadedModel]] = []
    memory: dict[int, int] = {}
    series: dict[int, int] = {}
    async with (
        opened_service(folders, tmp_path) as service,
        Client(service.app) as client,
    ):

        async def ask(call: str, body: bytes) -> tuple[int, bytes]:
            response = await client.post(f"/{call}", content=body, headers=JSON_BODY)
            return response.status_code, response.content

        async with clients_of(load, [ask] * 6):
            for version in range(2, 1002):
                models.append(weakref.ref(service.reconciler.catalog.resolve(None, None)))
                await service.reconciler.reconcile(desired_of(folders, version))
                await at_least(load, 1)
                swaps = version - 1
                if swaps % 100 == 0:
                    memory[swaps] = resident_bytes()
                    series[swaps] = sum(1 for _ in service.memory.segments[0].series())

    assert load.failures == []
    assert load.versions >= set(range(2, 1001))
    assert [model() for model in models] == [None] * 1000
    assert abs(memory[1000] / memory[100] - 1) <= 0.05, memory
    assert series[1000] <= series[100] + 5, series
    assert "no room" not in caplog.text


@pytest.mark.slow
async def test_clients_that_keep_their_connections_are_answered_through_swaps(
    tmp_path: Path, folders: list[Path]
) -> None:
    load = Load()
    (tmp_path / "models" / "plane").mkdir(parents=True)
    (tmp_path / "models" / "plane" / "4").symlink_to(folders[0])
    async with (
        sockets.open_server(tmp_path / "models", threads=2) as server,
        AsyncExitStack() as stack,
    ):
        asks = [over(await stack.enter_async_context(server.connect())) for _ in range(6)]
        async with clients_of(load, asks):
            for version in range(5, 45):
                await server.service.reconciler.reconcile(desired_of(folders, version))
                await at_least(load, 6)

    assert load.failures == []
    assert load.versions >= set(range(5, 44))


def over(connection: sockets.Client) -> Ask:
    async def ask(call: str, body: bytes) -> tuple[int, bytes]:
        await connection.send(sockets.request(body, path=f"/{call}"))
        answer = await connection.receive()
        return answer.status, answer.body

    return ask


async def test_a_version_that_is_replaced_in_place_answers_as_one_or_the_other(
    tmp_path: Path, folders: list[Path]
) -> None:
    """Answers name the same version, so those of a request are compared with each other."""
    body = json.dumps({"inputs": PLANE.rows(3).tolist()}).encode()
    possible = [bundle.encode(PLANE.rows(3)) for bundle in BUNDLES]
    seen = set[int]()
    failures: list[object] = []
    async with (
        opened_service(folders, tmp_path) as service,
        Client(service.app) as client,
    ):
        stopping = asyncio.Event()

        async def run() -> None:
            while not stopping.is_set():
                response = await client.post("/encode", content=body, headers=JSON_BODY)
                codes = response.json().get("codes")
                matching = [
                    number
                    for number, expected in enumerate(possible)
                    if codes is not None and np.allclose(codes, expected, rtol=1e-4, atol=1e-4)
                ]
                seen.update(matching)
                if len(matching) != 1:
                    failures.append(response.text)

        tasks = [asyncio.create_task(run()) for _ in range(4)]
        for turn in range(20):
            folder = folders[turn % len(folders)]
            desired = DesiredVersion(BundleLocation("plane", 1, folder), fingerprint=str(turn))
            await service.reconciler.reconcile(DesiredState((desired,)))
            await asyncio.sleep(0.01)
        stopping.set()
        await asyncio.gather(*tasks)

    assert failures == []
    assert seen == {0, 1, 2, 3}


async def test_a_removed_model_that_has_answered_requests_is_collected(
    tmp_path: Path, folders: list[Path]
) -> None:
    async with (
        opened_service(folders, tmp_path) as service,
        Client(service.app) as client,
    ):
        for call, rows, body in REQUESTS:
            response = await client.post(f"/{call}", content=body, headers=JSON_BODY)
            assert response.status_code == 200, rows
        await client.get("/models/plane")
        await client.call("encode", inputs=[[1.0]])
        await client.call("denoise", inputs=PLANE.rows(1).tolist())
        removed = weakref.ref(service.reconciler.catalog.resolve(None, None))
        await service.reconciler.reconcile(desired_of(folders, 2))

        assert removed() is None
