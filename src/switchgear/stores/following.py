"""The mirror of a circuit whose store can't lease probes: it is told what the own machine does, and listened
to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from switchgear.breaker.machine import (
    CLOSED,
    DISABLED,
    FAILURE,
    FORCED_OPEN,
    HALF_OPEN,
    OPEN,
    Backoff,
    HalfOpen,
    Open,
    Rejected,
    Result,
)
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.rules import Evidence, Rule
from switchgear.breaker.state import CircuitState
from switchgear.stores import operations as ops
from switchgear.stores.grants import Admitted, OwnProbe, Standing
from switchgear.stores.mirror import Mirror
from switchgear.stores.view import View

SETTABLE: Final = (CLOSED, OPEN, HALF_OPEN)


class FollowingMirror(Mirror):
    """A circuit that the own machine decides over; its states go to the store, and other processes' come from
    there.
    """

    __slots__ = ("_announcing", "_unsent")

    def __init__(self, policy: CircuitBreakerPolicy, now: float, draw: Callable[[], float]) -> None:
        super().__init__(policy, now, draw)
        self._unsent: CircuitState | None = None
        """What the own machine has done and the store has not been told."""
        self._announcing = False

    @property
    def generation(self) -> int:
        return self.own.generation

    @property
    def passes(self) -> bool:
        return self.own_passes

    def admit(self, now: float) -> Admitted | OwnProbe | Rejected:
        return self._admit_own(now)

    def standing(self, now: float) -> Standing:
        self._own_moved(self.own.expire(now))
        return Standing(self.own.state, self.own.reason, self.own.retry_after(now))

    def evidence(self, now: float) -> Evidence:
        return super().evidence(now) if self._pools else self.own.evidence(now)

    @property
    def _pools(self) -> bool:
        """Whether the store counts for all: every one keeps the run, only some a window."""
        windowed = self.view is not None and self.view.buckets > 0
        return self.own.state is not DISABLED and (self.policy.window is None or windowed)

    def due_since(self, now: float) -> float:
        return self.own.due_since(now)

    def lost(self, now: float) -> None:  # the own machine decides anyway
        self.up = False

    def _belongs(self, generation: int) -> bool:
        return generation == self.own.generation

    def _judge(self, result: Result, now: float) -> None:
        super()._judge(result, now)
        if self._listens:
            self._judge_pooled(result, 0, now)

    @property
    def _listens(self) -> bool:
        """Whether what the store has counted belongs to this closed period: nothing of ours is on its way."""
        silent = self._unsent is None and not self._announcing
        return silent and self.own.state is CLOSED and self._pools

    def reset(self, now: float) -> None:
        super().reset(now)
        self._unsent = None  # the store forgets the circuit: it need not be told its state

    # ---- the store ----

    def wishes(self) -> list[ops.Operation]:
        out = super().wishes()
        if self._unsent is not None and not self._announcing:
            out.append(self._announcement(self._unsent))
            self._unsent, self._announcing = None, True
        return out

    @property
    def restless(self) -> bool:
        return super().restless or (self._unsent is not None and not self._announcing)

    def requeue(self, operation: ops.Operation) -> None:
        if isinstance(operation, ops.Transition):
            self._announcing = False
            self._unsent = self._unsent or self._settable
        else:
            super().requeue(operation)

    def _answered(self, operation: ops.Operation, now: float) -> None:  # as its kind does
        if isinstance(operation, ops.Transition):
            self._announcing = False

    def _announcement(self, state: CircuitState) -> ops.Transition:
        phase = self.own.phase
        open_ms = round(phase.backoff.open_time * 1000) if isinstance(phase, Open) else None
        move = ops.Move(
            to=state.value, token=self.tokens.new(self.rule), why=self.own.reason, open_ms=open_ms
        )
        return ops.Transition(expected=0 if self.view is None else self.view.generation, move=move)

    def _moved_to(self, state: CircuitState, rule: Rule) -> None:
        super()._moved_to(state, rule)
        self.urgent = bool(self.ledger.buckets)
        if state in SETTABLE:
            self._unsent = state

    @property
    def _settable(self) -> CircuitState | None:
        return self.own.state if self.own.state in SETTABLE else None

    def _taken(self, view: View, now: float, changed: bool, came_back: bool) -> None:
        if self._unsent is not None or self._announcing or self.own.state in (FORCED_OPEN, DISABLED):
            return  # ours is on its way, or an operator's will is above it
        if changed and view.state != self.own.state:
            self._follow(view, now)
        elif self._listens:
            self._judge_pooled(Result(FAILURE), 0, now)

    def _follow(self, view: View, now: float) -> None:
        """Somebody else has changed it."""
        rest = self.policy.open_time(0)
        reason = view.why or f"{view.state} in the store"
        self.ledger.clear()
        match view.state:
            case "open":
                self.own.assume(Open(now + rest, Backoff(0, rest), view.run), reason, now)
            case "half-open":
                self.own.assume(HalfOpen(Backoff(0, rest), view.run), reason, now)
            case _:
                self.own.forget(now)
                self.own.reason = reason

    def forked(self) -> None:
        super().forked()
        self._announcing, self._unsent = False, None
