"""Retries with tenacity that respect an open circuit: wait until its next probe, or give up at once.

    from tenacity import retry, stop_after_attempt, wait_exponential
    from switchgear.integrations.tenacity import stop_if_open_longer_than, wait_until_probe

    @retry(
        wait=wait_until_probe(fallback=wait_exponential()),
        stop=stop_after_attempt(5) | stop_if_open_longer_than(10),
    )
    @payments
    def charge(order): ...

The breaker stands inside the retry, so that each attempt is evidence and an open circuit ends the attempts.
All of these are strategies of tenacity's own kinds, for sync and async code. Needs the extra `tenacity`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta

from tenacity import RetryCallState
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_none

from switchgear.errors import CircuitOpenError

__all__ = ["rejection_of", "retry_if_circuit_open", "stop_if_open_longer_than", "wait_until_probe"]

Seconds = float | timedelta


def rejection_of(state: RetryCallState) -> CircuitOpenError | None:
    """The rejection that the last attempt ended with, also one that another exception was raised from."""
    outcome = state.outcome
    error = outcome.exception() if outcome is not None and outcome.failed else None
    for _ in range(_DEEPEST):
        if error is None or isinstance(error, CircuitOpenError):
            return error
        error = error.__cause__
    return None


_DEEPEST = 10


class wait_until_probe(wait_base):  # named as tenacity names them  # noqa: N801
    """After a rejection: its `retry_after` and a random part of `spread` seconds, so that not all who wait
    come back at the same moment; at most `longest` seconds. After anything else: `fallback` (no wait).

    A rejection whose end nobody knows (forced open) waits `longest`. Raises `ValueError` for a duration that
    is negative, and for `longest` of 0.
    """

    def __init__(
        self,
        fallback: wait_base | Callable[[RetryCallState], float] | None = None,
        *,
        spread: Seconds = 1.0,
        longest: Seconds = 60.0,
    ) -> None:
        self.fallback = fallback or wait_none()
        self.spread = _checked("spread", spread)
        self.longest = _checked("longest", longest, at_least=1e-9)

    def __call__(self, retry_state: RetryCallState) -> float:
        rejection = rejection_of(retry_state)
        if rejection is None:
            return self.fallback(retry_state)
        if rejection.retry_after is None:
            return self.longest
        return min(self.longest, rejection.retry_after + random.uniform(0, self.spread))


class retry_if_circuit_open(retry_base):  # noqa: N801
    """Whether the last attempt was rejected; with `longest`, only for a circuit that may be probed within it.

    `retry_if_exception_type(OSError) | retry_if_circuit_open(10)` retries both.
    """

    def __init__(self, longest: Seconds = math.inf) -> None:
        self.longest = _checked("longest", longest)

    def __call__(self, retry_state: RetryCallState) -> bool:
        rejection = rejection_of(retry_state)
        return rejection is not None and not _longer(rejection, self.longest)


class stop_if_open_longer_than(stop_base):  # noqa: N801
    """Stops after a rejection whose `retry_after` is longer than `seconds`, or unknown (forced open).

    `seconds` bounds a single wait. With `total=True` it bounds the time since the first attempt: it stops as
    soon as the next probe would come later than that.
    """

    def __init__(self, seconds: Seconds, *, total: bool = False) -> None:
        self.seconds = _checked("seconds", seconds)
        self.total = total

    def __call__(self, retry_state: RetryCallState) -> bool:
        rejection = rejection_of(retry_state)
        if rejection is None:
            return False
        spent = retry_state.seconds_since_start or 0.0
        return _longer(rejection, self.seconds - (spent if self.total else 0.0))


def _longer(rejection: CircuitOpenError, seconds: float) -> bool:
    # An unknown end is longer than any time that somebody has set, but "as long as it takes" means that too.
    if rejection.retry_after is None:
        return seconds < math.inf
    return rejection.retry_after > seconds


def _checked(name: str, value: Seconds, at_least: float = 0.0) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not seconds >= at_least:  # NaN is not
        what = "over 0" if at_least else "at least 0"
        raise ValueError(f"{name} is {what} seconds, got {value!r}")
    return seconds
