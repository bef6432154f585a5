"""The gateway itself: listens, takes over other configurations while it runs, and ends in good order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from switchgear import Switchgear
from switchgear.clock import SYSTEM_CLOCK
from switchgear.gateway.access_log import open_log
from switchgear.gateway.door import Door
from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.listener import Listener
from switchgear.gateway.metrics.board import Board
from switchgear.gateway.metrics.process import process_samples
from switchgear.gateway.reload import with_fixed
from switchgear.gateway.site import Site
from switchgear.gateway.tls import listener_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from switchgear import CircuitBreaker
    from switchgear.clock import Clock
    from switchgear.gateway.access_log import AccessLog
    from switchgear.gateway.config.model import Address, GatewayConfig
    from switchgear.gateway.metrics.families import Sample
    from switchgear.stores import CircuitBreakerStore


class Gateway:
    """A gateway inside this event loop.

        gateway = Gateway(config)
        await gateway.start()      # OSError when the address is taken
        print(gateway.address)
        await gateway.adopt(other) # another configuration, without losing a request
        await gateway.drain()      # no new connections; waits for requests under way, `limits.drain` at most
        await gateway.close()

    `circuits` has all its breakers. `clock` is the time of the circuits; timeouts are the event loop's.
    """

    def __init__(
        self, config: GatewayConfig, *, clock: Clock = SYSTEM_CLOCK, store: CircuitBreakerStore | None = None
    ) -> None:
        self.config = config
        self.circuits = Switchgear(config.state.namespace, store=store, clock=clock)
        self.board = Board(self.circuits, store)
        self._door: Door | None = None
        self._listener: Listener | None = None

    @property
    def address(self) -> Address:
        """Where it listens; the port is the real one when 0 was asked for."""
        if self._listener is None:
            raise RuntimeError("the gateway is not started")
        return self._listener.address

    async def start(self, listeners: Sequence[socket.socket] = ()) -> None:
        """Listens, at `listeners` if there are any: sockets that another process has opened.

        Raises `OSError` when the address can't be had, `ValueError` for unfit policies and certificates.
        """
        self._door = Door(self.config, self.circuits, self.board)
        await _learn(self.circuits)
        self._listener = Listener(self.config.listen, listeners)
        await self._listen(self._listener, self._door, self.config)

    async def adopt(self, config: GatewayConfig) -> None:
        """Serves another configuration from now on.

        Requests under way end as they began. A circuit whose key remains keeps its state and its evidence,
        and has its new policy at once; a new address is listened at before the old one is left. `state` can't
        change. Raises `ValueError` and `OSError` for what can't be used: then nothing has changed.
        """
        door, listener, before = self._door, self._listener, self.config
        assert door is not None, "a gateway is started first"
        assert listener is not None, "a gateway is started first"
        config = with_fixed(config, before)
        async with AsyncExitStack() as undo:
            site = Site(config, self.circuits, self.board, door.site)
            undo.callback(site.withdraw)
            await _learn(site.new_breakers)
            if config.listen != before.listen:
                listener = Listener(config.listen)
                undo.callback(listener.close)
            log = door.log
            if config.log.access != before.log.access:
                log = open_log(config.log.access)
                undo.push_async_callback(_close_log, log)
            await self._listen(listener, door, config)
            undo.pop_all()
        self.config = config
        former = door.adopt(site, log)
        if self._listener is not listener:
            self._close_listener()
            self._listener = listener
        if former is not log:
            await _close_log(former)
        elif log is not None:
            log.reopen()

    def reopen_log(self) -> None:
        """The file of the access log was moved away: lines go to a new one of its name."""
        if self._door is not None and self._door.log is not None:
            self._door.log.reopen()

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self._door is not None and not self._door.draining

    async def pictures(self) -> list[list[Sample]]:
        """What it has counted, and how it is now: one process's samples."""
        own = () if self._door is None else self._door.samples()
        return [await self.board.picture([*process_samples(), *own])]

    async def drain(self) -> None:
        """Takes no new connection, and waits for requests under way, `limits.drain` seconds at most."""
        if self._door is not None:
            self._close_listener()
            await self._door.drain()

    async def close(self) -> None:
        """Ends everything at once. Safe to call twice."""
        self._close_listener()
        door, self._door = self._door, None
        if door is not None:
            await door.close()

    async def _listen(self, listener: Listener, door: Door, config: GatewayConfig) -> None:
        tls = listener_context(config.tls)
        await listener.serve(lambda: ClientConnection(door), tls, config.limits.client_head)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()


async def _learn(breakers: Iterable[CircuitBreaker]) -> None:
    """What a store knows of circuits, or the first request of each would pass, whatever the others know."""
    await asyncio.gather(*(breaker.ready_async() for breaker in breakers))


async def _close_log(log: AccessLog | None) -> None:
    if log is not None:
        await log.close()
