"""What the operator and the machine do to the service: logs, descriptors, signals, variables."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.bundles import PLANE, publish_tiny
from tests.end_to_end.connections import Connection, request
from tests.end_to_end.servers import ROOT, START_SECONDS, Server, command, environment, serving
from tests.end_to_end.workers import children, is_running, metric, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
HEALTH = request(b"", path="/healthz", method="GET")
STOP_SECONDS = 20.0


@pytest.fixture(scope="module")
def plane_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plane")
    publish_tiny(folder, PLANE)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serving_into(
    standard_error: int, plane_dir: Path, *flags: str, shell: str = 'exec "$@"'
) -> Iterator[Server]:
    """Serve with a standard error that is not a file, so that nothing can be read from it."""
    port = free_port()
    arguments = command("--models-dir", str(plane_dir), "--port", str(port), *flags)
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=standard_error,
    )
    server = Server(process, "127.0.0.1", port, Path(os.devnull))
    try:
        wait_until(lambda: process.poll() is not None or is_ready(server))
        assert process.poll() is None
        yield server
    finally:
        process.kill()
        process.wait(START_SECONDS)


def is_ready(server: Server) -> bool:
    try:
        with Connection(server) as connection:
            connection.send(request(b"", path="/readyz", method="GET"))
            return connection.receive().status == 200
    except OSError:
        return False


def stop(server: Server) -> int:
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(STOP_SECONDS)


# The log


LONG_LINES = 15_000
"""Lines of about 450 bytes: more than 4 MiB."""


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    for size in (65536, 1):
        try:
            while True:
                os.write(pipe, b"\n" * size)
        except BlockingIOError:
            pass
    os.set_blocking(pipe, True)


@WORKERS
def test_a_log_that_nobody_reads_stops_nothing(plane_dir: Path, workers: str) -> None:
    read_end, write_end = os.pipe()
    fill(write_end)
    long = request(b"", path="/" + 250 * "a", method="GET")
    with serving_into(write_end, plane_dir, "--workers", workers) as server:
        os.close(write_end)
        with Connection(server) as first, Connection(server) as second:
            for _ in range(LONG_LINES // 100):
                for connection in (first, second):
                    connection.send(long * 50)
                    assert {connection.receive().status for _ in range(50)} == {404}
        dropped = sum(metric(server, "latentserve_log_lines_dropped_total"))

        assert dropped > 0
        assert stop(server) == 0
    os.close(read_end)


def test_a_log_that_is_read_again_says_how_many_lines_are_missing(plane_dir: Path) -> None:
    read_end, write_end = os.pipe()
    long = request(b"", path="/" + 250 * "a", method="GET")
    with serving_into(write_end, plane_dir) as server:
        os.close(write_end)
        with Connection(server) as connection:
            for _ in range(LONG_LINES // 50):
                connection.send(long * 50)
                assert {connection.receive().status for _ in range(50)} == {404}
            os.set_blocking(read_end, False)
            text, later = b"", 0
            until = time.monotonic() + START_SECONDS
            while b"log lines were dropped" not in text:
                assert time.monotonic() < until
                try:
                    text += os.read(read_end, 1 << 20)
                except BlockingIOError:
                    connection.send(HEALTH)
                    connection.receive()
                    later += 1
        (line,) = [line for line in text.splitlines() if b"log lines were dropped" in line]
        (dropped,) = metric(server, "latentserve_log_lines_dropped_total")

    assert b'"lines":%d' % dropped in line
    assert LONG_LINES <= text.count(b'"/aaaa') + dropped <= LONG_LINES + later
    os.close(read_end)


@WORKERS
@pytest.mark.parametrize("kind", ["closed pipe", "full disk"])
def test_a_log_that_cannot_be_written_stops_nothing(
    plane_dir: Path, workers: str, kind: str
) -> None:
    if kind == "closed pipe":
        read_end, standard_error = os.pipe()
        os.close(read_end)
    else:
        standard_error = os.open("/dev/full", os.O_WRONLY)
    with serving_into(standard_error, plane_dir, "--workers", workers) as server:
        os.close(standard_error)
        with Connection(server) as connection:
            for _ in range(50):
                connection.send(HEALTH)
                assert connection.receive().status == 200

        wait_until(lambda: sum(metric(server, "latentserve_log_lines_dropped_total")) >= 50)
        assert stop(server) == 0


@WORKERS
def test_descriptors_that_are_closed_at_start_are_never_sockets(
    plane_dir: Path, workers: str
) -> None:
    closing = 'exec "$@" 0<&- 1>&- 2>&-'
    flags = ("--workers", workers)
    with serving_into(subprocess.DEVNULL, plane_dir, *flags, shell=closing) as server:
        for process in (server.process.pid, *children(server)):
            standard = [Path(f"/proc/{process}/fd/{number}").readlink() for number in range(3)]
            assert standard == [Path(os.devnull)] * 3
        with ExitStack() as stack:
            for connection in [stack.enter_context(Connection(server)) for _ in range(8)]:
                connection.send(request(b"", path="/nowhere", method="GET"))
                assert connection.receive().status == 404
        assert stop(server) == 0


# Descriptors


@WORKERS
def test_connections_beyond_the_descriptors_wait_and_are_answered(
    plane_dir: Path, workers: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    limited = 'ulimit -n 80; exec "$@"'
    with (
        log.open("wb") as output,
        serving_into(output.fileno(), plane_dir, "--workers", workers, shell=limited) as server,
        ExitStack() as stack,
    ):
        connections = [stack.enter_context(Connection(server)) for _ in range(120)]
        for connection in connections:
            connection.send(HEALTH)
        wait_until(lambda: b"new connections have to wait" in log.read_bytes())
        open_at_most = 20 * int(workers)
        answered = connections[:open_at_most]
        assert [connection.receive().status for connection in answered] == [200] * len(answered)
        time.sleep(0.5)
        for connection in answered:
            connection.close()
        waiting = connections[open_at_most:]
        for connection in waiting:  # none was reset
            assert connection.receive().status == 200
            connection.close()

        assert sum(metric(server, "latentserve_accept_failures_total")) > 0
        assert 1 <= log.read_bytes().count(b"new connections have to wait") <= 3
        wait_until(lambda: sum(metric(server, "latentserve_open_connections")) == 1)
        with ExitStack() as evenly:
            for _ in range(20):
                connection = evenly.enter_context(Connection(server))
                connection.send(HEALTH)
                connection.receive()
            counts = metric(server, "latentserve_open_connections")
        assert sum(counts) == 21
        assert max(counts) - min(counts) <= 2
        assert stop(server) == 0


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(
    plane_dir: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as output:
        raising = 'ulimit -Sn 128; exec "$@"'
        flags = ("--workers", "2")
        with serving_into(output.fileno(), plane_dir, *flags, shell=raising) as server:
            limits = metric(server, "process_max_fds")

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert limits == [hard, hard, hard]  # two workers and their supervisor


def test_the_supervisors_count_of_connections_stays_true(plane_dir: Path, tmp_path: Path) -> None:
    with serving(plane_dir, tmp_path / "log", "--workers", "2") as server:
        for number in range(600):
            client = socket.create_connection((server.host, server.port))
            if number % 3 == 0:  # it is reset, maybe before a worker has it
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            if number in (200, 400):
                os.kill(children(server)[0], signal.SIGKILL)
        wait_until(lambda: sum(metric(server, "latentserve_open_connections")) == 1)
        with ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(Connection(server))
                connection.send(HEALTH)
                connection.receive()
            counts = metric(server, "latentserve_open_connections")

    assert sum(counts) == 21
    assert max(counts) - min(counts) <= 2


# Signals


@WORKERS
def test_signals_that_ask_others_to_reload_end_nothing(
    plane_dir: Path, tmp_path: Path, workers: str
) -> None:
    with serving(plane_dir, tmp_path / "log", "--workers", workers) as server:
        processes = [server.process.pid, *children(server)]
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            for process in (*processes, *processes):
                os.kill(process, number)
        time.sleep(0.5)

        assert [server.process.pid, *children(server)] == processes
        assert is_ready(server)
        said = [str(line["event"]) for line in server.lines() if "is ignored" in str(line["event"])]
        assert len(said) == 3 * len(processes)
        assert server.stop()[0] == 0


def test_a_worker_that_is_asked_to_stop_drains_before_it_closes(
    plane_dir: Path, tmp_path: Path
) -> None:
    flags = ("--workers", "2", "--drain-seconds", "2")
    with serving(plane_dir, tmp_path / "log", *flags) as server, ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(4)]
        for connection in connections:
            connection.send(HEALTH)
            connection.receive()
        leaving, staying = children(server)
        asked = time.monotonic()
        os.kill(leaving, signal.SIGTERM)
        time.sleep(1)
        for connection in connections:  # of both workers; a client may keep it until it is told
            connection.send(HEALTH)
            assert connection.receive().status == 200
        assert is_ready(server)
        wait_until(lambda: not is_running(leaving))
        lived = time.monotonic() - asked
        wait_until(lambda: len(children(server)) == 2)

        assert lived >= 2
        assert staying in children(server)


def test_a_signal_to_all_processes_drains_all_of_them_together(
    plane_dir: Path, tmp_path: Path
) -> None:
    flags = ("--workers", "2", "--drain-seconds", "2")
    with serving(plane_dir, tmp_path / "log", *flags) as server:
        asked = time.monotonic()
        for process in (server.process.pid, *children(server)):
            os.kill(process, signal.SIGTERM)
        while time.monotonic() < asked + 1.5:
            with Connection(server) as connection:
                connection.send(HEALTH)
                assert connection.receive().status == 200

        assert server.process.wait(STOP_SECONDS) == 0
        assert time.monotonic() - asked >= 2
        assert not [line for line in server.lines() if line["event"] == "worker died"]


# A worker's event loop that stands still

STANDING_STILL = """
import sys, time
from pathlib import Path
from service.inference.processors import keep_libraries_single_threaded

