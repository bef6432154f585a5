"""The public address: its sockets, and who accepts from them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from switchgear.gateway.config.model import Address
from switchgear.gateway.supervisor.listening import BACKLOG, listening

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence


class Listener:
    """Sockets that listen at `address`; those of another process if `sockets` are given.

    Raises `OSError` when the address can't be had. Connections that were accepted outlive it.
    """

    def __init__(self, address: Address, sockets: Sequence[socket.socket] = ()) -> None:
        self._stack = ExitStack()
        self._sockets = [self._stack.enter_context(one) for one in sockets]
        if not sockets:
            self._sockets = self._stack.enter_context(listening(address))
        self._servers: list[asyncio.Server] = []

    @property
    def address(self) -> Address:
        return Address(*self._sockets[0].getsockname()[:2])

    async def serve(
        self,
        accept: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
        handshake: float | None = None,
    ) -> None:
        """Gives new connections to `accept`, and none any more to who had them before.

        Each server has descriptors of its own for the same sockets: a connection that waits in their queue
        while one takes over from the other is not lost.
        """
        loop = asyncio.get_running_loop()
        former, self._servers = self._servers, []
        for listener in self._sockets:
            server = await loop.create_server(
                accept,
                sock=listener.dup(),
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else handshake,
            )
            self._servers.append(server)
        for server in former:
            server.close()

    def close(self) -> None:
        """Accepts nothing any more. Safe to call twice."""
        for server in self._servers:
            server.close()
        self._stack.close()
