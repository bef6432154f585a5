"""Fake upstreams: real servers on local sockets that answer, fail, hang or refuse as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json as json_module
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from switchgear.testing.loop_thread import LoopClock, LoopThread, pass_time
from switchgear.testing.messages import MAX_HEAD, FakeRequest, read_request

LONGEST_HANG: Final = 3600.0
"""Simulated seconds after which a fake that hangs hangs up: no wait of a gateway is meant to be longer."""
_NOTHING: Final = object()
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    body: bytes = b"{}"
    delay: float = 0.0

    def wire(self, method: str) -> bytes:
        phrase = HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else ""
        bodyless = self.status in (204, 304)
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{k}: {v}" for k, v in self.headers.items())]
        if not bodyless:
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        return head if bodyless or method == "HEAD" else head + self.body


_HANGING: Final = _Reply(delay=LONGEST_HANG)


class FakeUpstream:
    """Stands in for one URL of a service. A new one answers 200 with `{}`.

    What it is told holds for all requests from then on, until it is told otherwise. `name` is
    `SERVICE@scheme://host:port`, with the URL that the file has.
    """

    def __init__(self, name: str, clock: LoopClock, thread: LoopThread) -> None:
        self.name = name
        self.requests: list[FakeRequest] = []
        """What reached it, the oldest first."""
        self._clock = clock
        self._thread = thread
        self._reply = _Reply()
        self._next: deque[_Reply] = deque()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        # Bound and never listening, it keeps the port while the fake refuses connections.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]

    def answer(
        self,
        status: int = 200,
        *,
        json: object = _NOTHING,
        body: bytes | str = b"",
        headers: Mapping[str, str] = _NO_HEADERS,
        delay: float = 0.0,
    ) -> None:
        """Answer with `json`, or with `body` as it is, after `delay` simulated seconds."""
        kind: dict[str, str] = {}
        if json is not _NOTHING:
            kind, body = {"Content-Type": "application/json"}, json_module.dumps(json)
        raw = body.encode() if isinstance(body, str) else body
        self._behave(_Reply(status, {**kind, **headers}, raw, delay))

    def fail(self, status: int = 500, *, times: int | None = None) -> None:
        """Answer with an error; with `times`, only to the next so many requests, and then as before."""
        reply = _Reply(status, {"Content-Type": "text/plain"}, b"the fake was told to fail\n")
        if times is None:
            self._behave(reply)
        else:
            self._next.extend([reply] * times)

    def hang(self) -> None:
        """Take requests and never answer.

        Simulated time passes, the circuits' too, until the gateway gives up: a test does not wait for it.
        """
        self._behave(_HANGING)

    def refuse(self) -> None:
        """Refuse connections, and drop those that are there, as a service that is not running."""
        self._thread.run(self.close())

    def _behave(self, reply: _Reply) -> None:
        self._next.clear()
        self._reply = reply
        self._thread.run(self.listen())

    # ---- in the loop's thread

    async def listen(self) -> None:
        """Takes connections, if it does not yet."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bound(self.port), limit=MAX_HEAD)

    async def close(self) -> None:
        """Takes none any more, and ends those that are there."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections)

    def release(self) -> None:
        """Gives the port back."""
        self._place.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            with contextlib.suppress(OSError, EOFError):
                while True:
                    await self._respond(await read_request(reader), reader, writer)
        finally:
            del self._connections[task]
            writer.close()

    async def _respond(
        self, request: FakeRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.requests.append(request)
        reply = self._next.popleft() if self._next else self._reply
        await pass_time(self._clock, reply.delay, lambda: reader.at_eof() or writer.is_closing())
        if reply is _HANGING:
            raise EOFError
        writer.write(reply.wire(request.method))
        await writer.drain()


def _bound(port: int) -> socket.socket:
    """A socket at a local port that another one of ours may be bound to as well."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock
