"""All counts of one gateway process, in places that outlive a reload."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from switchgear.gateway.metrics.attention import Attention
from switchgear.gateway.metrics.circuits import CircuitLog, circuit_samples
from switchgear.gateway.metrics.retries import RetryTally
from switchgear.gateway.metrics.tallies import UNMATCHED, CircuitTally, RouteTally, UpstreamTally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from switchgear import Switchgear
    from switchgear.gateway.config.model import GatewayConfig, Route
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.metrics.families import Sample
    from switchgear.stores import CircuitBreakerStore

AT_ONCE: Final = 200
"""Circuits and routes that are read before requests have their turn again."""


class Board:
    """The same name gives the same tally, before and after a reload."""

    def __init__(self, owner: Switchgear, store: CircuitBreakerStore | None = None) -> None:
        self._store = store
        self.log = CircuitLog(owner)
        self.unmatched = RouteTally(UNMATCHED)
        self._owner = owner
        self._routes: dict[str, RouteTally] = {}
        self._upstreams: dict[str, UpstreamTally] = {}
        self._retries: dict[str, RetryTally] = {}
        self._circuits: dict[str, CircuitTally] = {}
        self._attention: dict[str, Attention] = {}
        self._refusals: Counter[str] = Counter()

    def route(self, name: str) -> RouteTally:
        """Of a path; its methods share it."""
        return self._routes.setdefault(name, RouteTally(name))

    def upstream(self, name: str) -> UpstreamTally:
        return self._upstreams.setdefault(name, UpstreamTally(name))

    def retries(self, name: str) -> RetryTally:
        """Of a service that retries."""
        return self._retries.setdefault(name, RetryTally(name))

    def circuit(self, name: str) -> CircuitTally:
        return self._circuits.setdefault(name, CircuitTally(name))

    def attention(self, name: str) -> Attention:
        """Of a circuit: what seldom happens to it."""
        return self._attention.setdefault(name, Attention(name))

    def refused(self, error: FramingError) -> None:
        """A request that could not be read. The reasons are a closed list: the texts of the parser."""
        self._refusals[error.reason.lower().replace(" ", "_")] += 1
        self.unmatched.refused(error.status)

    def keep(self, config: GatewayConfig) -> None:
        """Forgets what a configuration does not name any more."""
        _keep(self._routes, {route.path.canonical for route in config.routes})
        services = {service.name for route in config.routes for service in route.services}
        _keep(self._upstreams, services)
        _keep(self._retries, services)
        circuits = set(circuit_keys(config.routes))
        _keep(self._attention, circuits)
        for gone in _keep(self._circuits, circuits):
            self.log.forget(gone)

    async def picture(self, more: Iterable[Sample] = ()) -> list[Sample]:
        """All samples; requests go on meanwhile."""
        out = [*more, *self.log.samples(), *self.unmatched.samples()]
        out += ((("http_bad_requests", (reason,), count)) for reason, count in self._refusals.items())
        tallies: list[RouteTally | UpstreamTally | RetryTally | CircuitTally | Attention] = [
            *self._routes.values(),
            *self._upstreams.values(),
            *self._retries.values(),
            *self._circuits.values(),
            *self._attention.values(),
        ]
        for number, tally in enumerate(tallies):
            out += tally.samples()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        for number, breaker in enumerate(list(self._owner)):
            out += circuit_samples(breaker.name, breaker.snapshot())
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return [*out, *self._of_store()]

    def _of_store(self) -> Iterable[Sample]:
        if self._store is None:
            return ()
        # Late: a gateway without a store needs neither mirror nor pump.
        from switchgear.metrics.stores import store_samples

        return store_samples([self._store])


def circuit_keys(routes: Iterable[Route]) -> Iterator[str]:
    """The keys of all circuits that a configuration has; some more than once."""
    for route in routes:
        circuits = [route.circuit]
        for service in route.services:
            circuits += [service.circuit, *(endpoint.circuit for endpoint in service.endpoints)]
        yield from (circuit.key for circuit in circuits if circuit is not None)


def _keep(tallies: dict[str, Any], names: set[str]) -> list[str]:
    gone = [name for name in tallies if name not in names]
    for name in gone:
        del tallies[name]
    return gone
