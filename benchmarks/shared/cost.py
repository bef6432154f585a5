"""What sharing costs: in a call, at the server, in memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from tests.shared.backends import Backend, fresh_key
from tests.shared.fleet import Fleet

from benchmarks.shared import load
from benchmarks.shared.bars import Line, at_least, at_most
from benchmarks.subjects import NEVER, broken, work
from benchmarks.timing import timed
from switchgear import CircuitBreaker, CircuitBreakerPolicy
from switchgear.stores import store_from_url
from switchgear.stores.sharing import release

WARM = 1.5
MEASURED = 4.0
CIRCUITS = 10_000
ROUNDS = 300
FULL = {"failure_rate": 0.5, "slow_call_rate": 0.5, "slow_call_duration": 1, "reset_timeout": 86_400}


def per_second(backend: Backend) -> float:
    """Commands or transactions at the server, over some seconds."""
    begin, before = time.monotonic(), backend.work()
    time.sleep(MEASURED)
    return (backend.work() - before) / (time.monotonic() - begin)


def speed(backend: Backend) -> Iterator[Line]:
    with Fleet(4, 0) as four:
        seconds = WARM + MEASURED + 1
        four.begin(
            load.race, url=backend.url, key=fresh_key(), policy=CircuitBreakerPolicy(), seconds=seconds
        )
        time.sleep(WARM)
        commands = per_second(backend)
        races: list[load.Race] = four.end()
    overheads = sorted(nanoseconds for race in races for nanoseconds in race.overheads)
    yield at_least(
        "healthy calls of 4 processes", sum(race.calls / race.seconds for race in races), 50_000, "/s"
    )
    yield at_most(f"{backend.unit} meanwhile", commands, 500, "/s")
    yield at_most("overhead of a call, p50", overheads[len(overheads) // 2] / 1000, 3, "us")
    yield at_most("p99", overheads[len(overheads) * 99 // 100] / 1000, 100, "us")


def idleness(backend: Backend) -> Iterator[Line]:
    for circuits in (1, CIRCUITS):
        with Fleet(1, 0) as one:
            one.begin(load.crowd, url=backend.url, circuits=circuits)
            memory: float = one.news(0, load.FLUSHING)
            time.sleep(WARM)
            commands = per_second(backend)
            connections = backend.connections()
            one.stop()
            one.end()
        what = "one circuit" if circuits == 1 else f"{circuits:,} circuits"
        yield at_most(f"{backend.unit} of an idle process, {what}", commands, 2, "/s")
        yield at_most("its connections", connections, 2)
        if circuits > 1:
            yield at_most("memory per circuit", memory / 1000, 4, "kB")


def mirrored(backend: Backend) -> Iterator[Line]:
    """All subjects in turn, in this process, as in `calls`."""
    store = store_from_url(backend.url)
    calls = {}
    for end in ("success", "failure", "rejection"):
        calls[end, "memory"] = _prepared(end, None)
        calls[end, "mirror"] = _prepared(end, store)
    rounds: dict[tuple[str, str], list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(timed(call))
    release(store)
    for end in ("success", "failure", "rejection"):
        mine, memory = (statistics.quantiles(rounds[end, where])[0] for where in ("mirror", "memory"))
        what = f"{end}, full policy: {mine:.0f} ns mirrored, {memory:.0f} in memory"
        yield at_most(what, mine / memory, 1.5, "times")


def _prepared(end: str, store: object) -> Callable[[], object]:
    minimum = 1 if end == "rejection" else NEVER
    breaker = CircuitBreaker(fresh_key(), CircuitBreakerPolicy(**FULL, minimum_calls=minimum), store=store)
    breaker.ready(5)
    if end == "rejection":
        breaker.acquire().failure(ValueError("down"))
        deadline = time.monotonic() + 5
        while breaker.state == "closed" and time.monotonic() < deadline:
            time.sleep(0.01)
    return breaker(broken if end == "failure" else work)
