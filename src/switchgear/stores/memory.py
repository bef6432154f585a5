"""Circuits in the memory of this process.

No pump and no mirror: breakers of one store and key use one circuit, under its lock, and see each other at
once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from weakref import WeakSet

from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.local import LocalCircuit
from switchgear.breaker.machine import FAILURE, SUCCESS, Machine, Result, Transition
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.clock import SYSTEM_CLOCK, Clock
from switchgear.stores.protocol import checked_key, checked_target


class RecordCircuit(LocalCircuit):
    """A circuit that is also a store's record: the five methods write it, with or without a breaker."""

    __slots__ = ()

    def __init__(self, key: str, clock: Clock) -> None:
        super().__init__(key, CircuitBreakerPolicy(), clock, machine=Machine(None, clock.monotonic()))

    def adopt(self, name: str, policy: CircuitBreakerPolicy) -> None:
        """Serve a breaker: from now on its policy decides."""
        self.name = name
        self.adopt_policy(policy)

    def count(self, failed: bool) -> CircuitBreakerSnapshot:
        """Count an outcome that no permit stands for."""

        def act(now: float) -> Transition | None:
            if failed:
                self._last_failure_at = now
            return self._machine.count(Result(FAILURE if failed else SUCCESS), now)

        self._operate(act)
        return self.snapshot()

    def put(self, to: CircuitState) -> CircuitBreakerSnapshot:
        """Set the state, whatever it is."""
        self._operate(lambda now: self._machine.put(to, now))
        return self.snapshot()


@dataclass(slots=True)
class _Entry:
    circuit: RecordCircuit
    users: WeakSet[object] = field(default_factory=WeakSet[object])  # breakers: while there are any, it stays


class InMemoryCircuitBreakerStore:
    """Keeps circuits in memory, at most `limit` of them that no breaker uses (the least recently used goes
    first).

    For one process: several breakers, threads and event loops may share it.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, limit: int = 100_000) -> None:
        self._clock = clock
        self._limit = limit
        self._lock = ForkableLock()
        self._entries: dict[str, _Entry] = {}

    # ---- the five methods ----

    async def get_state(self, key: str) -> CircuitBreakerSnapshot:
        entry = self._entries.get(checked_key(key))
        return entry.circuit.snapshot() if entry else CircuitBreakerSnapshot(state=CircuitState.CLOSED)

    async def record_success(self, key: str) -> CircuitBreakerSnapshot:
        return self._entry(key).circuit.count(failed=False)

    async def record_failure(self, key: str) -> CircuitBreakerSnapshot:
        return self._entry(key).circuit.count(failed=True)

    async def transition(self, key: str, to: CircuitState) -> CircuitBreakerSnapshot:
        return self._entry(key).circuit.put(checked_target(to))

    async def reset(self, key: str) -> None:
        entry = self._entries.get(checked_key(key))
        if entry is not None:
            entry.circuit.reset()

    async def aclose(self) -> None:
        """Nothing to close; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def clear(self) -> None:
        """Reset every circuit; those that no breaker uses are forgotten."""
        with self._lock:
            used = {key: entry for key, entry in self._entries.items() if entry.users}
            everything, self._entries = list(self._entries.values()), used
        for entry in everything:
            entry.circuit.reset()

    # ---- for breakers ----

    def claim(self, user: object, key: str, name: str, policy: CircuitBreakerPolicy) -> LocalCircuit:
        """The circuit of `key`, for a breaker; `ValueError` when another uses it under another policy."""
        entry = self._entry(key)
        with self._lock:
            if entry.users and entry.circuit.policy != policy:
                raise ValueError(
                    f"circuit {key!r} has another policy in this process: {entry.circuit.policy}"
                )
            if not entry.users:
                entry.circuit.adopt(name, policy)
            entry.users.add(user)
        return entry.circuit

    def _entry(self, key: str) -> _Entry:
        checked_key(key)
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                entry = _Entry(RecordCircuit(key, self._clock))
                self._make_room()
            self._entries[key] = entry  # the end of the dict: used last
            return entry

    def _make_room(self) -> None:
        if len(self._entries) >= self._limit:
            oldest = next((key for key, entry in self._entries.items() if not entry.users), None)
            if oldest is not None:
                del self._entries[oldest]
