"""Names of upstreams: looked up again and again, so that one that moved is found without a reload."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Lookup = Callable[[str], Awaitable[tuple[str, ...]]]

TTL: Final = 20.0
"""Seconds that the addresses of a name are used.

The system's resolver does not tell how long a record lives. With the time of a lookup and of a connection
this stays within the half minute that a moved upstream may take to be found.
"""
MAX_ADDRESSES: Final = 32

_log = logging.getLogger("switchgear.gateway")


@dataclass(slots=True)
class _Entry:
    addresses: tuple[str, ...]
    since: float


class Resolver:
    """The addresses of names, IPv4 and IPv6 in the system's order. Names come from the configuration alone,
    which bounds what is kept.

    A name that can't be looked up any more keeps the addresses that it had: a name server that is down is no
    reason to stop working.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lookup: Lookup | None = None, *, ttl: float = TTL
    ) -> None:
        self.ttl = ttl
        self._loop = loop
        self._lookup = lookup or self._ask_system
        self._known: dict[str, _Entry] = {}
        self._asking: dict[str, asyncio.Task[OSError | None]] = {}

    async def resolve(self, host: str, max_age: float | None = None) -> tuple[str, ...]:
        """The addresses, at most `max_age` seconds (the `ttl`) old. Raises `OSError` when there are none."""
        entry = self._known.get(host)
        if entry is None or self._loop.time() - entry.since >= (self.ttl if max_age is None else max_age):
            # One lookup for all who wait; the one who gave up first must not cancel it for the others.
            error = await asyncio.shield(self._question(host))
            entry = self._known.get(host)
            if entry is None:
                raise error or OSError(f"{host} has no address")
        return entry.addresses

    async def close(self) -> None:
        """Gives up the lookups under way."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _question(self, host: str) -> asyncio.Task[OSError | None]:
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = self._loop.create_task(self._ask(host))
            task.add_done_callback(lambda _: self._asking.pop(host))
        return task

    async def _ask(self, host: str) -> OSError | None:
        try:
            addresses = await self._lookup(host)
        except OSError as error:
            if host in self._known:
                _log.warning("%s can't be looked up, its known addresses are kept: %s", host, error)
            return error
        if addresses:
            self._known[host] = _Entry(addresses[:MAX_ADDRESSES], self._loop.time())
        return None

    async def _ask_system(self, host: str) -> tuple[str, ...]:
        found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
