"""What seldom happens to a circuit: probes, results that come too late, slow calls.

It is counted as a library's user would have it counted, but only where there may be any: requests of a closed
circuit whose policy has no slow rule are asked nothing.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from switchgear.metrics.tally import CallTally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from switchgear import CircuitOpenError, Permit
    from switchgear.breaker.machine import Outcome
    from switchgear.gateway.circuits import Guard
    from switchgear.metrics.families import Sample

LINGERS: Final = 60.0
"""Seconds after a circuit has closed in which calls of before may still end."""
_TOLD: Final = frozenset(
    ("circuit_slow_calls", "circuit_probes_in_flight", "circuit_probe_leases", "circuit_late_results")
)


class Attention:
    """Of one circuit, at all places that it guards."""

    __slots__ = ("_always", "_calls", "_guards", "_until", "name", "paid")

    def __init__(self, name: str) -> None:
        self.name = name
        self.paid = False
        """Whether guards tell of every call."""
        self._always = False
        self._until = 0.0
        self._calls = CallTally()
        self._guards: WeakSet[Guard] = WeakSet()

    def join(self, guard: Guard, *, always: bool) -> None:
        """A guard of the circuit; `always`: its policy asks for slow calls."""
        self._guards.add(guard)
        self._always = always
        self.paid = self.paid or always
        guard.attend(paid=self.paid)

    def pay(self) -> None:
        """The circuit is not closed."""
        self._until = monotonic() + LINGERS
        if not self.paid:
            self._turn(paid=True)

    def entered(self, guard: Guard, permit: Permit) -> None:
        """A call is permitted."""
        if permit.probe:
            self.pay()
            self._calls.probe_granted(_token(permit), guard.expiry())
        elif not self._always and monotonic() >= self._until and guard.closed:
            self._turn(paid=False)

    def rejected(self, error: CircuitOpenError) -> None:
        self.pay()
        self._calls.rejected(error)

    def ended(self, permit: Permit, outcome: Outcome) -> None:
        """A call is about to be settled."""
        self._calls.ended(outcome, 0.0, permit.slow, permit.outdated)
        if permit.probe:
            self._calls.probe_settled(_token(permit))

    def samples(self) -> Iterator[Sample]:
        return (sample for sample in self._calls.samples(self.name) if sample[0] in _TOLD)

    def _turn(self, *, paid: bool) -> None:
        self.paid = paid
        for guard in self._guards:
            guard.attend(paid=paid)


def _token(permit: Permit) -> str:
    # Its own is the store's business; and nobody else has this one as long as the permit lives.
    return f"{id(permit):x}"
