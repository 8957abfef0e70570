"""What there is to see of a service's workers from outside."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.servers import START_SECONDS, Server


def children(server: Server) -> list[int]:
    """Processes that the service has started and that run."""
    pid = server.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sorted(int(child) for child in listed.split() if is_running(int(child)))


def is_running(process: int) -> bool:
    """Say whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def thread_count(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def wait_until(happened: Callable[[], Any]) -> None:
    until = time.monotonic() + START_SECONDS
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def metric(server: Server, name: str, **labels: str) -> list[float]:
    """Values of the series of a metric that have these labels."""
    text = httpx.get(f"{server.url}/metrics", timeout=START_SECONDS).text
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def answered(server: Server, call: str) -> float:
    """Requests of a call that were counted as answered with 200."""
    return sum(metric(server, "latentserve_requests_total", call=call, status="200"))
