"""What may happen in a schedule: to processes, to the way, to the store, and by the hand of an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from switchgear.breaker.state import CircuitState

if TYPE_CHECKING:
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.world import Schedule

MOST_PROCESSES = 6
Fault = Callable[[], Awaitable[None] | None]


class Faults:
    """Happen to a schedule by its own chance."""

    def __init__(self, schedule: Schedule, random: Random) -> None:
        self._schedule = schedule
        self._random = random
        common = [
            self._upstream,
            self._sick,
            self._cut,
            self._pause_store,
            self._refuse,
            self._trim,
            self._fork,
        ]
        severe = [self._kill, self._restart, self._replica, self._clock, self._stop_store, self._deploy]
        orders = [self.order] * 4 if random.random() < 0.5 else []
        self._all: list[Fault] = common if schedule.counting else [*common, *severe, *orders]

    async def happen(self) -> None:
        """One of them."""
        result = self._random.choice(self._all)()
        if result is not None:
            await result

    def heal(self) -> None:
        """No more of them."""
        server = self._schedule.server
        server.up, server.read_only = True, False
        server.paused.set()
        self._schedule.upstream_well = True
        for process in self._schedule.processes:
            process.sick = process.line.cut = False
            process.line.faults = 0.0

    # ---- processes ----

    def _any(self) -> SimulatedProcess:
        return self._random.choice(self._schedule.processes)

    def _sick(self) -> None:
        process = self._any()
        process.sick = not process.sick

    def _fork(self) -> None:
        if len(self._schedule.processes) < MOST_PROCESSES:
            self._schedule.start_process(self._any())

    async def _kill(self) -> None:
        await self._replace(self._any())

    async def _deploy(self) -> None:
        victim = self._any()
        await victim.leave()
        await self._replace(victim)

    async def _replace(self, victim: SimulatedProcess) -> None:
        self._schedule.processes.remove(victim)
        await victim.kill()
        self._schedule.start_process()

    # ---- the upstream, the way and the store ----

    def _upstream(self) -> None:
        self._schedule.upstream_well = not self._schedule.upstream_well

    def _cut(self) -> None:
        line = self._any().line
        line.cut = not line.cut

    def _pause_store(self) -> None:
        server = self._schedule.server
        server.paused.clear()
        asyncio.get_running_loop().call_later(self._random.random() * 2, server.paused.set)

    def _refuse(self) -> None:
        self._schedule.server.read_only = not self._schedule.server.read_only

    def _trim(self) -> None:
        self._schedule.server.trim()

    def _stop_store(self) -> None:
        self._schedule.server.up = not self._schedule.server.up

    def _restart(self) -> None:
        self._schedule.server.restart(older=self._random.random() < 0.5)
        self._schedule.observe()

    def _replica(self) -> None:
        self._schedule.server.backup()

    def _clock(self) -> None:
        server = self._schedule.server
        server.shift_ms += self._random.choice([-3_600_000, -2_000, -500, 500, 3_600_000])
        server.history += 1  # a clock that jumps ahead ends leases early

    # ---- the operator ----

    def order(self) -> None:
        """At any process; what expires does so in the middle of things."""
        circuit = self._any().circuit
        kind = self._random.choice(["force", "disable", "release", "reset"])
        if kind == "reset":
            circuit.reset()
        elif kind == "release":
            circuit.release()
        else:
            self.override(circuit.override, self._random.choice([None, 0.3, 0.3, 2.0]))

    def override(self, put: Callable[..., None], expires_in: float | None) -> CircuitState:
        """One of the two."""
        to = self._random.choice([CircuitState.FORCED_OPEN, CircuitState.DISABLED])
        put(to, "by hand", self._random.choice([None, "ann"]), expires_in)
        return to
