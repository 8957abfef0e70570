"""Starts Ray Serve tuned for throughput, with its files where they go away again."""

import os
import sys
from pathlib import Path

folder = os.environ["FOLDER"]
variables = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy/haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/haproxy/admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": f"{folder}/haproxy",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/haproxy/server-state",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/haproxy/metrics.sock",
}
adapter = Path(__file__).with_name("ray_serve_server.py")
os.execve(  # noqa: S606  # needs no shell
    sys.executable, [sys.executable, str(adapter)], os.environ | variables
)
