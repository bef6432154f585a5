"""A service as a route uses it, ready to be asked: circuit, endpoints, timeouts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from switchgear.gateway.circuits import Guard, guard_for
from switchgear.gateway.config.model import HeaderRules
from switchgear.gateway.http1.rules import FieldRules, compiled
from switchgear.gateway.metrics.retries import RetryTally
from switchgear.gateway.retrying import RetryBudget, RetryRule
from switchgear.gateway.suspicion import service_guard
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.tls import upstream_context
from switchgear.gateway.tunnel import Tunnel
from switchgear.gateway.upstream.attempt import Attempt
from switchgear.gateway.upstream.balancing import Balancer
from switchgear.gateway.upstream.endpoint import RuledEndpoint, UpstreamEndpoint
from switchgear.gateway.upstream.pool import Pool
from switchgear.gateway.upstream.resolver import Resolver

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterator, Sequence

    from switchgear.gateway.breakers import Breakers
    from switchgear.gateway.config.model import Endpoint, Limits, Retry, Service, Tls
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.metrics.tallies import UpstreamTally

_NO_RULES: Final = HeaderRules()


class Upstream:
    """A service of one route. `waits`: for an attempt's answer; `idle`: between bytes."""

    __slots__ = (
        "answer_rules",
        "balancer",
        "endpoint",
        "guard",
        "idle",
        "retry",
        "service",
        "tally",
        "waits",
    )

    def __init__(
        self,
        service: Service,
        guard: Guard | None,
        endpoints: Sequence[UpstreamEndpoint],
        waits: TimeoutQueue[Attempt],
        idle: TimeoutQueue[Attempt | Tunnel],
        retry: RetryRule | None,
        tally: UpstreamTally | None,
    ) -> None:
        self.service = service
        self.answer_rules: FieldRules | None = compiled(service.headers.response)
        self.tally = tally
        self.guard = guard
        self.waits = waits
        self.idle = idle
        self.retry = retry
        self.endpoint = endpoints[0]
        alone = len(endpoints) == 1 and self.endpoint.guard is None
        self.balancer = None if alone else Balancer(endpoints, service.balance, service.max_ejected)
        """`None`: there is no choice, and `endpoint` is the only one."""


class Upstreams:
    """Makes the upstreams of a gateway; one pool per origin and one queue per duration serve all of them.

    Raises `ValueError` when the certificates for TLS can't be read.
    """

    def __init__(
        self,
        breakers: Breakers,
        limits: Limits,
        tls: Tls | None = None,
        tally: Callable[[str], UpstreamTally | None] = lambda name: None,
        before: Upstreams | None = None,
        retry_tally: Callable[[str], RetryTally] = RetryTally,
    ) -> None:
        """`tally` and `retry_tally` give what measures a service by its name. Connections, addresses and
        budgets go on from `before`."""
        self._breakers = breakers
        self._tally = tally
        self._retry_tally = retry_tally
        self._endpoints: dict[tuple[str, str], UpstreamEndpoint] = {}
        self.limits = limits
        self._loop = asyncio.get_running_loop()
        self.resolver: Resolver = Resolver(self._loop) if before is None else before.resolver
        self.pools: dict[str, Pool] = {}
        self.budgets: dict[tuple[tuple[str, ...], float], RetryBudget] = {}
        self._earlier_pools: dict[str, Pool] = {}
        self._earlier_budgets = {} if before is None else before.budgets
        if before is not None and (before.limits.connect, before.tls) == (limits.connect, tls):
            self._earlier_pools = before.pools
        self._waits: dict[float, TimeoutQueue[Attempt]] = {}
        self._idle = TimeoutQueue[Attempt | Tunnel](self._loop, limits.idle, _expire)
        self.tls: Tls | None = tls
        self._context: ssl.SSLContext | None = None

    def make(self, service: Service, retry: Retry | None = None, outer: HeaderRules = _NO_RULES) -> Upstream:
        """`retry`: that of the route, which holds where the service says nothing; `outer`: the route's rules
        for requests."""
        rules = compiled(service.headers.request.within(outer))
        endpoints = [self._endpoint(endpoint, service.preserve_host, rules) for endpoint in service.endpoints]
        self._endpoints |= {(service.name, endpoint.origin): endpoint for endpoint in endpoints}
        return Upstream(
            service,
            service_guard(service, [each.guard for each in endpoints], self._breakers),
            endpoints,
            self._wait(service.timeout or self.limits.first_byte),
            self._idle,
            self._rule(service, service.retry or retry),
            self._tally(service.name),
        )

    def retire(self, successor: Upstreams) -> None:
        """Leaves the connections that the successor has not taken over, each when its request is answered."""
        for origin, pool in self.pools.items():
            if successor.pools.get(origin) is not pool:
                pool.retire()

    def samples(self, rejecting: Collection[str]) -> Iterator[Sample]:
        """`rejecting`: the keys of circuits that reject calls now."""
        for origin, pool in self.pools.items():
            yield "upstream_connections", (origin, "active"), pool.busy
            yield "upstream_connections", (origin, "idle"), pool.idle
        for place, endpoint in self._endpoints.items():
            rejects = endpoint.guard is not None and endpoint.guard.key in rejecting
            yield "upstream_endpoint_up", place, float(endpoint.pool.up and not rejects)

    async def close(self) -> None:
        """Drops all connections."""
        self._idle.close()
        for queue in self._waits.values():
            queue.close()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))
        await self.resolver.close()

    def _endpoint(
        self, endpoint: Endpoint, preserve_host: bool, rules: FieldRules | None
    ) -> UpstreamEndpoint:
        guard, pool = guard_for(endpoint.circuit, self._breakers), self._pool(endpoint)
        if rules is None:
            return UpstreamEndpoint(endpoint, pool, preserve_host, guard)
        return RuledEndpoint(endpoint, pool, preserve_host, guard, rules)

    def _pool(self, endpoint: Endpoint) -> Pool:
        pool = self.pools.get(endpoint.origin)
        if pool is None and (pool := self._earlier_pools.get(endpoint.origin)) is not None:
            self.pools[endpoint.origin] = pool
        if pool is None:
            tls = self._tls_context() if endpoint.scheme == "https" else None
            pool = self.pools[endpoint.origin] = Pool(
                endpoint.host, endpoint.port, tls, self.limits.connect, self.resolver
            )
        return pool

    def _wait(self, seconds: float) -> TimeoutQueue[Attempt]:
        queue = self._waits.get(seconds)
        if queue is None:
            queue = self._waits[seconds] = TimeoutQueue(self._loop, seconds, Attempt.expire)
        return queue

    def _rule(self, service: Service, retry: Retry | None) -> RetryRule | None:
        if retry is None:
            return None
        # What a budget protects is the service itself, whatever routes and names lead to it.
        key = (tuple(sorted({endpoint.origin for endpoint in service.endpoints})), retry.budget)
        budget = self._earlier_budgets.get(key) or RetryBudget(retry.budget)
        budget = self.budgets.setdefault(key, budget)
        return RetryRule(retry, budget, self._retry_tally(service.name))

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = upstream_context(self.tls)
        return self._context


def _expire(waiting: Attempt | Tunnel) -> None:
    waiting.expire()
