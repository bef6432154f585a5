"""Gateways from the text of a configuration, for tests of what older gateways got wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from switchgear.gateway.config import Loaded, load_config
from switchgear.gateway.server import Gateway
from switchgear.stores import CircuitBreakerStore

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
MISSING = b"HTTP/1.1 404 Missing\r\nContent-Length: 0\r\n\r\n"


class ManualClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    text: str,
    name: str = "g.yaml",
    *,
    clock: ManualClock | None = None,
    store: CircuitBreakerStore | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway with this configuration, on a free port, in simulated time."""
    if name.endswith(".yaml"):
        text = f"listen: 127.0.0.1:0\nlog: {{access: false}}\n{text}"
    loaded = load(folder, text, name)
    assert loaded.config is not None, [mistake.text() for mistake in loaded.mistakes]
    gateway = Gateway(loaded.config, clock=clock or ManualClock(), store=store)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


def load(folder: Path, text: str, name: str = "g.yaml") -> Loaded:
    """What becomes of a file with this text."""
    file = folder / name
    file.write_text(text)
    return load_config(file, {})


def one(port: int, breaker: str, *, of: str = "service", path: str = "/x") -> str:
    """A route to one service, with a circuit on the service or on the route."""
    guard = f"circuitBreaker: {breaker}"
    service, route = (f", {guard}", "") if of == "service" else ("", f"{guard}, ")
    return (
        f'http: {{routes: {{"{path}": {{ALL: {{{route}services: '
        f'{{up: {{url: "http://127.0.0.1:{port}"{service}}}}}}}}}}}}}\n'
    )


def merged(*services: str, method: str = "GET", route: str = "") -> str:
    """A route at `/m` of several services, each as `name: {...}`."""
    return f"http: {{routes: {{/m: {{{method}: {{{route} services: {{{', '.join(services)}}}}}}}}}}}\n"


def answer(body: object, *fields: str, status: int = 200) -> bytes:
    """A service's answer, with `body` as JSON."""
    raw = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(raw)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + raw
