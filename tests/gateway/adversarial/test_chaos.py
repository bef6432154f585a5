"""Every kind of bad upstream meets every kind of bad client: afterwards nothing is left of any of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from switchgear import Permit
from switchgear.gateway.config.model import Route
from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.upstream.attempt import Attempt
from tests.gateway.upstreams import (
    OK,
    PATIENCE,
    Peer,
    Script,
    Upstream,
    ask,
    circuit,
    client_of,
    gateway,
    get,
    post,
    route,
    scripted,
)

pytestmark = pytest.mark.anyio

ENDLESS = 1 << 30
PIECE = b"x" * 65536
WAITS = {"connect": 0.2, "first_byte": 0.2, "idle": 0.2, "client_head": 0.2, "keep_alive": 0.2}
POLICY = {"failure_threshold": 7, "reset_timeout": 0.01}  # circuits open, probe and close in the storm


# ---- upstreams


async def well(peer: Peer) -> None:
    while True:
        await peer.read_message()
        await peer.send(OK)


async def resets(peer: Peer) -> None:
    await peer.read_some()
    peer.reset()


async def closes(peer: Peer) -> None:
    await peer.read_some()


async def hangs(peer: Peer) -> None:
    await peer.closed()


async def trickles(peer: Peer) -> None:
    await peer.read_head()
    for byte in OK:
        await peer.send(bytes((byte,)))
        await asyncio.sleep(0)
    await peer.closed()


async def endless(peer: Peer) -> None:
    await peer.read_head()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS)
    while True:
        await peer.send(PIECE)


def says(wire: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.read_some()
        await peer.send(wire)
        await peer.closed()

    return script


UPSTREAMS: dict[str, Script] = {
    "answers": well,
    "resets": resets,
    "closes": closes,
    "hangs": hangs,
    "trickles": trickles,
    "endless body": endless,
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    "half a chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    "bad chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX"),
    "garbage": says(bytes(range(256)) * 300),
    "10,000 fields": says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"),
    "endless interim answers": says(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000),
    "two answers": says(OK + OK),
    "errors": says(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
}

# ---- clients


async def reads(client: Peer, path: str) -> None:
    await client.send(get(path, "Connection: close"))
    await read_at_most(client, 1 << 20)


async def uploads(client: Peer, path: str) -> None:
    await client.send(post(path, PIECE * 4, "Connection: close"))
    await read_at_most(client, 1 << 20)


async def leaves(client: Peer, path: str) -> None:
    await client.send(get(path))


async def leaves_in_its_body(client: Peer, path: str) -> None:
    await client.send(post(path, PIECE)[:-1])


async def resets_at_the_first_bytes(client: Peer, path: str) -> None:
    await client.send(get(path))
    await client.read_some()
    client.reset()


async def stops_in_its_head(client: Peer, path: str) -> None:
    await client.send(get(path)[:-2])
    await client.closed()


async def stops_in_its_body(client: Peer, path: str) -> None:
    await client.send(post(path, PIECE)[:-1])
    await read_at_most(client, 1 << 20)


async def pipelines_and_leaves(client: Peer, path: str) -> None:
    await client.send(get(path) * 20)
    await client.read_some()


async def talks_garbage(client: Peer, path: str) -> None:
    await client.send(get(path) + bytes(range(256)))
    await read_at_most(client, 1 << 20)


async def dribbles(client: Peer, path: str) -> None:
    for byte in post(path, b"drop by drop", "Connection: close"):
        await client.send(bytes((byte,)))
        await asyncio.sleep(0)
    await read_at_most(client, 1 << 20)


async def uploads_without_end(client: Peer, path: str) -> None:
    await client.send(get(path, "Transfer-Encoding: chunked", method="POST"))
    for _ in range(64):
        await client.send(b"10000\r\n" + PIECE + b"\r\n")


CLIENTS: list[Callable[[Peer, str], Awaitable[None]]] = [
    reads,
    uploads,
    leaves,
    leaves_in_its_body,
    resets_at_the_first_bytes,
    stops_in_its_head,
    stops_in_its_body,
    pipelines_and_leaves,
    talks_garbage,
    dribbles,
    uploads_without_end,
]


async def read_at_most(client: Peer, size: int) -> None:
    while size > 0 and (piece := await client.read_some()):
        size -= len(piece)


# ---- what is left


LIVING = (Exchange, Attempt, Permit, ClientConnection)


def living() -> list[object]:
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, LIVING)]


class Before:
    """What was there before the storm: other tests of this process may have left something."""

    def __init__(self) -> None:
        self._living = living()
        self._tasks = asyncio.all_tasks()
        self._descriptors = descriptors()

    @property
    def holds_the_living(self) -> bool:
        known = {id(one) for one in self._living}
        return all(id(one) in known for one in living())

    @property
    def is_back(self) -> bool:
        # What others had left open may be closed meanwhile.
        return asyncio.all_tasks() <= self._tasks and descriptors() <= self._descriptors


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what takes the loop a few turns, `PATIENCE` at most."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is collected sets no event
            await asyncio.sleep(0.05)


def guarded(path: str, port: int) -> Route:
    """A route with a circuit of its own and another one around its service."""
    outer, inner = (circuit(f"{place}:{path}", **POLICY) for place in ("route", "service"))
    return route(path, port, circuit=outer, service={"circuit": inner})


class Storm:
    """A gateway with a route to each bad upstream, and one to a port where nobody listens."""

    def __init__(self, upstreams: dict[str, Upstream], before: Before) -> None:
        self.upstreams = upstreams
        self.before = before
        ports = {f"/{n}": upstream.port for n, upstream in enumerate(upstreams.values())} | {"/nobody": 1}
        self.paths = list(ports)
        self.routes = [guarded(path, port) for path, port in ports.items()]

    async def rage(self, running) -> None:
        await asyncio.gather(*(self._meet(running, act, path) for act in CLIENTS for path in self.paths))
        await until(lambda: self.before.holds_the_living)
        for upstream in self.upstreams.values():
            for peer in upstream._peers:
                peer.writer.transport.abort()  # what lies idle in a pool
            upstream._peers.clear()
        await until(lambda: not any(upstream._tasks for upstream in self.upstreams.values()))
        gc.collect()

    @staticmethod
    async def _meet(running, act: Callable[[Peer, str], Awaitable[None]], path: str) -> None:
        async with client_of(running) as client:
            with contextlib.suppress(ConnectionError):
                await act(client, path)


async def test_a_storm_leaves_nothing_behind():
    before = Before()
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {
            name: await stack.enter_async_context(scripted(script)) for name, script in UPSTREAMS.items()
        }
        storm = Storm(upstreams, before)
        running = await stack.enter_async_context(gateway(*storm.routes, **WAITS))
        await storm.rage(running)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        await storm.rage(running)
        used, _ = tracemalloc.get_traced_memory()
        await storm.rage(running)
        grown = tracemalloc.get_traced_memory()[0] - used
        assert grown < 512 * 1024
        # No probe's lease is lost: the service that is well is asked again at the next chance.
        await until_served(running, "/0")
    await until(lambda: before.is_back)


async def until_served(running, path: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await ask(running, get(path))).status != 200:  # noqa: ASYNC110 - time must pass
            await asyncio.sleep(0.01)
