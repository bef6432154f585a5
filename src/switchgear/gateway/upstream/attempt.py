"""One try at a service: its circuit's permit, its timeout, a connection, and the answer.

Callbacks all the way: on the usual path there is no task, no future and no timer of its own.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from switchgear import CircuitOpenError
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.metrics.tallies import BATCH

if TYPE_CHECKING:
    from switchgear import Permit
    from switchgear.gateway.circuits import Guard
    from switchgear.gateway.http1.response import ResponseHead, WholeAnswer
    from switchgear.gateway.metrics.tallies import UpstreamTally
    from switchgear.gateway.tunnel import TunnelEnd
    from switchgear.gateway.upstream.balancing import Turn
    from switchgear.gateway.upstream.connection import UpstreamConnection
    from switchgear.gateway.upstream.endpoint import UpstreamEndpoint
    from switchgear.gateway.upstream.service import Upstream


class Caller(Protocol):
    """Who makes an attempt, and is told how it goes.

    Either `answered`, or `head`, any number of `content` and `finished`; `failed` may come at any time
    instead, and nothing after it. `rejected` comes instead of everything. After a `head` with 101 nothing
    comes: the rest is what `hand_over` gives.
    """

    @property
    def to_head(self) -> bool:
        """Whether the request is HEAD."""
        ...

    @property
    def sent_whole(self) -> bool:
        """Whether `write_request` gives the whole request; otherwise its body follows when `admitted`."""
        ...

    @property
    def may_resend(self) -> bool:
        """Whether sending the request twice does no harm."""
        ...

    @property
    def upgrades(self) -> bool:
        """Whether the request asks for another protocol."""
        ...

    tried: UpstreamEndpoint | None
    """Where the request was sent last, if its service has several endpoints."""
    upstream_seconds: float
    """How long the last attempt took, where that is measured."""
    upstream_status: int
    """What it was answered with; 0: it was not."""

    def write_request(self, endpoint: UpstreamEndpoint) -> bytes: ...
    def admitted(self) -> None: ...
    def rejected(self, error: CircuitOpenError) -> None: ...
    def answered(self, answer: WholeAnswer) -> None: ...
    def interim(self, head: ResponseHead) -> None: ...
    def head(self, head: ResponseHead) -> None: ...
    def content(self, data: bytes) -> None: ...
    def finished(self, trailers: bytes) -> None: ...
    def failed(self, failure: UpstreamFailure) -> None: ...
    def writable(self, ready: bool) -> None: ...


class Attempt:
    """One try.

    `whole`: for circuit and timeout the call lasts until the body is there; otherwise until the head is.
    """

    __slots__ = (
        "__dict__",
        "_begun",
        "_caller",
        "_connection",
        "_endpoint",
        "_permit",
        "_sent",
        "_turn",
        "_upstream",
    )

    _whole = False
    _endpoint: UpstreamEndpoint
    _task: asyncio.Task[None] | None = None  # asks for a permit, or connects
    _head: ResponseHead | None = None
    _tunnel_end: TunnelEnd  # after an upgrade
    _resent = False
    _paused = False
    _begun: float  # when there was a permit, if somebody wants to know; and when the request was sent
    _sent: float

    def __init__(self, upstream: Upstream, caller: Caller, *, whole: bool = False) -> None:
        self._upstream = upstream
        self._caller = caller
        self._permit: Permit | None = None
        self._turn: Turn | None = None  # where there is a choice of endpoints, or one has a circuit
        self._connection: UpstreamConnection | None = None
        if whole:
            self._whole = True

    # ---- what the caller calls

    def start(self) -> None:
        guard = self._upstream.guard
        if guard is not None:
            enter = guard.try_enter
            try:
                self._permit = enter()
            except CircuitOpenError as error:
                guard.rejected()
                self._caller.rejected(error)
                return
            if self._permit is None:
                self._task = asyncio.get_running_loop().create_task(self._enter(guard))
                return
        self._connect()

    def abort(self) -> None:
        """The caller has lost interest: the upstream call ends now, and says nothing about the service."""
        self._drop()
        permit, self._permit = self._permit, None
        if permit is not None and self._upstream.guard is not None:
            self._upstream.guard.cancelled(permit, self._lasted())
        if self._turn is not None:
            self._turn.cancel()

    def send_body(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.send_body(data)

    def end_body(self, data: bytes) -> None:
        """The request is complete (`data` ends its body on the wire): now the upstream is waited for."""
        if self._connection is not None:
            self._connection.end_body(data)
            if self._head is None:
                self._upstream.idle.discard(self)
                self._upstream.waits.add(self)

    def pause(self) -> None:
        """Takes no more of the answer for now, which is not the upstream's fault: its time stands still."""
        if self._connection is not None and not self._paused:
            self._paused = True
            self._upstream.idle.discard(self)
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None and self._paused:
            self._paused = False
            if self._head is not None:
                self._upstream.idle.renew(self)
            self._connection.resume()

    def hand_over(self) -> TunnelEnd:
        """The upstream's end after an upgrade; the attempt is over."""
        self._connection = None
        return self._tunnel_end

    def expire(self) -> None:
        """The wait for the upstream is over."""
        self._fail(UpstreamFailure("timeout", "no answer in time"))

    # ---- what pool and connection call

    @property
    def upgrades(self) -> bool:
        return self._caller.upgrades

    def connected(self, connection: UpstreamConnection) -> None:
        self._task = None
        self._sent = monotonic()
        self._send(connection)

    def not_connected(self, failure: UpstreamFailure) -> None:
        self._task = None
        if self._turn is None:
            self._fail(failure)
        else:  # nothing of the request was sent: another endpoint may have it
            self._turn.failed(failure)
            self._count_failure(failure)
            self._sent = monotonic()
            self._go_on(self._turn)

    def answered(self, answer: WholeAnswer) -> None:
        self._connection = None
        upstream, permit = self._upstream, self._permit
        upstream.waits.discard(self)
        if self._turn is not None:
            self._turn.answered(answer)  # first: the service's circuit looks at those of its endpoints
        seconds = 0.0 if upstream.tally is None else self._measure(upstream.tally, answer.status)
        if permit is not None and upstream.guard is not None:
            self._permit = None
            upstream.guard.answered(permit, answer, seconds)
        self._caller.answered(answer)

    def interim(self, head: ResponseHead) -> None:
        self._caller.interim(head)

    def head(self, head: ResponseHead) -> None:
        self._head = head
        if not self._whole:
            self._upstream.waits.discard(self)
            self._settle(head)
        self._upstream.idle.renew(self)
        self._caller.head(head)

    def switched(self, head: ResponseHead, end: TunnelEnd) -> None:
        self._tunnel_end = end
        self._upstream.waits.discard(self)
        self._settle(head)
        self._caller.head(head)

    def content(self, data: bytes) -> None:
        if not self._paused:  # what came in one piece with the head may follow a pause
            self._upstream.idle.renew(self)
        self._caller.content(data)

    def finished(self, trailers: bytes) -> None:
        self._connection = None
        self._end_waits()
        if self._whole and self._head is not None:
            self._settle(self._head)
        self._caller.finished(trailers)

    def broke(self, failure: UpstreamFailure, unused: bool) -> None:
        self._connection = None
        if unused and self._caller.may_resend and not self._resent:
            # The service never saw the request, which is evidence of nothing: the permit goes along.
            self._resent = True
            self._task = self._endpoint.pool.connect(self)
        else:
            self._fail(failure)

    def writable(self, ready: bool) -> None:
        if not ready:
            self._upstream.idle.renew(self)
        elif self._head is None:
            self._upstream.idle.discard(self)
        self._caller.writable(ready)

    # ---- on the way

    async def _enter(self, guard: Guard) -> None:
        try:
            self._permit = await guard.enter()
        except CircuitOpenError as error:
            self._task = None
            guard.rejected()
            self._caller.rejected(error)
        else:
            self._task = None
            self._connect()

    def _connect(self) -> None:
        upstream = self._upstream
        if upstream.tally is not None:
            self._begun = self._sent = monotonic()
        if self._caller.sent_whole:
            upstream.waits.add(self)
        if upstream.balancer is None:
            self._connect_to(upstream.endpoint)
        else:
            turn = self._turn = upstream.balancer.turn(self._caller.tried)
            self._go_on(turn)

    def _go_on(self, turn: Turn) -> None:
        """To the next endpoint, if there is one."""
        found = turn.next()
        if found is True:
            self._connect_to(turn.endpoint)
        elif found is False:
            self._fail(turn.failure)
        else:
            self._task = asyncio.get_running_loop().create_task(self._ask(turn, found))

    async def _ask(self, turn: Turn, guard: Guard) -> None:
        """A probe of an endpoint is due in a shared circuit: the store gives the permit."""
        may = await turn.ask(guard)
        self._task = None
        if may:
            self._connect_to(turn.endpoint)
        else:
            self._go_on(turn)

    def _connect_to(self, endpoint: UpstreamEndpoint) -> None:
        self._endpoint = endpoint
        take = endpoint.pool.take
        connection = take()
        if connection is not None:
            self._send(connection)
        else:
            self._task = endpoint.pool.connect(self)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        caller = self._caller
        if self._turn is not None:
            caller.tried = self._endpoint
        wire = caller.write_request(self._endpoint)
        connection.send(self, wire, caller.to_head, caller.sent_whole)
        if not caller.sent_whole:
            caller.admitted()

    def _settle(self, head: ResponseHead) -> None:
        permit, self._permit = self._permit, None
        guard = self._upstream.guard
        if self._turn is not None:
            self._turn.answered(head)
        tally = self._upstream.tally
        seconds = 0.0 if tally is None else self._measure(tally, head.status)
        if permit is not None and guard is not None:
            guard.answered(permit, head, seconds)

    def _measure(self, tally: UpstreamTally, status: int) -> float:
        """Takes note of an answer; returns how long it took, the making of a connection included."""
        caller, now = self._caller, monotonic()
        seconds = caller.upstream_seconds = now - self._sent
        caller.upstream_status = status
        lasted = tally.lasted[self._endpoint.origin, status]
        lasted.append(seconds)
        if len(lasted) >= BATCH:
            tally.settle()
        return now - self._begun

    def _lasted(self) -> float:
        """Seconds since there was a permit; 0: nobody wants to know."""
        return 0.0 if self._upstream.tally is None else monotonic() - self._begun

    def _fail(self, failure: UpstreamFailure) -> None:
        seconds = self._lasted()
        if seconds and self._head is None:
            self._caller.upstream_seconds = monotonic() - self._sent
            self._caller.upstream_status = 0
        self._drop()
        permit, self._permit = self._permit, None
        guard = self._upstream.guard
        if self._turn is not None:
            self._turn.failed(failure)
        if guard is not None:
            if permit is not None:
                guard.failed(permit, failure, seconds)
            else:
                guard.cut_off(failure)
        if self._head is None or self._whole:
            self._count_failure(failure)
        self._caller.failed(failure)

    def _count_failure(self, failure: UpstreamFailure) -> None:
        if self._upstream.tally is not None:
            endpoint = getattr(self, "_endpoint", self._upstream.endpoint)
            self._upstream.tally.failed(endpoint.origin, failure)

    def _drop(self) -> None:
        self._end_waits()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _end_waits(self) -> None:
        self._upstream.waits.discard(self)
        self._upstream.idle.discard(self)
