"""Overrides, reset, snapshots, and shadow mode."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitBreakerSnapshot, CircuitOpenError, CircuitState
from switchgear.breaker.state import ShadowCounts
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller

Make = Callable[..., CircuitBreaker]


def test_a_fresh_snapshot(make: Make) -> None:
    assert make().snapshot() == CircuitBreakerSnapshot(
        state=CircuitState.CLOSED,
        failure_count=0,
        success_count=0,
        last_failure_time=0.0,
        last_state_change=0.0,
        generation=1,
        retry_after=0.0,
        age=0.0,
        reason="",
        last_failure=None,
        shadow=False,
        own=False,
    )
    with pytest.raises(AttributeError):
        make().snapshot().state = CircuitState.OPEN  # type: ignore[misc]


def test_a_snapshot_through_an_outage(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker = make(success_threshold=2)
    clock.advance(5)
    caller.open(breaker)
    clock.advance(10)
    seen = breaker.snapshot()
    assert (seen.state, seen.failure_count, seen.generation, seen.retry_after) == ("open", 5, 2, 20.0)
    assert (seen.last_failure_time, seen.last_state_change) == (1005.0, 1005.0)
    assert (seen.reason, seen.last_failure) == ("5 consecutive failures (threshold 5)", "Boom: down")
    clock.advance(20)
    caller.call(breaker)
    seen = breaker.snapshot()
    assert (seen.state, seen.failure_count, seen.success_count, seen.generation) == ("half-open", 5, 1, 3)
    caller.call(breaker)
    seen = breaker.snapshot()
    assert (seen.state, seen.failure_count, seen.generation, seen.reason) == (
        "closed",
        0,
        4,
        "2 probes succeeded",
    )
    assert seen.last_failure_time == 1005.0


def test_a_window_forgets_failures_by_itself(make: Make, clock: ManualClock) -> None:
    breaker = make(window=10)
    for _ in range(3):
        breaker.acquire().failure()
    breaker.acquire().success()
    assert (breaker.snapshot().failure_count, breaker.snapshot().success_count) == (3, 1)
    clock.advance(10)
    assert (breaker.snapshot().failure_count, breaker.snapshot().success_count) == (0, 1)


def test_forced_open_rejects_until_auto(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker = make()
    breaker.force_open("deploy", author="ann")
    clock.advance(1e6)
    with pytest.raises(CircuitOpenError) as caught:
        caller.call(breaker)
    assert (caught.value.state, caught.value.retry_after) == ("forced-open", None)
    assert caught.value.reason == "forced-open by ann: deploy"
    breaker.auto()
    assert (breaker.state, breaker.snapshot().retry_after) == ("open", 0.0)
    caller.fail(breaker)
    assert breaker.state == "open"


def test_forced_open_expires_into_a_probe(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker = make()
    breaker.force_open(expires_in=60)
    assert breaker.snapshot().retry_after == 60.0
    clock.advance(60)
    assert (breaker.state, breaker.snapshot().reason) == ("open", "the override expired")
    caller.call(breaker)
    assert breaker.state == "closed"


@pytest.mark.parametrize("threshold", [1, 3])
def test_disabled_passes_everything_and_counts(make: Make, caller: SyncCaller, threshold: int) -> None:
    breaker = make(failure_threshold=threshold)
    breaker.disable("maintenance")
    caller.fail(breaker, 10)
    assert (breaker.state, breaker.snapshot().failure_count) == ("disabled", 10)
    caller.call(breaker)
    assert breaker.snapshot().failure_count == 0
    breaker.auto()
    assert breaker.state == "closed"
    caller.open(breaker)


def test_disabled_with_an_end(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker = make(failure_threshold=1)
    breaker.disable(expires_in=10)
    caller.fail(breaker, 2)
    clock.advance(10)
    caller.fail(breaker)
    assert breaker.state == "open"


def test_auto_without_an_override_changes_nothing(make: Make, caller: SyncCaller) -> None:
    breaker = make()
    caller.open(breaker)
    breaker.auto()
    assert (breaker.state, breaker.snapshot().generation) == ("open", 2)


def test_reset_forgets_everything(make: Make, caller: SyncCaller) -> None:
    breaker = make()
    caller.open(breaker)
    breaker.reset()
    seen = breaker.snapshot()
    assert (seen.state, seen.failure_count, seen.last_failure, seen.last_failure_time) == (
        "closed",
        0,
        None,
        0.0,
    )
    caller.fail(breaker, 4)
    assert breaker.state == "closed"


def test_what_an_operator_says_can_be_read(make: Make) -> None:
    breaker = make()
    for verb, word in ((breaker.force_open, "forced-open"), (breaker.disable, "disabled")):
        verb()
        assert breaker.snapshot().reason == f"{word} by hand"
        verb("migration", "ann")
        assert (breaker.state, breaker.snapshot().reason) == (word, f"{word} by ann: migration")


def test_a_late_success_ends_the_row_of_cancelled_calls(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    breaker = make()
    late = breaker.acquire()
    breaker.reset()
    for _ in range(19):
        breaker.acquire().cancel()
    late.success()
    for _ in range(19):
        breaker.acquire().cancel()
    assert [r for r in caplog.records if "in a row" in r.message] == []


def test_a_call_that_an_enforcing_circuit_would_have_rejected_knows_its_generation(make: Make) -> None:
    breaker = make(failure_threshold=1, mode="shadow")
    breaker.acquire().failure()
    permit = breaker.acquire()
    assert permit.generation == breaker.snapshot().generation == 2
    permit.success()


def test_a_reset_begins_the_row_of_cancelled_calls_anew(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    breaker = make()
    for row in (19, 19, 20):
        breaker.reset()
        caplog.clear()
        for _ in range(row):
            breaker.acquire().cancel()
        assert len([r for r in caplog.records if "in a row" in r.message]) == (row == 20)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), 1e300, True, "1h"])
def test_the_end_of_an_override_is_a_duration(make: Make, wrong: Any) -> None:
    for verb in (make().force_open, make().disable):
        text = f"expires_in must be a duration over 0 (seconds or timedelta), got {wrong!r}"
        with pytest.raises(ValueError, match=re.escape(text)):
            verb(expires_in=wrong)


def test_shadow_never_rejects_and_counts_what_it_would_have(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker = make(mode="shadow", half_open_max=1)
    caller.open(breaker)
    for _ in range(3):
        caller.call(breaker)
    caller.fail(breaker, 2)
    caller.acquire(breaker).cancel()
    seen = breaker.snapshot()
    assert (seen.state, seen.shadow, seen.would_have_rejected) == ("open", True, ShadowCounts(3, 2, 1, 7))
    clock.advance(30)
    probe, beside = caller.acquire(breaker), caller.acquire(breaker)
    assert (probe.probe, beside.probe, breaker.state) == (True, False, "half-open")
    beside.failure(Boom())
    assert breaker.state == "half-open"
    probe.success()
    assert (breaker.state, breaker.snapshot().would_have_rejected) == ("closed", ShadowCounts(3, 3, 1, 8))


def test_precision_and_recall_of_a_shadow_circuit(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker = make(mode="shadow", failure_threshold=2, reset_timeout=30)
    counts = breaker.snapshot().would_have_rejected
    assert (counts.precision, counts.recall) == (None, None)
    caller.fail(breaker)
    caller.call(breaker)
    counts = breaker.snapshot().would_have_rejected
    assert (counts.all_failures, counts.precision, counts.recall) == (1, None, 0.0)
    caller.fail(breaker, 2)  # opens it
    caller.fail(breaker, 3)
    caller.call(breaker)
    clock.advance(30)
    caller.fail(breaker)  # a probe, which would not have been rejected
    assert breaker.snapshot().would_have_rejected == ShadowCounts(success=1, failure=3, all_failures=7)
    counts = breaker.snapshot().would_have_rejected
    assert (counts.rejections, counts.precision, counts.recall) == (4, 3 / 4, 3 / 7)


def test_an_enforcing_circuit_keeps_no_shadow_counts(make: Make, caller: SyncCaller) -> None:
    breaker = make(failure_threshold=2)
    caller.fail(breaker, 2)
    assert breaker.snapshot().would_have_rejected == ShadowCounts()


def test_shadow_passes_even_when_forced_open(make: Make, caller: SyncCaller) -> None:
    breaker = make(mode="shadow")
    breaker.force_open()
    assert caller.call(breaker) == "ok"
    assert breaker.snapshot().would_have_rejected.success == 1


def test_the_log_lines_of_an_outage(
    make: Make, clock: ManualClock, caller: SyncCaller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "switchgear"):
        breaker = make(failure_threshold=2)
        caller.open(breaker)
        clock.advance(30)
        caller.call(breaker)
    lines: list[Any] = [
        (r.name, r.levelname, r.getMessage()) for r in caplog.records if r.name == "switchgear"
    ]
    assert lines == [
        (
            "switchgear",
            "WARNING",
            (
                "circuit payments: closed -> open "
                "(2 consecutive failures (threshold 2); last failure: Boom: down)"
            ),
        ),
        ("switchgear", "WARNING", "circuit payments: open -> half-open (the open time of 30 s is over)"),
        ("switchgear", "INFO", "circuit payments: half-open -> closed (a probe succeeded)"),
    ]
    assert [record.rule for record in caplog.records] == ["consecutive", "timer", "probes_ok"]  # type: ignore[attr-defined]
