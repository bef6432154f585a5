"""Memory of the gateway for each idle connection of a client."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import tempfile
from pathlib import Path

from benchmarks import gateway_servers as servers
from benchmarks.gateway_load import resident_bytes

CONNECTIONS = 5000
WARM_UP = 500  # connections that fill pools and caches before anything is counted
BAR = 4 * 1024  # bytes
_REQUEST = b"GET /users HTTP/1.1\r\nHost: gateway\r\n\r\n"


def run() -> None:
    """Measure and print."""
    for line in (missing := servers.missing_tools()):
        print(line)
    if missing:
        return
    server, load, *_ = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, _descriptors(CONNECTIONS + WARM_UP + 100):
        folder, upstream, port = Path(name), servers.free_port(), servers.free_port()
        with (
            servers.running(servers.services(folder, upstream), upstream, load),
            servers.running(servers.switchgear(folder, port, upstream), port, server) as pid,
            contextlib.ExitStack() as clients,
        ):
            _connect(clients, port, WARM_UP)
            before = resident_bytes(pid)
            _connect(clients, port, CONNECTIONS)
            each = (resident_bytes(pid) - before) / CONNECTIONS
    print(f"{CONNECTIONS:,} idle connections, one request on each: {each:,.0f} bytes each (bar: {BAR:,})")


@contextlib.contextmanager
def _descriptors(wanted: int):
    """Raises the limit of open files, for us and for what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _connect(clients: contextlib.ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        client = clients.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        client.sendall(_REQUEST)
        if not client.recv(4096).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the gateway did not answer as it should")
