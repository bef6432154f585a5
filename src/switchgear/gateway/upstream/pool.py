"""Connections to one origin: those that lie idle, and the making of new ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

MAX_IDLE: Final = 256
IDLE_TIMEOUT: Final = 4.0
"""Seconds.

Common servers (Node.js, uvicorn) close after 5 s: a request that meets a connection which the other end just
closed is lost, unless it may be sent again.
"""


class Waiter(Protocol):
    """Who asked for a new connection: one of the two is called, once."""

    def connected(self, connection: UpstreamConnection) -> None: ...
    def not_connected(self, failure: UpstreamFailure) -> None: ...


class Pool:
    """The connections to one origin: one for each request under way, and at most `MAX_IDLE` others."""

    __slots__ = (
        "_connect_timeout",
        "_connecting",
        "_host",
        "_idle",
        "_loop",
        "_open",
        "_port",
        "_tls",
        "take",
    )

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout: float) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._loop = asyncio.get_running_loop()
        self._idle = TimeoutQueue[UpstreamConnection](self._loop, IDLE_TIMEOUT, UpstreamConnection.abort)
        self.take: Callable[[], UpstreamConnection | None] = self._idle.pop_newest
        """The connection that was used last, the least likely to be closed by now; `None`: connect."""
        self._open: set[UpstreamConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """Connections that have a request, and those that are being made for one."""
        return len(self._open) - len(self._idle.waiting) + len(self._connecting)

    def put(self, connection: UpstreamConnection) -> None:
        """Takes back a connection whose answer is complete."""
        if len(self._idle.waiting) >= MAX_IDLE:
            connection.abort()
            return
        self._idle.add(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is lost, or about to be."""
        self._idle.discard(connection)
        self._open.discard(connection)

    def connect(self, waiter: Waiter) -> asyncio.Task[None]:
        """Opens a connection for `waiter`, who cancels the task when it has lost interest."""
        task = self._loop.create_task(self._connect(waiter))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def close(self) -> None:
        """Drops all connections, and those that are being made."""
        for task in tuple(self._connecting):
            task.cancel()
        for connection in tuple(self._open):
            connection.abort()
        self._idle.close()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    async def _connect(self, waiter: Waiter) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self), self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            waiter.not_connected(UpstreamFailure("timeout", "no connection in time"))
        except OSError as error:
            waiter.not_connected(UpstreamFailure("connect", str(error)))
        else:
            self._open.add(connection)
            waiter.connected(connection)
