"""The states of a circuit, and the picture of one that users read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class CircuitState(StrEnum):
    """The state that decides over calls; the last two are an operator's overrides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    FORCED_OPEN = "forced-open"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """Calls that a shadow circuit let through and an enforcing one would have rejected, by how they ended.

    Only calls that have ended count. The counts are of this process, since the breaker was made.
    """

    success: int = 0
    failure: int = 0
    inconclusive: int = 0
    all_failures: int = 0
    """All calls that failed: those that would have been rejected, and those that would not."""

    @property
    def rejections(self) -> int:
        """Calls that would have been rejected."""
        return self.success + self.failure + self.inconclusive

    @property
    def precision(self) -> float | None:
        """The share of would-be rejections that in truth failed; `None` when there were none."""
        return share(self.failure, self.rejections)

    @property
    def recall(self) -> float | None:
        """The share of all failures that rejections would have avoided; `None` when nothing failed."""
        return share(self.failure, self.all_failures)

    def plus(self, outcome: str, *, shed: bool) -> ShadowCounts:
        """One more call, by the name of its outcome. `shed`: it would have been rejected."""
        counts = self
        if outcome == "failure":
            counts = replace(self, all_failures=self.all_failures + 1)
        return replace(counts, **{outcome: getattr(counts, outcome) + 1}) if shed else counts


def share(part: int, whole: int) -> float | None:
    """A part of a whole; `None` of nothing."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerSnapshot:
    """A circuit at one moment."""

    state: CircuitState
    failure_count: int = 0
    """With a window the failures inside it, otherwise the run of consecutive failures."""
    call_count: int = 0
    """With a window the calls inside it, otherwise 0: a run of failures needs no count of calls."""
    success_count: int = 0
    """Successes since the last state change (a private breaker that counts a run need not count them)."""
    last_failure_time: float = 0.0
    """Seconds since the epoch, 0.0 for never."""
    last_state_change: float = 0.0
    """Seconds since the epoch, 0.0 for never."""
    generation: int = 1
    """Grows at every state change."""
    retry_after: float | None = 0.0
    """Seconds to the next possible probe; `None` when forced open without an expiry."""
    age: float = 0.0
    """Seconds since the store last confirmed this picture; 0.0 without a store."""
    reason: str = ""
    """Why the last transition happened: rule and numbers, or who overrode it and why."""
    last_failure: str | None = None
    """The last failure, as `Type: message`."""
    shadow: bool = False
    """Whether nothing is rejected: `state` is then what it would be."""
    would_have_rejected: ShadowCounts = ShadowCounts()
    """In shadow mode: the calls that would have been rejected, beside all that failed."""
    own: bool = False
    """Whether only this process's own evidence holds the circuit open."""
    limits: tuple[str, ...] = ()
    """Guarantees that hold per process only, since the store cannot give them (`leases`, `fencing`, ...)."""
