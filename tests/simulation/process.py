"""One simulated process: production code from circuit to courier, its calls, and its faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from random import Random

from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS, Leased
from switchgear.breaker.policy import CircuitBreakerPolicy, seconds
from switchgear.errors import CircuitOpenError
from switchgear.stores.courier import Courier
from switchgear.stores.grants import OwnProbe
from switchgear.stores.home import Home, Letter
from switchgear.stores.leased import LeasedCircuit
from switchgear.stores.view import View
from tests.simulation.invariants import Flight, Invariants
from tests.simulation.network import Line

KEY = "k"


class LoopClock:
    """The simulated time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1_800_000_000 + self.monotonic()


class SimulatedProcess:
    """A home with one circuit, its courier, and callers."""

    def __init__(
        self, name: str, line: Line, policy: CircuitBreakerPolicy, random: Random, invariants: Invariants
    ) -> None:
        self.name = name
        self.line = line
        self.random = random
        self.invariants = invariants
        self.sick = False
        self.failed = self.served = self.asked = 0
        clock = LoopClock()
        self.now = clock.monotonic
        self.home = Home(
            line,
            now=clock.monotonic,
            draw=lambda: random.uniform(-1, 1),
            new_reporter=lambda: f"{name}-{random.getrandbits(32):08x}",
            transport=self,
        )
        self.circuit = LeasedCircuit(KEY, name, policy, clock, self.home)
        self.home.add(self.circuit)
        self.courier = Courier(self.home)
        self._tasks: set[asyncio.Task[object]] = {asyncio.create_task(self.courier.run())}

    # ---- transport ----

    def wake(self, home: Home) -> None:
        self.courier.wanted.set()

    def ask(self, home: Home, letter: Letter) -> Future[View]:
        future: Future[View] = Future()

        async def answer() -> None:
            try:
                view = await self.courier.ask(letter)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(view)

        self._keep(asyncio.create_task(answer()))
        return future

    # ---- life ----

    def start(self, callers: int, healthy: Callable[[], bool], pause: float) -> None:
        """Begin to call."""
        for _ in range(callers):
            self._keep(asyncio.create_task(self._calls(healthy, pause)))

    async def kill(self) -> None:
        """As by SIGKILL: nothing more is sent, calls in flight never end."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def check(self) -> None:
        """Raise what a task of this process has raised."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(
            lambda done: self._tasks.discard(done) if done.cancelled() or not done.exception() else None
        )

    # ---- calls ----

    async def _calls(self, healthy: Callable[[], bool], pause: float) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / pause))
            await self._call(healthy)
            self.invariants.check_mirror(self)

    async def _call(self, healthy: Callable[[], bool]) -> None:
        circuit, invariants = self.circuit, self.invariants
        self.asked += 1
        started, history = self.now(), invariants.server.history
        try:
            grant = circuit.era or await circuit.admit_async()
        except CircuitOpenError:
            assert self.now() - started <= self.home.lease_timeout + 1e-6, "a rejected call waited"
            return
        probe = isinstance(grant, Leased) and not isinstance(grant, OwnProbe)
        flight = object()
        if probe:
            ends = started + seconds(circuit.policy.probe_timeout)
            invariants.flights[flight] = Flight(self.name, grant.generation, history, ends)
            invariants.check_leases(self.now())
        try:
            # Some calls outlive their lease.
            await asyncio.sleep(self.random.choice([0.001, 0.01, 0.05, 0.2, 1.5]))
        finally:
            # The dependency has done with it, or nobody will ever know.
            invariants.flights.pop(flight, None)
        well = healthy() and not self.sick
        outcome = INCONCLUSIVE if self.random.random() < 0.03 else SUCCESS if well else FAILURE
        if probe and outcome is SUCCESS:
            invariants.successes[grant.generation] += 1
        if outcome is SUCCESS:
            self.served += 1
            circuit.succeed(grant, started)
        elif outcome is FAILURE:
            self.failed += 1
            circuit.fail(grant, started, (ValueError, "bad"))
        else:
            circuit.settle(grant, outcome, started)
