"""What the members of a fleet do."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count
from random import Random

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, Permit
from tests.shared.fleet import Member

Policy = CircuitBreakerPolicy
NEWS = 30.0
"""Seconds that the news of an open circuit may take on a busy machine."""


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

    async def call(self, member: Member, breaker: CircuitBreaker, *, fails: bool) -> None:
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
            self._end(permit, fails=fails)
        self.slowest = max(self.slowest, time.monotonic() - begin)

    def _end(self, permit: Permit, *, fails: bool) -> None:
        self.rejecting_since = 0.0
        if fails:
            permit.failure(DeadError("dead"))
            self.failed += 1
        else:
            permit.success()
            self.served += 1


async def fail(member: Member, *, url: str, key: str, policy: Policy, times: int) -> Tally:
    """So many failures, a few at a time, so that they take several flushes."""
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
    times: int,
    per_second: float,
    sick: tuple[int, ...] = (),
    until_rejected: bool = False,
) -> Tally:
    """So many calls at a rate, and more `until_rejected`; those of the sick members fail."""
    tally = Tally()
    with member.breaker(url, key, policy) as breaker:
        end = time.monotonic() + NEWS
        for number in count():
            if number >= times:
                news_is_awaited = until_rejected and not tally.rejecting_since
                if not news_is_awaited or time.monotonic() > end:
                    break
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
            except CircuitOpenError:
                await member.pause(0.005)
                continue
            begin = time.monotonic()
            await member.pause(chance.uniform(0.002, 0.04))
            # Over before the outcome is told: then the next one may begin.
            probes.append(Probe(begin, time.monotonic(), member.number))
            if chance.random() < failing:
                permit.failure(DeadError("dead"))
            else:
                permit.success()
    return probes


async def wait_for_probe(member: Member, *, url: str, key: str, policy: Policy) -> None:
    """Tell when a probe was had, from when on it was asked for and when it came, and keep it until told to
    stop.
    """
    permit: Permit | None = None
    with member.breaker(url, key, policy) as breaker:
        while not member.stopped:
            if permit is None:
                asked = time.monotonic()
                try:
                    permit = await member.acquire(breaker)
                    member.tell((asked, time.monotonic()))
                except CircuitOpenError:
                    pass
            await member.pause(0.01)
        if permit is not None:
            permit.cancel()


async def two_circuits(
    member: Member, *, url: str, healthy: str, dead: str, policies: tuple[Policy, Policy], per_second: float
) -> tuple[Tally, Tally]:
    """Calls of a healthy service and of a dead one, until the first one's circuit is opened from outside."""
    well, ill = Tally(), Tally()
    with member.breaker(url, healthy, policies[0]) as first, member.breaker(url, dead, policies[1]) as second:
        while not (well.rejected or member.stopped):
            await well.call(member, first, fails=False)
            await ill.call(member, second, fails=True)
            await member.pause(1 / per_second)
    return well, ill


async def use_open(member: Member, *, url: str, key: str, policy: Policy) -> Tally:
    """Calls until told to stop; tells when they are rejected."""
    tally = Tally()
    with member.breaker(url, key, policy) as breaker:
        while not member.stopped:
            before = tally.rejected
            await tally.call(member, breaker, fails=False)
            if tally.rejected == 1 and before == 0:
                member.tell(time.monotonic())
            await member.pause(0.01)
    return tally
