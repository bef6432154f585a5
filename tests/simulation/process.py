"""One simulated process: production code from circuit to courier, its calls, and its faults."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from weakref import WeakValueDictionary

from switchgear.breaker.circuit import Grant
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
LONG = 1.5
"""Seconds that some calls take: they outlive their lease."""


class LoopClock:
    """The simulated time, as one machine sees it: no other one's clocks show the same."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead

    def time(self) -> float:
        return 1_800_000_000 + self.monotonic()


class SimulatedProcess:
    """A home with one circuit, its courier, and callers. With a `parent` it is a fork of that."""

    def __init__(
        self,
        name: str,
        line: Line,
        policy: CircuitBreakerPolicy,
        random: Random,
        invariants: Invariants,
        parent: SimulatedProcess | None = None,
    ) -> None:
        self.name = name
        self.line = line
        self.random = random
        self.invariants = invariants
        self.sick = False
        self.failed = self.served = self.asked = 0
        self.flying: dict[object, Grant] = {}
        """The permissions of its calls on their way."""
        if parent is None:
            self.clock = LoopClock(random.choice([0.0, 7200.0, -7200.0]))
            self.home = Home(
                line,
                now=self.clock.monotonic,
                draw=self.draw,
                new_reporter=self.new_reporter,
                transport=self,
            )
            self.circuit = LeasedCircuit(KEY, name, policy, self.clock, self.home)
            self.home.add(self.circuit)
        else:
            self._inherit(parent)
        self.courier = Courier(self.home)
        self._courier: asyncio.Task[object] = asyncio.create_task(self.courier.run())
        self._tasks: set[asyncio.Task[object]] = {self._courier}
        for grant in () if parent is None else tuple(parent.flying.values()):
            if isinstance(grant, Leased):  # the forking thread's own call goes on in the child, too
                self.circuit.settle(grant, random.choice([SUCCESS, FAILURE]), self.circuit.now())

    def draw(self) -> float:
        return self.random.uniform(-1, 1)

    def new_reporter(self) -> str:
        return f"{self.name}-{self.random.getrandbits(32):08x}"

    def _inherit(self, parent: SimulatedProcess) -> None:
        """The parent's memory, and what a child does with it; the locks may be held by a thread of the
        parent's.
        """
        old = parent.circuit
        held = {id(old._lock): threading.RLock(), id(parent.home._lock): threading.Lock()}
        for lock in held.values():
            lock.acquire()
        memory = {id(parent): self, id(parent.line): self.line, id(old.policy): old.policy, **held}
        self.clock, self.circuit, self.home = copy.deepcopy((parent.clock, old, parent.home), memory)
        self.circuit._busy = True
        # It refers to its values weakly, so that a copy has the parent's.
        self.home._circuits = WeakValueDictionary({KEY: self.circuit})
        self.circuit.after_fork()
        self.home.forked()

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
                future.exception()  # whoever asked may have given up long ago
            else:
                future.set_result(view)

        self._keep(asyncio.create_task(answer()))
        return future

    # ---- life ----

    def start(self, callers: int, healthy: Callable[[], bool], pause: float) -> None:
        """Begin to call."""
        for _ in range(callers):
            self._keep(asyncio.create_task(self._calls(healthy, pause)))

    async def leave(self) -> bool:
        """Stop calling, send what is pending and say goodbye; returns whether the store has it all."""
        await self._end(self._tasks - {self._courier})
        try:
            await asyncio.wait_for(self.courier.leave(), 2.0)
        except (ConnectionError, TimeoutError):
            return False
        return True

    async def kill(self) -> None:
        """As by SIGKILL: nothing more is sent, calls in flight never end."""
        await self._end(self._tasks)

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        self._tasks = self._tasks - tasks
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
        loop = asyncio.get_running_loop()
        self.asked += 1
        started, history = loop.time(), invariants.server.history
        try:
            grant = circuit.era or await circuit.admit_async()
        except CircuitOpenError:
            assert loop.time() - started <= self.home.lease_timeout + 1e-6, "a rejected call waited"
            return
        if loop.time() == started:
            assert circuit.state != "forced-open", "admitted in spite of the override"
        flight = object()
        if isinstance(grant, Leased) and not isinstance(grant, OwnProbe):
            ends = started + seconds(circuit.policy.probe_timeout)
            invariants.flights[flight] = Flight(self.name, grant.generation, history, ends)
            invariants.check_leases(loop.time())
        self.flying[flight] = grant
        try:
            await asyncio.sleep(self.random.choice([0.001, 0.01, 0.05, 0.2, LONG]))
        finally:
            # The dependency has done with it, or nobody will ever know.
            del self.flying[flight]
            probe = invariants.flights.pop(flight, None)
        self._settle(grant, probe, well=healthy() and not self.sick)

    def _settle(self, grant: Grant, probe: Flight | None, *, well: bool) -> None:
        circuit = self.circuit
        outcome = INCONCLUSIVE if self.random.random() < 0.03 else SUCCESS if well else FAILURE
        if probe is not None and outcome is SUCCESS:
            self.invariants.successes[probe.generation] += 1
        if outcome is SUCCESS:
            self.served += 1
            circuit.succeed(grant, circuit.now())
        elif outcome is FAILURE:
            self.failed += 1
            circuit.fail(grant, circuit.now(), (ValueError, "bad"))
        else:
            circuit.settle(grant, outcome, circuit.now())
