"""Stores as this process sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from weakref import WeakKeyDictionary

from switchgear.metrics.families import Sample
from switchgear.stores.home import Home
from switchgear.stores.mirrored import MirroredCircuit
from switchgear.stores.protocol import CircuitBreakerStore
from switchgear.stores.sharing import home_of


class _Dropped:
    """Sums up what circuits have dropped, those included that are no more: a counter must not go back."""

    def __init__(self) -> None:
        self.total = 0
        self._seen: WeakKeyDictionary[MirroredCircuit, int] = WeakKeyDictionary()

    def look(self, circuits: Iterable[MirroredCircuit]) -> int:
        for circuit in circuits:
            dropped = circuit.dropped
            self.total += dropped - self._seen.get(circuit, 0)
            self._seen[circuit] = dropped
        return self.total


_DROPPED: Final[WeakKeyDictionary[Home, _Dropped]] = WeakKeyDictionary()


def store_samples(stores: Iterable[CircuitBreakerStore]) -> Iterator[Sample]:
    """What there is to tell of each store that breakers use."""
    homes = {home.store_name: home for home in map(home_of, stores) if home is not None}
    for name, home in homes.items():
        circuits = home.circuits
        yield "store_up", (name,), float(home.up)
        yield "store_staleness_seconds", (name,), max((c.staleness for c in circuits if c.used), default=0.0)
        yield "store_queue_depth", (name,), home.depth
        yield "store_outcomes_dropped", (name,), _DROPPED.setdefault(home, _Dropped()).look(circuits)
        for place, count in home.traffic.counts():
            yield "store_operations", (name, *place), count
        for place, durations in home.traffic.durations():
            yield "store_operation_duration_seconds", (name, *place), durations
