"""Retries with stamina that respect an open circuit: wait until its next probe, or give up at once.

    import stamina
    from switchgear.integrations.stamina import until_probe

    @stamina.retry(on=until_probe(OSError), attempts=5)
    @payments
    def charge(order): ...

The breaker stands inside the retry, so that each attempt is evidence and an open circuit ends the attempts.
Needs the extra `stamina`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import cast

from switchgear.errors import CircuitOpenError

__all__ = ["until_probe"]

Hook = Callable[[Exception], bool | float | timedelta]
"""What stamina's `on` takes: whether to retry, or how long to wait before that."""


def until_probe(
    on: type[Exception] | tuple[type[Exception], ...] | Hook = (),
    *,
    spread: float | timedelta = 1.0,
    longest: float | timedelta = 30.0,
) -> Hook:
    """A backoff hook: after a rejection it waits for `retry_after` and a random part of `spread` seconds.

    It gives up at once when that is more than `longest`, or unknown (forced open). stamina's own `timeout`
    (45 s if you set none) ends the attempts besides. Whether other errors are retried, and when, is said by
    `on`, as stamina's own `on` does. Raises `ValueError` for negative durations, `TypeError` for an `on` that
    is none.
    """
    spread_s, longest_s = _checked("spread", spread), _checked("longest", longest)
    others = _hook(on)

    def hook(error: Exception) -> bool | float | timedelta:
        if not isinstance(error, CircuitOpenError):
            return others(error)
        if error.retry_after is None or error.retry_after > longest_s:
            return False
        return error.retry_after + random.uniform(0, spread_s)

    return hook


def _hook(on: type[Exception] | tuple[type[Exception], ...] | Hook) -> Hook:
    types = cast("tuple[object, ...]", on if isinstance(on, tuple) else (on,))
    if all(isinstance(one, type) and issubclass(one, Exception) for one in types):
        wanted = cast("tuple[type[Exception], ...]", types)
        return lambda error: isinstance(error, wanted)
    if isinstance(on, type | tuple) or not callable(on):
        raise TypeError(f"on is an exception type, a tuple of them or a function, got {on!r}")
    return on


def _checked(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not seconds >= 0:  # NaN is not
        raise ValueError(f"{name} is at least 0 seconds, got {value!r}")
    return seconds
