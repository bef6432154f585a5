"""The machine alone: every event in every state, leases, and the back-off of repeated outages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from switchgear import CircuitBreakerPolicy
from switchgear.breaker.machine import (
    CLOSED,
    DISABLED,
    FAILURE,
    FORCED_OPEN,
    HALF_OPEN,
    INCONCLUSIVE,
    OPEN,
    SUCCESS,
    TABLE,
    Backoff,
    Event,
    Leased,
    Machine,
    Passed,
    Rejected,
    Result,
)
from switchgear.breaker.rules import Rule
from switchgear.breaker.state import CircuitState

OK, BAD, NOTHING = Result(SUCCESS), Result(FAILURE), Result(INCONCLUSIVE)


def machine(**fields: Any) -> Machine:
    return Machine(CircuitBreakerPolicy(**{"failure_threshold": 1, "reset_timeout": 10, **fields}), 0.0)


def opened(**fields: Any) -> Machine:
    made = machine(**fields)
    made.settle(Passed(1), BAD, 0.0)
    return made


def probed(**fields: Any) -> tuple[Machine, Leased]:
    made = opened(**fields)
    lease, _ = made.admit(10.0, "first")
    assert isinstance(lease, Leased)
    return made, lease


IN_STATE: dict[CircuitState, Callable[[], Machine]] = {
    CLOSED: machine,
    OPEN: opened,
    HALF_OPEN: lambda: probed()[0],
    FORCED_OPEN: lambda: _after(lambda made: made.force_open(0.0)),
    DISABLED: lambda: _after(lambda made: made.disable(0.0)),
}


def _after(act: Callable[[Machine], object]) -> Machine:
    made = machine()
    act(made)
    return made


def _settle_probe(made: Machine, result: Result) -> object:
    return made.settle(Leased(made.generation, "first"), result, 11.0) if made.leases else None


CAUSES: dict[Event, Callable[[Machine], object]] = {
    Event.TRIP: lambda made: made.settle(Passed(made.generation), BAD, 11.0),
    Event.LEASE: lambda made: made.admit(11.0, "second"),
    Event.PROBE_FAILED: lambda made: _settle_probe(made, BAD),
    Event.PROBES_OK: lambda made: _settle_probe(made, OK),
    Event.FORCE_OPEN: lambda made: made.force_open(11.0),
    Event.DISABLE: lambda made: made.disable(11.0),
    Event.RELEASE: lambda made: made.release(11.0),
    Event.RESET: lambda made: made.reset(11.0),
    Event.SET_CLOSED: lambda made: made.put(CLOSED, 11.0),
    Event.SET_OPEN: lambda made: made.put(OPEN, 11.0),
    Event.SET_HALF_OPEN: lambda made: made.put(HALF_OPEN, 11.0),
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", CircuitState)
def test_every_event_in_every_state_leads_where_the_table_says(state: CircuitState, event: Event) -> None:
    made = IN_STATE[state]()
    assert made.state is state
    generation = made.generation
    CAUSES[event](made)
    assert made.state is TABLE[state].get(event, state)
    assert made.generation == generation + (event in TABLE[state])


def test_a_transition_tells_all() -> None:
    change = machine(failure_threshold=1).settle(Passed(1), BAD, 3.0)
    assert change is not None
    assert (change.from_state, change.to_state, change.generation) == (CLOSED, OPEN, 2)
    assert (change.rule, change.reason) == (Rule.CONSECUTIVE, "1 consecutive failures (threshold 1)")


def test_an_open_circuit_says_when_a_probe_may_go() -> None:
    made = opened()
    assert [made.retry_after(now) for now in (0.0, 4.0, 10.0, 99.0)] == [10.0, 6.0, 0.0, 0.0]
    assert made.admit(9.999, "t")[0] == Rejected(pytest.approx(0.001))
    assert made.state is OPEN


def test_leases_are_limited_and_waiting_callers_are_told_how_long() -> None:
    made, _ = probed(half_open_max=2, probe_timeout=5)
    assert isinstance(made.admit(12.0, "second")[0], Leased)
    assert made.admit(13.0, "third")[0] == Rejected(2.0)
    assert isinstance(made.admit(15.0, "third")[0], Leased)  # the first one's time is over


def test_a_lease_that_ends_now_makes_room_for_one_and_no_more() -> None:
    made, _ = probed(probe_timeout=5)
    assert isinstance(made.admit(15.0, "second")[0], Leased)
    assert made.admit(15.0, "third")[0] == Rejected(5.0)


def test_slow_calls_open_by_their_share() -> None:
    made = machine(failure_threshold=None, slow_call_rate=0.5, slow_call_duration=1, minimum_calls=2)
    assert made.settle(Passed(1), OK, 0.0) is None
    made.settle(Passed(1), Result(SUCCESS, slow=True), 0.0)
    assert made.state is OPEN


def test_a_lease_outlives_changes_of_state() -> None:
    made, lease = probed(half_open_max=1, probe_timeout=50)
    made.put(OPEN, 11.0)
    assert made.admit(21.0, "second")[0] == Rejected(39.0)
    made.settle(lease, OK, 22.0)  # of an older generation: gives the slot back, decides nothing
    assert made.state is OPEN
    assert isinstance(made.admit(22.0, "second")[0], Leased)


def test_the_result_of_an_expired_lease_changes_nothing() -> None:
    made, lease = probed(probe_timeout=5)
    assert made.settle(lease, OK, 15.0) is None
    assert made.state is HALF_OPEN
    assert made.settle(lease, BAD, 15.0) is None
    assert made.state is HALF_OPEN


def test_more_successes_than_probes_at_once_may_be_wanted() -> None:
    made, lease = probed(success_threshold=3)
    for n in range(2):
        assert made.settle(lease, OK, 11.0) is None
        assert made.successes == n + 1
        lease, _ = made.admit(11.0, f"probe {n}")  # type: ignore[assignment]
    change = made.settle(lease, OK, 12.0)
    assert change is not None
    assert (change.to_state, change.reason) == (CLOSED, "3 probes succeeded")


def test_the_first_failed_probe_opens_again() -> None:
    made, lease = probed(half_open_max=3, success_threshold=3)
    second, _ = made.admit(10.0, "second")
    made.settle(lease, OK, 11.0)
    change = made.settle(second, BAD, 11.0)  # type: ignore[arg-type]
    assert change is not None
    assert (change.to_state, change.rule) == (OPEN, Rule.PROBE_FAILED)


@pytest.mark.parametrize(
    ("result", "words"), [(BAD, "a probe failed"), (Result(SUCCESS, slow=True), "a probe was slow")]
)
def test_what_was_wrong_with_a_probe_is_said(result: Result, words: str) -> None:
    made, lease = probed(slow_call_rate=0.5, slow_call_duration=1)
    change = made.settle(lease, result, 13.0)
    assert change is not None
    assert (change.reason, made.reason) == (words, words)


@pytest.mark.parametrize(("fields", "state"), [({"slow_call_rate": 0.5}, OPEN), ({}, CLOSED)])
def test_a_slow_probe_is_a_failed_one_with_a_slow_rule_only(
    fields: dict[str, Any], state: CircuitState
) -> None:
    made, lease = probed(slow_call_duration=1, **fields)
    made.settle(lease, Result(SUCCESS, slow=True), 13.0)
    assert made.state is state


def test_rounds_lengthen_the_open_time_until_it_was_closed_for_longer_than_that() -> None:
    made = opened(reset_timeout_factor=2, reset_timeout_max=100)

    def probe(now: float, result: Result) -> float | None:
        lease, _ = made.admit(now, f"at {now}")
        made.settle(lease, result, now)  # type: ignore[arg-type]
        return made.retry_after(now)

    assert probe(10.0, BAD) == pytest.approx(20)
    assert probe(30.0, BAD) == pytest.approx(40)
    probe(70.0, OK)
    made.settle(Passed(made.generation), BAD, 110.0)  # closed for 40 s: no longer than it was open
    assert made.retry_after(110.0) == pytest.approx(40)
    probe(150.0, OK)
    made.settle(Passed(made.generation), BAD, 190.1)
    assert made.retry_after(190.1) == pytest.approx(10)


def test_jitter_is_drawn_once_and_kept() -> None:
    made = machine(jitter=0.5)
    made.settle(Passed(1), Result(FAILURE, spread=1.0), 0.0)
    assert [made.retry_after(now) for now in (0.0, 5.0)] == [15.0, 10.0]


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (10_000.0, 300.0)])
def test_an_upstreams_own_retry_after_is_believed_up_to_the_maximum(asked: float, waits: float) -> None:
    made = machine()
    change = made.settle(Passed(1), Result(FAILURE, retry_after=asked), 0.0)
    assert made.retry_after(0.0) == waits
    assert change is not None
    assert change.reason.endswith(f"; the upstream asks for {waits:g} s")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "{} by hand"),
        ({"reason": "deploy"}, "{} by hand: deploy"),
        ({"author": "ann"}, "{} by ann"),
        ({"reason": "deploy", "author": "ann"}, "{} by ann: deploy"),
    ],
)
@pytest.mark.parametrize("state", [FORCED_OPEN, DISABLED])
def test_an_override_says_who_wanted_it_and_why(
    state: CircuitState, fields: dict[str, Any], words: str
) -> None:
    made = machine()
    change = (made.force_open if state is FORCED_OPEN else made.disable)(3.0, **fields)
    assert (change.to_state, change.rule, change.author) == (state, Rule.OVERRIDE, fields.get("author"))
    assert (made.reason, change.reason, made.since) == (words.format(state.value), made.reason, 3.0)


def test_what_ends_by_hand_says_so() -> None:
    made = opened()
    made.force_open(1.0)
    change = made.release(2.0)
    assert change is not None
    assert (change.rule, change.reason) == (Rule.OVERRIDE, "the override was lifted")
    assert (made.state, made.evidence(2.0).failures) == (OPEN, 0)
    _, change = made.admit(2.0, "t")
    assert change is not None
    assert change.reason == "a probe is due"
    change = made.reset(3.0)
    assert (change.rule, change.reason) == (Rule.RESET, "reset by hand")


def test_overrides_expire() -> None:
    made = machine()
    made.force_open(0.0, reason="deploy", author="ann", expires_in=5.0)
    assert made.reason == "forced-open by ann: deploy"
    assert made.admit(4.0, "t")[0] == Rejected(1.0)
    assert isinstance(made.admit(5.0, "t")[0], Leased)  # a probe first, not all traffic
    made.disable(6.0, expires_in=5.0)
    change = made.expire(11.0)
    assert change is not None
    assert (change.from_state, change.to_state, change.rule) == (DISABLED, CLOSED, Rule.OVERRIDE_EXPIRED)


def test_an_outcome_that_changes_nothing_tells_what_has_expired() -> None:
    made = machine()
    before = Passed(made.generation)
    made.disable(0.0, expires_in=5.0)
    change = made.settle(before, BAD, 5.0)
    assert change is not None
    assert (change.rule, change.reason, made.state) == (Rule.OVERRIDE_EXPIRED, "the override expired", CLOSED)


def test_forced_open_without_an_end_knows_no_time() -> None:
    made = IN_STATE[FORCED_OPEN]()
    assert made.retry_after(1e9) is None
    assert made.admit(1e9, "t")[0] == Rejected(None)


def test_disabled_counts_and_never_opens() -> None:
    made = IN_STATE[DISABLED]()
    for _ in range(3):
        made.settle(Passed(made.generation), BAD, 1.0)
    assert (made.state, made.evidence(1.0).failures) == (DISABLED, 3)


def test_what_was_set_to_open_is_probed_and_its_rounds_begin_anew() -> None:
    made = machine(failure_threshold=9, window=60, reset_timeout_factor=2)
    for _ in range(3):
        made.settle(Passed(1), BAD, 1.0)
    change = made.put(OPEN, 2.0)
    assert (change.rule, change.reason) == (Rule.STORE, "set open through the store")
    assert (made.retry_after(2.0), made.evidence(2.0).failures) == (10.0, 3)
    lease, change = made.admit(12.0, "t")  # type: ignore[assignment]
    assert change.reason == "the open time of 10 s is over"
    made.settle(lease, BAD, 12.0)  # type: ignore[arg-type]
    assert made.retry_after(12.0) == 20.0


def test_what_was_set_to_half_open_is_probed_at_once() -> None:
    made = machine(reset_timeout_factor=2)
    made.put(HALF_OPEN, 1.0)
    lease, _ = made.admit(1.0, "t")
    made.settle(lease, BAD, 1.0)  # type: ignore[arg-type]
    assert (made.state, made.retry_after(1.0)) == (OPEN, 20.0)


def test_what_was_set_to_closed_opens_again_by_its_rules() -> None:
    made = opened(reset_timeout_factor=2)
    made.put(CLOSED, 1.0)
    made.settle(Passed(made.generation), BAD, 1.0)
    assert (made.state, made.retry_after(1.0)) == (OPEN, 10.0)


@pytest.mark.parametrize(("threshold", "state"), [(2, CLOSED), (1, OPEN)])
def test_an_outcome_that_no_admission_stands_for_comes_after_what_has_expired(
    threshold: int, state: CircuitState
) -> None:
    made = machine(failure_threshold=threshold, window=60)
    made.disable(0.0, expires_in=5.0)
    change = made.count(BAD, 5.0)
    assert change is not None
    assert (change.to_state, made.evidence(5.0).failures) == (state, 1)


def test_an_outcome_that_no_admission_stands_for_is_no_probe() -> None:
    made, lease = probed()
    assert made.count(OK, 11.0) is None
    assert (made.state, made.successes) == (HALF_OPEN, 1)
    assert made.count(BAD, 11.0) is None
    assert made.state is HALF_OPEN
    made.settle(lease, BAD, 11.0)
    assert made.count(BAD, 11.0) is None
    assert made.evidence(11.0).failures == 1


def test_a_phase_that_was_decided_elsewhere_is_a_generation_of_its_own() -> None:
    made = opened()
    made.assume(made.phase, "too many failed everywhere", 3.0)
    assert (made.generation, made.since, made.reason) == (3, 3.0, "too many failed everywhere")
    made.forget(4.0)
    assert (made.generation, made.state, made.reason, made.since) == (4, CLOSED, "", 4.0)


def test_forgetting_may_keep_the_failed_rounds() -> None:
    made = opened(reset_timeout_factor=2)
    made.forget(4.0, Backoff(2, 40.0))
    made.settle(Passed(made.generation), BAD, 5.0)
    assert (made.state, made.retry_after(5.0)) == (OPEN, 40.0)


def test_put_takes_no_override() -> None:
    with pytest.raises(
        ValueError, match="transition to 'disabled': allowed are 'closed', 'open', 'half-open'"
    ):
        machine().put(DISABLED, 0.0)


def test_a_record_without_policy_can_be_read_and_set() -> None:
    made = Machine(None, 0.0)
    made.put(OPEN, 1.0)
    assert made.retry_after(1.0) == 0.0
    made.adopt_policy(CircuitBreakerPolicy(reset_timeout=10))
    assert made.retry_after(3.0) == 8.0  # since it was opened


def test_a_record_that_was_opened_without_a_policy_goes_on_by_the_first_one() -> None:
    made = Machine(None, 0.0)
    for _ in range(3):
        made.count(BAD, 0.0)
    made.put(OPEN, 1.0)
    made.adopt_policy(CircuitBreakerPolicy(reset_timeout=10, reset_timeout_factor=2))
    assert made.evidence(3.0).failures == 3
    lease, change = made.admit(11.0, "t")
    assert change is not None
    assert change.reason == "the open time of 10 s is over"
    made.settle(lease, BAD, 11.0)  # type: ignore[arg-type]
    assert made.retry_after(11.0) == 20.0


def test_another_policy_later_leaves_an_open_time_as_it_is() -> None:
    made = opened()
    made.adopt_policy(CircuitBreakerPolicy(reset_timeout=99))
    assert made.retry_after(3.0) == 7.0


def test_probes_are_due_since_the_open_time_ended() -> None:
    made = opened()
    assert made.due_since(9.0) == float("inf")
    assert made.due_since(50.0) == 10.0
    assert probed(half_open_max=2)[0].due_since(50.0) == 10.0
    assert machine().due_since(50.0) == float("inf")
