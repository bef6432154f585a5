"""Several processes at one store, driven by hand: no threads, no sleeping, one clock for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from random import Random

from switchgear.breaker.machine import FAILURE, SUCCESS, Outcome
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.errors import CircuitOpenError
from switchgear.stores.coordinator import Coordinator
from switchgear.stores.home import Home, Letter
from switchgear.stores.leased import LeasedCircuit
from switchgear.stores.operations import Operation
from switchgear.stores.view import View
from switchgear.testing import ManualClock

KEY = "k"


class World:
    """A store, and the processes that share it. `shift`: seconds that the store's clock is off."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.shift = 1_800_000_000.0
        self.random = Random(seed)
        self.store = self.empty_store()
        self.processes: list[Process] = []

    def empty_store(self) -> Coordinator:
        """One that has just been started."""
        return Coordinator(lambda: round((self.clock.monotonic() + self.shift) * 1000))

    def processes_of(self, count: int, policy: CircuitBreakerPolicy) -> list[Process]:
        """New processes that have said hello."""
        new = [Process(self, policy) for _ in range(count)]
        self.processes.extend(new)
        for process in new:
            process.circuit.ready(0)
        self.settle()
        return new

    def settle(self) -> None:
        """Let every process send what is due, until nothing is."""
        for _ in range(20):
            sent = [process.tick() for process in self.processes]
            if not any(sent):
                return
        raise AssertionError("the processes never come to rest")

    def pass_time(self, seconds: float) -> None:
        """In ticks, as pumps do."""
        while seconds > 1e-9:
            step = min(0.1, seconds)
            self.clock.advance(step)
            seconds -= step
            self.settle()

    def view(self) -> View:
        from switchgear.stores.operations import Get

        return self.store.apply(KEY, Get(window=self.processes[0].circuit._mirror.window))


class Process:
    """One process with one circuit. Its letters go when `tick` says so."""

    def __init__(self, world: World, policy: CircuitBreakerPolicy) -> None:
        self.world = world
        self.down = False
        """Whether its way to the store is cut."""
        self.deaf = False
        """Whether pushes are lost."""
        self.loses_replies = False
        self.sent: list[Operation] = []
        self.late: list[Callable[[], None]] = []
        self.slow_leases = False
        """Whether questions stay under way, until `late` is called."""
        self.home = Home(
            world.store,
            now=world.clock.monotonic,
            draw=lambda: world.random.uniform(-1, 1),
            new_reporter=lambda: f"{world.random.getrandbits(64):016x}",
            transport=self,
        )
        self.home.lease_timeout = 0
        self.circuit = LeasedCircuit(KEY, "x", policy, world.clock, self.home)
        self.home.add(self.circuit)

    # ---- what its calls see ----

    def call(self, outcome: Outcome = SUCCESS) -> bool:
        """One call; whether it reached the service."""
        try:
            grant = self.circuit.era or self.circuit.admit()
        except CircuitOpenError:
            return False
        if outcome is SUCCESS:
            self.circuit.succeed(grant, 0.0)
        elif outcome is FAILURE:
            self.circuit.fail(grant, 0.0, (ValueError, "bad"))
        else:
            self.circuit.settle(grant, outcome, 0.0)
        return True

    def fail(self, times: int) -> int:
        """Failing calls; how many reached the service."""
        return sum(self.call(FAILURE) for _ in range(times))

    @property
    def state(self) -> str:
        return self.circuit.state.value

    # ---- transport ----

    def wake(self, home: Home) -> None:
        """`tick` looks by itself."""

    def ask(self, home: Home, letter: Letter) -> Future[View]:
        future: Future[View] = Future()

        def answer() -> None:
            try:
                future.set_result(self._carry([letter])[0])
            except ConnectionError as error:
                future.set_exception(error)
                future.exception()  # whoever asked may have given up long ago

        if self.slow_leases:
            self.late.append(answer)
        else:
            answer()
        return future

    def tick(self, *, everything: bool = False) -> bool:
        """Send what is due; whether there was anything."""
        letters = self.home.collect(everything=everything)
        if not letters and self.home.resync_wanted and not self.down:
            letters = self.home.resync()
        if not letters:
            return False
        try:
            views = self._carry(letters)
        except ConnectionError as error:
            self.home.failed(letters, error)
            return False
        self.home.delivered(letters, views)
        return True

    def _carry(self, letters: Sequence[Letter]) -> list[View]:
        if self.down:
            raise ConnectionError("no way to the store")
        store = self.world.store
        views = []
        for letter in letters:
            self.sent.append(letter.sent)
            listeners = [
                p.home.pushed for p in self.world.processes if not p.deaf and not p.down and p is not self
            ]
            store._subscribers = listeners
            views.append(store.apply(letter.circuit.key, letter.sent))
        if self.loses_replies:
            raise ConnectionError("the reply was lost")
        return views

    def take_late_answers(self) -> None:
        """The questions that were under way are answered now."""
        answers, self.late = self.late, []
        for answer in answers:
            with suppress(ConnectionError):
                answer()
