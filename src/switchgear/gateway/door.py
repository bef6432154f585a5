"""The public listener: gives every request to its route, and keeps the books when it is over."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from switchgear.gateway.access_log import open_log
from switchgear.gateway.admission import Admission
from switchgear.gateway.answers import Answer
from switchgear.gateway.books import Books
from switchgear.gateway.health import health_answer
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.reception import Reception
from switchgear.gateway.reply import Reply
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

LISTENER: Final = "public"


class Door(Reception):
    """The `Host` of clients' connections. Raises what `Site` and `open_log` do."""

    def __init__(self, config: GatewayConfig, circuits: Switchgear, board: Board) -> None:
        super().__init__(config.limits)
        self._site = Site(config, circuits, board)
        self._books = Books(board, open_log(config.log.access), config.admin is not None)
        self._admission: Admission | None = None
        self._take(config)

    def _take(self, config: GatewayConfig) -> None:
        self._trust = Trust(config.trusted_proxies)
        self._tells_health = config.admin is not None and config.admin.health
        self._set_admission(config)
        # Once there is more to do at a request's end it stays so: those under way were counted on it.
        if self._site.timed or self._admission is not None or self.left == self._over:
            self.left: Callable[[Reply], None] | None = self._over
        else:
            self.left = self._books.enter if self._books.wanted else None

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
        last = self._books.keep(log, site.config.admin is not None)
        site.adopt(before)
        self._take(site.config)
        return last

    @property
    def site(self) -> Site:
        return self._site

    @property
    def log(self) -> AccessLog | None:
        return self._books.log

    def samples(self) -> Iterator[Sample]:
        self._books.settle()
        log = self._books.log
        yield "http_connections", (LISTENER,), self.connections
        yield "http_requests_in_flight", (LISTENER,), self.in_flight
        yield "access_log_lines_dropped", (), 0 if log is None else log.dropped
        yield from self._site.samples()

    # ---- as host of the connections

    def dispatch(self, client: ClientConnection, head: RequestHead) -> None:
        if head.tells or self._trust.strict:
            head = self._trust.seen(client.address.decode(), head)
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
        self._books.refused(client, error)

    def _over(self, reply: Reply) -> None:
        """What has to be done at the end of a request where it may have a deadline, or a place."""
        if isinstance(reply, Exchange):
            if reply.plan.deadline is not None:
                reply.plan.deadline.discard(reply)
            if self._admission is not None:
                self._admission.leave(reply)
        if self._books.wanted:
            self._books.enter(reply)

    # ---- the end

    async def close(self) -> None:
        await super().close()
        await self._site.close()
        await asyncio.sleep(0)  # the upstreams' transports, too
        self._books.close()
        if self._books.log is not None:
            await self._books.log.close()
