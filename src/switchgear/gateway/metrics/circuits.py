"""Circuits as metrics and access log tell of them: their state now, and how they came to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from switchgear import CircuitState
from switchgear.breaker.rules import Rule
from switchgear.gateway.metrics.families import SEVERITY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from switchgear import CircuitBreakerSnapshot, Switchgear
    from switchgear.breaker.events import TransitionEvent
    from switchgear.gateway.metrics.families import Sample

_OVERRIDES: Final = (CircuitState.FORCED_OPEN, CircuitState.DISABLED)
_REJECTING: Final = (CircuitState.OPEN, CircuitState.FORCED_OPEN)
_OUTCOMES: Final = ("success", "failure", "inconclusive")


class CircuitLog:
    """Remembers the transitions of an owner's breakers.

    They are told on a thread of their own; single operations on a dict are all that happens there.
    """

    def __init__(self, owner: Switchgear) -> None:
        self.states: dict[str, str] = {}
        """By name, as of the last transition: a look at the circuit itself would cost its lock."""
        self.rejecting: set[str] = set()
        """Names of those that reject calls, as of then."""
        self._moves: Counter[tuple[str, str, str, str]] = Counter()
        self._moved_at: dict[str, float] = {}
        owner.on_transition(self._heard)

    def forget(self, name: str) -> None:
        self.states.pop(name, None)
        self.rejecting.discard(name)
        self._moved_at.pop(name, None)
        for move in [move for move in list(self._moves) if move[0] == name]:
            self._moves.pop(move, None)

    def samples(self) -> Iterator[Sample]:
        for move, count in list(self._moves.items()):
            yield "circuit_transitions", move, count
        for name, at in list(self._moved_at.items()):
            yield "circuit_transition_timestamp_seconds", (name,), at

    def _heard(self, event: TransitionEvent) -> None:
        self.states[event.name] = event.to_state.value
        if event.to_state in _REJECTING and not event.shadow:
            self.rejecting.add(event.name)
        else:
            self.rejecting.discard(event.name)
        if event.rule is not Rule.STORE:  # what another process decided is counted there
            self._moves[event.name, event.from_state.value, event.to_state.value, event.rule.value] += 1
        self._moved_at[event.name] = event.at


def circuit_samples(name: str, now: CircuitBreakerSnapshot) -> Iterator[Sample]:
    """A circuit at this moment."""
    # As a number, which the processes' views can be compared by; it is published as one series a state.
    yield "circuit_state", (name,), float(SEVERITY.index(now.state))
    yield "circuit_window_calls", (name,), float(now.call_count)
    yield "circuit_window_failures", (name,), float(now.failure_count)
    if now.retry_after is not None:
        yield "circuit_retry_after_seconds", (name,), now.retry_after
    for override in _OVERRIDES:
        yield "circuit_override", (name, override.value), float(now.state is override)
    if now.shadow:
        for outcome in _OUTCOMES:
            rejected: int = getattr(now.would_have_rejected, outcome)
            yield "circuit_shadow_rejections", (name, outcome), rejected
