"""Both kinds of mirrors alone: what they say, what they send, and what they make of what they hear."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from switchgear.breaker.machine import (
    CLOSED,
    DISABLED,
    FAILURE,
    FORCED_OPEN,
    HALF_OPEN,
    INCONCLUSIVE,
    OPEN,
    SUCCESS,
    Backoff,
    Open,
    Rejected,
    Result,
)
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.rules import Rule
from switchgear.breaker.state import CircuitState
from switchgear.stores import operations as ops
from switchgear.stores.decide import shared_rules
from switchgear.stores.following import FollowingMirror
from switchgear.stores.grants import Admitted, OwnProbe
from switchgear.stores.leasing import LeasingMirror
from switchgear.stores.mirror import Mirror
from switchgear.stores.view import View

OK, BAD, NOTHING = Result(SUCCESS), Result(FAILURE), Result(INCONCLUSIVE)
FIELDS: dict[str, Any] = {"failure_threshold": 3, "reset_timeout": 10}


def following(**fields: Any) -> FollowingMirror:
    return FollowingMirror(CircuitBreakerPolicy(**{**FIELDS, **fields}), 0.0, Random(1).random)


def leasing(**fields: Any) -> LeasingMirror:
    policy = CircuitBreakerPolicy(**{**FIELDS, **fields})
    return LeasingMirror(policy, 0.0, Random(1).random, shared_rules(policy))


KINDS = pytest.mark.parametrize("make", [following, leasing])


def view(seconds: float = 1000.0, **fields: Any) -> View:
    return View(now=round(seconds * 1000), **fields)


def opened(mirror: Mirror, now: float = 0.0, times: int = 3) -> None:
    """By its own calls."""
    for _ in range(times):
        mirror.settle(mirror.admitted, BAD, now)


# ---- operators: it holds here at once, and the store is told ----


@KINDS
def test_an_override_holds_at_once_with_its_end_and_is_sent_with_all_it_says(make: Any) -> None:
    mirror = make()
    mirror.force(FORCED_OPEN, 1.0, "deploy", "ann", 5.0)
    assert (mirror.own.state, mirror.own.retry_after(2.0), mirror.rule) == (FORCED_OPEN, 4.0, Rule.OVERRIDE)
    wish = next(o for o in mirror.wishes() if isinstance(o, ops.Override))
    assert mirror.tokens.rule(wish.token) is Rule.OVERRIDE
    assert wish == ops.Override(
        to="forced-open",
        token=wish.token,
        expires_ms=5000,
        author="ann",
        reason="deploy",
        why="forced-open by ann: deploy",
    )


@KINDS
def test_an_override_without_author_and_end(make: Any) -> None:
    mirror = make()
    mirror.force(DISABLED, 1.0, "", None, None)
    assert mirror.own.state is DISABLED
    wish = next(o for o in mirror.wishes() if isinstance(o, ops.Override))
    assert (wish.to, wish.expires_ms, wish.author, wish.reason) == ("disabled", None, "", "")


def test_an_override_of_less_than_a_millisecond_has_an_end_too() -> None:
    mirror = leasing()
    mirror.force(DISABLED, 1.0, "", None, 0.0001)
    assert [o.expires_ms for o in mirror.wishes() if isinstance(o, ops.Override)] == [1]


@KINDS
@pytest.mark.parametrize(("override", "to"), [("disabled", CLOSED), ("forced-open", OPEN)])
def test_lifting_an_override_of_the_store(make: Any, override: str, to: CircuitState) -> None:
    mirror = make()
    held = view(override=override, override_author="ann", generation=4, run=2, until=7)
    mirror.adopt(held, 1.0)
    mirror.release(2.0)
    why = "the override was lifted"
    assert mirror.view == replace(held, override="", state=to.value, until=held.now, why=why)
    assert mirror.rule is Rule.OVERRIDE
    (wish,) = (o for o in mirror.wishes() if isinstance(o, ops.Override))
    assert (wish.to, wish.why, mirror.tokens.rule(wish.token)) == ("", why, Rule.OVERRIDE)


@KINDS
def test_lifting_an_override_that_the_store_has_not_heard_of(make: Any) -> None:
    mirror = make()
    mirror.force(FORCED_OPEN, 1.0, "", None, None)
    mirror.release(5.0)
    assert (mirror.own.state, mirror.own.since, mirror.own.retry_after(5.0)) == (OPEN, 5.0, 0.0)
    mirror = make()
    held = view(state="open", until=1_005_000, generation=2)
    mirror.adopt(held, 1.0)
    mirror.release(2.0)
    assert mirror.view == held


@KINDS
def test_a_reset_forgets_what_the_store_said_before_it_answers(make: Any) -> None:
    mirror = make()
    mirror.reset(0.5)  # nothing heard yet
    assert (mirror.view, mirror.own.since) == (None, 0.5)
    mirror = make()
    held = view(
        generation=4,
        state="open",
        why="4 consecutive failures",
        override="forced-open",
        run=5,
        successes=2,
        calls=9,
        failures=7,
        slow=3,
        last_failure_at=999_000,
        last_failure="ValueError: bad",
    )
    mirror.adopt(held, 1.0)
    mirror.last_failure = "ValueError: bad"
    mirror.reset(2.0)
    assert mirror.view == View(now=held.now, generation=4, why="reset by hand")
    assert (mirror.last_failure, mirror.own.state, mirror.rule) == ("", CLOSED, Rule.RESET)
    (wish,) = (o for o in mirror.wishes() if isinstance(o, ops.Reset))
    assert (wish.why, mirror.tokens.rule(wish.token)) == ("reset by hand", Rule.RESET)


def test_a_wish_stands_against_all_that_the_store_says_until_it_is_confirmed() -> None:
    mirror = leasing()
    mirror.adopt(view(), 0.0)
    mirror.force(DISABLED, 1.0, "", None, None)
    (wish,) = mirror.wishes()
    assert not mirror.adopt(view(1001.0, generation=9), 1.0)
    mirror.answer(wish, view(1002.0, generation=9, override="disabled"), 2.0)
    assert (mirror.own.state, mirror.own.since) == (CLOSED, 2.0)  # the view has it from now on
    assert (mirror.view.now, mirror.view.override) == (1_002_000, "disabled")  # type: ignore[union-attr]
    assert mirror.adopt(view(1003.0, generation=9), 3.0)


def test_the_confirmation_of_a_wish_is_taken_from_a_store_that_has_forgotten_all_else() -> None:
    mirror = leasing()
    mirror.adopt(view(generation=9), 0.0)
    mirror.force(DISABLED, 1.0, "", None, None)
    (wish,) = mirror.wishes()
    mirror.answer(wish, view(1001.0, generation=2, override="disabled"), 2.0)
    assert mirror.generation == 2


# ---- the own machine's calls ----


def test_a_new_mirror_believes_that_there_is_a_store_and_looks_at_the_first_outcome() -> None:
    mirror = leasing()
    assert mirror.up
    assert (mirror.counts, mirror.steady_until, mirror.slack) == (None, float("-inf"), 0.0)


def test_an_own_probe_is_counted_when_it_says_something() -> None:
    for result, counted in ((NOTHING, 0), (OK, 1)):
        mirror = following(success_threshold=2)
        opened(mirror)
        mirror.flush("me", 0.0)
        mirror.ledger.confirm(1)
        probe = mirror.admit(10.0)
        assert isinstance(probe, OwnProbe)
        mirror.settle(probe, result, 11.0)
        assert mirror.ledger.calls == counted
        assert isinstance(mirror.admit(11.0), OwnProbe)


@pytest.mark.parametrize("disabled", [False, True])
def test_slow_calls_are_evidence_of_its_own(disabled: bool) -> None:
    mirror = following(failure_threshold=None, slow_call_rate=0.5, slow_call_duration=1, minimum_calls=2)
    if disabled:
        mirror.force(DISABLED, 0.0, "", None, None)
    for _ in range(2):
        mirror.settle(mirror.admitted, Result(SUCCESS, slow=True), 0.0)
    assert mirror.own.state is (DISABLED if disabled else OPEN)
    if disabled:
        assert mirror.own.evidence(0.0).slow == 2


def test_what_its_own_calls_opened_is_told_and_followers_hear_of_it() -> None:
    mirror = following()
    opened(mirror)
    (told,) = mirror.wishes()
    assert isinstance(told, ops.Transition)
    assert (told.move.to, mirror.rule) == ("open", Rule.CONSECUTIVE)


def test_in_a_fleet_its_own_failures_open_it_here_alone() -> None:
    mirror = leasing()
    mirror.adopt(view(live=9), 0.0)
    opened(mirror, 1.0)
    standing = mirror.standing(1.0)
    assert (standing.state, standing.own, mirror.rule) == (OPEN, True, Rule.CONSECUTIVE)
    assert standing.reason == "own calls 3 of 3 failed; 8 other processes report success"


def test_own_probes_are_told_apart_and_the_limit_holds() -> None:
    mirror = following(half_open_max=2)
    opened(mirror)
    assert mirror.admit(9.0) == Rejected(1.0)
    first, second = mirror.admit(10.0), mirror.admit(10.0)
    assert isinstance(first, OwnProbe)
    assert isinstance(second, OwnProbe)
    assert first == OwnProbe(mirror.generation, first.token, mirror.own.generation)
    assert first.token != second.token
    assert mirror.tokens.rule(first.token) is Rule.TIMER
    assert (mirror.own.state, mirror.rule) == (HALF_OPEN, Rule.TIMER)
    assert isinstance(mirror.admit(10.0), Rejected)
    mirror.settle(first, OK, 11.0)
    assert (mirror.own.state, mirror.rule) == (CLOSED, Rule.PROBES_OK)


def test_ordinary_calls_carry_both_generations() -> None:
    mirror = leasing()
    mirror.adopt(view(generation=7), 0.0)
    assert mirror.admit(0.0) == mirror.admitted == Admitted(7, mirror.own.generation)


def test_an_outcome_of_another_generation_is_outdated() -> None:
    mirror = following()
    grant = mirror.admitted
    assert not mirror.outdated(grant)
    opened(mirror)
    assert mirror.outdated(grant)


def test_an_inconclusive_outcome_is_not_sent() -> None:
    mirror = following()
    mirror.settle(mirror.admitted, NOTHING, 0.0)
    assert not mirror.ledger.buckets
    mirror.settle(mirror.admitted, OK, 0.0)
    assert mirror.ledger.buckets


# ---- pooled evidence ----


def test_a_failure_that_reaches_the_threshold_with_those_of_others_opens() -> None:
    mirror = following(jitter=0.5)
    mirror.adopt(view(run=2), 0.0)
    mirror.settle(mirror.admitted, Result(FAILURE, spread=1.0), 5.0)
    assert mirror.own.phase == Open(20.0, Backoff(0, 15.0), 3)
    assert (mirror.own.reason, mirror.own.since) == ("3 consecutive failures (threshold 3)", 5.0)
    assert mirror.rule is Rule.CONSECUTIVE
    (told,) = mirror.wishes()
    assert isinstance(told, ops.Transition)
    assert (told.move.to, told.move.open_ms, told.move.why) == ("open", 15_000, mirror.own.reason)


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (10_000.0, 300.0)])
def test_a_pooled_opening_believes_the_upstreams_retry_after(asked: float, waits: float) -> None:
    mirror = following()
    mirror.adopt(view(run=2), 0.0)
    mirror.settle(mirror.admitted, Result(FAILURE, retry_after=asked), 5.0)
    assert mirror.own.retry_after(5.0) == waits


def test_a_pooled_opening_soon_after_failed_rounds_lasts_as_long_as_the_last_one() -> None:
    mirror = leasing(reset_timeout_factor=2)
    mirror.adopt(view(run=2, rounds=1, since=995_000, open_ms=20_000, live=1), 0.0)
    mirror.settle(mirror.admitted, BAD, 1.0)
    assert mirror.own.phase == Open(21.0, Backoff(1, 20.0), 3)


def test_pooled_evidence_is_what_is_confirmed_in_flight_and_pending() -> None:
    mirror = leasing(failure_threshold=99, window=60)
    mirror.adopt(view(calls=10, failures=4, slow=2, successes=6, live=9, buckets=10, bucket_ms=6000), 0.0)
    mirror.settle(mirror.admitted, Result(FAILURE, slow=True), 1.0)
    mirror.settle(mirror.admitted, OK, 1.0)
    mirror.flush("me", 1.0)
    for result in (BAD, OK, Result(SUCCESS, slow=True)):
        mirror.settle(mirror.admitted, result, 2.0)
    seen = mirror.evidence(2.0)
    assert (seen.calls, seen.failures, seen.slow) == (15, 6, 4)
    assert (mirror.failure_count(2.0), mirror.call_count(2.0), mirror.success_count()) == (6, 15, 9)


def test_a_pooled_run_goes_on_through_what_is_in_flight_and_ends_with_a_success() -> None:
    mirror = leasing(failure_threshold=99)
    assert mirror.evidence(0.0).failures == 0
    mirror.adopt(view(run=4, live=9), 0.0)
    mirror.settle(mirror.admitted, BAD, 1.0)
    assert mirror.evidence(1.0).failures == 5
    mirror.flush("me", 1.0)
    mirror.settle(mirror.admitted, BAD, 2.0)
    assert mirror.evidence(2.0).failures == 6
    mirror.settle(mirror.admitted, OK, 3.0)
    mirror.settle(mirror.admitted, BAD, 3.0)
    assert mirror.evidence(3.0).failures == 1


def test_what_an_old_view_counted_has_left_the_window() -> None:
    mirror = leasing(failure_threshold=9, window=30)
    mirror.adopt(view(calls=8, failures=4, slow=2, buckets=10, bucket_ms=3000), 1.0)
    mirror.settle(mirror.admitted, BAD, 30.0)
    assert (mirror.failure_count(30.0), mirror.call_count(30.0)) == (5, 9)
    assert (mirror.failure_count(31.0), mirror.call_count(31.0)) == (1, 1)


def test_counts_are_the_own_machines_where_it_alone_decides() -> None:
    mirror = following(window=60)
    assert mirror.success_count() == 0
    mirror.settle(mirror.admitted, OK, 0.0)
    assert mirror.success_count() == 1
    opened(mirror)
    assert (mirror.own.state, mirror.failure_count(0.0), mirror.call_count(0.0)) == (OPEN, 3, 0)


@pytest.mark.parametrize("disabled", [False, True])
def test_calls_are_counted_here_where_the_store_keeps_no_window(disabled: bool) -> None:
    mirror = following(window=60)
    mirror.adopt(view(calls=100), 0.0)
    if disabled:
        mirror.force(DISABLED, 0.0, "", None, None)
    mirror.settle(mirror.admitted, BAD, 0.0)
    assert (mirror.call_count(0.0), mirror.failure_count(0.0)) == (1, 1)
    assert (mirror.call_count(60.0), mirror.failure_count(60.0)) == (0, 0)


# ---- what the store says ----


def test_of_two_views_the_older_changes_nothing() -> None:
    mirror = leasing()
    assert mirror.adopt(view(1000.0, generation=2, run=1), 1.0)
    assert not mirror.adopt(view(1009.0, generation=1), 2.0)
    assert not mirror.adopt(view(999.999, generation=2), 2.0)
    assert not mirror.adopt(view(998.0, generation=2), 2.0)
    assert mirror.received == 1.0


def test_a_view_that_is_too_old_to_have_been_overtaken_tells_of_a_clock_that_went_back() -> None:
    mirror = leasing()
    mirror.adopt(view(1000.0, generation=2), 1.0)
    assert mirror.adopt(view(997.999, generation=2), 2.0)
    assert (mirror.received, mirror.local(998_999, mirror.view)) == (2.0, 3.0)  # type: ignore[arg-type]


def test_the_same_moment_is_not_older() -> None:
    mirror = leasing()
    mirror.adopt(view(1000.0, run=1), 1.0)
    assert mirror.adopt(view(1000.0, run=2), 1.5)


@pytest.mark.parametrize(
    ("first", "kept"), [({}, True), ({"state": "open"}, False), ({"override": "disabled"}, False)]
)
def test_what_came_before_the_first_view_belongs_to_a_closed_circuit_only(
    first: dict[str, Any], kept: bool
) -> None:
    mirror = leasing()
    mirror.settle(mirror.admitted, BAD, 0.0)
    mirror.adopt(view(generation=2, **first), 1.0)
    assert bool(mirror.ledger.buckets) is kept


@pytest.mark.parametrize(("state", "kept"), [("closed", True), ("open", False)])
def test_a_store_that_is_back_decides_again(state: str, kept: bool) -> None:
    mirror = leasing()
    mirror.adopt(view(generation=2, state=state, until=1_000_000), 0.0)
    mirror.lost(1.0)
    assert not mirror.up
    grant = mirror.admit(2.0)
    assert isinstance(grant, Admitted | OwnProbe)
    mirror.settle(grant, BAD, 2.0)
    counted = bool(mirror.ledger.buckets)
    mirror.adopt(view(1003.0, generation=2, state=state, until=1_000_000), 3.0)
    assert (mirror.up, mirror.own.state) == (True, CLOSED)
    assert counted
    assert bool(mirror.ledger.buckets) is kept


def test_whose_change_it_was_is_known_from_its_token() -> None:
    mirror = leasing()
    mirror.adopt(view(), 0.0)
    token = mirror.tokens.new(Rule.FAILURE_RATE)
    mirror.adopt(view(1001.0, generation=2, change=token, state="open"), 1.0)
    assert mirror.rule is Rule.FAILURE_RATE
    mirror.adopt(view(1002.0, generation=2, change=token, state="open", run=1), 2.0)
    assert mirror.rule is Rule.FAILURE_RATE
    mirror.adopt(view(1003.0, generation=3, change="somebody's"), 3.0)
    assert mirror.rule is Rule.STORE


@KINDS
def test_goodbye_is_answered_by_nothing(make: Any) -> None:
    mirror = make()
    mirror.answer(ops.Goodbye(reporter="me"), view(state="open"), 1.0)
    assert mirror.view is None


@KINDS
def test_what_nobody_asked_for_is_taken_too(make: Any) -> None:
    mirror = make()
    mirror.hear(view(generation=3), 4.0)
    assert (mirror.view.generation, mirror.received) == (3, 4.0)


def test_another_policy_is_that_of_both_halves() -> None:
    mirror = leasing()
    mirror.settle(mirror.admitted, BAD, 0.0)
    policy = CircuitBreakerPolicy(failure_threshold=2)
    mirror.adopt_policy(policy)
    assert (mirror.policy, mirror.own.policy) == (policy, policy)
    mirror.settle(mirror.admitted, BAD, 0.0)
    assert mirror.own.state is OPEN
