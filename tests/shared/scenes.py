"""What eight processes go through, and the figures of it: tests and benchmark look at the same scenes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState, Permit
from switchgear.stores import store_from_url
from tests.shared import jobs
from tests.shared.backends import Backend, fresh_key, record_failure, state_of
from tests.shared.fleet import Fleet

SICK = 3


def eventually(condition: Callable[[], bool], seconds: float) -> float:
    """How long it took until `condition` was true; `TimeoutError` after `seconds`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.02)
    return time.monotonic() - begin


def admitted(breaker: CircuitBreaker) -> Permit:
    """A call of an open circuit, as soon as there is a probe for it.

    A call is rejected, too, while the store takes longer to lease one than a caller is held up for.
    """
    got: list[Permit] = []

    def ask() -> bool:
        with suppress(CircuitOpenError):
            got.append(breaker.acquire())
        return bool(got)

    eventually(ask, 30)
    return got[0]


def open_circuit(url: str, key: str) -> None:
    """As a process would that does nothing else."""

    async def work() -> None:
        async with store_from_url(url) as store:
            await store.transition(key, CircuitState.OPEN)

    asyncio.run(work())


def counted(fleet: Fleet, url: str, policy: CircuitBreakerPolicy, times: int, way: str = "") -> int:
    """What a fresh store reads after every member has failed so often, by another `way` if given."""
    key = fresh_key()
    fleet.each(jobs.fail, url=way or url, key=key, policy=policy, times=times)
    return state_of(url, key).failure_count


@dataclass(frozen=True)
class Death:
    """What happened when a dependency died."""

    reached: int
    spread: float
    """Seconds between the first process that rejects for good and the last."""
    all_reject: bool


def death(fleet: Fleet, url: str, policy: CircuitBreakerPolicy, times: int = 200) -> Death:
    """All calls of all members fail at once: so many of each, and more until all know."""
    everybody = tuple(range(len(fleet.processes)))
    tallies = fleet.each(
        jobs.traffic,
        url=url,
        key=fresh_key(),
        policy=policy,
        times=times,
        per_second=200,
        sick=everybody,
        until_rejected=True,
    )
    since = [tally.rejecting_since for tally in tallies]
    return Death(sum(tally.reached for tally in tallies), max(since) - min(since), all(since))


def probes(fleet: Fleet, url: str, limit: int, failing: float, seconds: float = 1.0) -> list[jobs.Probe]:
    """Every probe of all members while the circuit opens and half-opens, and never closes."""
    policy = CircuitBreakerPolicy(
        failure_threshold=5, reset_timeout=0.05, half_open_max=limit, success_threshold=10**6
    )
    key = fresh_key()
    open_circuit(url, key)
    each = fleet.each(jobs.probe, url=url, key=key, policy=policy, failing=failing, seconds=seconds)
    return [probe for probes in each for probe in probes]


def most_at_once(all_probes: Sequence[jobs.Probe]) -> int:
    """The greatest number of probes that were in flight together."""
    steps = sorted([(probe.begin, 1) for probe in all_probes] + [(probe.end, -1) for probe in all_probes])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def next_probe(url: str, lease: float) -> float:
    """Seconds from a probe whose process is killed to the next one."""
    policy = CircuitBreakerPolicy(failure_threshold=5, reset_timeout=0.05, probe_timeout=lease)
    key = fresh_key()
    open_circuit(url, key)
    with Fleet(2, 1) as pair:
        pair.begin(jobs.wait_for_probe, url=url, key=key, policy=policy)
        number, one = pair.first_news()
        pair.kill(number)
        # If this took longer than the lease, both have told, and it was the second one that was killed.
        (asked, _), (_, came) = sorted([one, pair.news(1 - number)])
        pair.stop()
        pair.end()
        return float(came - asked)


@dataclass(frozen=True)
class Sickness:
    """Shares of calls when one member's all fail."""

    others_served: float
    sick_rejected: float


def sickness(fleet: Fleet, url: str, policy: CircuitBreakerPolicy, times: int = 150) -> Sickness:
    tallies = fleet.each(
        jobs.traffic, url=url, key=fresh_key(), policy=policy, times=times, per_second=100, sick=(SICK,)
    )
    sick = tallies.pop(SICK)
    served = sum(tally.served for tally in tallies) / sum(tally.asked for tally in tallies)
    return Sickness(served, sick.rejected / sick.asked)


@dataclass(frozen=True)
class Outage:
    """What callers saw of a server that was killed and came back."""

    strange: list[str]
    slowest: float
    together: float
    """Seconds from the server's return until a change had reached every process."""


def outage(
    fleet: Fleet, backend: Backend, up: float = 1.0, down: float = 2.0, *, hang: bool = False
) -> Outage:
    """Kill the server (or have it hang) under traffic of all members, half of which is for a dead service."""
    healthy, dead = fresh_key(), fresh_key()
    policies = CircuitBreakerPolicy(), CircuitBreakerPolicy(failure_threshold=5, reset_timeout=0.2)
    fleet.begin(
        jobs.two_circuits, url=backend.url, healthy=healthy, dead=dead, policies=policies, per_second=100
    )
    time.sleep(up)
    (backend.server.pause if hang else backend.server.kill)()
    time.sleep(down)
    (backend.server.resume if hang else backend.server.restart)()
    back = time.monotonic()
    open_circuit(backend.url, healthy)
    pairs = fleet.end()
    tallies = [tally for pair in pairs for tally in pair]
    return Outage(
        [error for tally in tallies for error in tally.strange],
        max(tally.slowest for tally in tallies),
        max(well.rejecting_since for well, _ in pairs) - back,
    )


@dataclass(frozen=True)
class Rewind:
    """What became of an open circuit whose store has forgotten that it is open."""

    closed_for: int
    """Processes that admitted a call."""
    restored: float
    """Seconds until a fresh store read the old generation again."""


def rewind(fleet: Fleet, backend: Backend, *, older: bool) -> Rewind:
    """Open a circuit, and bring the server back as it was before: empty, or with the circuit still closed."""
    key = fresh_key()
    if older:
        record_failure(backend.url, key)
    backend.remember()
    fleet.begin(jobs.use_open, url=backend.url, key=key, policy=CircuitBreakerPolicy(reset_timeout=60))
    open_circuit(backend.url, key)
    for number in range(len(fleet.processes)):
        fleet.news(number)
    generation = state_of(backend.url, key).generation
    backend.server.kill()
    killed = time.monotonic()
    backend.go_back()

    def restored() -> bool:
        found = state_of(backend.url, key)
        return found.state is CircuitState.OPEN and found.generation == generation

    seconds = eventually(restored, 30)
    fleet.stop()
    return Rewind(sum(not 0 < tally.rejecting_since < killed for tally in fleet.end()), seconds)
