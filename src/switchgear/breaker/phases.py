"""The states of a circuit: which event leads from one to another, and what is remembered in each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from switchgear.breaker.state import CircuitState
from switchgear.breaker.window import Counts

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
FORCED_OPEN, DISABLED = CircuitState.FORCED_OPEN, CircuitState.DISABLED


class Event(StrEnum):
    """What can move a circuit."""

    TRIP = "trip"  # a rule holds
    LEASE = "lease"  # the open time is over and a probe got a lease
    PROBE_FAILED = "probe failed"
    PROBES_OK = "probes ok"
    FORCE_OPEN = "force open"
    DISABLE = "disable"
    RELEASE = "release"  # an override ends, by hand or by its expiry
    RESET = "reset"
    SET_CLOSED = "set closed"  # a store's own `transition`, which asks no rule
    SET_OPEN = "set open"
    SET_HALF_OPEN = "set half-open"


_ALWAYS: Final = {
    Event.FORCE_OPEN: FORCED_OPEN,
    Event.DISABLE: DISABLED,
    Event.RESET: CLOSED,
    Event.SET_CLOSED: CLOSED,
    Event.SET_OPEN: OPEN,
    Event.SET_HALF_OPEN: HALF_OPEN,
}

TABLE: Final[dict[CircuitState, dict[Event, CircuitState]]] = {
    CLOSED: {**_ALWAYS, Event.TRIP: OPEN},
    OPEN: {**_ALWAYS, Event.LEASE: HALF_OPEN},
    HALF_OPEN: {**_ALWAYS, Event.PROBE_FAILED: OPEN, Event.PROBES_OK: CLOSED},
    # Someone who ends a forced-open wants to know first: a probe, not all traffic at once.
    FORCED_OPEN: {**_ALWAYS, Event.RELEASE: OPEN},
    DISABLED: {**_ALWAYS, Event.RELEASE: CLOSED},
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """What outlives the phases of one outage, so that a flapping service is given longer and longer rests."""

    rounds: int = 0
    open_time: float = 0.0


NO_BACKOFF: Final = Backoff()


@dataclass(slots=True)
class Closed:
    counts: Counts
    backoff: Backoff
    state = CLOSED


@dataclass(slots=True)
class Open:
    until: float
    backoff: Backoff
    failures: int  # that opened it: kept to be read until the circuit closes
    state = OPEN


@dataclass(slots=True)
class HalfOpen:
    backoff: Backoff
    failures: int
    successes: int = 0
    state = HALF_OPEN


@dataclass(slots=True)
class ForcedOpen:
    expires: float | None
    state = FORCED_OPEN


@dataclass(slots=True)
class Disabled:
    counts: Counts
    expires: float | None
    state = DISABLED


Phase = Closed | Open | HalfOpen | ForcedOpen | Disabled
