"""What happens between processes at one store: every race once, by hand."""

from __future__ import annotations

import asyncio

import pytest

from switchgear import CircuitBreaker
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS
from switchgear.breaker.observed import observed
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitState
from switchgear.errors import CircuitOpenError
from switchgear.metrics.tally import CallTally
from switchgear.stores.ledger import RETRIED
from switchgear.stores.operations import Flush, Move, Override, Reset, Transition
from tests.stores.processes import KEY, Process, World

POLICY = CircuitBreakerPolicy(failure_threshold=4, reset_timeout=10, probe_timeout=5)
WINDOWED = CircuitBreakerPolicy(failure_threshold=4, window=30, reset_timeout=10)


@pytest.fixture
def world() -> World:
    return World()


# ---- counting ----


def test_failures_of_two_processes_add_up(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(2)
    world.settle()
    b.fail(2)
    world.settle()
    assert (a.state, b.state) == ("open", "open")
    assert "4 consecutive failures" in a.circuit.snapshot().reason


def test_a_success_anywhere_ends_the_run(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(2)
    world.settle()
    b.call()
    world.pass_time(1.1)
    a.fail(1)
    world.settle()
    b.fail(2)
    world.pass_time(0.2)
    assert (a.state, b.state, world.view().run) == ("closed", "closed", 3)


def test_a_process_that_sees_a_whole_run_by_itself_opens_for_both(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(2)
    world.settle()
    b.call()
    world.pass_time(1.1)
    a.fail(2)
    world.settle()
    assert (a.state, b.state) == ("open", "open")


def test_every_failure_is_counted_once_though_every_reply_is_lost_first(world: World) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=1000, window=60)
    processes = world.processes_of(4, policy)
    for round_ in range(10):
        for i, process in enumerate(processes):
            process.loses_replies = (round_ + i) % 3 == 0
            process.fail(7)
        world.pass_time(0.1)
    for process in processes:
        process.loses_replies = False
    world.pass_time(0.5)
    assert world.view().failures == 280


def test_a_flush_that_is_too_old_is_not_sent_again(world: World) -> None:
    """Its answer was lost, and the store may have forgotten its number since."""
    (a,) = world.processes_of(1, CircuitBreakerPolicy(failure_threshold=1000, window=30))
    a.loses_replies = True
    a.fail(5)
    a.tick(everything=True)
    a.loses_replies, a.down = False, True
    world.clock.advance(RETRIED + 1)
    sent = len(a.sent)
    a.fail(2)
    come_back(a)
    world.settle()
    flushed = [operation for operation in a.sent[sent:] if isinstance(operation, Flush)]
    assert [sum(delta.failures for delta in flush.deltas) for flush in flushed] == [2]
    assert a.circuit._mirror.ledger.dropped == 5


def test_successes_alone_are_sent_once_a_staleness(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    world.pass_time(2)
    sent = len(a.sent)
    for _ in range(50):
        for _ in range(100):
            a.call()
        world.pass_time(0.1)
    assert len(a.sent) - sent <= 6


def test_outcomes_of_another_generation_are_not_counted(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    old = a.circuit.era
    assert old is not None
    b.circuit.reset()
    world.settle()
    for _ in range(5):
        a.circuit.settle(old, FAILURE, 0.0)
    world.pass_time(0.3)
    assert (a.state, world.view().run) == ("closed", 0)


def test_what_came_before_the_first_view_counts_in_that_generation_only(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    early = a.circuit.era.__class__(0, 1)
    a.fail(2)
    world.settle()
    a.circuit.settle(early, FAILURE, 0.0)
    world.pass_time(0.2)
    assert world.view().run == 3
    a.circuit.reset()
    world.settle()
    a.circuit.settle(early, FAILURE, 0.0)
    world.pass_time(0.2)
    assert world.view().run == 0


# ---- decisions ----


def test_of_two_trips_at_once_one_wins_and_both_are_open(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(4)
    b.fail(4)
    world.settle()
    assert (a.state, b.state, world.view().generation) == ("open", "open", 2)


def test_a_trip_is_seen_at_once_where_it_happens(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    assert (a.fail(10), a.state, b.state) == (4, "open", "closed")
    world.settle()
    assert b.state == "open"


def test_who_hears_that_the_threshold_is_reached_opens_before_the_change_itself_comes(world: World) -> None:
    a, b = world.processes_of(2, WINDOWED)
    a.fail(2)
    world.settle()
    b.fail(2)
    (letter,) = b.home.collect()
    b._carry([letter])  # its answer is still under way, and nobody has asked for the change yet
    assert (a.state, world.view().state) == ("open", "closed")
    b.home.delivered([letter], [world.view()])
    world.settle()
    assert (a.state, b.state, world.view().generation) == ("open", "open", 2)


def test_what_was_heard_is_sent_for_by_those_who_heard_it_if_its_bringer_dies(world: World) -> None:
    a, b = world.processes_of(2, WINDOWED)
    a.fail(2)
    world.settle()
    b.fail(2)
    b._carry(b.home.collect())
    b.down = True
    world.pass_time(0.2)
    assert (a.state, world.view().state) == ("open", "open")


def test_what_is_heard_of_one_sick_process_opens_nothing(world: World) -> None:
    sick, *others = world.processes_of(4, WINDOWED)
    sick.fail(4)
    world.settle()
    assert sick.state == "open"
    assert any(isinstance(o, Flush) and 4 in o.alarms for o in sick.sent), "they have heard of it"
    assert [process.state for process in others] == ["closed"] * 3


def test_a_trip_loses_against_a_reset(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.deaf = True
    a.fail(4)
    b.circuit.reset()
    b.tick()
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


def test_a_trip_that_the_store_has_yet_to_confirm_outlives_a_change_of_policy(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(2)
    world.settle()
    b.fail(1)
    world.settle()
    b.fail(1)
    assert (a.state, b.state) == ("closed", "open")
    for process in (a, b):
        process.circuit.adopt_policy(CircuitBreakerPolicy(failure_threshold=50))
    world.settle()
    assert (a.state, b.state) == ("open", "open")


def test_a_trip_on_old_evidence_is_withdrawn(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    b.fail(3)
    world.settle()
    a.home.resync_wanted = True
    world.pass_time(0.2)
    b.call()
    world.pass_time(1.1)
    assert world.view().run == 0
    a.fail(1)  # with the three that it still knows of: four
    assert a.state == "open"
    world.settle()
    assert (a.state, a.circuit._mirror.withdrawn) == ("closed", 1)


def test_a_retried_transition_has_won_though_the_reply_was_lost(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(4)
    a.loses_replies = True
    a.tick()
    a.loses_replies = False
    world.pass_time(3)
    assert (a.state, b.state, world.view().generation) == ("open", "open", 2)


def test_a_push_before_the_reply_and_an_older_push_after_it_change_nothing(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    before = world.view()
    a.fail(4)
    world.settle()
    b.home.pushed(KEY, before)
    assert b.state == "open"


# ---- probes ----


def opened(world: World, count: int = 2, policy: CircuitBreakerPolicy = POLICY) -> list:
    processes = world.processes_of(count, policy)
    for process in processes:
        process.fail(4)
    world.settle()
    assert {process.state for process in processes} == {"open"}
    return processes


def test_one_probe_over_all_processes(world: World) -> None:
    processes = opened(world, 8)
    world.pass_time(11.1)
    grants = []
    for process in processes:
        try:
            grants.append((process, process.circuit.admit()))
        except CircuitOpenError:
            continue
    assert len(grants) == 1
    prober, grant = grants[0]
    prober.circuit.succeed(grant, 0.0)
    world.settle()
    assert {process.state for process in processes} == {"closed"}


def test_a_failed_probe_opens_for_all_and_for_longer(world: World) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=4, reset_timeout=10, reset_timeout_factor=2)
    a, b = opened(world, policy=policy)
    world.pass_time(10.1)
    assert a.call(FAILURE)
    world.settle()
    assert (a.state, b.state) == ("open", "open")
    assert b.circuit.snapshot().retry_after == pytest.approx(20, abs=0.2)
    assert "a probe failed" in b.circuit.snapshot().reason


def test_an_inconclusive_probe_gives_its_lease_back(world: World) -> None:
    a, b = opened(world)
    world.pass_time(10.1)
    assert a.call(INCONCLUSIVE)
    world.settle()
    assert b.call(SUCCESS)
    world.settle()
    assert a.state == "closed"


def test_a_dead_probers_lease_frees_itself(world: World) -> None:
    a, b = opened(world)
    world.pass_time(10.1)
    a.circuit.admit()
    world.pass_time(4.8)
    assert not b.call()
    world.pass_time(0.3)
    assert b.call()
    world.settle()
    assert b.state == "closed"


def test_a_late_result_of_an_expired_lease_changes_nothing(world: World) -> None:
    a, b = opened(world)
    world.pass_time(10.1)
    grant = a.circuit.admit()
    world.pass_time(5.1)
    a.circuit.succeed(grant, 0.0)
    world.settle()
    assert b.state == "half-open"
    assert world.view().leases == 0


def test_a_lease_that_comes_too_late_is_given_back(world: World) -> None:
    a, b = opened(world)
    world.pass_time(10.1)
    a.slow_leases = True
    assert not a.call()
    a.slow_leases = False
    world.settle()
    a.take_late_answers()
    assert world.view().leases == 1
    world.settle()
    assert world.view().leases == 0
    assert b.call()


def test_a_refused_lease_is_not_asked_for_again_at_once(world: World) -> None:
    a, b = opened(world)
    world.pass_time(10.1)
    a.circuit.admit()
    before = len(b.sent)
    assert sum(b.call() for _ in range(100)) == 0
    assert len(b.sent) - before == 1


def test_only_so_many_questions_at_once(world: World) -> None:
    (a,) = opened(world, 1)
    world.pass_time(10.1)
    a.slow_leases = True
    a.circuit._mirror.admit(a.circuit.now())  # one that is still under way
    assert not a.call()
    assert a.late == []


def test_a_probe_that_dies_between_settling_and_closing_is_healed_by_another(world: World) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=4, reset_timeout=10, success_threshold=2, half_open_max=2)
    a, b = opened(world, policy=policy)
    world.pass_time(10.1)
    first, second = a.circuit.admit(), b.circuit.admit()
    a.circuit.succeed(first, 0.0)
    a.tick()
    b.circuit.succeed(second, 0.0)  # it had seen no success when it got its lease
    b.deaf = True
    b._carry(b.home.collect())  # and the reply, which would have told it, is lost with the process
    a.home.resync_wanted = True
    world.settle()
    assert a.state == "closed"


def test_late_results_of_a_round_that_is_over_free_their_slot_and_nothing_else(world: World) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=4, reset_timeout=1, half_open_max=3, probe_timeout=60)
    a, b = opened(world, policy=policy)
    world.pass_time(1.1)
    grants = [a.circuit.admit(), a.circuit.admit(), b.circuit.admit()]
    a.circuit.settle(grants[0], FAILURE, 0.0)
    world.settle()
    world.pass_time(1.1)
    again = a.circuit.admit()
    with pytest.raises(CircuitOpenError):
        b.circuit.admit()  # two of the first round are still in flight
    b.circuit.succeed(grants[2], 0.0)
    world.settle()
    assert world.view().state == "half-open"
    a.circuit.succeed(again, 0.0)
    world.settle()
    assert a.state == "closed"


# ---- the store goes, and comes back ----


def test_without_the_store_own_evidence_decides(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.down = True
    assert a.fail(10) == 4
    world.settle()
    assert (a.state, b.state) == ("open", "closed")
    world.pass_time(10.1)
    assert a.call()
    assert a.state == "closed"


def test_an_open_circuit_stays_open_when_the_store_is_lost_and_is_probed_locally(world: World) -> None:
    a, b = opened(world)
    world.pass_time(5)
    a.down = True
    a.home.failed((), ConnectionError("gone"))
    assert (a.state, a.circuit.snapshot().retry_after) == ("open", pytest.approx(5, abs=0.3))
    world.pass_time(5.1)
    assert a.call()
    assert (a.state, b.state) == ("closed", "open")


def come_back(process) -> None:
    process.down = False
    process.home.resync_wanted = True
    process.tick()


def test_what_was_counted_meanwhile_is_merged(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.down = True
    a.fail(2)
    world.pass_time(3)
    b.fail(1)
    world.pass_time(0.2)
    assert world.view().run == 1
    come_back(a)
    world.pass_time(0.2)
    assert world.view().run == 3


def test_a_trip_made_without_the_store_is_proposed_when_it_is_back(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.down = True
    a.fail(4)
    world.pass_time(3)
    come_back(a)
    world.settle()
    assert (a.state, b.state) == ("open", "open")
    assert b.circuit.snapshot().retry_after == pytest.approx(7, abs=0.3)


def test_a_store_that_moved_on_is_followed(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.down = True
    a.fail(4)
    b.fail(4)
    world.settle()
    b.circuit.reset()
    world.settle()
    come_back(a)
    world.settle()
    assert (a.state, b.state, world.view().run) == ("closed", "closed", 0)


@pytest.mark.parametrize("knower", [0, 1])
def test_a_store_that_comes_back_empty_gets_back_what_any_process_knows(world: World, knower: int) -> None:
    processes = opened(world)
    world.pass_time(3)
    world.store = world.empty_store()
    processes[knower].home.resync_wanted = True
    world.settle()
    assert (world.view().state, world.view().generation) == ("open", 2)
    assert {process.state for process in processes} == {"open"}
    assert world.view().until - world.view().now == pytest.approx(7000, abs=200)


def test_a_store_that_comes_back_older_gets_back_the_newest_generation(world: World) -> None:
    a, b = opened(world)
    old = dict(world.store.records)
    a.circuit.reset()
    world.settle()
    world.store.records = old
    b.home.resync_wanted = True
    world.settle()
    assert (world.view().generation, world.view().state) == (3, "closed")
    assert (a.state, b.state) == ("closed", "closed")


def test_of_two_histories_the_stores_wins(world: World) -> None:
    a, b = opened(world)
    world.store = world.empty_store()
    world.store.apply(KEY, Transition(expected=1, move=Move(to="closed", token="another")))
    for process in (a, b):
        process.home.resync_wanted = True
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


@pytest.mark.parametrize("step", [-3600.0, -2.5, 3600.0])
def test_a_step_of_the_stores_clock(world: World, step: float) -> None:
    a, b = opened(world)
    world.pass_time(2)
    world.shift += step
    a.home.resync_wanted = b.home.resync_wanted = True
    world.settle()
    if step > 0:
        assert a.circuit.snapshot().retry_after == 0, "a clock that jumps ahead ends the open time once"
        return
    # How long the store did not write before its clock went back, nobody knows: at most that is added.
    assert 7.7 < a.circuit.snapshot().retry_after < 10.6
    world.pass_time(10.6)
    assert a.call()
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


def test_counting_goes_on_after_the_stores_clock_went_back(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.fail(1)
    world.pass_time(0.3)
    world.shift -= 3600
    a.fail(2)
    world.pass_time(0.3)
    b.fail(2)
    world.pass_time(0.3)
    assert (a.state, b.state) == ("open", "open")


# ---- through a breaker ----


@pytest.mark.parametrize("observers", [0, 1])
def test_who_must_not_wait_gets_no_probe_that_the_store_would_have_to_lease(
    world: World, observers: int
) -> None:
    (a,) = opened(world, 1)
    breaker = CircuitBreaker("x", POLICY, clock=world.clock)
    breaker.circuit = observed(a.circuit, (CallTally(),) * observers)
    world.pass_time(10.1)
    assert breaker.try_acquire() is None
    assert breaker.try_acquire() is None, "and none is under way"
    with breaker.acquire() as permit:
        assert permit.probe


@pytest.mark.parametrize("observers", [0, 1])
def test_a_store_that_does_not_answer_is_waited_for_only_so_long(world: World, observers: int) -> None:
    (a,) = world.processes_of(1, POLICY)
    breaker = CircuitBreaker("x", POLICY, clock=world.clock)
    breaker.circuit = observed(a.circuit, (CallTally(),) * observers)
    a.slow_leases = True
    assert not breaker.ready(0.001)
    assert not asyncio.run(breaker.ready_async(0.001))


def test_an_operator_at_one_breaker_overrides_for_all(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    breaker = CircuitBreaker("x", POLICY, clock=world.clock)
    breaker.circuit = a.circuit
    for verb, state in ((breaker.disable, "disabled"), (breaker.force_open, "forced-open")):
        verb("migration", "ann")
        world.settle()
        assert (a.state, b.state, b.circuit.snapshot().reason) == (state, state, f"{state} by ann: migration")


# ---- operators ----


def test_an_override_holds_everywhere_and_expires(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "deploy", "ann", 5.0)
    assert a.state == "forced-open"
    world.settle()
    assert b.state == "forced-open"
    assert "ann: deploy" in b.circuit.snapshot().reason
    assert b.circuit.snapshot().retry_after == pytest.approx(5, abs=0.1)
    world.pass_time(5.1)
    assert b.state == "open"
    assert b.call()
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


def test_disabled_counts_and_never_opens(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.DISABLED, "", None, None)
    world.settle()
    assert b.fail(10) == 10
    world.pass_time(0.3)
    assert (a.state, b.state, world.view().run) == ("disabled", "disabled", 10)
    b.circuit.release()
    assert b.state == "closed"
    world.settle()
    assert (a.state, b.state, world.view().run) == ("closed", "closed", 0)


def test_lifting_a_forced_open_sends_a_probe_first(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "", None, None)
    world.settle()
    b.circuit.release()
    assert (b.state, b.circuit.snapshot().retry_after) == ("open", 0.0)
    world.settle()
    assert (a.state, a.circuit.snapshot().retry_after) == ("open", 0.0)


def test_the_last_of_several_wishes_holds(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "", None, None)
    a.circuit.override(CircuitState.DISABLED, "", None, None)
    assert a.state == "disabled"
    a.circuit.reset()
    assert a.state == "closed"
    assert [type(o) for o in a.circuit._mirror.outbox] == [Reset]
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


def test_a_wish_holds_until_the_store_has_it_and_survives_an_outage(world: World) -> None:
    a, b = opened(world)
    a.down = True
    a.circuit.override(CircuitState.DISABLED, "", None, None)
    a.home.pushed(KEY, world.view())
    assert a.state == "disabled"
    world.pass_time(1)
    come_back(a)
    world.settle()
    assert (a.state, b.state) == ("disabled", "disabled")


def test_an_override_that_the_store_took_away_ends_here_too_after_an_outage(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "", None, None)
    world.settle()
    b.down = True
    b.home.failed((), ConnectionError("gone"))
    assert b.state == "forced-open"
    a.circuit.reset()
    world.settle()
    come_back(b)
    world.settle()
    assert (a.state, b.state) == ("closed", "closed")


def test_an_override_is_restored_with_its_end(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "why", "ann", 60.0)
    world.settle()
    world.pass_time(10)
    world.store = world.empty_store()
    b.home.resync_wanted = True
    world.settle()
    view = world.view()
    assert (view.override, view.override_author, view.override_reason) == ("forced-open", "ann", "why")
    assert view.override_until - view.now == pytest.approx(50_000, abs=300)


# ---- hello, goodbye, fork ----


def test_the_first_call_says_hello_and_passes(world: World) -> None:
    opened(world)
    new = Process(world, POLICY)
    world.processes.append(new)
    assert new.state == "closed"
    assert new.call(), "nobody has told it yet"
    new.tick()
    assert new.state == "open"
    assert not new.call()
    assert not any(isinstance(operation, Flush) for operation in new.sent), "what it saw before is late"


def test_ready_fetches_the_state_beforehand(world: World) -> None:
    opened(world)
    new = Process(world, POLICY)
    assert new.circuit.ready(0)
    assert (new.state, new.call()) == ("open", False)


def test_goodbye_ends_being_live(world: World) -> None:
    *_, c = world.processes_of(3, POLICY)
    assert world.view().live == 3
    letters = c.home.goodbyes()
    c.home.delivered(letters, c._carry(letters))
    assert world.view().live == 2


def test_a_forked_child_sends_only_its_own(world: World) -> None:
    (a,) = world.processes_of(1, WINDOWED)
    a.fail(1)
    world.settle()
    a.fail(2)
    reporter, before = a.home.reporter, len(a.sent)
    a.circuit.after_fork()
    a.home.forked()
    assert a.home.reporter != reporter
    a.fail(1)
    world.pass_time(0.3)
    flushed = [operation for operation in a.sent[before:] if isinstance(operation, Flush)]
    assert sum(delta.failures for flush in flushed for delta in flush.deltas) == 1
    assert world.view().failures == 2


def fork(process: Process) -> None:
    """It is its own child from now on."""
    process.circuit.after_fork()
    process.home.forked()


def test_a_forked_child_keeps_an_order_of_its_parents_until_the_store_has_answered(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    a.circuit.override(CircuitState.FORCED_OPEN, "", None, None)
    fork(a)  # and the parent dies before it could send it
    assert (a.state, a.call()) == ("forced-open", False)
    world.settle()
    assert (a.state, world.view().override) == ("closed", "")


def test_a_forked_child_probes_by_itself_though_its_parent_does(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    a.down = True
    assert a.fail(10) == 4
    world.pass_time(10.1)
    parents = a.circuit.admit()
    assert not a.call()
    fork(a)
    a.circuit.settle(parents, FAILURE, 0.0)  # the forking thread's own call, which goes on here too
    assert a.state == "half-open"
    assert a.call()
    assert a.state == "closed"


@pytest.mark.parametrize(("outage", "left"), [(6.0, 4.0), (60.0, 0.0)])
def test_an_override_of_an_outage_has_no_more_time_than_it_was_given(
    world: World, outage: float, left: float
) -> None:
    a, b = world.processes_of(2, POLICY)
    a.down = True
    a.circuit.override(CircuitState.FORCED_OPEN, "", None, 10.0)
    world.pass_time(outage)
    come_back(a)
    world.settle()
    remaining = b.circuit.snapshot().retry_after
    assert remaining == pytest.approx(left, abs=0.3)
    world.pass_time(left + 0.1)
    assert b.state == "open"
    assert b.call(), "a probe goes first"


def test_an_override_that_expires_uncovers_the_one_below(world: World) -> None:
    a, b = world.processes_of(2, POLICY)
    b.circuit.override(CircuitState.FORCED_OPEN, "by b", None, None)
    world.settle()
    a.circuit.override(CircuitState.FORCED_OPEN, "by a", None, 1.0)
    world.clock.advance(1.1)  # before the store has it
    assert not a.call()
    assert a.state == "forced-open"


def test_a_push_of_an_unknown_circuit_is_dropped(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    a.home.pushed("another", world.view())
    assert a.state == "closed"


def test_another_policy_elsewhere_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    (a,) = world.processes_of(1, POLICY)
    world.processes_of(1, WINDOWED)
    a.fail(1)
    world.pass_time(0.3)
    assert [record.event for record in caplog.records if "another policy" in record.message] == [
        "policy_conflict"
    ]


def test_operations_are_typed_for_all(world: World) -> None:
    (a,) = world.processes_of(1, POLICY)
    a.circuit.override(CircuitState.DISABLED, "", None, 3.0)
    world.settle()
    assert [o.expires_ms for o in a.sent if isinstance(o, Override)] == [3000]
