"""The shortcuts of mirrored calls against looking at every outcome: no difference, here or at the store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear.breaker.policy import CircuitBreakerPolicy
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
        st.tuples(st.just("succeed"), st.integers(0, 3), st.integers(1, 9)),
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


def act(world: World, process: Process, what: str, amount: float) -> None:
    circuit = process.circuit
    match what:
        case "pass":
            world.pass_time(amount)
        case "tick":
            process.tick()
        case _:
            for _ in range(int(amount)):
                grant = circuit.era
                if grant is None:
                    return
                started = circuit.now() - (2.0 if what == "slow" else 0.0)
                if what == "fail":
                    circuit.fail(grant, started, (ValueError, "bad"))
                else:
                    circuit.succeed(grant, started)


def picture(process: Process) -> tuple[Any, ...]:
    circuit = process.circuit
    ledger = circuit._mirror.ledger
    return (
        process.sent,
        ledger.run,
        (ledger.calls, ledger.failures, ledger.slow),
        circuit.urgent,
        circuit.era is None,
        circuit._mirror.failure_count(circuit.now()),
        circuit._mirror.success_count(),
        circuit._last_failure_at,
    )


def test_what_comes_while_a_flush_is_under_way_goes_into_the_next_one() -> None:
    world = World()
    (process,) = world.processes_of(1, CircuitBreakerPolicy(failure_threshold=100, window=60))
    process.fail(5)
    letters = process.home.collect(everything=True)
    process.fail(3)
    process.home.delivered(letters, process._carry(letters))
    world.pass_time(0.2)
    assert world.view().failures == 8
