"""An upstream that keeps every request as the bytes it came in, and what of it is the client's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.gateway.upstreams import OK, Message, Peer, Upstream

GATEWAYS_OWN = (b"host:", b"x-forwarded-", b"x-request-id:", b"traceparent:")
FRAMING = (b"content-length:", b"transfer-encoding:")


@dataclass
class Recorded:
    """A request: its request line, its fields line by line, its body decoded."""

    start: bytes
    lines: list[bytes]
    body: bytes = b""
    trailers: list[bytes] = field(default_factory=list)

    @property
    def own(self) -> list[bytes]:
        """The lines that came from the client; framing is each hop's."""
        return [line for line in self.lines if not line.lower().startswith(GATEWAYS_OWN + FRAMING)]

    @property
    def framing(self) -> list[bytes]:
        return [line.lower() for line in self.lines if line.lower().startswith(FRAMING)]


class Recorder(Upstream):
    """Answers every request with `OK`."""

    def __init__(self) -> None:
        super().__init__(self._record)
        self.recorded: list[Recorded] = []

    async def _record(self, peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            start, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
            request = Recorded(start, lines)
            message = Message.parse(head)
            if message.get("transfer-encoding") == "chunked":
                request.body = await peer._read_chunks(message)
                request.trailers = message.trailers
            elif (length := message.get("content-length")) is not None:
                request.body = await peer.read(int(length))
            self.recorded.append(request)
            await peer.send(OK)


@contextlib.asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    async with recorder.running():
        yield recorder
