"""One schedule: a seed, some processes, one store, and faults until everything is healed."""

from __future__ import annotations

import asyncio
from random import Random

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.stores.operations import Get, Operation
from switchgear.stores.view import View
from tests.simulation.invariants import Invariants
from tests.simulation.loop import run
from tests.simulation.network import Line, StoreServer
from tests.simulation.process import KEY, SimulatedProcess

TROUBLED = 6.0
HEALED = 9.0
UNREACHABLE_THRESHOLD = 10**9


class Schedule:
    """Everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.seed = seed
        self.counting = seed % 4 == 0
        """Whether this one is about exact counts: then no circuit opens, and nothing is lost but messages."""
        self.policy = self._policy()
        self.faults = random.choice([0.0, 0.02, 0.1, 0.3])
        self.upstream_well = True
        self.processes: list[SimulatedProcess] = []
        self.count = random.choice([1, 2, 3, 3, 4, 6])
        self._born = 0

    def _policy(self) -> CircuitBreakerPolicy:
        random = self.random
        if self.counting:
            return CircuitBreakerPolicy(failure_threshold=UNREACHABLE_THRESHOLD, window=3600)
        rules: dict[str, object] = random.choice(
            [
                {"failure_threshold": 3},
                {"failure_threshold": 4, "window": 5},
                {"failure_rate": 0.5, "minimum_calls": 6, "window": 5},
            ]
        )
        return CircuitBreakerPolicy(
            reset_timeout=random.choice([0.3, 1.0]),
            reset_timeout_factor=random.choice([1, 2]),
            reset_timeout_max=2,
            probe_timeout=1.0,
            half_open_max=random.choice([1, 1, 3]),
            success_threshold=random.choice([1, 1, 2]),
            jitter=random.choice([0, 0.2]),
            **rules,  # type: ignore[arg-type]  # each is a set of fields
        )

    async def play(self) -> None:
        """Trouble, then healing, and everything must be well again."""
        loop = asyncio.get_running_loop()
        self.server = StoreServer(loop.time)
        self.invariants = Invariants(self.server, self.policy.half_open_max, self.policy.success_threshold)
        self._observe()
        for _ in range(self.count):
            self._start_process()
        end = loop.time() + TROUBLED
        while loop.time() < end:
            await asyncio.sleep(self.random.expovariate(4))
            await self._trouble()
            self._check()
        self._heal()
        for _ in range(round(HEALED / 0.5)):
            await asyncio.sleep(0.5)
            self._check()
        await self._check_end()

    def _observe(self) -> None:
        """Look at the record after every operation."""
        coordinator, apply = self.server.coordinator, self.server.coordinator.apply

        def observed(key: str, operation: Operation) -> View:
            view = apply(key, operation)
            if coordinator is self.server.coordinator and key in coordinator.records:
                self.invariants.check_store(operation, coordinator.records[key])
            return view

        coordinator.apply = observed  # type: ignore[method-assign]  # the observed one calls the real one

    def _start_process(self) -> None:
        self._born += 1
        name = f"p{self._born}"
        random = Random(f"{self.seed}/{name}")
        line = Line(self.server, random, self.faults)
        process = SimulatedProcess(name, line, self.policy, random, self.invariants)
        self.processes.append(process)
        process.start(callers=2, healthy=lambda: self.upstream_well, pause=self.random.choice([0.05, 0.2]))

    # ---- faults ----

    async def _trouble(self) -> None:
        common = [self._upstream, self._sick, self._cut, self._pause_store]
        severe = [self._kill, self._restart, self._replica, self._clock, self._stop_store]
        fault = self.random.choice(common if self.counting else common + severe)
        result = fault()
        if result is not None:
            await result

    def _upstream(self) -> None:
        self.upstream_well = not self.upstream_well

    def _sick(self) -> None:
        process = self.random.choice(self.processes)
        process.sick = not process.sick

    def _cut(self) -> None:
        line = self.random.choice(self.processes).line
        line.cut = not line.cut

    def _pause_store(self) -> None:
        self.server.paused.clear()
        asyncio.get_running_loop().call_later(self.random.random() * 2, self.server.paused.set)

    async def _kill(self) -> None:
        victim = self.random.choice(self.processes)
        self.processes.remove(victim)
        await victim.kill()
        self._start_process()

    def _restart(self) -> None:
        self.server.restart(older=self.random.random() < 0.5)
        self._observe()

    def _replica(self) -> None:
        self.server.backup()

    def _clock(self) -> None:
        self.server.shift_ms += self.random.choice([-3_600_000, -2_000, -500, 500, 3_600_000])
        self.server.history += 1  # a clock that jumps ahead ends leases early

    def _stop_store(self) -> None:
        self.server.up = not self.server.up

    def _heal(self) -> None:
        self.server.up = self.upstream_well = True
        self.server.paused.set()
        for process in self.processes:
            process.sick = process.line.cut = False
            process.line.faults = 0.0

    # ---- what must hold ----

    def _check(self) -> None:
        for process in self.processes:
            process.check()

    async def _check_end(self) -> None:
        record = self.server.coordinator.records.get(KEY)
        if self.counting:
            made = sum(process.failed for process in self.processes)
            view = self.server.coordinator.apply(KEY, Get(window=self.processes[0].circuit._mirror.window))
            assert view.failures == made, f"{made} failures, {view.failures} counted"
        for process in self.processes:
            assert process.home.up, f"{process.name} does not use the store again"
            assert process.circuit.state == "closed", f"{process.name} is {process.circuit.snapshot()}"
        assert record is None or record.state == "closed", record
        for process in self.processes:
            await process.kill()


def play(seed: int) -> None:
    """Play one schedule; raises what does not hold."""
    run(Schedule(seed).play())
