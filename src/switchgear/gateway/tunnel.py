"""What an upgraded connection (WebSocket) becomes: bytes both ways, as they come."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

UPGRADED: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
"""Asks for the one protocol that is tunnelled, and confirms it.

Others pass as if nothing had been asked for: a tunnelled `h2c` would carry requests that no route has seen.
"""


class Former(Protocol):
    """The protocol that a transport had before: what it keeps account of, it goes on hearing."""

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class IdleWaits(Protocol):
    """Where a tunnel waits while nothing moves; `expire` is called when that takes too long."""

    def add(self, item: Tunnel) -> None: ...
    def renew(self, item: Tunnel) -> None: ...
    def discard(self, item: Tunnel) -> None: ...


class TunnelEnd(asyncio.Protocol):
    """Takes over a transport, and holds it still until it is one end of a tunnel.

    `early` is what arrived before. A transport whose `writable` is false takes nothing for now.
    """

    def __init__(self, transport: asyncio.Transport, former: Former, early: bytes, writable: bool) -> None:
        self._transport = transport
        self._former = former
        self._early = early
        self._writable = writable
        self._tunnel: Tunnel | None = None
        self._other = self
        self.lost = False
        if not transport.is_closing():
            transport.pause_reading()
        transport.set_protocol(self)

    # ---- what the tunnel calls

    def join(self, tunnel: Tunnel, other: TunnelEnd) -> None:
        """Begins to pass on what arrives."""
        self._tunnel = tunnel
        self._other = other
        if self._early:
            other.write(self._early)
            self._early = b""
        if other._writable:
            self.listen(True)

    def listen(self, on: bool) -> None:
        """Whether to take what arrives."""
        if self._tunnel is None or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Ends it when everything is sent."""
        self._transport.close()

    def abort(self) -> None:
        if not self.lost:  # asyncio's transports can't be aborted once they were closed and flushed
            self._transport.abort()

    # ---- what the transport calls

    def data_received(self, data: bytes) -> None:
        if self._tunnel is None:
            self._early += data  # TLS may have decrypted it before the pause
        else:
            self._other.write(data)
            self._tunnel.moved()

    def pause_writing(self) -> None:
        self._writable = False
        self._other.listen(False)
        self._former.pause_writing()

    def resume_writing(self) -> None:
        self._writable = True
        self._other.listen(True)
        self._former.resume_writing()
        if self._tunnel is not None:
            self._tunnel.moved()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._former.connection_lost(exc)
        if self._tunnel is not None:
            self._tunnel.ended(self._other)


class Tunnel:
    """Two ends. Each takes only what the other one can pass on; when one is lost, the other one is closed.

    A tunnel in which nothing moves ends when its time in `idle` is over: a WebSocket that lives sends pings.
    """

    def __init__(self, client: TunnelEnd, upstream: TunnelEnd, idle: IdleWaits) -> None:
        self._ends = (client, upstream)
        self._idle = idle
        idle.add(self)
        client.join(self, upstream)
        upstream.join(self, client)
        for end, other in ((client, upstream), (upstream, client)):
            if end.lost:  # while nobody was there to hear of it
                self.ended(other)

    def moved(self) -> None:
        """Something was passed on."""
        self._idle.renew(self)

    def ended(self, other: TunnelEnd) -> None:
        """One end is lost: `other` may still send what it has, for as long as something moves."""
        if other.lost:
            self._idle.discard(self)
        else:
            other.close()

    def expire(self) -> None:
        for end in self._ends:
            end.abort()
