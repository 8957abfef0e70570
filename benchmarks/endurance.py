"""Whether the service stays the same for minutes, and what it does when it is asked for too much.

    python -m benchmarks.endurance [--seconds 300] [--connections 256]

First: JSON requests of one row over many connections at once, with the 99th percentile of the
latency, failures and memory in every tenth of the time. Then: a convolutional model gets more than
it can answer, once with a queue that takes everything in and once with a short one: how long do
those wait that are answered, and what are the others told? Ends with status 1 when a request
failed in the first part, or was refused in another way than stated in the second.
"""

import argparse
import asyncio
import collections
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.serving import generator, machine, processes
from benchmarks.serving.dialects import NamedLists, Octets
from benchmarks.serving.loads import CONVOLUTIONAL, DENSE, example_rows
from benchmarks.serving.models import ServedModel, prepare_models
from benchmarks.serving.subjects import our_service

PARTS = 10
FLOOD_CONNECTIONS = 64
FLOOD_ROWS = 64
FLOOD_SECONDS = 10.0
# Rows that may wait: everything that the flood can bring, and two requests.
LONG_QUEUE, SHORT_QUEUE = FLOOD_CONNECTIONS * FLOOD_ROWS, 2 * FLOOD_ROWS
MEGABYTE = 1e6


@dataclass
class Flood:
    """What came of more requests than can be answered.

    Attributes:
        statuses: How often each status came.
        answered_ms: Latency of every answer with status 200, in milliseconds.
        without_retry_after: Refusals that do not say when to come again.
    """

    statuses: collections.Counter[int] = field(default_factory=collections.Counter[int])
    answered_ms: list[float] = field(default_factory=list[float])
    without_retry_after: int = 0


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=300, help="of the first part")
    parser.add_argument("--connections", type=int, default=256, help="of the first part")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="published bundles")
    options = parser.parse_args()
    processes.adopt_orphans()
    print(machine.describe(machine.pin_to_processors(2)), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        dense, convolutional = prepare_models(
            {DENSE, CONVOLUTIONAL}, Path(folder), options.models_dir
        )
        failures = endure(dense, options.connections, options.seconds)
        print(flush=True)
        failures += sum(flood(convolutional, rows) for rows in (LONG_QUEUE, SHORT_QUEUE))
    sys.exit(1 if failures else 0)


def endure(model: ServedModel, connections: int, seconds: int) -> int:
    """Send single rows for minutes; return how many were not answered."""
    request = NamedLists("reconstructions").write(example_rows(1, model.row_shape))
    failures, memory = 0, []
    print(f"{connections} connections, JSON, 1 row")
    with serving(model) as server:
        url = f"http://127.0.0.1:{server.port}/reconstruct"
        generator.send(url, request, connections, 2)
        for part in range(PARTS):
            seen = generator.send(url, request, connections, max(1, seconds // PARTS))
            failures += seen.failures
            memory.append(server.pss_bytes() / MEGABYTE)
            print(
                f"{part + 1:3}: {seen.requests_per_second:8,.0f} requests/s, p50 {seen.p50_ms:.1f}"
                f" ms, p99 {seen.p99_ms:.1f} ms, {seen.failures} failures, {memory[-1]:.1f} MB",
                flush=True,
            )
    drift = 100 * (max(memory) - min(memory)) / min(memory)
    print(f"memory between {min(memory):.1f} and {max(memory):.1f} MB: {drift:.1f} % apart")
    return failures


def flood(model: ServedModel, queue_rows: int) -> int:
    """Send more than can be answered; return how many refusals were not as they should be."""
    limits = ("--max-queue-rows", str(queue_rows), "--max-rows", str(FLOOD_ROWS))
    with serving(model, *limits) as server:
        seen = asyncio.run(_flood(f"http://127.0.0.1:{server.port}", model))
    p50, p99 = np.percentile(seen.answered_ms or [0.0], [50, 99])
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(seen.statuses.items()))
    print(
        f"{FLOOD_CONNECTIONS} connections, {FLOOD_ROWS} rows of {model.key}, {queue_rows} rows may"
        f" wait: answered p50 {p50:.0f} ms, p99 {p99:.0f} ms;"
        f" {len(seen.answered_ms) / FLOOD_SECONDS:.1f} answers/s; {statuses}",
        flush=True,
    )
    others = seen.statuses.total() - seen.statuses[200] - seen.statuses[503]
    return others + seen.without_retry_after


async def _flood(url: str, model: ServedModel) -> Flood:
    request = Octets().write(example_rows(FLOOD_ROWS, model.row_shape))
    seen, end = Flood(), time.perf_counter() + FLOOD_SECONDS

    async def be_a_client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=generator.TIMEOUT_SECONDS) as http:
            while (started := time.perf_counter()) < end:
                response = await http.post(
                    "/reconstruct", content=request.content, headers=request.headers
                )
                seen.statuses[response.status_code] += 1
                if response.status_code == httpx.codes.OK:
                    seen.answered_ms.append(1000 * (time.perf_counter() - started))
                else:
                    wait = response.headers.get("retry-after")
                    seen.without_retry_after += wait is None
                    await asyncio.sleep(0.1)

    await asyncio.gather(*(be_a_client() for _ in range(FLOOD_CONNECTIONS)))
    return seen


@contextlib.contextmanager
def serving(model: ServedModel, *options: str) -> Iterator[processes.Server]:
    """Run the service with one model until the block ends."""
    subject, port = our_service(), processes.free_port()
    with tempfile.NamedTemporaryFile() as log:
        command = (*subject.command(model, port), *options)
        server = processes.start(command, subject.environment, port, Path(log.name))
        try:
            server.wait_until_ready(subject.ready_path)
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    main()
