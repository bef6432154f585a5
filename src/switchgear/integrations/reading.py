"""The second half of a guarded HTTP request: the head of its answer, and its body."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

from switchgear import CircuitBreaker, CircuitOpenError, Permit
from switchgear.breaker.outcome import asked_for
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.clock import SYSTEM_CLOCK
from switchgear.integrations.guarding import Guard


def decided_by_head(permit: Permit, policy: CircuitBreakerPolicy, response: object, status: int) -> bool:
    """Report a response that its head decides over: a failure, or a change of protocol, which has no body.

    Returns whether it does. What the policy's functions raise counts as a failure and goes through.
    """
    try:
        text = _failure(policy, response, status)
        wait = None if text is None else asked_for(policy.retry_after_from, response)
    except BaseException as wrong:
        permit.failure(wrong)
        raise
    if text is not None:
        permit.failure(text, retry_after=wait)
    elif status == 101:
        permit.success()
    return text is not None or status == 101


def _failure(policy: CircuitBreakerPolicy, response: object, status: int) -> str | None:
    if policy.failure_statuses is not None and status in policy.failure_statuses:
        return f"status {status}"
    if policy.failure_if is not None and policy.failure_if(response):
        return f"status {status}: failure_if says that it is a failure"
    return None


class Reading:
    """A call whose answer had a good head, and whose body decides.

    `with reading:` goes around each wait for a piece; an error in there is the call's end. Otherwise it ends
    by `ended()`, the first time.

    A body that is not read to its end, by choice, is a success: the service answered as long as it was asked
    to. It can't be no evidence, since then a probe whose answer is never read would not close the circuit.
    """

    def __init__(
        self,
        guard: Guard[Any, Any],
        breaker: CircuitBreaker,
        permit: Permit,
        now: Callable[[], float] = SYSTEM_CLOCK.monotonic,
    ) -> None:
        self._permit = permit
        self._guard = guard
        self._breaker = breaker
        self._now = now
        # A probe's place is lost after `probe_timeout`, and then its result counts for nothing: with streams
        # that last longer the circuit would never close. One that flows for half that time is good.
        patience = seconds(breaker.policy.probe_timeout) / 2
        self._good_at = now() + patience if permit.probe else None
        self._spent = False
        permit.pause()
        # Of a response that is thrown away, such as one of which only the status was wanted. No `__del__`:
        # responses sit in cycles, whose parts are finalised in any order, and the permit could come first.
        weakref.finalize(self, permit.success).atexit = False

    def __enter__(self) -> None:
        self._permit.resume()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._broke(error)
            return
        self._permit.pause()
        if self._good_at is not None and self._now() >= self._good_at:
            self._good_at = None
            self._spent = True
            self._permit.success()

    def ended(self) -> None:
        """The whole body has come, or its reader wants no more of it."""
        self._permit.success()

    def _broke(self, error: BaseException) -> None:
        if not self._spent:
            self._guard.raised(self._permit, error)
            return
        # The permit is spent: this is one more failure. While open there is nothing to add, and no store is
        # asked for a lease for this.
        self._spent = False
        with contextlib.suppress(CircuitOpenError):
            permit = self._breaker.try_acquire()
            if permit is not None:
                self._guard.raised(permit, error)
