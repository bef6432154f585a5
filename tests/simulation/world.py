"""One schedule: a seed, some processes, one store, and faults until everything is healed."""

from __future__ import annotations

import asyncio
from random import Random

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitState
from switchgear.stores.operations import Get, Operation
from switchgear.stores.view import View
from tests.simulation.faults import Faults
from tests.simulation.invariants import Invariants
from tests.simulation.loop import run
from tests.simulation.network import Line, StoreServer
from tests.simulation.process import KEY, SimulatedProcess

TROUBLED = 5.0
ORDERED = 3.5
"""Seconds after the healing until the last order: earlier ones may still be on their way."""
HEALED = 9.0
STEADY = 1.5
"""Seconds that it must be well: as long as a duplicate may take, and a long call."""
LOOK = 0.25
UNREACHABLE_THRESHOLD = 10**9


class Schedule:
    """Everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.seed = seed
        self.counting = seed % 4 == 0
        """Whether this one is about exact counts: then no circuit opens, and nothing is lost but messages."""
        self.policy = self._policy()
        self.noise = random.choice([0.0, 0.02, 0.1, 0.3])
        self.upstream_well = True
        self.processes: list[SimulatedProcess] = []
        self.count = random.choice([1, 2, 3, 3, 4, 6])
        self.faults = Faults(self, random)
        self._last_state = CircuitState.CLOSED
        """What the last order asks for."""
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
        self.observe()
        for _ in range(self.count):
            self.start_process()
        end = loop.time() + TROUBLED
        while loop.time() < end:
            await asyncio.sleep(self.random.expovariate(4))
            await self.faults.happen()
            self._check()
        self.faults.heal()
        if not self.counting:
            await asyncio.sleep(ORDERED)
            self._give_last_order()
        await self._become_well()
        for process in self.processes:
            await process.kill()

    def observe(self) -> None:
        """Look at the record after every operation."""
        coordinator, apply = self.server.coordinator, self.server.coordinator.apply

        def observed(key: str, operation: Operation) -> View:
            view = apply(key, operation)
            if coordinator is self.server.coordinator and key in coordinator.records:
                self.invariants.check_store(operation, coordinator.records[key])
            return view

        coordinator.apply = observed  # type: ignore[method-assign]  # the observed one calls the real one

    def start_process(self, parent: SimulatedProcess | None = None) -> None:
        """A new one, or a fork of one."""
        self._born += 1
        name = f"p{self._born}"
        random = Random(f"{self.seed}/{name}")
        line = Line(self.server, random, self.noise)
        process = SimulatedProcess(name, line, self.policy, random, self.invariants, parent)
        self.processes.append(process)
        process.start(callers=2, healthy=lambda: self.upstream_well, pause=self.random.choice([0.1, 0.3]))

    def _give_last_order(self) -> None:
        """No override may outlast the schedule by accident: the last order decides."""
        circuit = self.random.choice(self.processes).circuit
        kind = self.random.choice(["reset", "reset", "release", "override"])
        if kind == "override":
            self._last_state = self.faults.override(circuit.override, None)
        elif kind == "reset":
            circuit.reset()
        else:
            circuit.release()

    # ---- what must hold ----

    def _check(self) -> None:
        for process in self.processes:
            process.check()

    async def _become_well(self) -> None:
        """Within a bound, and stay so."""
        loop = asyncio.get_running_loop()
        end, well_since = loop.time() + HEALED, loop.time()
        while loop.time() < well_since + STEADY:
            await asyncio.sleep(LOOK)
            self._check()
            ills = self._ills()
            if ills:
                well_since = loop.time()
            assert not ills or loop.time() < end, ills

    def _ills(self) -> str:
        """What is not as it should be."""
        wanted = self._last_state
        for process in self.processes:
            if not process.home.up:
                return f"{process.name} does not use the store again"
            if process.circuit.state != wanted:
                return f"{process.name} is {process.circuit.snapshot()}, not {wanted}"
        record = self.server.coordinator.records.get(KEY)
        if record is not None and (record.override or record.state) != wanted:
            return f"the store has {record}"
        return self._miscounted() if self.counting else ""

    def _miscounted(self) -> str:
        made = sum(process.failed for process in self.processes)
        view = self.server.coordinator.apply(KEY, Get(window=self.processes[0].circuit._mirror.window))
        return f"{made} failures, {view.failures} counted" if view.failures != made else ""


def play(seed: int) -> None:
    """Play one schedule; raises what does not hold."""
    run(Schedule(seed).play())
