"""Two thousand processes that use one circuit: what the store gets per second.

Healthy, while it is away, and when it is back and all of them return. Simulated time, production code from
the circuit to the courier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.stores.operations import Operation
from switchgear.stores.view import Changes, View
from tests.simulation.invariants import Invariants
from tests.simulation.loop import run
from tests.simulation.network import Line, StoreServer
from tests.simulation.process import SimulatedProcess

WARM = 5.0
HEALTHY = 5.0
AWAY = 10.0
BACK = 5.0
SLOT = 0.1
"""Seconds; the busiest of these tells whether they come as a herd."""
POLICY = CircuitBreakerPolicy(failure_rate=0.5)


@dataclass(frozen=True)
class Load:
    """What reached the store, or tried to."""

    batches: float
    """Per second: each is one way there and back."""
    operations: float
    polls: float
    busiest: float
    """Share of all batches that came in the busiest tenth of a second."""


@dataclass(frozen=True)
class Herd:
    """The three times."""

    healthy: Load
    away: Load
    back: Load
    all_back: float
    """Seconds from the store's return until every process uses it again."""


class Meter:
    """Counts what arrives at the store."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, int]] = []
        self.polls: list[float] = []

    def load(self, begin: float, end: float) -> Load:
        """Of the time from `begin` to `end`."""
        came = [(at, size) for at, size in self.batches if begin <= at < end]
        slots = [0] * (round((end - begin) / SLOT) + 1)
        for at, _ in came:
            slots[int((at - begin) / SLOT)] += 1
        seconds = end - begin
        return Load(
            len(came) / seconds,
            sum(size for _, size in came) / seconds,
            sum(begin <= at < end for at in self.polls) / seconds,
            max(slots) / max(1, len(came)),
        )


class MeteredLine(Line):
    """A way whose messages are counted, also those that find nobody."""

    def __init__(self, server: StoreServer, random: Random, meter: Meter) -> None:
        super().__init__(server, random, faults=0.0)
        self._meter = meter

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        self._meter.batches.append((asyncio.get_running_loop().time(), len(operations)))
        return await super().batch(operations)

    async def changes(self, since: object | None) -> Changes:
        self._meter.polls.append(asyncio.get_running_loop().time())
        return await super().changes(since)


async def _live(count: int, per_second: float, found: list[Herd]) -> None:
    loop, random, meter = asyncio.get_running_loop(), Random(1), Meter()
    server = StoreServer(loop.time)
    invariants = Invariants(server, POLICY.half_open_max, POLICY.success_threshold)
    processes = []
    for number in range(count):
        chance = Random(number)
        line = MeteredLine(server, chance, meter)
        processes.append(SimulatedProcess(f"p{number}", line, POLICY, chance, invariants))
        processes[-1].start(1, lambda: random.random() > 0.001, 1 / per_second)
    await asyncio.sleep(WARM + HEALTHY)
    server.up = False
    left = loop.time()
    await asyncio.sleep(AWAY)
    server.up = True
    back = loop.time()
    while not all(process.home.up for process in processes):  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(SLOT)
    all_back = loop.time() - back
    await asyncio.sleep(max(0.0, BACK - all_back))
    found.append(
        Herd(
            meter.load(left - HEALTHY, left),
            meter.load(left + AWAY / 2, back),  # by then nobody hopes for a quick return
            meter.load(back, back + BACK),
            all_back,
        )
    )
    for process in processes:
        process.check()
        await process.kill()


def herd(count: int = 2000, per_second: float = 2.0) -> Herd:
    """So many processes, each with so many calls a second, of which one in a thousand fails."""
    found: list[Herd] = []
    run(_live(count, per_second, found))
    return found[0]


def told(count: int, found: Herd) -> str:
    """As a table."""
    lines = [f"{count:,} processes; per second:  batches  operations  polls  busiest 0.1 s"]
    for name, load in (("healthy", found.healthy), ("store away", found.away), ("all return", found.back)):
        counts = f"{load.batches:7,.0f}  {load.operations:10,.0f}  {load.polls:5,.0f}"
        lines.append(f"{name:>28}  {counts}  {load.busiest:13.1%}")
    return "\n".join([*lines, f"all use it again {found.all_back:.1f} s after its return", ""])
