"""Connections to one origin: those that lie idle, and the making of new ones."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.exchange import FailureKind
    from switchgear.gateway.upstream.resolver import Resolver

MAX_IDLE: Final = 256
IDLE_TIMEOUT: Final = 4.0
"""Seconds.

Common servers (Node.js, uvicorn) close after 5 s: a request that meets a connection which the other end just
closed is lost, unless it may be sent again.
"""
DOUBT: Final = 1.0
"""Seconds after which addresses that nobody answers at are looked up again before their time."""


DOWN: Final = 30.0
"""Seconds after which a failure to connect says nothing any more: nobody may have tried since."""


class Waiter(Protocol):
    """Who asked for a new connection: one of the two is called, once."""

    def connected(self, connection: UpstreamConnection) -> None: ...
    def not_connected(self, failure: UpstreamFailure) -> None: ...


class Pool:
    """The connections to one origin: one for each request under way, and at most `MAX_IDLE` others."""

    __slots__ = (
        "_connect_timeout",
        "_connecting",
        "_down_until",
        "_host",
        "_idle",
        "_is_name",
        "_loop",
        "_open",
        "_port",
        "_resolver",
        "_tls",
        "_turn",
        "_watching",
        "take",
    )

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, connect_timeout: float, resolver: Resolver
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._resolver = resolver
        self._is_name = not _is_address(host)
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        self._idle = TimeoutQueue[UpstreamConnection](self._loop, IDLE_TIMEOUT, UpstreamConnection.abort)
        self.take: Callable[[], UpstreamConnection | None] = self._idle.pop_newest
        """The connection that was used last, the least likely to be closed by now; `None`: connect."""
        self._open: set[UpstreamConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._down_until = -math.inf

    @property
    def up(self) -> bool:
        """Whether the origin took the last connection, as far as anybody tried lately."""
        return self._loop.time() >= self._down_until

    @property
    def busy(self) -> int:
        """Connections that have a request, and those that are being made for one."""
        return len(self._open) - len(self._idle.waiting) + len(self._connecting)

    @property
    def idle(self) -> int:
        return len(self._idle.waiting)

    def retire(self) -> None:
        """Nobody will come any more: drops idle connections now, each other one when its request is over."""
        self._leave_all_but(())
        if self._watching is not None:
            self._watching.cancel()

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
        tasks = [*self._connecting, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        for connection in tuple(self._open):
            connection.abort()
        self._idle.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, waiter: Waiter) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._reach()
        except TimeoutError:
            self._down_until = self._loop.time() + DOWN
            waiter.not_connected(UpstreamFailure("connect_timeout", "no connection in time"))
        except OSError as error:
            self._down_until = self._loop.time() + DOWN
            waiter.not_connected(UpstreamFailure(_kind_of(error), str(error)))
        else:
            self._down_until = -math.inf
            self._open.add(connection)
            if self._is_name and self._watching is None:
                self._watching = self._loop.create_task(self._watch())
            waiter.connected(connection)

    async def _reach(self) -> UpstreamConnection:
        """A connection to one of the addresses."""
        if not self._is_name:
            return await self._connect_to(self._host)
        addresses = await self._resolver.resolve(self._host)
        try:
            return await self._reach_any(addresses)
        except OSError:
            fresh = await self._resolver.resolve(self._host, DOUBT)
            if set(fresh) <= set(addresses):
                raise
            return await self._reach_any(fresh)

    async def _reach_any(self, addresses: tuple[str, ...]) -> UpstreamConnection:
        """A connection to the first address that takes one.

        Each has an equal share of the time that is left: one that does not answer must not use up all of it.
        """
        *others, last = self._in_turn(addresses)
        seconds = self._connect_timeout / len(addresses)
        for address in others:
            try:
                async with asyncio.timeout(seconds):
                    return await self._connect_to(address)
            except OSError:  # an expired share of the time is one too
                continue
        return await self._connect_to(last)

    def _in_turn(self, addresses: tuple[str, ...]) -> list[str]:
        """Those of the family that the system prefers take turns in being first; the others come after."""
        preferred = [address for address in addresses if (":" in address) == (":" in addresses[0])]
        self._turn += 1
        at = self._turn % len(preferred)
        others = [address for address in addresses if address not in preferred]
        return [*preferred[at:], *preferred[:at], *others]

    async def _connect_to(self, address: str) -> UpstreamConnection:
        _, connection = await self._loop.create_connection(
            lambda: UpstreamConnection(self, address),
            address,
            self._port,
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        return connection

    async def _watch(self) -> None:
        """As long as there are connections: leaves those whose address the name has no longer.

        A service that moved may go on answering at its old place, and no new connection would ever be made.
        """
        try:
            while self._open:
                await asyncio.sleep(self._resolver.ttl)
                self._leave_all_but(await self._resolver.resolve(self._host))
        finally:
            self._watching = None

    def _leave_all_but(self, addresses: tuple[str, ...]) -> None:
        for connection in [one for one in self._open if one.address not in addresses]:
            connection.retire()
            if connection in self._idle.waiting:
                connection.abort()


def _kind_of(error: OSError) -> FailureKind:
    """What of the making of a connection went wrong."""
    if isinstance(error, socket.gaierror):
        return "dns"
    return "tls" if isinstance(error, ssl.SSLError) else "connect"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
