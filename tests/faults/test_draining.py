"""A service that stops answers every request of clients that connect again and again."""

import http.client
import threading
import time
from pathlib import Path

import pytest

from tests.end_to_end.servers import ROOT, Server, serving

CLIENTS = 20


def ask_until_refused(server: Server, lost: list[BaseException], answered: list[int]) -> None:
    while True:
        client = http.client.HTTPConnection(server.host, server.port, timeout=10)
        try:
            client.connect()
        except OSError:  # nobody listens: nothing was sent
            return
        try:
            kept = True
            while kept:
                client.request("POST", "/sample?model=digits-vae&count=1")
                response = client.getresponse()
                response.read()
                answered.append(response.status)
                kept = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            lost.append(error)
        client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_under_load_loses_no_request(tmp_path: Path, workers: str) -> None:
    lost: list[BaseException] = []
    answered: list[int] = []
    flags = "--workers", workers, "--no-access-log"
    with serving(ROOT / "models", tmp_path / "log", *flags) as server:
        clients = [
            threading.Thread(target=ask_until_refused, args=(server, lost, answered))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(0.5)
        exit_status, _ = server.stop()
        for client in clients:
            client.join()

    assert (exit_status, lost) == (0, [])
    assert set(answered) == {200}
