"""A key under a policy: what a live breaker does with the same calls, replay does."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear import CircuitBreakerPolicy
from switchgear.replay.calls import FAILURE, GONE, INCONCLUSIVE, REJECTED, SUCCESS, Call
from switchgear.replay.lanes import Lane
from switchgear.replay.outages import Rejections
from switchgear.replay.track import Track
from tests.replay.live import live

LONGEST = 40
"""Steps that a call may last; all times are multiples of an eighth of a second, so that sums are exact."""
POLICIES = (
    CircuitBreakerPolicy(failure_threshold=2, reset_timeout=2),
    CircuitBreakerPolicy(
        failure_threshold=3, window=4, reset_timeout=1, half_open_max=2, success_threshold=3
    ),
    CircuitBreakerPolicy(failure_rate=0.5, minimum_calls=4, window=3, reset_timeout=1),
    CircuitBreakerPolicy(failure_rate=0.3, minimum_calls=6, window=8, reset_timeout=2, probe_timeout=1),
    CircuitBreakerPolicy(
        slow_call_rate=0.5, slow_call_duration=2, minimum_calls=3, window=6, reset_timeout=1, half_open_max=3
    ),
    CircuitBreakerPolicy(
        failure_rate=0.6,
        failure_threshold=4,
        slow_call_duration=3,
        minimum_calls=5,
        window=5,
        reset_timeout=1,
        reset_timeout_factor=2,
        reset_timeout_max=6,
        failure_statuses=frozenset({500, 429}),
    ),
)
call = st.tuples(
    st.integers(0, 6),  # steps since the call before ended
    st.integers(1, LONGEST),
    st.sampled_from([SUCCESS, SUCCESS, FAILURE, FAILURE, INCONCLUSIVE, GONE, 200, 429, 503]),
)


def recorded(steps: list[tuple[int, int, int]]) -> list[Call]:
    """As a log has them: in the order of their ends."""
    end, calls = 0, []
    for gap, lasted, code in steps:
        end += gap
        calls.append((end / 8, (end - lasted) / 8, code))
    return calls


def replayed(policy: CircuitBreakerPolicy, calls: list[Call], batch: int = 1000) -> Track:
    """In batches of so many calls, each decided as far as the longest call allows."""
    track = Track(policy)
    lane = Lane([track], None)
    decided = float("-inf")
    for first in range(0, len(calls), batch):
        some = calls[first : first + batch]
        lane.add(some, decided)
        horizon = some[-1][0] - (LONGEST + 1) / 8
        if horizon > decided:
            lane.advance(decided, horizon)
            decided = horizon
    lane.advance(decided, float("inf"))
    assert (lane.late, lane.long) == (0, 0)
    return track


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(POLICIES), st.lists(call, max_size=120), st.integers(1, 50))
def test_it_does_what_a_live_breaker_does(policy, steps, batch):
    calls = recorded(steps)
    moves, rejected = live(policy, calls)
    history = replayed(policy, calls, batch).history
    assert [(move.at, move.to_state) for move in history.moves] == moves
    assert history.rejections.all == rejected.total()
    bad = {FAILURE, *(policy.failure_statuses or ())}
    assert history.rejections.bad == sum(count for code, count in rejected.items() if code in bad)


def instant(outcomes: str, begin: float = 0.0, every: float = 1.0) -> list[Call]:
    """A call a second by default: s succeeds, f fails, u says nothing, r was rejected already."""
    codes = {"s": SUCCESS, "f": FAILURE, "u": INCONCLUSIVE, "r": REJECTED}
    ends = (begin + place * every for place in range(len(outcomes)))
    return [(end, end - 0.125, codes[outcome]) for end, outcome in zip(ends, outcomes, strict=True)]


def test_an_outage_from_its_first_bad_call_to_its_end():
    track = replayed(CircuitBreakerPolicy(failure_threshold=3, reset_timeout=4), instant("sfsfffsffufsss"))
    (outage,) = track.history.outages
    assert (outage.trouble, outage.opened, outage.time_to_open) == (3, 5, 2)
    assert outage.reason == "3 consecutive failures (threshold 3)"
    # Open until 9: the call that ends there began before. The one that ends at 10 is a failed probe.
    assert (outage.failed_probes, outage.closed) == (1, None)
    assert outage.rejections == Rejections(good=4, bad=2, unknown=1)
    assert track.history.open_since == 5


def test_a_call_that_was_rejected_in_truth_is_neither_probe_nor_rejection_nor_evidence():
    policy = CircuitBreakerPolicy(failure_threshold=2, reset_timeout=2)
    history = replayed(policy, instant("frfrrrrrrsr")).history
    assert [(move.at, move.to_state) for move in history.moves] == [
        (2, "open"),
        (8.875, "half-open"),
        (9, "closed"),
    ]
    assert history.rejections.all == 0


def test_a_success_leaves_the_window_by_its_own_time():
    policy = CircuitBreakerPolicy(failure_rate=0.5, minimum_calls=2, window=16)
    calls = [(0.0, -1.0, SUCCESS), (10.0, 9.0, SUCCESS), (17.0, 16.0, FAILURE)]
    (outage,) = replayed(policy, calls).history.outages
    assert outage.reason == "1 of 2 calls in 16 s failed (50.0%, limit 50.0%)"


def test_a_flap_is_an_opening_soon_after_a_closing():
    policy = CircuitBreakerPolicy(failure_threshold=1, reset_timeout=2)
    soon = replayed(policy, instant("fffs" + "f")).history
    assert [outage.flap for outage in soon.outages] == [False, True]
    later = replayed(policy, instant("fffs" + "sss" + "f")).history
    assert [outage.flap for outage in later.outages] == [False, False]
    assert (soon.flaps, later.flaps) == (1, 0)


def test_time_to_open_reaches_back_a_window_at_most():
    policy = CircuitBreakerPolicy(failure_threshold=4, window=3, reset_timeout=1)
    history = replayed(policy, instant("ff" * 50 + "fffff", every=1.25) + instant("ffff", 200, 0.25)).history
    (outage,) = history.outages
    assert (outage.opened, outage.time_to_open) == (200.75, 0.75)
    long = replayed(policy, instant("f" * 40, every=1.0) + instant("ff", 39.5, 0.25)).history
    assert long.outages[0].time_to_open == 3


def test_a_probe_that_began_within_the_resolution_of_the_log_is_a_probe():
    calls = [(0.0, -1.0, FAILURE), (2.5, 1.996, SUCCESS)]
    policy = CircuitBreakerPolicy(failure_threshold=1, reset_timeout=2)
    assert [track.history.moves[-1].to_state for track in map(run_with, (0.0, 0.01))] == ["open", "closed"]
    assert replayed(policy, calls).history.rejections.good == 1


def run_with(tolerance: float) -> Track:
    track = Track(CircuitBreakerPolicy(failure_threshold=1, reset_timeout=2), tolerance)
    lane = Lane([track], None)
    lane.add([(0.0, -1.0, FAILURE), (2.5, 1.996, SUCCESS)], float("-inf"))
    lane.advance(float("-inf"), float("inf"))
    return track


def test_lists_are_bounded_and_counts_are_not(monkeypatch):
    monkeypatch.setattr("switchgear.replay.outages.MOST", 3)
    policy = CircuitBreakerPolicy(failure_threshold=1, reset_timeout=2)
    history = replayed(policy, instant("fffs" * 10)).history
    assert (len(history.outages), len(history.moves), history.openings) == (3, 3, 10)
    assert history.rejections == Rejections(good=0, bad=20)


@pytest.mark.parametrize("codes", [Counter({SUCCESS: 3, 503: 2, 429: 1, REJECTED: 4, GONE: 1})])
def test_calls_are_judged_by_each_policy_for_itself(codes):
    from switchgear.replay.report import Calls, calls_of

    usual = calls_of(codes, CircuitBreakerPolicy())
    assert usual == Calls(good=4, bad=2, unknown=1, not_made=4)
    strict = calls_of(codes, CircuitBreakerPolicy(failure_statuses=frozenset({429})))
    assert strict == Calls(good=5, bad=1, unknown=1, not_made=4)
