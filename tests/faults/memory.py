"""Memory of a running service, as the system counts it."""

import re
from pathlib import Path

from tests.end_to_end.servers import Server

MEBIBYTE = 2**20


def peak_bytes(server: Server) -> int:
    """Return the most memory that the service's process has had since the peak was forgotten."""
    return _status_bytes(server, "VmHWM")


def present_bytes(server: Server) -> int:
    """Return the memory that the service's process has."""
    return _status_bytes(server, "VmRSS")


def forget_peak(server: Server) -> None:
    """Let the peak be what the process has now."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def _status_bytes(server: Server, name: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (kibibytes,) = re.findall(rf"{name}:\s+(\d+) kB", status)
    return int(kibibytes) * 1024
