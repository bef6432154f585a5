"""What sharing costs: in a call, at the server, in memory."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.shared.backends import Backend, fresh_key
from tests.shared.fleet import Fleet

from benchmarks.shared import load
from benchmarks.shared.bars import Line, at_least, at_most
from benchmarks.subjects import NEVER, function
from benchmarks.timing import timed, timed_async
from switchgear import CircuitBreaker, CircuitBreakerPolicy
from switchgear.stores import store_from_url
from switchgear.stores.sharing import release

WARM = 1.5
MEASURED = 4.0
CIRCUITS = 10_000
ROUNDS = 100
ENDS = ("success", "failure", "rejection")
COLOURS = ("sync", "async")
RULES: dict[str, dict[str, Any]] = {
    "failures in a row": {},
    "a window": {"window": 30},
    "full policy": {"failure_rate": 0.5, "slow_call_rate": 0.5, "slow_call_duration": 1},
}


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
    calls: dict[tuple[str, str, str, str], Callable[[], float]] = {}
    for rule, end, colour in itertools.product(RULES, ENDS, COLOURS):
        for where in ("memory", "mirror"):
            call = _prepared(rule, end, colour, store if where == "mirror" else None)
            measure = timed if colour == "sync" else timed_async
            calls[rule, end, colour, where] = partial(measure, call)
    rounds: dict[tuple[str, str, str, str], list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, measured in calls.items():
            rounds[name].append(measured())
    release(store)
    for rule, end, colour in itertools.product(RULES, ENDS, COLOURS):
        mine, memory = (
            statistics.quantiles(rounds[rule, end, colour, where])[0] for where in ("mirror", "memory")
        )
        what = f"{end}, {rule}, {colour}: {mine:.0f} ns mirrored, {memory:.0f} in memory"
        yield at_most(what, mine / memory, 1.5, "times")


def _prepared(rule: str, end: str, colour: str, store: object) -> Callable[[], Any]:
    fields = dict(RULES[rule], reset_timeout=86_400)
    if end == "rejection":
        fields["failure_threshold"] = 1
    elif "failure_rate" in fields:
        fields["minimum_calls"] = NEVER  # the rules are judged, and do not hold
    else:
        fields["failure_threshold"] = NEVER
    breaker = CircuitBreaker(fresh_key(), CircuitBreakerPolicy(**fields), store=store)
    breaker.ready(5)
    if end == "rejection":
        breaker.acquire().failure(ValueError("down"))
        deadline = time.monotonic() + 5
        while breaker.snapshot().generation < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    return breaker(function(end, colour))
