"""The servers that the gateway's benchmarks start: the services, ourselves, and whom we are compared with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds for a server to come up
_TOOLS = {
    "nginx": "apt-get install nginx",
    "wrk": "apt-get install wrk",
    "taskset": "apt-get install util-linux",
}
_PEERS = ("fastapi", "httpx", "uvicorn", "sniffio", "httptools", "uvloop")

USERS = {
    "id": 42,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "roles": ["admin", "editor"],
    "bio": "x" * 98,
}
INBOX = {"unread": 3, "messages": [{"id": 1, "subject": "Bernoulli numbers"}, {"id": 2, "subject": "Notes"}]}


def missing_tools() -> list[str]:
    """What has to be installed before anything can be measured, and how."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return ["this benchmark needs Linux and two cores: one for the server, one for load and services"]
    return [f"{tool} is not installed; try: {how}" for tool, how in _TOOLS.items() if not shutil.which(tool)]


def missing_peers() -> list[str]:
    """The packages of the FastAPI recipe that are not installed."""
    return [name for name in _PEERS if find_spec(name) is None]


def nginx_version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return said.stderr.rpartition("/")[2].strip()


def on_core(core: int) -> list[str]:
    """What goes before a command that is to run on one core."""
    return ["taskset", "--cpu-list", str(core)]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, core: int, environment: dict[str, str] | None = None
) -> Iterator[int]:
    """Runs a server on one core; gives its process id once it listens."""
    process = subprocess.Popen(
        [*on_core(core), *command], stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    try:
        _await_listening(process, port)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def services(folder: Path, port: int) -> list[str]:
    """The services that are asked: answers out of nginx's memory."""
    places = f"""
        default_type application/json;
        location /users {{ return 200 '{json.dumps(USERS)}'; }}
        location /inbox {{ return 200 '{json.dumps(INBOX)}'; }}"""
    return _nginx(folder, "services", port, "", places)


def nginx_proxy(folder: Path, port: int, upstream: int) -> list[str]:
    """nginx in front of the services; its breaker (`max_fails`) is on by default."""
    pool = f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}"
    places = """
        location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $host;
          proxy_set_header X-Forwarded-Proto http; }"""
    return _nginx(folder, "proxy", port, pool, places)


def _nginx(folder: Path, name: str, port: int, upstreams: str, places: str) -> list[str]:
    file = folder / f"{name}.conf"
    file.write_text(f"""
daemon off; master_process off; pid {folder}/{name}.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {upstreams}
  server {{ listen 127.0.0.1:{port} backlog=2048; {places}
  }}
}}
""")
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)]


def switchgear(
    folder: Path, port: int, upstream: int, *, observed: bool = False, routes: int = 2
) -> list[str]:
    """Ourselves: a circuit with the default policy around each service, as many routes as asked for.

    `observed`: with access log and metrics.
    """
    users = {"url": f"http://127.0.0.1:{upstream}/users", "circuitBreaker": {}}
    inbox = {"url": f"http://127.0.0.1:{upstream}/inbox", "circuitBreaker": {}, "mergeField": "inbox"}
    table: dict[str, Any] = {
        "/users": {"GET": {"services": {"users": users}}},
        "/merged": {"GET": {"services": {"users": users, "inbox": inbox}}},
    }
    for number in range(routes - len(table)):
        table[f"/unused/{number}/{{id}}"] = {"GET": {"services": {"users": users}}}
    config = {
        "listen": f"127.0.0.1:{port}",
        "log": {"access": observed, "level": "error"},
        "http": {"routes": table},
    }
    if observed:
        config["admin"] = f"127.0.0.1:{free_port()}"
    file = folder / f"switchgear-{port}.json"
    file.write_text(json.dumps(config))
    return [sys.executable, "-m", "switchgear", "serve", str(file)]


def recipe(port: int) -> list[str]:
    """FastAPI with httpx, without an access log; `UPSTREAM` says where the services are."""
    return [
        *(sys.executable, "-m", "uvicorn", "--factory", "benchmarks.gateway_recipe:create_app"),
        *("--port", str(port), "--log-level", "error", "--no-access-log"),
    ]


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")
