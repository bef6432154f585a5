"""A process whose own calls fail while the others' succeed opens only its own circuit; a dead upstream opens
all.
"""

from __future__ import annotations

import pytest

from switchgear.breaker.machine import FAILURE, SUCCESS
from switchgear.breaker.policy import CircuitBreakerPolicy
from tests.stores.processes import Process, World

CONSECUTIVE = CircuitBreakerPolicy(failure_threshold=5, reset_timeout=5, probe_timeout=5)
WINDOWED = CircuitBreakerPolicy(failure_threshold=5, window=10, reset_timeout=5, probe_timeout=5)
RATED = CircuitBreakerPolicy(failure_rate=0.1, window=10, minimum_calls=20, reset_timeout=5, probe_timeout=5)
POLICIES = pytest.mark.parametrize("policy", [CONSECUTIVE, WINDOWED, RATED], ids=["run", "window", "rate"])


class Traffic:
    """Steady calls of every process; those of sick ones fail."""

    def __init__(self, world: World, policy: CircuitBreakerPolicy, count: int, sick: int) -> None:
        self.world = world
        self.processes = world.processes_of(count, policy)
        self.sick = set(self.processes[:sick])
        self.dead = False
        self.asked: dict[Process, int] = dict.fromkeys(self.processes, 0)
        self.reached: dict[Process, int] = dict.fromkeys(self.processes, 0)

    def run(self, seconds: float, per_second: int = 10, busiest: int = 1) -> None:
        """`busiest`: how many times as much the first process asks."""
        for _ in range(round(seconds * per_second)):
            for process in self.processes:
                for _ in range(busiest if process is self.processes[0] else 1):
                    outcome = FAILURE if self.dead or process in self.sick else SUCCESS
                    self.asked[process] += 1
                    self.reached[process] += process.call(outcome)
            self.world.pass_time(1 / per_second)

    def forget(self) -> None:
        self.asked = dict.fromkeys(self.processes, 0)
        self.reached = dict.fromkeys(self.processes, 0)

    def served(self) -> float:
        """Share of the healthy ones' calls that were let through."""
        well = [process for process in self.processes if process not in self.sick]
        return sum(self.reached[p] for p in well) / sum(self.asked[p] for p in well)

    def rejected_by_the_sick(self) -> float:
        return 1 - sum(self.reached[p] for p in self.sick) / sum(self.asked[p] for p in self.sick)


@POLICIES
@pytest.mark.parametrize(("count", "sick"), [(8, 1), (50, 2)])
def test_the_others_are_served(policy: CircuitBreakerPolicy, count: int, sick: int) -> None:
    traffic = Traffic(World(), policy, count, sick)
    traffic.run(3 if count == 8 else 1.5, per_second=10)
    traffic.forget()
    traffic.run(20 if count == 8 else 4, per_second=10)
    assert traffic.served() >= 0.97
    assert traffic.rejected_by_the_sick() >= 0.8


@POLICIES
def test_a_sick_one_with_most_of_the_traffic(policy: CircuitBreakerPolicy) -> None:
    traffic = Traffic(World(), policy, 3, 1)
    traffic.run(20, busiest=18)
    assert traffic.served() >= 0.97


@POLICIES
def test_a_cold_start_with_a_sick_one(policy: CircuitBreakerPolicy) -> None:
    traffic = Traffic(World(), policy, 8, 1)
    traffic.run(10)
    assert traffic.served() >= 0.97


@POLICIES
@pytest.mark.parametrize("count", [8, 50])
def test_a_dead_upstream_is_found_within_three_calls_a_process(
    policy: CircuitBreakerPolicy, count: int
) -> None:
    traffic = Traffic(World(), policy, count, 0)
    traffic.run(2)
    traffic.forget()
    traffic.dead = True
    traffic.run(2)
    assert {process.state for process in traffic.processes} == {"open"}
    assert sum(traffic.reached.values()) <= 3 * count


@POLICIES
def test_recovery_while_a_sick_one_asks_for_the_lease(policy: CircuitBreakerPolicy) -> None:
    traffic = Traffic(World(), policy, 8, 1)
    traffic.dead = True
    traffic.run(2)
    assert {process.state for process in traffic.processes} == {"open"}
    traffic.dead = False
    traffic.run(12)
    traffic.forget()
    traffic.run(10)
    assert traffic.served() >= 0.97


def test_an_overlay_says_whose_evidence_it_is() -> None:
    traffic = Traffic(World(), CONSECUTIVE, 8, 1)
    traffic.run(2)
    snapshot = traffic.processes[0].circuit.snapshot()
    assert (snapshot.state, snapshot.own) == ("open", True)
    assert snapshot.reason == "own calls 5 of 5 failed; 7 other processes report success"
    assert traffic.processes[1].state == "closed"


def test_an_overlay_probes_by_itself_and_closes_when_it_is_well_again() -> None:
    traffic = Traffic(World(), CONSECUTIVE, 4, 1)
    traffic.run(2)
    traffic.sick.clear()
    traffic.run(5)
    snapshot = traffic.processes[0].circuit.snapshot()
    assert (snapshot.state, snapshot.own) == ("closed", False)


def test_when_most_have_opened_their_own_it_opens_for_all() -> None:
    """The one that is well has nearly all the traffic: by the rate alone it would stay closed."""
    policy = CircuitBreakerPolicy(failure_rate=0.5, window=10, minimum_calls=20, reset_timeout=5)
    traffic = Traffic(World(), policy, 3, 0)
    traffic.run(3, busiest=18)
    traffic.sick = set(traffic.processes[1:])
    traffic.run(6, busiest=18)
    assert traffic.processes[0].state == "open"
    assert "2 of 3 processes have opened it" in traffic.processes[0].circuit.snapshot().reason


@POLICIES
def test_reporters_that_come_and_go_in_a_deploy(policy: CircuitBreakerPolicy) -> None:
    world = World()
    traffic = Traffic(world, policy, 6, 1)
    for _ in range(4):
        traffic.run(2)
        old, traffic.processes[1:3] = traffic.processes[1:3], world.processes_of(2, policy)
        for process in old:
            letters = process.home.goodbyes()
            process.home.delivered(letters, process._carry(letters))
            world.processes.remove(process)
        traffic.asked |= dict.fromkeys(traffic.processes[1:3], 0)
        traffic.reached |= dict.fromkeys(traffic.processes[1:3], 0)
    well = [process for process in traffic.processes if process not in traffic.sick]
    assert sum(traffic.reached[p] for p in well) >= 0.97 * sum(traffic.asked[p] for p in well)


@pytest.mark.parametrize(
    "policy",
    [CircuitBreakerPolicy(failure_threshold=50), CircuitBreakerPolicy(failure_threshold=50, window=30)],
)
def test_few_more_calls_than_the_threshold_reach_a_dead_service(policy: CircuitBreakerPolicy) -> None:
    """Each of eight processes makes 200 calls a second that fail at once; the store is 5 ms away."""
    world = World()
    processes = world.processes_of(8, policy)
    reached = 0
    for _ in range(100):
        for process in processes:
            reached += process.fail(1)
        world.clock.advance(0.005)
        world.settle()
    assert {process.state for process in processes} == {"open"}
    assert reached <= 50 + 4 * 8
