"""All circuits of an application at one moment, under few labels."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, Generic, TypeVar

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.family import OVERFLOW
from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.owner import Switchgear
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.metrics.families import Sample
from switchgear.metrics.tally import CallTally
from switchgear.stores.protocol import CircuitBreakerStore

ANY: Final = "*"
"""What stands for the key in the label of a family's circuits."""
OVERRIDES: Final = (CircuitState.FORCED_OPEN, CircuitState.DISABLED)

T = TypeVar("T", bound=CallTally)


class Census(Generic[T]):
    """Observes the breakers of `sources`, present and future, and tells what there is about them.

    A circuit's label is its name. Those of a family are one label, `host:*`, except for the names in
    `separate`; what overflows is `host:_other`. Circuits of one label are summed. `tally(label)` makes the
    counts of one.
    """

    def __init__(
        self,
        sources: Iterable[Switchgear | CircuitBreaker],
        tally: Callable[[str], T],
        separate: Collection[str] = (),
    ) -> None:
        if isinstance(separate, str):
            raise TypeError(f"separate is a collection of circuits' names, got the text {separate!r}")
        self._separate = frozenset(separate)
        self._make = tally
        self._lock = ForkableLock()
        self._tallies: dict[str, T] = {}
        self._owners: list[Switchgear] = []
        self._breakers: list[CircuitBreaker] = []
        self._stops: list[Callable[[], None]] = []
        for source in sources:
            self._add(source)

    def _add(self, source: Switchgear | CircuitBreaker) -> None:
        if isinstance(source, Switchgear):
            self._owners.append(source)
            self._stops.append(source.observe(lambda breaker, template: self._tally(breaker.name, template)))
            return
        if not isinstance(source, CircuitBreaker):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"what is observed is a Switchgear or a CircuitBreaker, got {source!r}")
        tally = self._tally(source.name, None)
        source.observe(tally)
        self._breakers.append(source)
        self._stops.append(lambda: source.unobserve(tally))

    def close(self) -> None:
        """Observe no more."""
        stops, self._stops = self._stops, []
        for stop in stops:
            stop()

    def samples(self) -> list[Sample]:
        """Everything, now. It takes every circuit's lock for a moment, one after the other."""
        known = set(self._tallies)  # before the look at the circuits: what comes meanwhile is not missing
        labels = _Labels()
        for template in self._templates():
            labels.add(template)
        for name, breaker in self._circuits():
            labels.add(name, breaker.snapshot())
        self._forget(known - labels.names)
        out = list(labels.samples())
        for name, tally in self.tallies():
            out += tally.samples(name)
        out += self._of_families()
        out += self._of_stores()
        out.append(("build_info", (_version(), platform.python_version()), 1.0))
        return out

    def tallies(self) -> list[tuple[str, T]]:
        """The counts by label."""
        with self._lock:
            return list(self._tallies.items())

    # ---- labels ----

    def label(self, name: str, template: str | None) -> str:
        """What a circuit is counted under."""
        if template is None or name in self._separate or name == template.replace("{}", OVERFLOW):
            return name
        return template.replace("{}", ANY)

    def _tally(self, name: str, template: str | None) -> T:
        label = self.label(name, template)
        with self._lock:
            known = self._tallies.get(label)
            if known is None:
                known = self._tallies[label] = self._make(label)
            return known

    def _forget(self, gone: set[str]) -> None:
        with self._lock:
            for label in gone:
                self._tallies.pop(label, None)

    def _templates(self) -> Iterator[str]:
        for owner in self._owners:
            for family in owner.families:
                yield family.template.replace("{}", ANY)

    def _circuits(self) -> Iterator[tuple[str, CircuitBreaker]]:
        for breaker in self._breakers:
            yield breaker.name, breaker
        for owner in self._owners:
            of_family: set[CircuitBreaker] = set()
            for family in owner.families:
                members = [*family, *([family.overflow] if family.overflow else [])]
                of_family.update(members)
                for breaker in members:
                    yield self.label(breaker.name, family.template), breaker
            for breaker in owner:
                if breaker not in of_family:
                    yield breaker.name, breaker

    # ---- besides circuits ----

    def _of_families(self) -> Iterator[Sample]:
        circuits: Counter[str] = Counter()
        overflow: Counter[str] = Counter()
        for owner in self._owners:
            for family in owner.families:
                circuits[family.template] += len(family)
                overflow[family.template] += family.overflowed
        for template, count in circuits.items():
            yield "registry_circuits", (template,), count
            yield "registry_overflow", (template,), overflow[template]

    def _of_stores(self) -> Iterator[Sample]:
        stores: list[CircuitBreakerStore] = []
        sources: list[Switchgear | CircuitBreaker] = [*self._owners, *self._breakers]
        for source in sources:
            if source.store is not None and not any(source.store is store for store in stores):
                stores.append(source.store)
        if stores:
            # Late: without a store neither mirror nor pump are needed.
            from switchgear.metrics.stores import store_samples

            yield from store_samples(stores)


class _Labels:
    """Circuits as they are now, summed by label."""

    def __init__(self) -> None:
        self._seen: dict[str, list[CircuitBreakerSnapshot]] = {}

    @property
    def names(self) -> set[str]:
        return set(self._seen)

    def add(self, label: str, *snapshots: CircuitBreakerSnapshot) -> None:
        self._seen.setdefault(label, []).extend(snapshots)

    def samples(self) -> Iterator[Sample]:
        for name, seen in self._seen.items():
            states = Counter(snapshot.state for snapshot in seen)
            for state in CircuitState:
                yield "circuit_state", (name, state.value), states[state]
            for override in OVERRIDES:
                yield "circuit_override", (name, override.value), states[override]
            yield "circuit_window_calls", (name,), sum(snapshot.call_count for snapshot in seen)
            yield "circuit_window_failures", (name,), sum(snapshot.failure_count for snapshot in seen)
            waits = [snapshot.retry_after for snapshot in seen if snapshot.retry_after is not None]
            if waits or not seen:  # nobody knows of one that is forced open without an end
                yield "circuit_retry_after_seconds", (name,), max(waits, default=0.0)


def _version() -> str:
    from switchgear import __version__

    return __version__
