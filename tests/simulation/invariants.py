"""What must hold after every step of a simulation, whatever goes wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from switchgear.stores.operations import Operation, Transition
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
    _seen: dict[str, int] = field(default_factory=dict)

    def check_store(self, operation: Operation, record: Record) -> None:
        """After every operation at the store."""
        history = self.server.history
        last, self._last = self._last, (history, record.copy())
        if last is None or last[0] != history:
            return
        before = last[1]
        assert record.generation >= before.generation, "a generation went back"
        if record.generation == before.generation:
            assert (record.state, record.change) == (before.state, before.change), (
                "changed without a generation"
            )
            return
        if isinstance(operation, Transition):
            assert operation.expected == before.generation, "decided on what was no longer true"
        move = before.state, record.state
        if record.generation == before.generation + 1 and before.state != record.state:
            assert move in LEGAL, f"{move[0]} -> {move[1]} by surprise"
        if move == ("half-open", "closed"):
            succeeded = self.successes[before.generation]
            assert succeeded >= self.success_threshold, f"closed after {succeeded} successful probes"

    def check_leases(self, now: float) -> None:
        """After every call that was admitted."""
        alive = [f for f in self.flights.values() if f.history == self.server.history and f.ends > now]
        assert len(alive) <= self.half_open_max, f"{len(alive)} probes in flight: {alive}"

    def check_mirror(self, process: SimulatedProcess) -> None:
        """After everything that a process does."""
        generation = process.circuit._mirror.generation
        assert generation >= self._seen.get(process.name, 0), f"{process.name} went back a generation"
        self._seen[process.name] = generation
