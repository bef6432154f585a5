"""The shortcuts of mirrored calls against looking at every outcome: no difference, here or at the store."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear.breaker.colour import Colour
from switchgear.breaker.guard import guard_bare
from switchgear.breaker.observed import ObservedCircuit
from switchgear.breaker.permit import Permit
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.errors import CircuitOpenError
from switchgear.stores.leased import LeasedCircuit
from switchgear.stores.leasing import LeasingMirror
from tests.stores.processes import Process, World

RULES: dict[str, dict[str, Any]] = {
    "run": {"failure_threshold": 9},
    "count": {"failure_threshold": 9, "window": 16},
    "rate": {"failure_rate": 0.3, "minimum_calls": 12, "window": 16},
    "all": {
        "failure_threshold": 20,
        "failure_rate": 0.4,
        "slow_call_rate": 0.3,
        "slow_call_duration": 1,
        "minimum_calls": 12,
        "window": 16,
    },
}


class Careful(LeasingMirror):
    """Looks at every outcome."""

    __slots__ = ()

    def ease(self, now: float) -> None:
        self.brace()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.integers(0, 3), st.integers(1, 5)),
        st.tuples(st.sampled_from(["succeed", "call"]), st.integers(0, 3), st.integers(1, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 3), st.just(1)),
        st.tuples(st.just("look"), st.integers(0, 3), st.just(1)),
        st.tuples(st.just("slow"), st.integers(0, 3), st.just(1)),
        st.tuples(st.just("pass"), st.just(0), st.sampled_from([0.0, 0.05, 0.1, 0.3, 1.0, 5.0])),
        st.tuples(st.just("tick"), st.integers(0, 3), st.just(1)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("fields", RULES.values(), ids=RULES)
@settings(max_examples=25)
@given(history=steps)
def test_a_shortcut_changes_nothing(
    fields: dict[str, Any], processes: int, history: list[tuple[str, int, float]]
) -> None:
    policy = CircuitBreakerPolicy(**fields)
    quick, careful = World(), World()
    for world in (quick, careful):
        world.processes_of(processes, policy)
    for process in careful.processes:
        process.circuit._mirror.__class__ = Careful
    for what, number, amount in history:
        for world in (quick, careful):
            act(world, world.processes[number % processes], what, amount)
        assert [picture(one) for one in quick.processes] == [picture(one) for one in careful.processes]
        assert quick.view() == careful.view()
    looks = [[process.circuit.snapshot() for process in world.processes] for world in (quick, careful)]
    assert looks[0] == looks[1]


def act(world: World, process: Process, what: str, amount: float) -> None:
    circuit = process.circuit
    match what:
        case "pass":
            world.pass_time(amount)
        case "tick":
            process.tick()
        case "look":
            circuit.snapshot()
        case "call":
            call = guard_bare(process, int, Colour.SYNC)
            for _ in range(int(amount)):
                with suppress(CircuitOpenError):
                    call()
        case _:
            for _ in range(int(amount)):
                grant = circuit.era
                if grant is None:
                    return
                started = circuit.now() - (2.0 if what == "slow" else 0.0)
                if what == "fail":
                    circuit.fail(grant, started, (ValueError, "bad"))
                elif what == "cancel":
                    circuit.cancel(grant, started)
                else:
                    circuit.succeed(grant, started)


def picture(process: Process) -> tuple[Any, ...]:
    circuit = process.circuit
    ledger = circuit._mirror.ledger
    tallied = tallied_by(process)
    return (
        process.sent,
        ledger.run,
        (ledger.calls + tallied, ledger.failures, ledger.slow),
        circuit.urgent,
        circuit.era is None,
        circuit._mirror.failure_count(circuit.now()),
        circuit._mirror.success_count() + tallied,
        circuit._last_failure_at,
        circuit._cancelled,
    )


def tallied_by(process: Process) -> int:
    """Successes that nobody has taken yet. A step of the tally is itself a step: it must not be disturbed."""
    circuit = process.circuit
    counted = int(repr(circuit.tally)[len("count(") : -1])
    return counted - circuit._tally_read


def test_what_comes_while_a_flush_is_under_way_goes_into_the_next_one() -> None:
    world = World()
    (process,) = world.processes_of(1, CircuitBreakerPolicy(failure_threshold=100, window=60))
    process.fail(5)
    letters = process.home.collect(everything=True)
    process.fail(3)
    process.home.delivered(letters, process._carry(letters))
    world.pass_time(0.2)
    assert world.view().failures == 8


# ---- successes that are only tallied ----


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def calm(world: World) -> Process:
    """A process whose next success is one more, and nothing else."""
    (process,) = world.processes_of(1, CircuitBreakerPolicy(failure_threshold=9))
    process.call()
    process.call()
    assert process.circuit.tallied is process.circuit.era is not None
    return process


def test_a_healthy_call_takes_no_lock(world: World, calm: Process) -> None:
    call = guard_bare(calm, int, Colour.SYNC)
    outer = ObservedCircuit(calm.circuit, Quiet())
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with calm.circuit._lock:
            holding.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(30)
    callers = [
        threading.Thread(target=way)
        for way in (
            call,
            Permit(calm.circuit, calm.circuit.era).success,
            lambda: outer.succeed(calm.circuit.era, 0.0),
        )
    ]
    for caller in callers:
        caller.start()
    end = time.monotonic() + 30
    for caller in callers:
        caller.join(max(0.0, end - time.monotonic()))
    held_up = [caller for caller in callers if caller.is_alive()]
    done.set()
    holder.join(30)
    assert not held_up
    assert calm.circuit.snapshot().success_count == 5


class Deaf(LeasedCircuit):
    """Nobody can tell it of an outcome."""

    __slots__ = ()

    def succeed(self, *args: Any) -> None:
        raise AssertionError("a healthy call's end is counted in the guard's own frame")


def test_a_guard_tallies_by_itself(calm: Process) -> None:
    async def answer() -> int:
        return 1

    calm.circuit.__class__ = Deaf
    guard_bare(calm, int, Colour.SYNC)()
    with pytest.raises(StopIteration, match="1"):
        guard_bare(calm, answer, Colour.ASYNC)().send(None)
    assert calm.circuit.snapshot().success_count == 4


def test_threads_lose_no_success(world: World, calm: Process) -> None:
    call = guard_bare(calm, int, Colour.SYNC)
    stop = threading.Event()

    def work() -> None:
        for _ in range(2000):
            call()

    def disturb() -> None:
        while not stop.wait(0.0005):
            calm.tick(everything=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    pump = threading.Thread(target=disturb)
    for thread in (*threads, pump):
        thread.start()
    for thread in threads:
        thread.join(30)
    stop.set()
    pump.join(30)
    calm.tick(everything=True)
    assert world.view().successes == calm.circuit.snapshot().success_count == 8002


def test_a_failure_is_the_first_of_its_run_after_tallied_successes_and_the_next_success_ends_it(
    world: World, calm: Process
) -> None:
    calm.call()
    calm.fail(3)
    assert calm.circuit.tallied is None
    assert calm.circuit.snapshot().failure_count == 3
    calm.fail(1)
    calm.call()
    assert calm.circuit.tallied is not None
    calm.fail(1)
    calm.call()
    assert calm.circuit.snapshot().failure_count == 0
    world.pass_time(1.1)
    assert (world.view().run, world.view().successes) == (0, 5)


def test_successes_alone_are_sent_once_a_second_at_most_and_keep_a_reporter_alive(
    world: World, calm: Process
) -> None:
    world.pass_time(2)
    before = len(calm.sent)
    for _ in range(700):
        calm.call()
        world.pass_time(0.1)
    assert len(calm.sent) - before <= 71
    assert world.view().live == 1
    world.pass_time(2)
    assert world.view().successes == 702


@pytest.mark.parametrize(
    "fields",
    [{"window": 30}, {"failure_if": bool}, {"slow_call_rate": 0.5, "slow_call_duration": 1}],
    ids=lambda fields: next(iter(fields)),
)
def test_nothing_is_tallied_where_more_is_to_be_known_of_a_success(
    world: World, fields: dict[str, Any]
) -> None:
    (process,) = world.processes_of(1, CircuitBreakerPolicy(failure_threshold=9, **fields))
    for _ in range(5):
        process.call()
    assert process.circuit.tallied is None


def test_a_cancelled_call_lets_the_next_success_come_by(calm: Process) -> None:
    calm.circuit.cancel(calm.circuit.era, 0.0)
    assert calm.circuit.tallied is None
    calm.call()
    assert calm.circuit._cancelled == 0


def test_what_is_tallied_after_its_reading_goes_with_the_next_flush(world: World, calm: Process) -> None:
    """Where threads run at once: one has found its call tallied, and counts it after the pump has read."""
    letters = calm.home.collect(everything=True)
    next(calm.circuit.tally)
    assert calm.circuit.snapshot().success_count == 3
    (batch,) = [letter.sent for letter in letters]
    assert calm.circuit._mirror.flush("", world.clock.monotonic()).deltas == batch.deltas
    calm.home.delivered(letters, calm._carry(letters))
    world.pass_time(1.1)
    assert world.view().successes == calm.circuit.snapshot().success_count == 3


def test_what_is_tallied_after_its_reading_ends_no_run_that_has_begun_since(calm: Process) -> None:
    calm.fail(2)
    next(calm.circuit.tally)
    assert calm.circuit.snapshot().failure_count == 2


def test_successes_are_known_before_the_store_is(world: World) -> None:
    process = Process(world, CircuitBreakerPolicy(failure_threshold=9))
    process.down = True
    for _ in range(5):
        process.call()
    assert process.circuit.snapshot().success_count == 5


def test_what_the_parent_has_tallied_is_the_parents_to_send(world: World, calm: Process) -> None:
    calm.call()
    calm.circuit.after_fork()
    calm.home.forked()
    assert tallied_by(calm) == 0
    assert calm.circuit.tallied is None
    world.settle()
    assert world.view().successes == 0


def test_another_generation_does_not_get_what_was_tallied_before(world: World, calm: Process) -> None:
    calm.call()
    calm.circuit.reset()
    world.settle()
    assert calm.circuit.snapshot().success_count == world.view().successes == 0


class Quiet:
    """Wants to know, and does nothing with it."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None
