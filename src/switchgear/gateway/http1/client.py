"""The connection to a client: cuts one request after the other out of what arrives, and refuses the
ambiguous."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from switchgear.gateway.answers import problem
from switchgear.gateway.http1.bodies import decoder_for
from switchgear.gateway.http1.fields import CHUNKED, FramingError
from switchgear.gateway.http1.request import RequestHead, parse_request, request_head_end
from switchgear.gateway.http1.writing import date_field, write_answer
from switchgear.gateway.tunnel import TunnelEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.http1.bodies import Decoder
    from switchgear.gateway.http1.host import Host
    from switchgear.gateway.reply import Conversation, Reply
    from switchgear.gateway.timeouts import TimeoutQueue

MAX_PIPELINED: Final = 65536
"""Bytes of later requests that wait in memory while one is answered; beyond it the client is not read."""
MAX_DISCARDED: Final = 65536
"""A longer rest of a body that nobody wants costs the connection instead."""
_PIECE: Final = 16384
_LONGEST_LINE: Final = 4096
_CLOSE: Final = b"Connection: close\r\n"


class ClientConnection(asyncio.Protocol):
    """Has at most one exchange; later requests wait in the buffer, beyond `MAX_PIPELINED` in the socket."""

    __slots__ = (
        "_advancing",
        "_buffer",
        "_decoder",
        "_forwarded",
        "_host",
        "_over",
        "_paused",
        "_proto",
        "_searched",
        "_transport",
        "_waits",
        "address",
        "exchange",
        "new_id_line",
        "writable",
        "write",
    )

    def __init__(self, host: Host) -> None:
        self.exchange: Conversation | None = None
        self.writable = True
        self.new_id_line: Callable[[], bytes] = host.new_id_line
        """Gives an `X-Request-Id` for a request that brings none."""
        self._host = host
        self._buffer = bytearray()
        self._decoder: Decoder | None = None  # of the request's body, until that is complete
        self._waits: TimeoutQueue[ClientConnection] | None = None  # where it waits between two exchanges
        self._searched = 0
        self._advancing = False
        self._paused = False
        self._over = False  # no further request is read

    # ---- what its exchange calls

    def pause(self) -> None:
        """Reads nothing more for now; a client that is not read is not to blame for its silence."""
        self._paused = True
        self._host.body_waits.discard(self)
        self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self._over:
            self._paused = False
            if self._decoder is not None:
                self._host.body_waits.renew(self)
            self._transport.resume_reading()

    def forwarded(self, head: RequestHead) -> bytes:
        """The `X-Forwarded-*` lines of a request."""
        if head.host and not head.tells:
            return self._forwarded + head.host + b"\r\n"
        before = head.forwarded_for + b", " if head.forwarded_for else b""
        name, proto = head.claimed_host or head.host, head.claimed_proto
        host = b"X-Forwarded-Host: %b\r\n" % name if name else b""
        scheme = b"X-Forwarded-Proto: %b\r\n" % proto if proto else self._proto
        return b"X-Forwarded-For: %b%b\r\n%b%b" % (before, self.address, scheme, host)

    def may_keep(self, reply: Reply) -> bool:
        """Whether another request may follow this answer, decided when its head is written."""
        if not reply.request.keep_alive or self._over or self._host.draining:
            return False
        return reply.received_whole or self._may_discard(reply)

    def finished(self, reply: Reply, keep: bool) -> None:
        """The answer is complete."""
        self.exchange = None
        left = self._host.left
        if left is not None:
            left(reply)
        if not keep:
            self._linger()
            return
        if self._paused:
            self.resume()
        if self._decoder is None:  # otherwise the rest of the body is read first, and thrown away
            self._waits = waits = self._host.idle_waits  # during an exchange it waits nowhere else
            waits.add(self)
            if self._buffer:
                self._advance()

    def cut_off(self, reply: Reply) -> None:
        """The answer broke off: the client must not take it for complete."""
        self._leave(reply)
        self.abort()

    def hand_over(self) -> TunnelEnd:
        """Gives the transport away: no further request is read."""
        self._over = True
        early = bytes(self._buffer)
        self._buffer.clear()
        return TunnelEnd(self._transport, self, early, self.writable)

    # ---- what the host calls

    @property
    def request_line(self) -> bytes:
        """What is there of the first line of a request that could not be read."""
        return bytes(self._buffer[:_LONGEST_LINE]).lstrip(b"\r\n").partition(b"\r\n")[0]

    def close_if_idle(self) -> None:
        """Closes a connection that is between two requests."""
        if self.exchange is None and self._decoder is None and not self._buffer:
            self.close()

    def close(self) -> None:
        self._over = True
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection and what is under way on it."""
        self._over = True
        self._transport.abort()

    def head_too_slow(self) -> None:
        if self._buffer:
            self._refuse(FramingError("the head took too long", 408))
        else:
            self.close()

    def body_too_slow(self) -> None:
        if self.exchange is not None:
            self._refuse(FramingError("the body took too long", 408))
        else:
            self.abort()

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = cast("asyncio.Transport", transport)
        self.write: Callable[[bytes], None] = self._transport.write
        peer = transport.get_extra_info("peername")
        self.address: bytes = peer[0].encode() if peer else b""
        scheme = b"https" if transport.get_extra_info("sslcontext") else b"http"
        self._proto = b"X-Forwarded-Proto: %b\r\n" % scheme
        self._forwarded = b"X-Forwarded-For: %b\r\n%bX-Forwarded-Host: " % (
            self.address,
            self._proto,
        )
        if self._host.opened(self):
            self._wait(self._host.head_waits)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._wait(None)
        self._host.body_waits.discard(self)
        self._host.stall_waits.discard(self)
        exchange = self.exchange
        if exchange is not None:
            exchange.gone()
            self._leave(exchange)
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self.exchange is None and not self._buffer and self._decoder is None and self.writable:
            read = self._host.read_ordinary
            head = read(data)
            if head is not None:
                self._begin(head)
                return
        try:
            if self._decoder is not None:
                data = self._read_body(self._decoder, data)
            if data:
                self._buffer += data
                self._advance()
        except FramingError as error:
            self._refuse(error)

    def pause_writing(self) -> None:
        self.writable = False
        self._host.stall_waits.renew(self)
        if self.exchange is not None:
            self.exchange.client_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        self._host.stall_waits.discard(self)
        if self.exchange is not None:
            self.exchange.client_writable(True)
            return
        if self._paused:
            self.resume()
        self._advance()

    # ---- requests

    def _advance(self) -> None:
        """Begins the requests whose heads are in the buffer, as long as each is answered at once.

        And as long as the client reads the answers: one that only asks would have them all kept for it.
        """
        if self._advancing:
            return  # the loop below goes on when the answer that is being written is complete
        self._advancing = True
        try:
            while self._buffer and self.writable and self._may_begin():
                if not self._read_head():
                    break
        except FramingError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if not self._over:
            self._bound_buffer()

    def _read_head(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            del buffer[:2]  # an empty line before a request is allowed, once: the next one is no request line
        end = request_head_end(buffer, self._searched, self._host.head_limits)
        if end < 0:
            self._searched = len(buffer)
            if not self._searched or bytes(buffer) == b"\r":
                return False
            self._wait(self._host.head_waits)
            return False
        head = parse_request(bytes(buffer[:end]), self._host.head_limits)
        del buffer[:end]
        self._searched = 0
        if head.length:
            self._decoder = decoder_for(head.length)
        self._begin(head)
        while self._decoder is not None and buffer:
            # In pieces: to copy the whole buffer for each of a thousand short bodies would take seconds.
            piece = bytes(buffer[:_PIECE])
            del buffer[:_PIECE]
            buffer[:0] = self._read_body(self._decoder, piece)
        return True

    def _begin(self, head: RequestHead) -> None:
        if self._waits is not None:
            self._waits.discard(self)
            self._waits = None
        if head.length:
            self._host.body_waits.add(self)
        self._host.dispatch(self, head)

    def _wait(self, waits: TimeoutQueue[ClientConnection] | None) -> None:
        """Waits for the client in `waits` and nowhere else; a wait there that is under way goes on."""
        if waits is not self._waits:
            if self._waits is not None:
                self._waits.discard(self)
            self._waits = waits
            if waits is not None:
                waits.add(self)

    def _read_body(self, decoder: Decoder, data: bytes) -> bytes:
        """Passes on what of a body is in `data`; returns what follows it."""
        self._host.body_waits.renew(self)
        content, rest = decoder.feed(data)
        if decoder.done:
            self._decoder = None
            self._host.body_waits.discard(self)
        exchange = self.exchange
        if exchange is None:
            if decoder.done and not self._over:
                self._wait(self._host.idle_waits)
            return rest
        if content:
            exchange.body(content)
        if decoder.done and self.exchange is exchange:
            exchange.body_end(decoder.trailers)
        return rest

    def _may_begin(self) -> bool:
        return self.exchange is None and self._decoder is None and not self._over

    def _bound_buffer(self) -> None:
        if len(self._buffer) > MAX_PIPELINED and not (self.writable and self.exchange is None):
            self.pause()

    # ---- the end

    def _may_discard(self, reply: Reply) -> bool:
        if reply.request.expects_continue and not reply.continued:
            return False  # nobody knows whether the body will come at all
        return 0 < reply.request.length <= MAX_DISCARDED and reply.request.length != CHUNKED

    def _refuse(self, error: FramingError) -> None:
        """What follows can't be told apart any more: an answer, if none was begun, and the end."""
        self._over = True
        answer = problem(error.status, error.reason)
        exchange = self.exchange
        if exchange is None:
            self._host.refused(self, error)
            headers = (*answer.headers, date_field())
            self.write(write_answer(answer.status, headers, answer.body, _CLOSE, to_head=False))
            self._linger()
            return
        exchange.gone()
        if exchange.status:
            self.cut_off(exchange)
        else:
            exchange.send_answer(answer)

    def _leave(self, reply: Reply) -> None:
        self.exchange = None
        left = self._host.left
        if left is not None:
            left(reply)

    def _linger(self) -> None:
        """Closes, but not before the client had time to read.

        Bytes that arrive at a closed socket make the system reset the connection, and the answer would be
        lost with it.
        """
        self._over = True
        self._decoder = None
        self._buffer.clear()
        self._host.body_waits.discard(self)
        self._wait(None)
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()
            self._wait(self._host.linger_waits)
        else:
            self._transport.close()
