"""The rolling window against an exact list of moments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from switchgear.breaker.window import BUCKETS, RollingWindow, Run

LENGTH = 16.0
EPSILON = 1e-9

steps = st.lists(
    st.tuples(
        st.one_of(
            st.just(0.0), st.floats(0.0, 1.5), st.floats(0.0, 40.0), st.sampled_from([1.0, 15.0, 16.0])
        ),
        st.booleans(),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps)
def test_totals_lie_between_what_must_and_what_may_be_counted(
    outcomes: list[tuple[float, bool, bool]],
) -> None:
    window, now = RollingWindow(LENGTH), 100.0
    seen: list[tuple[float, bool, bool]] = []
    for wait, failed, slow in outcomes:
        now += wait
        window.add(now, failed, slow)
        seen.append((now, failed, slow))
        # Never longer than the window; forgotten at most a sixteenth of it early.
        may = [o for o in seen if now - o[0] < LENGTH + EPSILON]
        must = [o for o in seen if now - o[0] < LENGTH - LENGTH / BUCKETS - EPSILON]
        assert len(must) <= window.calls <= len(may)
        assert sum(f for _, f, _ in must) <= window.failures <= sum(f for _, f, _ in may)
        assert sum(s for *_, s in must) <= window.slow <= sum(s for *_, s in may)
        assert window.successes == sum(not f for _, f, _ in seen)
        assert len(window._ring) <= BUCKETS + 1


@given(steps, st.floats(0.0, 100.0))
def test_expiry_without_a_call_forgets_the_same(
    outcomes: list[tuple[float, bool, bool]], wait: float
) -> None:
    window, now = RollingWindow(LENGTH), 0.0
    moments = []
    for step, failed, slow in outcomes:
        now += step
        window.add(now, failed, slow)
        moments.append(now)
    now += wait
    window.expire(now)
    assert window.calls <= sum(now - moment < LENGTH + EPSILON for moment in moments)
    assert window.calls >= sum(now - moment < LENGTH * (1 - 1 / BUCKETS) - EPSILON for moment in moments)


def test_a_lone_outcome_counts_for_exactly_the_window() -> None:
    window = RollingWindow(LENGTH)
    window.add(103.7, True, False)
    window.expire(103.7 + LENGTH - 0.001)
    assert window.failures == 1
    window.expire(103.7 + LENGTH)
    assert window.failures == 0


def test_add_tells_whether_a_rule_could_hold() -> None:
    window = RollingWindow(LENGTH)
    assert window.add(0.0, False, False)  # nobody has judged it yet
    window.limit = 2
    assert not window.add(0.0, False, False)
    assert not window.add(0.1, True, False)
    assert window.add(0.1, False, True)
    assert window.add(0.2, True, False)
    window.limit = 3
    assert not window.add(0.3, False, False)
    assert window.add(5.0, False, False)  # in a new bucket: others may have left


def test_a_bucket_lasts_a_sixteenth_of_the_window_and_what_fell_into_it_leaves_together() -> None:
    window = RollingWindow(LENGTH)
    for now in (0.0, 0.999, 1.0):
        window.add(now, False, False)
    window.expire(LENGTH)
    assert window.calls == 1
    window.expire(LENGTH + 1)
    assert window.calls == 0


def test_the_oldest_bucket_leaves_while_the_newest_goes_on() -> None:
    window = RollingWindow(LENGTH)
    for now in (0.0, 15.5, 16.2):
        window.add(now, False, False)
    assert window.calls == 2
    window.expire(15.5 + LENGTH)
    assert window.calls == 0


def test_the_edge_is_where_something_is_due() -> None:
    window = RollingWindow(LENGTH)
    window.add(0.0, False, False)
    assert window.edge == 1.0  # a new bucket
    window.add(15.5, False, False)
    assert window.edge == 16.0  # the oldest one leaves


def test_an_outcome_that_comes_late_into_an_empty_window_leaves_it_again() -> None:
    # Threads read the clock before they have the lock: the one that is slower may be behind.
    window = RollingWindow(LENGTH)
    window.add(0.0, True, False)
    window.expire(20.0)
    window.add(0.5, True, False)
    assert window.failures == 1
    window.expire(0.5 + LENGTH)
    assert window.failures == 0


def test_a_run_is_ended_by_a_success() -> None:
    run = Run(limit=3)
    assert [run.add(0.0, True, False) for _ in range(3)] == [False, False, True]
    assert [run.add(0.0, False, False) for _ in range(2)] == [False, False]
    assert (run.failures, run.successes) == (0, 2)


def test_without_a_limit_every_failure_is_worth_judging() -> None:
    assert Run().add(0.0, True, False)
