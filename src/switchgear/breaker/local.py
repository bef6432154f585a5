"""The circuit of one process alone: a machine under a lock."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from switchgear.breaker.circuit import Circuit, Grant, Override, Shed, rejection
from switchgear.breaker.events import DISPATCHER, log_transition
from switchgear.breaker.machine import (
    FAILURE,
    FORCED_OPEN,
    INCONCLUSIVE,
    OPEN,
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
from switchgear.breaker.outcome import LONGEST_KEPT, Gist, describe, gist
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.rules import judge
from switchgear.breaker.state import CircuitBreakerSnapshot
from switchgear.breaker.window import Counts, RollingWindow, Run
from switchgear.clock import Clock


class LocalCircuit(Circuit):
    """A circuit of this process alone: a machine under a lock."""

    __slots__ = (
        "_blocked_until",
        "_busy",
        "_changed_at",
        "_counts",
        "_counts_all",
        "_deferred",
        "_machine",
        "_rest",
    )

    def __init__(
        self, name: str, policy: CircuitBreakerPolicy, clock: Clock, *, machine: Machine | None = None
    ) -> None:
        """`machine`: the record of a store in this process, whose every success is then counted."""
        super().__init__(name, policy, clock)
        now = self.now()
        self._counts_all = machine is not None
        self._machine = machine or Machine(policy, now)
        self._changed_at: float | None = None
        self._blocked_until = -math.inf  # monotonic: until then every call is rejected, no question asked
        self._counts: Counts = Run()  # of the era
        self._rest: Passed | None = None  # the era, if successes need no counting while the run is 0
        self._busy = False  # whether the lock's holder is changing something
        self._deferred: deque[tuple[Grant, Outcome, float, str | None, float | None]] = deque()
        self._publish()

    # ---- calls ----

    def admit(self) -> Grant:
        now = self.now()
        wait = self._blocked_until - now
        if wait > 0:
            raise rejection(self.name, OPEN, wait, self._machine.reason, self.last_failure)
        self._settle_deferred()
        with self._inside():
            answer, change = self._machine.admit(now, _token())
            told = self._told(change, now)
            state, reason, generation = self._machine.state, self._machine.reason, self._machine.generation
        told()
        if not isinstance(answer, Rejected):
            return answer
        if self.policy.shadow:
            return Shed(generation)
        raise rejection(self.name, state, answer.retry_after, reason, self.last_failure)

    def settle(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        error: BaseException | str | None = None,
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

    def succeed(self, grant: Grant, started: float) -> None:
        now = self.now()
        acquire, leave = self._acquire, self._release
        slow = now - started > self._slow_after
        acquire()
        counts = self._counts
        if (
            type(counts) is RollingWindow
            and now < counts.edge
            and not (slow or counts.failures or counts.slow or self._busy)
            and grant is self.era
        ):
            counts.newest.calls += 1
            counts.calls += 1
            self._cancelled = 0
            leave()
            return
        leave()
        self.settle(grant, SUCCESS, started)

    def fail(self, grant: Grant, started: float, error: BaseException, text: str) -> None:
        now = self.now()
        failure = (type(error), text)
        plain = len(text) <= LONGEST_KEPT and not self._shadow  # there `settle` counts every failure
        acquire, leave = self._acquire, self._release
        acquire()
        counts = self._counts
        if (
            type(counts) is Run
            and (failures := counts.failures + 1) < counts.limit
            and grant is self.era
            and plain
            and not self._busy
        ):
            counts.failures = failures
            self._last_failure_at = now
            self._last_failure = failure
            self._cancelled = 0
            self.calm = None
            leave()
            return
        leave()
        self.settle(grant, FAILURE, started, error)

    def _count(
        self, outcome: Outcome, slow: bool, retry_after: float | None, now: float
    ) -> Callable[[], None]:
        """Take an ordinary call of this generation: nothing can have expired, no lease is given back."""
        self._cancelled = 0
        counts = self._counts
        if counts.add(now, outcome is FAILURE, slow) and judge(self.policy, counts) is not None:
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
                last_failure_time=self._epoch(self._last_failure_at, now),
                last_state_change=self._epoch(self._changed_at, now),
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
            self._machine.adopt_policy(policy, self.now())
            self._publish()  # a new era: calls under way come to `_settle_other`, and count as before

    def _operate(self, act: Callable[[float], Transition | None]) -> None:
        now = self.now()
        with self._inside():
            told = self._told(act(now), now)
        told()

    # ---- inside ----

    @contextmanager
    def _inside(self) -> Generator[None]:
        """Hold the lock, and have settlements wait that come from below, on this very thread."""
        with self._lock:
            outer, self._busy = self._busy, True
            try:
                yield
            finally:
                self._busy = outer

    def _defer(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        failure: Gist | None,
        retry_after: float | None,
    ) -> None:
        """Keep what a finaliser or a signal handler settles in the middle of a change that its own thread is
        making.

        Whoever asks this circuit next takes it: a lease given back before that would serve nobody.
        """
        text = None if failure is None else describe(failure)
        self._deferred.append((grant, outcome, started, text, retry_after))

    def _settle_deferred(self) -> None:
        while self._deferred:
            try:
                late = self._deferred.popleft()
            except IndexError:  # another thread was quicker
                return
            self.settle(*late)

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
        self._blocked_until = -math.inf
        if isinstance(phase, Closed) or (isinstance(phase, Disabled) and phase.expires is None):
            self.era = Passed(machine.generation)
            self._counts = phase.counts
            if self.policy.window is None and not self._counts_all and self.policy.failure_if is None:
                self._rest = self.era
        elif isinstance(phase, Open) and not self.policy.shadow:
            self._blocked_until = (
                phase.until
            )  # not `retry_after`: a lease that is out may be given back before its end
        self.calm = self._rest

    def after_fork(self) -> None:
        super().after_fork()
        # The thread that held the lock may have been between the machine's change and its publication.
        self._busy = False
        self._publish()


def _nothing() -> None:
    """No transition: nothing to tell."""


def _token() -> str:
    return f"{random.getrandbits(64):016x}"
