"""Who sees which requests in a stream of bytes: our connection to a client, and h11."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import NamedTuple

import h11

from switchgear.gateway.answers import Answer
from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.http1.request import HeadLimits, ordinary_request
from switchgear.gateway.reply import Reply
from switchgear.gateway.timeouts import TimeoutQueue

OK = Answer(200, ((b"content-type", b"text/plain"),), b"ok")
UNBOUNDED = 1 << 30


class Seen(NamedTuple):
    method: bytes
    target: bytes
    body: bytes


class Wire(asyncio.Transport):
    """A transport without a socket; what is written stays in `written`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reading = True
        self.closing = False

    def write(self, data) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Collecting(Reply):
    """An exchange that takes the whole request and answers it then."""

    def __init__(self, host: Everything, client: ClientConnection, head) -> None:
        super().__init__(client, head, 0.0)
        self._host = host
        self._body = b""
        self.over = False

    def body(self, data: bytes) -> None:
        self._body += data

    def body_end(self, trailers: bytes) -> None:
        self.received_whole = self.over = True
        self._host.seen.append(Seen(self.request.method, self.request.target, self._body))
        self._host.forwarded.append(forwarded(self, self._body, trailers))
        self.send_answer(OK)

    def gone(self) -> None:
        self.over = True

    def client_writable(self, ready: bool) -> None:
        pass


def forwarded(reply: Reply, body: bytes, trailers: bytes) -> bytes:
    """The request as an upstream gets it."""
    head = reply.request
    start = b"%b %b HTTP/1.1\r\nHost: up\r\n" % (head.method, head.target)
    wire = start + head.fields + reply.client.forwarded(head) + b"\r\n"
    if head.length >= 0:
        return wire + body
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return wire + chunk + b"0\r\n" + trailers + b"\r\n"


@dataclass
class Everything:
    """A host that takes every request."""

    loop: asyncio.AbstractEventLoop
    seen: list[Seen] = field(default_factory=list)
    forwarded: list[bytes] = field(default_factory=list)
    refusals: int = 0
    draining: bool = False
    left: None = None

    def __post_init__(self) -> None:
        self.head_limits = HeadLimits()
        self.read_ordinary = ordinary_request(self.head_limits)
        never = TimeoutQueue[ClientConnection](self.loop, 1e6, lambda _: None)
        self.queues = [TimeoutQueue[ClientConnection](self.loop, 1e6, lambda _: None) for _ in range(4)]
        self.head_waits, self.idle_waits, self.stall_waits, self.linger_waits = self.queues
        self.body_waits = never
        self.queues.append(never)

    def new_id_line(self) -> bytes:
        return b"X-Request-Id: 1\r\n"

    def opened(self, client: ClientConnection) -> bool:
        return True

    def closed(self, client: ClientConnection) -> None:
        pass

    def dispatch(self, client: ClientConnection, head) -> None:
        reply = Collecting(self, client, head)
        client.exchange = reply
        if reply.received_whole:
            reply.body_end(b"")

    def refused(self, client: ClientConnection, error) -> None:
        self.refusals += 1

    def close(self) -> None:
        for queue in self.queues:
            queue.close()


def ours(loop: asyncio.AbstractEventLoop, pieces: list[bytes]) -> Everything:
    """What our connection makes of a stream that arrives in `pieces`."""
    host = Everything(loop)
    client, wire = ClientConnection(host), Wire()
    client.connection_made(wire)
    for piece in pieces:
        if not wire.closing:
            client.data_received(piece)
    client.connection_lost(None)
    host.close()
    return host


def theirs(stream: bytes) -> list[Seen]:
    """What h11 makes of a stream: the requests before the end, or before its first objection.

    It is spared what RFC 9112 allows and it does not know: an empty line before a request, and HTTP/1.0 that
    keeps its connection. Hence one h11 connection for each request.
    """
    seen: list[Seen] = []
    kept = True
    with contextlib.suppress(h11.RemoteProtocolError):
        while kept:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=UNBOUNDED)
            connection.receive_data(stream.removeprefix(b"\r\n"))
            head = connection.next_event()
            body = _body(connection)
            if not isinstance(head, h11.Request) or body is None:
                break
            seen.append(Seen(bytes(head.method), bytes(head.target), body))
            stream, kept = connection.trailing_data[0], _keeps(head)
    return seen


def _body(connection: h11.Connection) -> bytes | None:
    body = b""
    while True:
        match connection.next_event():
            case h11.Data() as data:
                body += bytes(data.data)
            case h11.EndOfMessage():
                return body
            case _:
                return None


def _keeps(head: h11.Request) -> bool:
    values = b",".join(value for name, value in head.headers if name == b"connection")
    options = {option.strip() for option in values.lower().split(b",")}
    return b"close" not in options and (head.http_version == b"1.1" or b"keep-alive" in options)
