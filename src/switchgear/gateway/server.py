"""The gateway itself: listens, gives every request to its route, and ends in good order."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Final

from switchgear import Switchgear
from switchgear.clock import SYSTEM_CLOCK
from switchgear.gateway.access_log import AccessLog
from switchgear.gateway.admission import Admission
from switchgear.gateway.answers import Answer
from switchgear.gateway.config.model import Address
from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.http1.request import HeadLimits, ordinary_request
from switchgear.gateway.pipeline import Planner
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.reply import Reply
from switchgear.gateway.routing import RouteTable
from switchgear.gateway.timeouts import TimeoutQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.clock import Clock
    from switchgear.gateway.config.model import GatewayConfig, Limits
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.stores import CircuitBreakerStore

BACKLOG: Final = 2048
LINGER: Final = 2.0
"""Seconds that a client has to read the last answer and to close."""
STALLED: Final = 600.0
"""Seconds after which a client that takes nothing of its answer is given up."""
GONE: Final = 499
"""What the access log says of a client that left before its answer began."""


class Gateway:
    """A gateway inside this event loop.

        gateway = Gateway(config)
        await gateway.start()      # OSError when the address is taken
        print(gateway.address)
        await gateway.drain()      # no new connections; waits for requests under way, `limits.drain` at most
        await gateway.close()

    `circuits` has all its breakers. `clock` is the time of the circuits; timeouts are the event loop's.
    """

    def __init__(
        self, config: GatewayConfig, *, clock: Clock = SYSTEM_CLOCK, store: CircuitBreakerStore | None = None
    ) -> None:
        self.config = config
        self.circuits = Switchgear(config.state.namespace, store=store, clock=clock)
        self._door: _Door | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Where it listens; the port is the real one when 0 was asked for."""
        if self._server is None:
            raise RuntimeError("the gateway is not started")
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def start(self) -> None:
        """Listens. Raises `OSError` when the address can't be had, `ValueError` for unfit policies."""
        door = self._door = _Door(self.config, self.circuits)
        listen = self.config.listen
        self._server = await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(door), listen.host, listen.port, backlog=BACKLOG
        )

    async def drain(self) -> None:
        """Takes no new connection, and waits for requests under way, `limits.drain` seconds at most."""
        if self._server is not None and self._door is not None:
            self._server.close()
            await self._door.drain()

    async def close(self) -> None:
        """Ends everything at once. Safe to call twice."""
        if self._server is not None:
            self._server.close()
        door, self._door = self._door, None
        if door is not None:
            await door.close()


class _Door:
    """What all client connections share."""

    def __init__(self, config: GatewayConfig, circuits: Switchgear) -> None:
        limits = config.limits
        loop = asyncio.get_running_loop()
        self.draining = False
        self.head_limits = HeadLimits(limits.head, limits.fields, limits.target)
        self.read_ordinary = ordinary_request(self.head_limits)
        self.head_waits = TimeoutQueue(loop, limits.client_head, ClientConnection.head_too_slow)
        self.idle_waits = TimeoutQueue(loop, limits.keep_alive, ClientConnection.close)
        self.body_waits = TimeoutQueue(loop, limits.idle, ClientConnection.body_too_slow)
        self.stall_waits = TimeoutQueue(loop, STALLED, ClientConnection.abort)
        self.linger_waits = TimeoutQueue(loop, LINGER, ClientConnection.abort)
        self._limits: Limits = limits
        self._clients: set[ClientConnection] = set()
        self._empty = asyncio.Event()
        self._planner = Planner(config, circuits)
        self._table = RouteTable(config.routes)
        # By identity: to hash a route would mean to hash everything that is in it.
        self._plans = {id(route): self._planner.plan(route) for route in config.routes}
        self._log = _open_log(config.log.access)
        self._admission = None if limits.in_flight is None else Admission(loop, limits.in_flight, limits)
        timed = any(plan.deadline is not None for plan in self._plans.values())
        busy = timed or self._log is not None or self._admission is not None
        self.left: Callable[[Reply], None] | None = self._over if busy else None

    # ---- as host of the connections

    def opened(self, client: ClientConnection) -> bool:
        self._clients.add(client)
        return len(self._clients) <= self._limits.connections and not self.draining

    def closed(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._empty.set()

    def dispatch(self, client: ClientConnection, head: RequestHead) -> None:
        found = self._table.match(head.method, head.target.partition(b"?")[0])
        now = monotonic()  # finer than some loops' own time
        if isinstance(found, Answer):
            Reply(client, head, now).send_answer(found)
            return
        plan = self._plans[id(found.route)]
        exchange = client.exchange = Exchange(client, head, plan, found.params, now)
        if plan.deadline is not None:
            plan.deadline.add(exchange)
        if self._admission is None:
            exchange.descend(0)
        else:
            self._admission.enter(exchange)

    def _over(self, reply: Reply) -> None:
        fields = ""
        if isinstance(reply, Exchange):
            fields = reply.plan.log_fields
            if reply.plan.deadline is not None:
                reply.plan.deadline.discard(reply)
            if self._admission is not None:
                self._admission.leave(reply)
        if self._log is not None:
            request = reply.request
            seconds = monotonic() - reply.started
            status, origin, client = reply.status or GONE, reply.origin, reply.client.address
            self._log.write(
                request.method, request.target, status, seconds, reply.bytes_out, origin, client, fields
            )

    def refused(self, client: ClientConnection, error: FramingError) -> None:
        if self._log is not None:
            self._log.write(b"", b"", error.status, 0.0, 0, "error", client.address, "")

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
        await self._planner.close()
        # Transports tell their protocols of the end in the next turn of the loop.
        await asyncio.sleep(0)
        for waits in (self.head_waits, self.idle_waits, self.body_waits, self.stall_waits, self.linger_waits):
            waits.close()
        if self._log is not None:
            await self._log.close()


def _open_log(access: bool | str) -> AccessLog | None:
    if access is False:
        return None
    stream: BinaryIO = sys.stdout.buffer if access is True else Path(access).open("ab")  # noqa: SIM115 - the log closes it
    return AccessLog(stream)
