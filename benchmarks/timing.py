"""Nanoseconds per call, of calls that may raise."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

CALLS = 300  # so few that the scheduler seldom interrupts them, and only the thread's own time is counted


def timed(call: Callable[[], Any]) -> float:
    """Nanoseconds per call, the `try` of a caller that expects errors included."""
    begin = time.thread_time_ns()
    for _ in range(CALLS):
        try:  # `suppress` would cost more than what is measured  # noqa: SIM105  # `suppress` would cost more than what is measured
            call()
        except Exception:
            pass
    return (time.thread_time_ns() - begin) / CALLS


def timed_async(call: Callable[[], Awaitable[Any]]) -> float:
    """The same for a coroutine function that never waits: no event loop stands between."""

    async def loop() -> float:
        begin = time.thread_time_ns()
        for _ in range(CALLS):
            try:  # noqa: SIM105
                await call()
            except Exception:
                pass
        return (time.thread_time_ns() - begin) / CALLS

    return run_to_end(loop())


def run_to_end(coroutine: Any) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the coroutine waited")
