"""A process that learns that the threshold is reached does not wait for the store to say so again."""

from __future__ import annotations

from switchgear import CircuitBreakerPolicy
from tests.stores.processes import World


def test_who_proposes_to_open_stops_at_once() -> None:
    world = World()
    processes = world.processes_of(3, CircuitBreakerPolicy(failure_threshold=6))
    for process in processes:
        assert process.fail(2) == 2
        process.tick(everything=True)
    last = processes[-1]
    assert world.view().state == "closed"  # the proposal is not yet sent
    assert last.state == "open"
    assert last.fail(1) == 0
    assert not last.circuit.snapshot().own
    world.settle()
    assert {process.state for process in processes} == {"open"}


def test_a_proposal_that_comes_too_late_is_withdrawn() -> None:
    world = World()
    processes = world.processes_of(3, CircuitBreakerPolicy(failure_threshold=6))
    for process in processes:
        process.fail(2)
        process.tick(everything=True)
    processes[0].circuit.reset()
    processes[0].tick(everything=True)
    world.settle()
    assert {process.state for process in processes} == {"closed"}
