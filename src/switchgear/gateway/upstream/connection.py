"""A connection to an upstream: one request at a time goes out, its answer comes back as calls on a sink."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.http1.bodies import UntilCloseDecoder, decoder_for
from switchgear.gateway.http1.fields import FramingError
from switchgear.gateway.http1.response import (
    ResponseHead,
    WholeAnswer,
    parse_response,
    response_head_end,
    whole_answer,
)
from switchgear.gateway.tunnel import TunnelEnd

if TYPE_CHECKING:
    from switchgear.gateway.http1.bodies import Decoder
    from switchgear.gateway.upstream.pool import Pool

MAX_INTERIM: Final = 32
"""Interim answers before the final one: an endless row of them would be a request without an end."""


class Sink(Protocol):
    """Whom a connection tells of the answer: either `answered`, or `head`, any number of `content` and
    `finished`, or `switched`.

    `broke` may come at any time instead, and nothing after it.
    """

    def answered(self, answer: WholeAnswer) -> None: ...
    def interim(self, head: ResponseHead) -> None: ...
    def head(self, head: ResponseHead) -> None: ...
    def content(self, data: bytes) -> None: ...
    def finished(self, trailers: bytes) -> None: ...
    @property
    def upgrades(self) -> bool:
        """Whether the request asks for another protocol."""
        ...

    def switched(self, head: ResponseHead, end: TunnelEnd) -> None:
        """The upstream took the upgrade: the connection is `end` now, and tells nothing more."""
        ...

    def broke(self, failure: UpstreamFailure, unused: bool) -> None:
        """`unused`: it had served before and gave not a byte this time: it was closed while it lay idle."""
        ...

    def writable(self, ready: bool) -> None:
        """Whether the upstream takes more of the request's body."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """Belongs to a sink from `send` until the answer is complete or `abort`, and to its pool otherwise."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_heard",
        "_interims",
        "_keep",
        "_paused",
        "_pool",
        "_request_done",
        "_retired",
        "_reused",
        "_searched",
        "_sink",
        "_to_head",
        "_transport",
        "address",
        "writable",
    )

    def __init__(self, pool: Pool, address: str) -> None:
        self.address = address
        self._pool = pool
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._sink: Sink | None = None
        self._buffer = bytearray()
        self._decoder: Decoder | None = None
        self._searched = self._interims = 0
        self._heard = False
        self._keep = True
        self._paused = False
        self._reused = False
        self._retired = False
        self.writable = True

    # ---- what its user calls

    def send(self, sink: Sink, wire: bytes, to_head: bool, complete: bool) -> None:
        """Sends a request's head (`complete`: it is the whole request) and tells `sink` of the answer."""
        self._sink = sink
        self._to_head = to_head
        self._request_done = complete
        self._transport.write(wire)

    def send_body(self, data: bytes) -> None:
        self._transport.write(data)

    def end_body(self, data: bytes = b"") -> None:
        """The request is complete; `data` ends its body on the wire."""
        if data:
            self._transport.write(data)
        self._request_done = True

    def pause(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        self._transport.resume_reading()

    def retire(self) -> None:
        """Takes no further request after the one that it may have now."""
        self._retired = True

    def abort(self) -> None:
        """Drops the connection, and the request with it, at once."""
        self._sink = None
        self._transport.abort()

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            self.abort()  # bytes that nobody asked for: whose answer would they be?
            return
        if self._decoder is None and not self._buffer and not self._to_head:
            answer = whole_answer(data)
            if answer is not None:
                self._release()
                sink.answered(answer)
                return
        self._heard = True
        try:
            self._take(sink, data)
        except FramingError as error:
            self._fail(UpstreamFailure("protocol", error.reason))

    def pause_writing(self) -> None:
        self.writable = False
        if self._sink is not None:
            self._sink.writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._sink is not None:
            self._sink.writable(True)

    def eof_received(self) -> None:
        self._pool.forget(
            self
        )  # before the next request takes it: that it is lost is told a turn of the loop later

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        sink = self._sink
        if sink is None:
            return
        if exc is None and isinstance(self._decoder, UntilCloseDecoder):
            self._sink = None
            sink.finished(b"")
        else:
            self._fail(UpstreamFailure("reset", str(exc or "closed before the answer was complete")))

    # ---- the answer

    def _take(self, sink: Sink, data: bytes) -> None:
        if self._decoder is None:
            self._buffer += data
            data = self._read_heads(sink)
        if self._decoder is not None and self._sink is sink:
            self._read_body(sink, self._decoder, data)

    def _read_heads(self, sink: Sink) -> bytes:
        """Reads the head, and those of interim answers before it; returns what follows it."""
        while self._sink is sink:
            end = response_head_end(self._buffer, self._searched)
            if end < 0:
                self._searched = len(self._buffer)
                return b""
            head = parse_response(bytes(self._buffer[:end]), self._to_head)
            del self._buffer[:end]
            self._searched = 0
            if head.status >= 200:
                break
            if head.status == 101:
                self._switch(sink, head)
            else:
                self._interim(sink, head)
        else:
            return b""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._keep = head.keep_alive
        self._decoder = decoder_for(head.length)
        sink.head(head)
        return rest

    def _interim(self, sink: Sink, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise FramingError("too many interim answers")
        sink.interim(head)

    def _switch(self, sink: Sink, head: ResponseHead) -> None:
        if not sink.upgrades:
            raise FramingError("an upgrade that nobody asked for")
        self._sink = None
        early = bytes(self._buffer)
        self._buffer.clear()
        sink.switched(head, TunnelEnd(self._transport, self, early, self.writable))

    def _read_body(self, sink: Sink, decoder: Decoder, data: bytes) -> None:
        content, rest = (b"", data) if decoder.done else decoder.feed(data)
        if not decoder.done:
            if content:
                sink.content(content)
            return
        if rest:
            # More than one answer to one request: this one is whole, but the connection is not trusted again.
            self._keep = False
        if content:
            sink.content(content)  # first: after the release, a pause of its would be the next request's
        if self._sink is sink:  # it may have left at that
            self._release()
            sink.finished(decoder.trailers)

    def _release(self) -> None:
        self._sink = None
        if self._heard:  # an answer that came in one piece has left nothing behind
            self._decoder = None
            self._searched = self._interims = 0
            self._heard = False
        if self._keep and self._request_done and self.writable and not self._retired:
            self._reused = True
            if self._paused:
                self.resume()  # the last piece of an answer may be one too many for a slow client
            self._pool.put(self)
        else:
            self._transport.abort()

    def _fail(self, failure: UpstreamFailure) -> None:
        sink, self._sink = self._sink, None
        self._transport.abort()
        if sink is not None:
            sink.broke(failure, self._reused and not self._heard)
