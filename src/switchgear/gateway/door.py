"""The public listener: gives every request to its route, and keeps the books when it is over."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from switchgear.gateway.access_log import open_log
from switchgear.gateway.admission import Admission
from switchgear.gateway.answers import Answer
from switchgear.gateway.health import health_answer
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.reception import Reception
from switchgear.gateway.reply import Reply
from switchgear.gateway.request_ids import id_in
from switchgear.gateway.site import Site
from switchgear.gateway.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from switchgear import Switchgear
    from switchgear.gateway.access_log import AccessLog
    from switchgear.gateway.config.model import GatewayConfig
    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.metrics.families import Sample

GONE: Final = 499
"""What the access log says of a client that left before its answer began."""
LISTENER: Final = "public"


class Door(Reception):
    """The `Host` of clients' connections. Raises what `Site` and `open_log` do."""

    def __init__(self, config: GatewayConfig, circuits: Switchgear, board: Board) -> None:
        super().__init__(config.limits)
        self._board = board
        self._states = board.log.states
        self._site = Site(config, circuits, board)
        self._log = open_log(config.log.access)
        self._admission: Admission | None = None
        self._take(config)

    def _take(self, config: GatewayConfig) -> None:
        self._trust = Trust(config.trusted_proxies)
        self._counts = config.admin is not None
        self._tells_health = config.admin is not None and config.admin.health
        self._set_admission(config)
        # Once there is anything to do at a request's end it stays so: those under way were counted on it.
        if self._site.timed or self._counts or self._log is not None or self._admission is not None:
            self.left: Callable[[Reply], None] | None = self._over

    def _set_admission(self, config: GatewayConfig) -> None:
        limits = config.limits
        if self._admission is not None:
            self._admission.resize(limits)
        elif limits.in_flight is not None:
            self._admission = Admission(asyncio.get_running_loop(), limits)

    def adopt(self, site: Site, log: AccessLog | None) -> AccessLog | None:
        """Requests that come from now on go to `site`; returns the log before `log`, to be closed."""
        before, self._site = self._site, site
        self._take_limits(site.config.limits)
        last, self._log = self._log, log
        site.adopt(before)
        self._take(site.config)
        return last

    @property
    def site(self) -> Site:
        return self._site

    @property
    def log(self) -> AccessLog | None:
        return self._log

    def samples(self) -> Iterator[Sample]:
        yield "http_connections", (LISTENER,), self.connections
        yield "http_requests_in_flight", (LISTENER,), self.in_flight
        yield "access_log_lines_dropped", (), 0 if self._log is None else self._log.dropped
        yield from self._site.samples()

    # ---- as host of the connections

    def dispatch(self, client: ClientConnection, head: RequestHead) -> None:
        if head.tells or self._trust.strict:
            head = self._trust.seen(client.address, head)
        path = head.target.partition(b"?")[0]
        find = self._site.find
        found = find(head.method, path)
        now = monotonic()  # finer than some loops' own time
        if isinstance(found, Answer):
            if self._tells_health and found.status == 404:
                found = health_answer(path, not self.draining) or found
            Reply(client, head, now).send_answer(found)
            return
        plan = found.route
        exchange = client.exchange = plan.exchange(client, head, plan, found.params, now)
        if plan.deadline is not None:
            plan.deadline.add(exchange)
        if self._admission is None:
            exchange.descend(0)
        else:
            self._admission.enter(exchange)

    def refused(self, client: ClientConnection, error: FramingError) -> None:
        self._board.refused(error)
        if self._log is not None:
            self._log.refused(client.request_line, error.status, client.address)

    def _over(self, reply: Reply) -> None:
        tally = self._board.unmatched
        more = "" if self._log is None else f',"request_id":"{id_in(reply.id_line)}"'
        if isinstance(reply, Exchange):
            plan = reply.plan
            tally = plan.tally or tally
            if plan.deadline is not None:
                plan.deadline.discard(reply)
            if self._admission is not None:
                self._admission.leave(reply)
            if self._log is not None:
                more += self._line(reply)
        seconds = monotonic() - reply.started
        status, origin = reply.status or GONE, reply.origin
        if not origin:
            origin = "upstream" if reply.status else "client_gone"
        method = reply.request.method
        if self._counts:
            tally.count(method, status, seconds, origin, reply.bytes_in, reply.bytes_out)
            if reply.head_at:
                tally.count_streamed(method, reply.head_at - reply.started, seconds)
        if self._log is not None:
            client = reply.request.client or reply.client.address
            target = reply.request.target
            self._log.write(method, target, status, seconds, reply.bytes_out, origin, client, more)

    def _line(self, exchange: Exchange) -> str:
        """What the access log says of a route's request."""
        plan, sent = exchange.plan, ""
        if plan.circuit:
            sent = f',"circuit_state":"{self._states.get(plan.circuit, "closed")}"'
        if exchange.bytes_in:
            sent += f',"bytes_in":{exchange.bytes_in}'
        if exchange.tried is not None:
            sent += f',"endpoint":"{exchange.tried.origin}"'
        if exchange.head_at:
            sent += f',"ttfb_ms":{(exchange.head_at - exchange.started) * 1000:.3f}'
        if exchange.parts:
            sent += f',"parts":"{", ".join(map(str, exchange.parts))}"'
        if exchange.upstream_seconds:
            milliseconds = exchange.upstream_seconds * 1000
            return f'{plan.log_fields}{sent},"attempts":{exchange.attempts},"upstream_ms":{milliseconds:.3f}'
        return f'{plan.log_fields}{sent},"attempts":{exchange.attempts}'

    # ---- the end

    async def close(self) -> None:
        await super().close()
        await self._site.close()
        await asyncio.sleep(0)  # the upstreams' transports, too
        if self._log is not None:
            await self._log.close()
