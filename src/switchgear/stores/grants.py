"""What a mirror answers to a call, and what it shows to people."""

from __future__ import annotations

from dataclasses import dataclass

from switchgear.breaker.machine import Leased, Passed
from switchgear.breaker.state import CircuitState


@dataclass(frozen=True, slots=True)
class Admitted(Passed):
    """An ordinary call: of a generation of the shared circuit, and of one of this process's own machine."""

    own_generation: int


@dataclass(frozen=True, slots=True)
class OwnProbe(Leased):
    """A probe of the own machine, beside those that the store leases."""

    own_generation: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A probe is due and the store has to be asked for its lease, with this token."""

    token: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides over the next call."""

    state: CircuitState
    reason: str
    retry_after: float | None
    own: bool = False
    """Whether only this process's own evidence holds it open."""
