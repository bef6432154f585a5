"""Real services that do as told, a small fetcher, and routes made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from switchgear.gateway.config.model import Endpoint, Fallback, Route, Service
from switchgear.gateway.config.paths import parse_path
from switchgear.gateway.exchange import BufferedResponse, Request, UpstreamFailure
from switchgear.gateway.templates import compile_target
from tests.gateway.upstreams import PATIENCE


@dataclass
class Reply:
    """What a service answers. It waits for `release` first, and `cut` ends it before a byte of the answer."""

    body: bytes = b"{}"
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    release: asyncio.Event | None = None
    cut: bool = False


@dataclass
class Asked:
    """A request as a service saw it."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Upstream:
    """One server, whose services are told apart by the first segment of the path."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: dict[str, list[Asked]] = {}
        self.arrived: dict[str, asyncio.Event] = {}
        self.left: dict[str, asyncio.Event] = {}
        self.port = 0

    def service(self, name: str, reply: Reply | bytes = b"{}", **options) -> Service:
        self.replies[name] = reply if isinstance(reply, Reply) else Reply(reply)
        self.asked[name] = []
        self.arrived[name] = asyncio.Event()
        self.left[name] = asyncio.Event()
        endpoint = Endpoint("http", "127.0.0.1", self.port, parse_path(f"/{name}"), append_request_path=True)
        return Service(name, (endpoint,), **options)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            name, asked = await read_request(reader)
            self.asked[name].append(asked)
            self.arrived[name].set()
            await self.reply(name, reader, writer)
        except asyncio.IncompleteReadError:
            pass  # left before it asked
        finally:
            writer.close()

    async def reply(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply = self.replies[name]
        if reply.release is not None and await gone_before(reply.release, reader):
            self.left[name].set()
            return
        if reply.cut:
            return
        fields = b"".join(b"%b: %b\r\n" % header for header in reply.headers)
        writer.write(b"HTTP/1.1 %d X\r\n%b\r\n%b" % (reply.status, fields, reply.body))


async def gone_before(event: asyncio.Event, reader: asyncio.StreamReader) -> bool:
    """Whether the client leaves before `event` is set."""
    release = asyncio.create_task(event.wait())
    end = asyncio.create_task(reader.read(1))
    try:
        done, _ = await asyncio.wait({release, end}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        return release not in done
    finally:
        release.cancel()
        end.cancel()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, Asked]:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head[:-4].split(b"\r\n")
    headers = [(name, value) for name, value in (text.split(b": ", 1) for text in lines)]
    length = int(dict(headers).get(b"content-length", b"0"))
    asked = Asked(line, headers, await reader.readexactly(length))
    return line.split(b"/")[1].split(b" ")[0].decode(), asked


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    services = Upstream()
    server = await asyncio.start_server(services.serve, "127.0.0.1", 0)
    services.port = server.sockets[0].getsockname()[1]
    async with server:
        yield services


async def fetch(service: Service, request: Request) -> BufferedResponse:
    """The contract of `Fetch`, with a connection a request and no circuits."""
    endpoint = service.endpoints[0]
    try:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError:
        raise UpstreamFailure("connect") from None
    try:
        writer.write(wire(request, compile_target(endpoint)(request.target, request.params)))
        answer = await reader.read(-1)
    finally:
        writer.close()
    if not answer:
        raise UpstreamFailure("reset")
    return parse_response(answer)


def wire(request: Request, target: bytes) -> bytes:
    length = [(b"content-length", b"%d" % len(request.body))] if request.body else []
    fields = b"".join(b"%b: %b\r\n" % header for header in [*request.headers, *length])
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (request.method, target, fields, request.body)


def parse_response(answer: bytes) -> BufferedResponse:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    headers = [(name.lower(), value) for name, value in (text.split(b": ", 1) for text in lines)]
    return BufferedResponse(int(line.split()[1]), headers, body)


def route(*services: Service, method: str = "GET", deadline: float | None = PATIENCE) -> Route:
    return Route(parse_path("/all"), method, services, deadline=deadline)


def request(
    target: bytes = b"/all",
    *,
    method: bytes = b"GET",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
) -> Request:
    path, _, query = target.partition(b"?")
    return Request(method, target, path, query, b"gateway", headers=headers, body=body)


def otherwise(json: bytes) -> Fallback:
    return Fallback(otherwise=json)
