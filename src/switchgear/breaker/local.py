"""The circuit of one process alone: a machine under a lock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from switchgear.breaker.circuit import Grant, Override, Shed
from switchgear.breaker.deferring import DeferringCircuit
from switchgear.breaker.events import DISPATCHER, log_transition
from switchgear.breaker.machine import (
    FAILURE,
    FORCED_OPEN,
    INCONCLUSIVE,
    SUCCESS,
    Closed,
    Disabled,
    Machine,
    Open,
    Outcome,
    Passed,
    Rejected,
    Result,
    Transition,
)
from switchgear.breaker.outcome import Gist, gist
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitBreakerSnapshot
from switchgear.breaker.window import Counts, RollingWindow, Run
from switchgear.clock import Clock


class LocalCircuit(DeferringCircuit):
    """A circuit of this process alone: a machine under a lock."""

    __slots__ = ("_changed_at", "_counts", "_counts_all", "_machine", "_rest")

    def __init__(
        self, name: str, policy: CircuitBreakerPolicy, clock: Clock, *, machine: Machine | None = None
    ) -> None:
        """`machine`: the record of a store in this process, whose every success is then counted."""
        super().__init__(name, policy, clock)
        now = self.now()
        self._counts_all = machine is not None
        self._machine = machine or Machine(policy, now)
        self._changed_at: float | None = None
        self._counts: Counts = Run()  # of the era
        self._rest: Passed | None = None  # the era, if successes need no counting while the run is 0
        self._publish()

    # ---- calls ----

    def admit(self) -> Grant:
        now = self.now()
        wait = self.blocked_until - now
        if wait > 0:
            raise self.refusal(wait)
        self._settle_deferred()
        with self._inside():
            answer, change = self._machine.admit(now, _token())
            told = self._told(change, now)
            state, generation = self._machine.state, self._machine.generation
        told()
        if not isinstance(answer, Rejected):
            return answer
        if self.policy.shadow:
            return Shed(generation)
        raise self.refusal(answer.retry_after, state)

    def settle(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        error: BaseException | str | Gist | None = None,
        retry_after: float | None = None,
    ) -> None:
        now = self.now()
        slow = now - started > self._slow_after
        failure = None if error is None else gist(error)
        self._acquire()  # not `with`: that costs twice as much
        if self._busy:
            self._defer(grant, outcome, started, failure, retry_after)
            self._release()
            return
        self._busy = True
        try:
            if outcome is FAILURE:
                self._last_failure_at = now
                self._last_failure = failure or self._last_failure
            if self._shadow:
                self._shed = self._shed.plus(outcome, shed=isinstance(grant, Shed))
            if grant is not self.era or outcome is INCONCLUSIVE:
                told = self._settle_other(grant, Result(outcome, slow, retry_after, self._draw()), now)
            else:
                told = self._count(outcome, slow, retry_after, now)
        finally:
            self._busy = False
            self._release()
        told()

    # The next two are `settle` for what nearly every call ends with, as long as no rule can hold: the same
    # without all that such a call has no use for, and with the counting in place. It is half of the price of
    # a call. Between taking the lock and giving it back nothing is called, hence nothing can come in between.
    # And what a slot holds is called through a local: CPython takes `self.now()` for a method that it looks
    # for in vain, each time anew.

    def succeed(self, grant: Grant, started: float) -> None:
        clock, acquire, leave = self.now, self._acquire, self._release
        now = clock()
        slow = now - started > self._slow_after
        acquire()
        counts = self._counts
        if (
            type(counts) is RollingWindow
            and counts.failures < counts.limit
            and now < counts.edge
            and not (slow or self._busy)
            and grant is self.era
        ):
            counts.newest.calls += 1
            counts.calls += 1
            self._cancelled = 0
            leave()
            return
        leave()
        self.settle(grant, SUCCESS, started)

    def fail(self, grant: Grant, started: float, failure: Gist) -> None:
        clock, acquire, leave = self.now, self._acquire, self._release
        now = clock()
        slow = self.timed and now - started > self._slow_after
        acquire()
        counts = self._counts
        failures = counts.failures + 1
        if (
            failures < counts.limit
            and now < counts.edge
            and not (slow or self._busy or self._shadow)  # in shadow mode `settle` counts every failure
            and grant is self.era
        ):
            counts.failures = failures
            if type(counts) is RollingWindow:
                bucket = counts.newest
                bucket.calls += 1
                bucket.failures += 1
                counts.calls += 1
            else:
                self.calm = None
            self._last_failure_at = now
            self._last_failure = failure
            self._cancelled = 0
            leave()
            return
        leave()
        self.settle(grant, FAILURE, started, failure)

    def _count(
        self, outcome: Outcome, slow: bool, retry_after: float | None, now: float
    ) -> Callable[[], None]:
        """Take an ordinary call of this generation: nothing can have expired, no lease is given back."""
        self._cancelled = 0
        counts = self._counts
        if counts.add(now, outcome is FAILURE, slow):
            change = self._machine.trip(Result(outcome, slow, retry_after, self._draw()), now)
            if change is not None:
                return self._told(change, now)
        self.calm = None if counts.failures else self._rest
        return _nothing

    def _settle_other(self, grant: Grant, result: Result, now: float) -> Callable[[], None]:
        """Take an outcome that is not just one more of this generation."""
        if result.outcome is not INCONCLUSIVE:
            self._cancelled = 0
        if isinstance(grant, Shed):
            return _nothing
        return self._told(self._machine.settle(grant, result, now), now)

    def _draw(self) -> float:
        return random.uniform(-1, 1) if self.policy.jitter else 0.0

    # ---- reading ----

    def snapshot(self) -> CircuitBreakerSnapshot:
        now = self.now()
        self._settle_deferred()
        with self._inside():
            told = self._told(self._machine.expire(now), now)
            machine = self._machine
            evidence = machine.evidence(now)
            picture = CircuitBreakerSnapshot(
                state=machine.state,
                failure_count=evidence.failures,
                call_count=evidence.calls,
                success_count=machine.successes,
                last_failure_time=self._epoch(self._last_failure_at),
                last_state_change=self._epoch(self._changed_at),
                generation=machine.generation,
                retry_after=machine.retry_after(now),
                reason=machine.reason,
                last_failure=self.last_failure,
                shadow=self.policy.shadow,
                would_have_rejected=self._shed,
            )
        told()
        return picture

    def outdated(self, grant: Grant) -> bool:
        return not isinstance(grant, Shed) and grant.generation != self._machine.generation

    def due_since(self) -> float:
        with self._inside():
            return self._machine.due_since(self.now())

    # ---- operator ----

    def override(self, to: Override, reason: str, author: str | None, expires_in: float | None) -> None:
        machine = self._machine
        verb = machine.force_open if to is FORCED_OPEN else machine.disable
        self._operate(lambda now: verb(now, reason=reason, author=author, expires_in=expires_in))

    def release(self) -> None:
        self._operate(self._machine.release)

    def reset(self) -> None:
        def forget(now: float) -> Transition:
            self._last_failure = self._last_failure_at = None
            self._cancelled = 0
            return self._machine.reset(now)

        self._operate(forget)

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        with self._inside():
            self._take_policy(policy)
            self._machine.adopt_policy(policy)
            self._publish()  # a new era: calls under way come to `_settle_other`, and count as before

    def _operate(self, act: Callable[[float], Transition | None]) -> None:
        now = self.now()
        with self._inside():
            told = self._told(act(now), now)
        told()

    # ---- inside ----

    def _told(self, change: Transition | None, now: float) -> Callable[[], None]:
        """Publish a change (the lock is held), and return what is left to do without the lock."""
        if change is None:
            return _nothing
        self._changed_at = now
        self._publish()
        event = self._event(change, self._machine.retry_after(now))
        delivery = DISPATCHER.post(event, self._listeners)

        def tell() -> None:
            log_transition(event)
            DISPATCHER.give_time(delivery)

        return tell

    def _publish(self) -> None:
        machine = self._machine
        phase = machine.phase
        self.era = self._rest = None
        self.blocked_until = -math.inf
        self._reason = machine.reason
        if isinstance(phase, Closed) or (isinstance(phase, Disabled) and phase.expires is None):
            self.era = Passed(machine.generation)
            self._counts = phase.counts
            if self.policy.window is None and not self._counts_all and self.policy.failure_if is None:
                self._rest = self.era
        elif isinstance(phase, Open) and not self.policy.shadow:
            # Not `retry_after`: a lease that is out may be given back before its end.
            self.blocked_until = phase.until
        # Evidence may have come along (another policy, a forked child): a success still has a run to end.
        self.calm = None if self._counts.failures or self._cancelled else self._rest

    def after_fork(self) -> None:
        super().after_fork()
        self._machine.forked()
        self._publish()  # the thread that held the lock may have been between a change and its publication


def _nothing() -> None:
    """No transition: nothing to tell."""


def _token() -> str:
    return f"{random.getrandbits(64):016x}"
