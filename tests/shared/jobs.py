"""What the members of a fleet do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState
from tests.shared.fleet import Member

Policy = CircuitBreakerPolicy


class DeadError(Exception):
    """What a dependency answers that is dead."""


@dataclass
class Tally:
    """How the calls of one process went. Times are monotonic, which all processes of a machine share."""

    served: int = 0
    failed: int = 0
    rejected: int = 0
    strange: list[str] = field(default_factory=list)
    """Errors that no caller should see."""
    slowest: float = 0.0
    rejecting_since: float = 0.0
    """Of the last unbroken series of rejections; 0 when there is none."""

    @property
    def reached(self) -> int:
        return self.served + self.failed

    @property
    def asked(self) -> int:
        return self.reached + self.rejected

    async def call(self, member: Member, breaker: CircuitBreaker, fails: bool) -> None:
        """One call, which fails or does not."""
        begin = time.monotonic()
        try:
            permit = await member.acquire(breaker)
        except CircuitOpenError:
            self.rejected += 1
            self.rejecting_since = self.rejecting_since or time.monotonic()
        except Exception as error:
            self.strange.append(repr(error))
        else:
            self.rejecting_since = 0.0
            if fails:
                permit.failure(DeadError("dead"))
                self.failed += 1
            else:
                permit.success()
                self.served += 1
        self.slowest = max(self.slowest, time.monotonic() - begin)


async def fail(member: Member, *, url: str, key: str, policy: Policy, times: int) -> Tally:
    """So many failures, a few at a time."""
    tally = Tally()
    with member.breaker(url, key, policy) as breaker:
        for number in range(times):
            await tally.call(member, breaker, fails=True)
            if number % 20 == 0:
                await member.pause(0.02)
    return tally


async def traffic(
    member: Member,
    *,
    url: str,
    key: str,
    policy: Policy,
    per_second: float,
    sick: tuple[int, ...] = (),
    seconds: float = 60.0,
) -> Tally:
    """Calls at a rate, until told to stop; those of the sick members fail."""
    tally = Tally()
    with member.breaker(url, key, policy) as breaker:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not member.stopped:
            await tally.call(member, breaker, fails=member.number in sick)
            await member.pause(1 / per_second)
    return tally


@dataclass(frozen=True)
class Probe:
    """A call that was admitted in half-open: when it was in flight, and for whom."""

    begin: float
    end: float
    member: int


async def probe(
    member: Member, *, url: str, key: str, policy: Policy, failing: float, seconds: float
) -> list[Probe]:
    """Ask for probes of different lengths, of which some fail while others still run."""
    chance = Random(member.number)
    probes: list[Probe] = []
    with member.breaker(url, key, policy) as breaker:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                permit = await member.acquire(breaker)
            except CircuitOpenError as rejection:
                await member.pause(min(0.01, rejection.retry_after or 0.01))
                continue
            begin = time.monotonic()
            await member.pause(chance.uniform(0.002, 0.04))
            # The interval ends before the outcome is told: afterwards the next probe may begin.
            probes.append(Probe(begin, time.monotonic(), member.number))
            if chance.random() < failing:
                permit.failure(DeadError("dead"))
            else:
                permit.success()
    return probes


async def hold(member: Member, *, url: str, key: str, policy: Policy, prober: int, seconds: float) -> float | None:
    """One member takes the only probe and never tells how it ended; when another one got the next.

    The prober is to be killed: it does not come back.
    """
    with member.breaker(url, key, policy) as breaker:
        if member.number == prober:
            await _first_probe(member, breaker)
        member.meet()
        if member.number == prober:
            time.sleep(seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                permit = await member.acquire(breaker)
            except CircuitOpenError:
                await member.pause(0.01)
                continue
            return time.monotonic()
    return None


async def _first_probe(member: Member, breaker: CircuitBreaker) -> None:
    while True:
        try:
            await member.acquire(breaker)
            return
        except CircuitOpenError:
            await member.pause(0.01)
