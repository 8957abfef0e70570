"""The table of metrics: every name, what it counts, its labels and its buckets."""

from dataclasses import dataclass
from typing import Literal

DURATION_BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds of the buckets of durations, in seconds."""
ROW_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)
"""Upper bounds of the buckets of rows."""

_BY_CALL = ("call", "model", "version")
_BY_GRAPH = ("model", "version", "graph")


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes:
        name: As it is exposed, with its unit; a counter's ends in ``_total``.
        kind: Its type. A gauge describes a worker's present state: it ends with the worker.
        help: One sentence.
        labels: Names of its labels.
        bounds: Upper bounds of a histogram's buckets, ascending, without infinity.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Numbers that one series needs: a histogram's are its sum and each bucket's count."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


REQUESTS = Family(
    "latentserve_requests_total",
    "counter",
    "Requests that were answered, or abandoned by their client (status 499).",
    (*_BY_CALL, "status"),
)
PROBLEMS = Family(
    "latentserve_problems_total",
    "counter",
    "Requests that were answered with a problem, by the last part of its type.",
    (*_BY_CALL, "problem"),
)
ROWS = Family(
    "latentserve_rows_total", "counter", "Rows of inference requests that were answered.", _BY_CALL
)
REQUEST_DURATION = Family(
    "latentserve_request_duration_seconds",
    "histogram",
    "Time from a request's headers to its last byte handed to the socket.",
    _BY_CALL,
    DURATION_BOUNDS,
)
STAGE_DURATION = Family(
    "latentserve_stage_duration_seconds",
    "histogram",
    "Time of an answered inference request in read, queue, inference and write.",
    ("stage", *_BY_CALL),
    DURATION_BOUNDS,
)
BATCH_ROWS = Family(
    "latentserve_batch_rows", "histogram", "Rows of a run of a graph.", _BY_GRAPH, ROW_BOUNDS
)
BATCH_DURATION = Family(
    "latentserve_batch_duration_seconds",
    "histogram",
    "Time of a run of a graph.",
    _BY_GRAPH,
    DURATION_BOUNDS,
)
QUEUE_ROWS = Family("latentserve_queue_rows", "gauge", "Rows that wait for a graph.", _BY_GRAPH)
CONNECTIONS = Family("latentserve_connections_total", "counter", "Connections that workers took.")
OPEN_CONNECTIONS = Family(
    "latentserve_open_connections", "gauge", "Connections that are open.", ("worker",)
)
WORKERS = Family("latentserve_workers", "gauge", "Workers that are running.")
WORKER_RESTARTS = Family(
    "latentserve_worker_restarts_total", "counter", "Workers that died and were started again."
)  # fmt: skip
HEARTBEATS = Family(
    "latentserve_heartbeats_total",
    "counter",
    "Heartbeats of a worker's event loop: ten a second, unless something blocks it.",
    ("worker",),
)
ACCEPT_FAILURES = Family(
    "latentserve_accept_failures_total",
    "counter",
    "Times at which connections had to wait, or broke, for want of file descriptors or memory.",
)
LOG_LINES_DROPPED = Family(
    "latentserve_log_lines_dropped_total",
    "counter",
    "Log lines that were dropped because whoever reads them was too slow, or could not be written.",
)
FAMILIES = (
    REQUESTS, PROBLEMS, ROWS, REQUEST_DURATION, STAGE_DURATION, BATCH_ROWS, BATCH_DURATION,
    QUEUE_ROWS, CONNECTIONS, OPEN_CONNECTIONS, WORKERS, WORKER_RESTARTS, HEARTBEATS,
    ACCEPT_FAILURES, LOG_LINES_DROPPED,
)  # fmt: skip
"""What is counted, in the order in which segments number it."""

MODEL_INFO = Family(
    "latentserve_model_info", "gauge",
    "1 for each configured version: its state, and the provider that really runs it.",
    ("model", "version", "state", "provider"),
)  # fmt: skip
REFUSED_FOLDERS = Family(
    "latentserve_refused_folders", "gauge",
    "Folders that look like a bundle, or like a model's, and cannot be served.",
    (),
)  # fmt: skip
BUILD_INFO = Family(
    "latentserve_build_info", "gauge", "1, with the versions of the service and its libraries.",
    ("version", "bundle_schema", "onnxruntime", "python"),
)  # fmt: skip
_BY_PROCESS = ("worker",)
PROCESSOR_SECONDS = Family(
    "process_cpu_seconds_total", "counter",
    "Processor time of a worker, or of their supervisor, in user and system mode.", _BY_PROCESS,
)  # fmt: skip
RESIDENT_BYTES = Family(
    "process_resident_memory_bytes", "gauge",
    "Memory of a worker, or of their supervisor; what they share is in each of them.", _BY_PROCESS,
)  # fmt: skip
VIRTUAL_BYTES = Family(
    "process_virtual_memory_bytes", "gauge",
    "Address space of a worker, or of their supervisor.", _BY_PROCESS,
)  # fmt: skip
OPEN_DESCRIPTORS = Family(
    "process_open_fds", "gauge",
    "File descriptors that a worker, or their supervisor, has open.", _BY_PROCESS,
)  # fmt: skip
MAX_DESCRIPTORS = Family(
    "process_max_fds", "gauge",
    "File descriptors that a worker, or their supervisor, may have open.", _BY_PROCESS,
)  # fmt: skip
START_TIME = Family(
    "process_start_time_seconds", "gauge",
    "When a worker, or their supervisor, was started, in seconds of the Unix clock.", _BY_PROCESS,
)  # fmt: skip
MEMORY_LIMIT = Family(
    "latentserve_memory_limit_bytes", "gauge",
    "Memory that the container, or another control group around the service, may use.",
)  # fmt: skip
PROCESS_FAMILIES = (
    PROCESSOR_SECONDS, RESIDENT_BYTES, VIRTUAL_BYTES, OPEN_DESCRIPTORS, MAX_DESCRIPTORS, START_TIME,
)  # fmt: skip
"""What each process takes of the machine, by the names that every program has."""
INFO_FAMILIES = (MODEL_INFO, REFUSED_FOLDERS, BUILD_INFO, *PROCESS_FAMILIES, MEMORY_LIMIT)
"""What is only looked up when metrics are read."""
