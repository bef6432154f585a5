"""What single processes do to be measured; sent to a `Fleet` like the scenes' jobs."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from tests.shared.fleet import Member

from switchgear import CircuitBreakerPolicy, Switchgear
from switchgear.stores.sharing import flush

FLUSHING = 180.0
"""Seconds, at most, to tell a store of all circuits for the first time."""
SAMPLED = 10
"""Of so many calls one is timed: to read the clock takes as long as a call."""


def nothing() -> None:
    """What is called."""


@dataclass(frozen=True)
class Race:
    """Calls as fast as one process can."""

    calls: int
    seconds: float
    overheads: list[int]
    """Nanoseconds of the timed calls beyond those of the bare one."""


async def race(member: Member, *, url: str, key: str, policy: CircuitBreakerPolicy, seconds: float) -> Race:
    """Healthy calls without a pause."""
    bare = sorted(_nanoseconds(nothing) for _ in range(10_000))[5_000]
    overheads: list[int] = []
    with member.breaker(url, key, policy) as breaker:
        guarded = breaker(nothing)
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            for _ in range(SAMPLED - 1):
                guarded()
            overheads.append(_nanoseconds(guarded) - bare)
        took = time.monotonic() - begin
    return Race(len(overheads) * SAMPLED, took, overheads)


def _nanoseconds(call: Callable[[], object]) -> int:
    begin = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begin


async def crowd(member: Member, *, url: str, circuits: int) -> None:
    """Use so many circuits once, tell what memory each takes, and be idle until told to stop."""
    gear = Switchgear()
    with gear.open(url) as store:
        gear.breaker("first").call(nothing)  # whatever is made once
        hosts = gear.breakers("host:{}", limit=circuits)
        tracemalloc.start()
        for number in range(circuits):
            hosts[str(number)].call(nothing)
        flush(store, FLUSHING)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        member.tell(memory / circuits)
        while not member.stopped:
            await member.pause(0.05)
