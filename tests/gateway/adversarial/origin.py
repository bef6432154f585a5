"""An upstream whose answer depends on the path, and a client that keeps all of what it got."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import h11

from tests.gateway.upstreams import PATIENCE, Message, Peer

NOISE = bytes(range(256)) * 400  # 100 KiB


def echo(message: Message) -> bytes:
    """An answer that says what was asked: everything but what differs by hop."""
    own = [
        f"{name.lower()}: {value}"
        for name, value in message.fields
        if not name.lower().startswith(("x-forwarded-", "x-request-id", "traceparent", "host"))
        and name.lower() not in HOP_BY_HOP
    ]
    text = "\n".join([message.start, *sorted(own), ""]).encode("latin-1") + message.body
    text += b"".join(message.trailers)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text


HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"))


def _status(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    head = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 " + line + b"\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunked(*chunks: bytes, end: bytes = b"\r\n", fields: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + end


ANSWERS = {
    "plain": _status(b"200 OK", body=b"ok"),
    "empty": _status(b"200 OK"),
    "created": _status(b"201 Created", b"Location: /x/1", body=b"{}"),
    "accepted": _status(b"202 Accepted"),
    "no-content": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "partial": _status(b"206 Partial Content", b"Content-Range: bytes 0-1/5", body=b"ab"),
    "redirect": _status(b"302 Found", b"Location: https://elsewhere.example/?a=b", body=b"moved"),
    "not-modified": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n',
    "not-modified-length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    "bad-request": _status(b"400 Bad Request", body=b"no"),
    "unauthorized": _status(
        b"401 Unauthorized", b'WWW-Authenticate: Basic realm="x, y"', b"WWW-Authenticate: Z"
    ),
    "teapot": _status(b"418 I'm a teapot", body=b"short and stout"),
    "too-many": _status(b"429 Too Many Requests", b"Retry-After: 7"),
    "error": _status(b"500 Internal Server Error", body=b"trace"),
    "unavailable": _status(b"503 Service Unavailable", b"Retry-After: Fri, 31 Dec 2027 23:59:59 GMT"),
    "odd-status": _status(b"299 Odd", body=b"x"),
    "no-reason": _status(b"200 ", body=b"x"),
    "own-reason": _status(b"200 Alles gut \xfc", body=b"x"),
    "cookies": _status(b"200 OK", *[b"Set-Cookie: c%d=%d; Path=/" % (n, n) for n in range(20)]),
    "many-fields": _status(b"200 OK", *[b"X-%d: %d" % (n, n) for n in range(80)], body=b"x"),
    "long-field": _status(b"200 OK", b"X: " + b"y" * 12000),
    "same-name": _status(b"200 OK", b"X: a, b", b"X: c", b"x: d"),
    "latin": _status(b"200 OK", b"X: \xe9\xff"),
    "blank-values": _status(b"200 OK", b"X:", b"Y:   padded \t "),
    "encoded": _status(b"200 OK", b"Content-Encoding: gzip", body=b"\x1f\x8b\x08\x00not really"),
    "binary": _status(b"200 OK", b"Content-Type: application/octet-stream", body=NOISE),
    "large": _status(b"200 OK", body=NOISE * 20),
    "chunked": _chunked(b"a", b"bc", NOISE, b"d"),
    "chunked-empty": _chunked(),
    "chunked-many": _chunked(*[b"%d" % n for n in range(2000)]),
    "chunked-trailers": _chunked(b"abc", end=b"Checksum: 1\r\nX: y\r\n\r\n", fields=b"Trailer: Checksum\r\n"),
    "early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _status(b"200 OK", body=b"x"),
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + _status(b"200 OK", body=b"x"),
    "hop-fields": _status(
        b"200 OK", b"Connection: X", b"X: hop", b"Keep-Alive: timeout=5", b"Y: z", body=b"x"
    ),
}
UNTIL_CLOSE = {
    "until-close": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + NOISE,
    "until-close-1.0": b"HTTP/1.0 200 OK\r\n\r\nold",
    "length-and-close": _status(b"200 OK", b"Connection: close", body=b"bye"),
}


async def serve(peer: Peer) -> None:
    """The script of the upstream."""
    while True:
        message = await peer.read_message()
        kind = message.start.split(" ")[1].rpartition("/")[2].partition("?")[0]
        wire = (ANSWERS | UNTIL_CLOSE).get(kind) or echo(message)
        if message.start.startswith("HEAD"):
            wire = wire[: wire.index(b"\r\n\r\n") + 4]
        await peer.send(wire)
        if kind in UNTIL_CLOSE:
            return


class Got(NamedTuple):
    """An answer as its reader knows it, without what differs by hop."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    interim: list[int]


async def fetch(port: int, raw: bytes) -> Got:
    """Sends bytes to a port of this machine, and reads the answer with h11."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        return await asyncio.wait_for(_read(reader, raw.partition(b" ")[0]), PATIENCE)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, method: bytes) -> Got:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    interim: list[int] = []
    body = bytearray()
    head = None
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            case h11.InformationalResponse() as early:
                interim.append(early.status_code)
            case h11.Response() as head:
                pass
            case h11.Data() as data:
                body += data.data
            case h11.EndOfMessage() as end:
                assert head is not None
                hop = _hop_by_hop(head)
                fields = [(n, v) for n, v in head.headers if n not in hop]
                trailers = list(end.headers)
                return Got(head.status_code, head.reason, fields, bytes(body), trailers, interim)


def _hop_by_hop(head: h11.Response) -> set[bytes]:
    named = b",".join(value for name, value in head.headers if name == b"connection").lower()
    hop = {name.encode() for name in HOP_BY_HOP} | {b"x-request-id"}  # which is the gateway's
    return hop | {name.strip() for name in named.split(b",")}