keep_libraries_single_threaded()
from service import __main__
from service.processes.worker import Worker

turn = Worker.on_tick

async def on_tick(self, counter):
    for kind in ("busy", "dead"):
        order = Path(sys.argv[-1]) / f"{kind}-{self._status.number}"
        if order.exists():
            seconds = float(order.read_text())
            order.unlink()
            until = time.monotonic() + seconds
            while kind == "busy" and time.monotonic() < until:
                pass
            if kind == "dead":
                time.sleep(seconds)
    return await turn(self, counter)

Worker.on_tick = on_tick
__main__.main()
"""


@contextmanager
def standing_still(plane_dir: Path, folder: Path, kind: str, seconds: float) -> Iterator[Server]:
    """Serve with two workers whose event loops stand still at once when this begins."""
    port = free_port()
    flags = ("--port", str(port), "--workers", "2", "--worker-timeout-seconds", "2")
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", STANDING_STILL, "serve", *flags, "--models-dir", str(plane_dir)],
            cwd=ROOT,
            env=environment(),
            stderr=output,
        )
    server = Server(process, "127.0.0.1", port, folder / "log")
    try:
        wait_until(lambda: is_ready(server))
        for number in range(2):
            order = plane_dir / f"{kind}-{number}"
            order.with_suffix(".new").write_text(str(seconds))
            order.with_suffix(".new").rename(order)
        yield server
    finally:
        process.kill()
        process.wait(START_SECONDS)


def test_workers_that_are_busy_for_long_are_left_alone(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    with standing_still(tmp_path, tmp_path, "busy", 8) as server:
        before = children(server)
        time.sleep(9)
        wait_until(lambda: is_ready(server))

        assert children(server) == before
        assert b"worker hangs" not in server.log.read_bytes()


def test_workers_that_all_hang_are_replaced_one_after_the_other(tmp_path: Path) -> None:
    publish_tiny(tmp_path, PLANE)
    with standing_still(tmp_path, tmp_path, "dead", 600) as server:
        first, second = children(server)
        wait_until(lambda: not (is_running(first) and is_running(second)))
        assert is_running(first) or is_running(second)
        wait_until(lambda: is_ready(server))  # the successor serves while the other still hangs
        assert is_running(first) or is_running(second)
        wait_until(lambda: not (is_running(first) or is_running(second)))
        wait_until(lambda: metric(server, "latentserve_workers") == [2])


# Variables, addresses and terminals


def test_a_service_of_the_same_name_in_kubernetes_is_said_once_and_ignored(
    plane_dir: Path, tmp_path: Path
) -> None:
    injected = {"SERVICE_HOST": "10.0.0.1", "PORT": "tcp://10.0.0.1:80", "PORT_80_TCP_PORT": "80"}
    with serving(plane_dir, tmp_path / "log", "--workers", "2", wait=True, **injected) as server:
        assert is_ready(server)
        (line,) = [line for line in server.lines() if "Kubernetes" in str(line["event"])]

    assert line["variables"] == sorted(f"LATENTSERVE_{name}" for name in injected)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def reached(server: Server, host: str) -> bool:
    try:
        with Connection(Server(server.process, host, server.port, server.log)) as connection:
            connection.send(HEALTH)
            return connection.receive().status == 200
    except ConnectionRefusedError:
        return False


@WORKERS
@pytest.mark.parametrize(
    ("host", "by_ipv4", "by_ipv6", "logged"),
    [
        ("::", True, True, "http://[::]:"),
        ("[::]", True, True, "http://[::]:"),
        ("*", True, True, "http://[::]:"),
        ("::1", False, True, "http://[::1]:"),
        ("0.0.0.0", True, False, "http://0.0.0.0:"),  # noqa: S104  # that is what is tried
        ("localhost", True, False, "http://127.0.0.1:"),
        ("", True, False, "http://127.0.0.1:"),
    ],
)
def test_an_address_means_the_same_with_any_number_of_workers(  # noqa: PLR0917
    plane_dir: Path,
    tmp_path: Path,
    workers: str,
    host: str,
    by_ipv4: bool,
    by_ipv6: bool,
    logged: str,
) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    log = tmp_path / "log"
    with log.open("wb") as output:
        port = free_port()
        arguments = command("--models-dir", str(plane_dir), "--port", str(port), "--host", host)
        process = subprocess.Popen(
            [*arguments, "--workers", workers], cwd=ROOT, env=environment(), stderr=output
        )
    server = Server(process, "127.0.0.1", port, log)
    try:
        wait_until(lambda: reached(server, "127.0.0.1" if by_ipv4 else "::1"))

        assert reached(server, "127.0.0.1") == by_ipv4
        assert reached(server, "::1") == by_ipv6
        assert f"running on {logged}{port}" in log.read_text()
    finally:
        process.kill()
        process.wait(START_SECONDS)


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["latin-1", "ascii", "C"],
)
@pytest.mark.parametrize("width", ["40", "200"])
def test_a_terminal_without_unicode_shows_what_it_can(
    tmp_path: Path, variables: dict[str, str], width: str
) -> None:
    publish_tiny(tmp_path / "модели", PLANE)
    (publish_tiny(tmp_path / "модели", PLANE).folder / "encoder.onnx").unlink()
    for arguments in (["models", "--models", tmp_path / "модели"], ["serve", "--help"], ["--help"]):
        ended = subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            cwd=ROOT,
            env=environment() | variables | {"COLUMNS": width},
            capture_output=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
    ended = subprocess.run(
        [*command("--models-dir", str(tmp_path / "nowhere →")), "--log-format", "console"],
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"latentserve: the models folder ")
    assert ended.stderr.count(b"\n") == 1


def test_a_folder_whose_name_is_not_text_is_named_by_its_bytes() -> None:
    ended = subprocess.run(
        command(),
        cwd=ROOT,
        env={**environment(), "LATENTSERVE_MODELS_DIR": os.fsdecode(b"/nowhere/caf\xe9")},
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr == b"latentserve: the models folder /nowhere/caf\\udce9 does not exist\n"
