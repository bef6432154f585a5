"""What must hold after every step of a simulation, whatever goes wrong."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from switchgear.stores.operations import MAX_ORDERS, Lease, Operation, Override, Reset, Transition
from switchgear.stores.record import Record

if TYPE_CHECKING:
    from tests.simulation.network import StoreServer
    from tests.simulation.process import SimulatedProcess

LEGAL = {("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed")}


@dataclass(frozen=True)
class Flight:
    """A probe on its way: `ends` with its lease."""

    process: str
    generation: int
    history: int
    ends: float


@dataclass
class Invariants:
    """Watches the store's record, the mirrors and the calls in flight."""

    server: StoreServer
    half_open_max: int
    success_threshold: int
    flights: dict[object, Flight] = field(default_factory=dict)
    successes: Counter[int] = field(default_factory=Counter)
    """Probes that have succeeded, by generation."""
    _last: tuple[int, Record] | None = None
    _obeyed: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=MAX_ORDERS))
    """The last orders of operators that had an effect, by the store's history."""
    _seen: dict[str, int] = field(default_factory=dict)

    def check_store(self, operation: Operation, record: Record) -> None:
        """After every operation at the store."""
        history = self.server.history
        last, self._last = self._last, (history, record)  # the mechanism changes no record, it makes new ones
        if last is None or last[0] != history:
            return
        before = last[1]
        assert record.generation >= before.generation, "a generation went back"
        if record.generation == before.generation:
            assert (record.state, record.change, record.override) == (
                before.state,
                before.change,
                before.override,
            ), "changed without a generation"
            return
        if isinstance(operation, Override | Reset) and record.change == operation.token:
            self._check_order(history, operation.token)
        else:
            self._check_decision(operation, before, record)

    def _check_order(self, history: int, token: str) -> None:
        assert (history, token) not in self._obeyed, "an order was obeyed twice"
        self._obeyed.append((history, token))

    def _check_decision(self, operation: Operation, before: Record, record: Record) -> None:
        restored = operation.known is not None and operation.known.generation > before.generation
        expired = 0 < before.override_until <= self.server.now_ms()
        if restored or (before.override and expired):
            return
        assert not before.override, f"{operation.name} changed it in spite of the override"
        if isinstance(operation, Transition):
            assert operation.expected == before.generation, "decided on what was no longer true"
        move = before.state, record.state
        if before.state != record.state:
            assert move in LEGAL, f"{move[0]} -> {move[1]} by surprise"
        if move == ("half-open", "closed"):
            succeeded = self.successes[before.generation]
            assert succeeded >= self.success_threshold, f"closed after {succeeded} successful probes"
        if move == ("open", "half-open"):
            assert isinstance(operation, Lease), f"half-open by {operation.name}"

    def check_leases(self, now: float) -> None:
        """After every call that was admitted."""
        alive = [f for f in self.flights.values() if f.history == self.server.history and f.ends > now]
        assert len(alive) <= self.half_open_max, f"{len(alive)} probes in flight: {alive}"

    def check_mirror(self, process: SimulatedProcess) -> None:
        """After everything that a process does."""
        generation = process.circuit._mirror.generation
        assert generation >= self._seen.get(process.name, 0), f"{process.name} went back a generation"
        self._seen[process.name] = generation
