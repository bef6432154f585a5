"""A circuit that calls go through: what every kind of circuit shares.

The healthy path reads two or three attributes and takes no lock:

- `era` is the permission that every call gets, or `None` when somebody has to be asked (`admit`);
- `calm` is that same object as long as a further success would change nothing, so that it need not be
  recorded;
- `tallied` is it as long as a further success would only be one more: `next(tally)` counts it. So it is where
  successes have to be told to others, now and then.

All are replaced whole and compared by identity, hence right without a GIL too. Where there is no `era`,
`blocked_until` is the moment before which there is nobody to ask: every call is rejected.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from switchgear.breaker.events import Listener, TransitionEvent
from switchgear.breaker.forks import watch
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, Leased, Outcome, Passed, Transition
from switchgear.breaker.outcome import Gist, describe
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState, ShadowCounts
from switchgear.clock import Clock
from switchgear.errors import CircuitOpenError

logger = logging.getLogger("switchgear")

CANCELLED_IN_A_ROW: Final = 20
CLOCKS_AGREE: Final = 0.1
"""Seconds by which the time of day may drift or be set before moments of the past get another date."""
_new_error: Final = CircuitOpenError.__new__
UNTIMED: Final = math.inf
"""The start of a call that nobody timed: never slow, also if its circuit begins to time calls meanwhile."""

Override = Literal[CircuitState.FORCED_OPEN, CircuitState.DISABLED]


@dataclass(frozen=True, slots=True)
class Shed:
    """A call that passes in shadow mode and that an enforcing circuit would have rejected."""

    generation: int


Grant = Passed | Leased | Shed


class Circuit:
    """What all circuits share; `admit`, `settle` and the operator's verbs are the kind's own."""

    __slots__ = (
        "__weakref__",
        "_acquire",
        "_cancelled",
        "_clock",
        "_last_failure",
        "_last_failure_at",
        "_listeners",
        "_lock",
        "_offset",
        "_reason",
        "_release",
        "_shadow",
        "_shed",
        "_slow_after",
        "blocked_until",
        "calm",
        "era",
        "familiar",
        "name",
        "now",
        "plain",
        "policy",
        "reads_results",
        "tallied",
        "tally",
        "timed",
    )

    tally: Iterator[int]
    """Of the kinds that are ever `tallied`: an `itertools.count`, which loses none between threads."""

    def __init__(self, name: str, policy: CircuitBreakerPolicy, clock: Clock) -> None:
        self.name = name
        self.era: Passed | None = None
        self.calm: Passed | None = None
        self.tallied: Passed | None = None
        self.blocked_until = -math.inf
        # The type of the last failure that `is_bare`. It says nothing of the policy, hence outlives it.
        self.familiar: type[BaseException] | None = None
        self._reason = ""
        self._clock = clock
        self.now: Callable[[], float] = clock.monotonic
        self._new_lock()
        self._listeners: tuple[Listener, ...] = ()
        self._last_failure: Gist | str | None = None
        self._last_failure_at: float | None = None
        self._offset = math.nan  # of the time of day, from the clock that only goes forward
        self._cancelled = 0
        self._shed = ShadowCounts()
        self._take_policy(policy)
        watch(self)

    def _new_lock(self) -> None:
        # Reentrant, since a finaliser (a permit thrown away, a generator abandoned) or a signal handler may
        # settle a call while its own thread is inside.
        self._lock = threading.RLock()
        self._acquire, self._release = self._lock.acquire, self._lock.release

    def _take_policy(self, policy: CircuitBreakerPolicy) -> None:
        self.policy = policy
        slow = policy.slow_call_duration
        self._slow_after = math.inf if slow is None else seconds(slow)
        self.timed = slow is not None
        self._shadow = policy.shadow
        self.reads_results = policy.failure_if is not None
        # Whether the type alone tells a failure: no predicate has to be asked.
        self.plain = policy.failure_on is Exception and not policy.ignore and policy.retry_after_from is None

    # ---- of the kind ----

    def admit(self) -> Grant:
        """Ask for a call; raises `CircuitOpenError`."""
        raise NotImplementedError

    def try_admit(self) -> Grant | None:
        """Like `admit`, but `None` where the answer would take a wait."""
        return self.admit()

    async def admit_async(self) -> Grant:
        """Like `admit`, but a wait does not block the event loop."""
        return self.admit()

    def ready(self, timeout: float) -> bool:
        """Have the shared state here, after at most `timeout` seconds."""
        return True

    async def ready_async(self, timeout: float) -> bool:  # noqa: ASYNC109  # the same as `ready` has
        """Like `ready`, without blocking the event loop."""
        return True

    def settle(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        error: BaseException | str | Gist | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Report how an admitted call ended. `started`: `now()` at its start, read only when `timed`."""
        raise NotImplementedError

    def succeed(self, grant: Grant, started: float) -> None:
        """Report a success: `settle` for the outcome that nearly every call has."""
        raise NotImplementedError

    def fail(self, grant: Grant, started: float, failure: Gist) -> None:
        """Report a failure: `settle` for one after which the upstream has asked for nothing."""
        raise NotImplementedError

    def snapshot(self) -> CircuitBreakerSnapshot:
        raise NotImplementedError

    def override(self, to: Override, reason: str, author: str | None, expires_in: float | None) -> None:
        raise NotImplementedError

    def release(self) -> None:
        """End an override."""
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        """Go on under another policy, of the same mode where a store is shared: that is part of the key."""
        self._take_policy(policy)

    def outdated(self, grant: Grant) -> bool:
        """Whether how this call ends is evidence no more: it was admitted in a generation that is over."""
        return False

    def due_since(self) -> float:
        """The `now()` since which a probe could have gone; infinity while none can, or none is needed."""
        return math.inf

    # ---- shared ----

    def refusal(self, retry_after: float | None, state: CircuitState = CircuitState.OPEN) -> CircuitOpenError:
        """The error of a rejected call."""
        # By `__new__`: the constructor only passes the fields on to it. And nothing is described twice.
        failure = self._last_failure
        text = self.last_failure if type(failure) is tuple else failure
        return _new_error(CircuitOpenError, self.name, state, retry_after, self._reason, text)

    @property
    def last_failure(self) -> str | None:
        """The last failure, as `Type: message`."""
        kept = self._last_failure
        if isinstance(kept, tuple):
            kept = self._last_failure = describe(kept)
        return kept

    @property
    def state(self) -> CircuitState:
        return self.snapshot().state

    def cancel(self, grant: Grant, started: float) -> Outcome:
        """Report that the caller gave up waiting: no evidence, unless it had waited longer than a slow call
        lasts.

        A dependency that hangs must open the circuit also when the timeout stands outside the guard. Returns
        what it was taken for.
        """
        waited = self.now() - started
        if waited > self._slow_after:
            text = f"cancelled after {waited:.3g} s (slow_call_duration is {self._slow_after:.3g} s)"
            self.settle(grant, FAILURE, started, text)
            return FAILURE
        self._count_cancelled()
        self.settle(grant, INCONCLUSIVE, started)
        return INCONCLUSIVE

    def _count_cancelled(self) -> None:
        with self._lock:
            self.calm = None  # the next success must come by, to end the row
            self._cancelled += 1
            due = self._cancelled == CANCELLED_IN_A_ROW
        if due:
            logger.warning(
                "circuit %s: %d calls in a row were cancelled and none of them counted; "
                "put the timeout inside the guarded call, "
                "or set slow_call_duration so that a call cancelled after it is a failure",
                self.name,
                CANCELLED_IN_A_ROW,
                extra={"circuit": self.name},
            )

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` at every transition; returns what ends that."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def stop() -> None:
            with self._lock:
                kept = list(self._listeners)
                if listener in kept:
                    kept.remove(listener)
                self._listeners = tuple(kept)

        return stop

    def _event(self, change: Transition, retry_after: float | None, own: bool = False) -> TransitionEvent:
        return TransitionEvent(
            name=self.name,
            from_state=change.from_state,
            to_state=change.to_state,
            generation=change.generation,
            rule=change.rule,
            reason=change.reason,
            last_failure=self.last_failure,
            retry_after=retry_after,
            at=self._clock.time(),
            author=change.author,
            shadow=self.policy.shadow,
            own=own,
        )

    def _epoch(self, moment: float | None) -> float:
        """A monotonic moment as people read it; 0.0 for never."""
        if moment is None:
            return 0.0
        # Kept while the two clocks agree: measured at each look, it would date one moment in many ways.
        offset = self._clock.time() - self._clock.monotonic()
        if not abs(offset - self._offset) < CLOCKS_AGREE:
            self._offset = offset
        return self._offset + moment

    def after_fork(self) -> None:
        """Make it usable in a forked child."""
        self._new_lock()
