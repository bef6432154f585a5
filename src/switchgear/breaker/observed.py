"""A circuit that tells of its calls: put in front of another one as long as somebody wants to know.

Nothing of this is on the path of a breaker that nobody observes. A counter in every circuit was left: the
healthy path would cost half as much again, for everybody, and most breakers are read at their transitions
only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Protocol

from switchgear.breaker.circuit import Circuit, Grant, Override, Shed
from switchgear.breaker.events import Listener, TransitionEvent
from switchgear.breaker.machine import FAILURE, SUCCESS, Leased, Outcome, Passed
from switchgear.breaker.off import OffCircuit
from switchgear.breaker.outcome import Gist
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.breaker.state import CircuitBreakerSnapshot
from switchgear.errors import CircuitOpenError

logger = logging.getLogger("switchgear")


class CallObserver(Protocol):
    """Is told of calls while they end, on their threads: it has to be quick, and to expect several at once.

    What it raises is logged, and the call goes on.
    """

    def ended(self, outcome: Outcome, seconds: float, slow: bool, late: bool) -> None:
        """A call that was made is over, after `seconds`.

        `slow`: it took longer than `slow_call_duration`. `late`: it was admitted in a generation that is
        over, so that it decides nothing.
        """
        ...

    def rejected(self, error: CircuitOpenError) -> None:
        """A call was not made."""
        ...

    def shed(self, outcome: Outcome) -> None:
        """In shadow mode: the call that has just ended would have been rejected."""
        ...

    def probe_granted(self, token: str, expired: Callable[[], bool]) -> None:
        """A call is a probe; `expired` tells whether its time is over."""
        ...

    def probe_settled(self, token: str) -> None:
        """A probe has ended, in time or not."""
        ...

    def moved(self, event: TransitionEvent) -> None:
        """The circuit changed its state. Called like any listener: on a thread of its own."""
        ...


def observed(circuit: Circuit, observers: tuple[CallObserver, ...]) -> Circuit:
    """`circuit` as `observers` see it, instead of those that it had; without any, itself."""
    while isinstance(circuit, ObservedCircuit):
        circuit = circuit.inner
    if isinstance(circuit, OffCircuit):
        return circuit  # breakers are off: nothing is counted
    for observer in observers:
        circuit = ObservedCircuit(circuit, observer)
    return circuit


class ObservedCircuit(Circuit):
    """`inner`, told to an observer. It keeps nothing by itself: there may be several for one circuit."""

    __slots__ = ("_observer", "_tell", "blocked_until", "inner")

    def __init__(self, inner: Circuit, observer: CallObserver) -> None:
        # Not the base's: there is no lock here, no policy, and nothing to see to after a fork.
        self.inner = inner
        self._observer = observer
        self._tell = observer.ended
        self.name = inner.name
        self.now = inner.now
        self.timed = True
        self.familiar = None
        self.calm = self.tallied = None  # no success goes by untold, and no rejection
        self.blocked_until = -math.inf

    # What may change from call to call is the inner one's.

    @property
    def era(self) -> Passed | None:  # type: ignore[override]  # nobody but a circuit itself sets it
        return self.inner.era

    @property
    def policy(self) -> CircuitBreakerPolicy:  # type: ignore[override]
        return self.inner.policy

    @property
    def plain(self) -> bool:  # type: ignore[override]
        return self.inner.plain

    @property
    def reads_results(self) -> bool:  # type: ignore[override]
        return self.inner.reads_results

    # ---- calls ----

    def admit(self) -> Grant:
        try:
            return self._granted(self.inner.admit())
        except CircuitOpenError as error:
            self._rejected(error)
            raise

    def try_admit(self) -> Grant | None:
        try:
            grant = self.inner.try_admit()
        except CircuitOpenError as error:
            self._rejected(error)
            raise
        return None if grant is None else self._granted(grant)

    async def admit_async(self) -> Grant:
        try:
            return self._granted(await self.inner.admit_async())
        except CircuitOpenError as error:
            self._rejected(error)
            raise

    def succeed(self, grant: Grant, started: float) -> None:
        inner = self.inner
        if inner.era is not grant:
            late = inner.outdated(grant)
            inner.succeed(grant, started)
            self._ended(grant, SUCCESS, started, late)
            return
        # What nearly every call ends with: `_ended` for an ordinary call of now.
        if inner.calm is not grant:
            inner.succeed(grant, started)
        spent = self.now() - started
        slow_after = inner.policy.slow_call_duration
        try:
            self._tell(
                SUCCESS, max(0.0, spent), slow_after is not None and spent > seconds(slow_after), False
            )
        except Exception:
            self._complain()

    def fail(self, grant: Grant, started: float, failure: Gist) -> None:
        late = self.inner.outdated(grant)
        self.inner.fail(grant, started, failure)
        self._ended(grant, FAILURE, started, late)

    def settle(
        self,
        grant: Grant,
        outcome: Outcome,
        started: float,
        error: Any = None,
        retry_after: float | None = None,
    ) -> None:
        late = self.inner.outdated(grant)
        self.inner.settle(grant, outcome, started, error, retry_after)
        self._ended(grant, outcome, started, late)

    def cancel(self, grant: Grant, started: float) -> Outcome:
        late = self.inner.outdated(grant)
        outcome = self.inner.cancel(grant, started)
        self._ended(grant, outcome, started, late)
        return outcome

    # ---- telling ----

    def _granted(self, grant: Grant) -> Grant:
        if isinstance(grant, Leased):
            now = self.now
            until = now() + seconds(self.inner.policy.probe_timeout)
            try:
                self._observer.probe_granted(grant.token, lambda: now() >= until)
            except Exception:
                self._complain()
        return grant

    def _rejected(self, error: CircuitOpenError) -> None:
        try:
            self._observer.rejected(error)
        except Exception:
            self._complain()

    def _ended(self, grant: Grant, outcome: Outcome, started: float, late: bool) -> None:
        observer = self._observer
        spent = max(0.0, self.now() - started)  # 0 for a call that nobody waited for when it ended
        slow_after = self.inner.policy.slow_call_duration
        try:
            self._tell(outcome, spent, slow_after is not None and spent > seconds(slow_after), late)
            if isinstance(grant, Leased):
                observer.probe_settled(grant.token)
            elif isinstance(grant, Shed):
                observer.shed(outcome)
        except Exception:
            self._complain()

    def _complain(self) -> None:
        logger.exception("circuit %s: an observer raised", self.name, extra={"circuit": self.name})

    # ---- everything else ----

    def ready(self, timeout: float) -> bool:
        return self.inner.ready(timeout)

    async def ready_async(self, timeout: float) -> bool:  # noqa: ASYNC109  # the same as `ready` has
        return await self.inner.ready_async(timeout)

    def snapshot(self) -> CircuitBreakerSnapshot:
        return self.inner.snapshot()

    def override(self, to: Override, reason: str, author: str | None, expires_in: float | None) -> None:
        self.inner.override(to, reason, author, expires_in)

    def release(self) -> None:
        self.inner.release()

    def reset(self) -> None:
        self.inner.reset()

    def adopt_policy(self, policy: CircuitBreakerPolicy) -> None:
        self.inner.adopt_policy(policy)

    def outdated(self, grant: Grant) -> bool:
        return self.inner.outdated(grant)

    def due_since(self) -> float:
        return self.inner.due_since()

    @property
    def last_failure(self) -> str | None:
        return self.inner.last_failure

    def listen(self, listener: Listener) -> Callable[[], None]:
        return self.inner.listen(listener)
