"""Connections belong to the event loop that made them, and a store may be used from several."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

CLOSE_SECONDS = 1.0


class PerLoop(Generic[T]):
    """A resource for each event loop that asks for one, made when it first does.

    Without a lock, which a fork could inherit locked: only a loop's own thread makes what belongs to it.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._made: dict[asyncio.AbstractEventLoop, T] = {}
        self._inherited: list[object] = []
        self._process = os.getpid()

    def get(self) -> T:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        self._forget()
        if loop not in self._made:
            self._made[loop] = self._make()
        return self._made[loop]

    async def aclose(self) -> None:
        """Close all of them, each in its own loop; for another thread's loop that is waited for a second."""
        self._forget()
        here = asyncio.get_running_loop()
        for loop in list(self._made):
            resource = self._made.pop(loop, None)
            if resource is None:
                continue
            if loop is here:
                await self._close(resource)
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(self._closed(resource), loop)
                await asyncio.wait({asyncio.wrap_future(closing)}, timeout=CLOSE_SECONDS)

    async def _closed(self, resource: T) -> None:
        await self._close(resource)

    def _forget(self) -> None:
        if self._process != os.getpid():
            # A fork's child must neither use nor close what it has inherited: the sockets are its parent's
            # too.
            self._inherited.append(self._made)
            self._made, self._process = {}, os.getpid()
        for loop in list(self._made):
            if loop.is_closed():
                self._made.pop(loop, None)
