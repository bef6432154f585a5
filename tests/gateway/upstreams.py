"""Real servers and clients on raw sockets, for tests of the gateway's data path.

An upstream runs a script per connection; a client says exactly which bytes it sends. Every wait ends after
`PATIENCE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from switchgear import CircuitBreakerPolicy
from switchgear.clock import SYSTEM_CLOCK
from switchgear.gateway.config.model import (
    Address,
    Circuit,
    Endpoint,
    GatewayConfig,
    Limits,
    LogConfig,
    Route,
    Service,
)
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.server import Gateway

PATIENCE = 60.0  # seconds; only a broken gateway takes so long


class Peer:
    """One end of a connection, as raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def read_until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(end), PATIENCE)

    async def read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def read_some(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(65536), PATIENCE)

    async def read_all(self) -> bytes:
        """Everything until the other end closes; a reset ends it too."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.read_some():
                data += piece
        return data

    async def closed(self) -> None:
        """Waits until the other end is gone."""
        await self.read_all()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Ends the connection by a reset instead of an end of file."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def read_head(self) -> bytes:
        return await self.read_until(b"\r\n\r\n")

    async def read_message(self, *, to_head: bool = False) -> Message:
        """A request or an answer, with its body by length, chunks, or (answers) the connection's end."""
        head = await self.read_head()
        message = Message.parse(head)
        length = message.get("content-length")
        if message.get("transfer-encoding") == "chunked":
            message.body = await self._read_chunks(message)
        elif length is not None and not to_head:
            message.body = await self.read(int(length))
        elif head.startswith(b"HTTP/") and not message.is_bodyless and not to_head:
            message.body = await self.read_all()
        return message

    async def _read_chunks(self, message: Message) -> bytes:
        body = b""
        while size := int(await self.read_until(b"\r\n"), 16):
            body += await self.read(size)
            assert await self.read(2) == b"\r\n"
        while (line := await self.read_until(b"\r\n")) != b"\r\n":
            message.trailers.append(line)
        return body


@dataclass
class Message:
    """A request or an answer, as it was on the wire."""

    start: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[bytes] = field(default_factory=list)

    @classmethod
    def parse(cls, head: bytes) -> Message:
        start, *lines = head.decode("latin-1").split("\r\n")[:-2]
        return cls(start, [(line.partition(":")[0], line.partition(":")[2].strip(" \t")) for line in lines])

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def is_bodyless(self) -> bool:
        return self.status < 200 or self.status in {204, 304}

    def get(self, name: str) -> str | None:
        values = self.get_all(name)
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """A server that runs `script` for each connection; `requests` has what `answering` scripts read."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.connections = 0
        self.requests: list[Message] = []
        self._peers: list[Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(reader, writer)
        self._peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.script(peer)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, place: socket.socket | None = None) -> AsyncIterator[Upstream]:
        """At a socket that is bound already, or at any free port."""
        where = {"host": "127.0.0.1", "port": 0} if place is None else {"sock": place}
        server = await asyncio.start_server(self._serve, **where, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for peer in self._peers:
                peer.writer.transport.abort()
            await asyncio.sleep(0)


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[Upstream]:
    """An upstream that reads whole requests and gives `answers` in turn, the last one again and again."""

    async def script(peer: Peer) -> None:
        while True:
            upstream.requests.append(await peer.read_message())
            await peer.send(answers[min(len(upstream.requests), len(answers)) - 1])

    upstream = Upstream(script)
    async with upstream.running():
        yield upstream


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Upstream]:
    async with Upstream(script).running() as upstream:
        yield upstream


def route(path: str, *ports: int, method: str = "ALL", service: dict | None = None, **options) -> Route:
    """A streamed route to a service named `up` at the given local ports."""
    endpoints = tuple(Endpoint("http", "127.0.0.1", port) for port in ports)
    return Route(parse_path(path), method, (Service("up", endpoints, **(service or {})),), **options)


def circuit(key: str = "service:up", *, error_status: int = 503, error_body=None, **policy) -> Circuit:
    return Circuit(key, CircuitBreakerPolicy(**policy), error_status, error_body)


@contextlib.asynccontextmanager
async def gateway(*routes: Route, clock=None, store=None, access=False, **limits) -> AsyncIterator[Gateway]:
    """A gateway on a free port."""
    config = GatewayConfig(
        routes=routes, listen=Address("127.0.0.1", 0), limits=Limits(**limits), log=LogConfig(access=access)
    )
    running = Gateway(config, clock=clock or SYSTEM_CLOCK, store=store)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


@contextlib.asynccontextmanager
async def client_of(running: Gateway) -> AsyncIterator[Peer]:
    """A connection to a gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.address.port, limit=1 << 20)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def ask(running: Gateway, raw: bytes) -> Message:
    """One request on a connection of its own."""
    async with client_of(running) as client:
        await client.send(raw)
        return await client.read_message(to_head=raw.startswith(b"HEAD"))


def get(path: str = "/", *fields: str, method: str = "GET") -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n".encode("latin-1")


def post(path: str, body: bytes, *fields: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body
