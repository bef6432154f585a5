"""What the connections of one listener share: limits, waits, and the good end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.http1.request import HeadLimits, ordinary_request
from switchgear.gateway.request_ids import id_lines
from switchgear.gateway.timeouts import TimeoutQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.config.model import Limits
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.reply import Reply

LINGER: Final = 2.0
"""Seconds that a client has to read the last answer and to close."""
STALLED: Final = 600.0
"""Seconds after which a client that takes nothing of its answer is given up."""


class Reception(ABC):
    """The `Host` of a listener's connections; what their requests come to is the kind's own."""

    left: Callable[[Reply], None] | None = None

    def __init__(self, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        self.draining = False
        self.new_id_line = id_lines()
        self.head_waits = TimeoutQueue(loop, limits.client_head, ClientConnection.head_too_slow)
        self.idle_waits = TimeoutQueue(loop, limits.keep_alive, ClientConnection.close)
        self.body_waits = TimeoutQueue(loop, limits.idle, ClientConnection.body_too_slow)
        self.stall_waits = TimeoutQueue(loop, STALLED, ClientConnection.abort)
        self.linger_waits = TimeoutQueue(loop, LINGER, ClientConnection.abort)
        self._clients: set[ClientConnection] = set()
        self._empty = asyncio.Event()
        self._take_limits(limits)

    def _take_limits(self, limits: Limits) -> None:
        """Other limits from now on; a shorter wait holds when the longer ones that began before are over."""
        self._limits = limits
        self.head_limits = HeadLimits(limits.head, limits.fields, limits.target)
        self.read_ordinary = ordinary_request(self.head_limits)
        self.head_waits.seconds = limits.client_head
        self.idle_waits.seconds = limits.keep_alive
        self.body_waits.seconds = limits.idle

    @property
    def connections(self) -> int:
        return len(self._clients)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return sum(client.exchange is not None for client in self._clients)

    # ---- as host of the connections

    def opened(self, client: ClientConnection) -> bool:
        self._clients.add(client)
        return len(self._clients) <= self._limits.connections and not self.draining

    def closed(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._empty.set()

    @abstractmethod
    def dispatch(self, client: ClientConnection, head: RequestHead) -> None: ...

    @abstractmethod
    def refused(self, client: ClientConnection, error: FramingError) -> None: ...

    # ---- the end

    async def drain(self) -> None:
        self.draining = True
        for client in tuple(self._clients):
            client.close_if_idle()
        if self._clients:
            self._empty.clear()
            try:
                async with asyncio.timeout(self._limits.drain):
                    await self._empty.wait()
            except TimeoutError:
                return  # `close` ends what is left

    async def close(self) -> None:
        self.draining = True
        for client in tuple(self._clients):
            client.abort()
        # Transports tell their protocols of the end in the next turn of the loop.
        await asyncio.sleep(0)
        for waits in (self.head_waits, self.idle_waits, self.body_waits, self.stall_waits, self.linger_waits):
            waits.close()
