"""Permits: one report counts, and none is lost."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.breaker.machine import SUCCESS
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller

Make = Callable[..., CircuitBreaker]


def test_the_first_report_counts(make: Make) -> None:
    breaker = make(failure_threshold=1)
    permit = breaker.acquire()
    permit.cancel()
    permit.failure()
    permit.success()
    assert (breaker.state, breaker.snapshot().failure_count) == ("closed", 0)
    second = breaker.acquire()
    second.failure(Boom("down"))
    second.success()
    assert (breaker.state, breaker.snapshot().last_failure) == ("open", "Boom: down")


def test_of_many_threads_that_report_one_wins(make: Make) -> None:
    breaker = make(failure_threshold=1_000_000)
    for _ in range(50):
        permit, start = breaker.acquire(), threading.Barrier(4)

        def report() -> None:
            start.wait(30)  # the threads end within the round  # noqa: B023  # the threads end within the round
            permit.failure()  # noqa: B023

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert breaker.snapshot().failure_count == 50


def test_a_permit_says_what_it_is(make: Make, clock: ManualClock) -> None:
    breaker = make()
    ordinary = breaker.acquire()
    assert (ordinary.probe, ordinary.generation, ordinary.state) == (False, 1, "closed")
    SyncCaller().open(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    assert (probe.probe, probe.generation, probe.state) == (True, 3, "half-open")
    ordinary.cancel()
    probe.cancel()


def test_a_permit_thrown_away_is_cancelled_and_logged_once(
    make: Make, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = make()
    SyncCaller().open(breaker)
    clock.advance(30)
    with caplog.at_level(logging.WARNING, "switchgear"):
        caplog.clear()
        breaker.acquire()
        gc.collect()
        told = [record for record in caplog.records if "thrown away" in record.getMessage()]
    assert [(record.getMessage(), record.circuit) for record in told] == [  # type: ignore[attr-defined]
        ("circuit payments: a permit was thrown away without success(), failure() or cancel()", "payments")
    ]
    assert (breaker.state, breaker.snapshot().retry_after) == ("half-open", 0.0)
    breaker.acquire().success()
    assert breaker.state == "closed"


def test_a_finaliser_inside_a_change_does_not_wait_for_itself(make: Make, clock: ManualClock) -> None:
    # What the garbage collector does: it may run in the middle of anything, on the thread that is in there.
    breaker = make()
    SyncCaller().open(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    with breaker.circuit._inside():  # type: ignore[attr-defined]
        probe.cancel()
        assert breaker.circuit._machine.leases  # type: ignore[attr-defined]  # later
    breaker.acquire().success()
    assert breaker.state == "closed"


def test_a_signal_handler_may_use_the_breaker_that_it_interrupts(make: Make) -> None:
    breaker = make(failure_threshold=1)
    before = signal.signal(signal.SIGUSR1, lambda *_: breaker.acquire().failure(Boom("down"), retry_after=7))
    try:
        with breaker.circuit._inside():  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    seen = breaker.snapshot()
    assert (seen.state, seen.retry_after, seen.last_failure) == ("open", 7.0, "Boom: down")


@pytest.mark.parametrize(("waited", "state"), [(2.0, "closed"), (2.5, "open")])
def test_cancel_after_a_slow_call_is_a_failure(
    make: Make, clock: ManualClock, waited: float, state: str
) -> None:
    breaker = make(failure_threshold=1, slow_call_duration=2)
    permit = breaker.acquire()
    clock.advance(waited)
    permit.cancel()
    assert breaker.state == state


def test_an_ignored_call_is_no_evidence_however_long_it_lasted(
    make: Make, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = make(failure_threshold=1, slow_call_duration=2)
    for _ in range(30):
        permit = breaker.acquire()
        clock.advance(60)
        permit.ignore()
    assert (breaker.state, breaker.snapshot().failure_count) == ("closed", 0)
    assert caplog.messages == []  # nobody gave up: no advice about timeouts


def test_an_ignored_probe_gives_its_place_back(make: Make, clock: ManualClock) -> None:
    breaker = make(slow_call_duration=2)
    SyncCaller().open(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    clock.advance(3)
    probe.ignore()
    assert breaker.state == "half-open"
    breaker.acquire().success()
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("waits", "reading", "slow"),
    [((1, 1), 60, False), ((2.5, 1), 0, True), ((2.5, 1), 60, True), ((1, 2.5), 0, True), ((2, 2), 0, False)],
)
def test_each_wait_of_a_stream_is_timed_by_itself(
    make: Make, clock: ManualClock, waits: tuple[float, float], reading: float, slow: bool
) -> None:
    breaker = make(slow_call_rate=1.0, minimum_calls=1, slow_call_duration=2)
    permit = breaker.acquire()
    for wait in waits:
        permit.resume()
        clock.advance(wait)
        permit.pause()
        clock.advance(reading)
    permit.success()
    assert breaker.state == ("open" if slow else "closed")


@pytest.mark.parametrize(("waited", "state"), [(2.0, "closed"), (2.5, "open")])
def test_a_stream_that_is_given_up_was_slow_if_its_last_wait_was(
    make: Make, clock: ManualClock, waited: float, state: str
) -> None:
    breaker = make(failure_threshold=1, slow_call_duration=2)
    permit = breaker.acquire()
    permit.pause()
    clock.advance(60)
    permit.resume()
    clock.advance(waited)
    permit.cancel()
    assert breaker.state == state


def test_what_an_upstream_asks_for_is_read_from_exceptions_and_not_from_texts(make: Make) -> None:
    read: list[object] = []
    breaker = make(retry_after_from=read.append)
    breaker.acquire().failure("status 503")
    assert read == []
    breaker.acquire().failure(error := Boom("down"))
    assert read == [error]


def test_a_permit_as_a_context_manager(make: Make) -> None:
    breaker = make(failure_threshold=1, ignore=KeyError)
    with breaker.acquire():
        pass
    with pytest.raises(KeyError), breaker.acquire():
        raise KeyError
    assert breaker.snapshot().failure_count == 0
    with pytest.raises(Boom), breaker.acquire():
        raise Boom
    assert breaker.state == "open"


def test_returned_and_raised_are_judged_by_the_policy(make: Make) -> None:
    breaker = make(failure_if=lambda answer: answer == "bad")
    breaker.acquire().returned("good")
    breaker.acquire().returned("bad")
    assert breaker.snapshot().failure_count == 1
    assert breaker.snapshot().last_failure == "str: failure_if says that it is a failure"
    breaker.acquire().raised(Boom("down"))
    assert breaker.snapshot().failure_count == 2


def test_a_predicate_that_raises_counts_as_a_failure_and_reaches_the_caller(
    make: Make, caller: SyncCaller
) -> None:
    def broken(_: object) -> bool:
        raise ZeroDivisionError("in the predicate")

    for fields in ({"failure_if": broken}, {"failure_on": broken}, {"ignore": broken}):
        breaker = make(failure_threshold=1, **fields)
        with pytest.raises(ZeroDivisionError):
            caller.call(breaker, error=Boom() if "failure_if" not in fields else None)
        assert breaker.state == "open"


def test_retry_after_is_read_from_the_error_or_given(make: Make) -> None:
    breaker = make(failure_threshold=1, retry_after_from=lambda error: error.args[0])
    breaker.acquire().failure(Boom(7))
    assert breaker.snapshot().retry_after == 7.0
    breaker.reset()
    breaker.acquire().failure()
    assert (breaker.snapshot().retry_after, breaker.snapshot().last_failure) == (30.0, None)
    breaker.reset()
    breaker.acquire().failure(Boom(7), retry_after=90)
    assert breaker.snapshot().retry_after == 90.0


def test_a_result_without_failure_if_is_a_success_and_slow_when_it_was(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(slow_call_rate=1, slow_call_duration=1, minimum_calls=2)
    assert breaker.acquire().returned("good") is SUCCESS
    assert breaker.snapshot().success_count == 1
    breaker.reset()
    for _ in range(2):
        permit = breaker.acquire()
        clock.advance(2)
        permit.returned("good")
    assert breaker.state == "open"


def test_a_result_ends_a_run_of_failures(make: Make) -> None:
    breaker = make()
    for _ in range(2):
        breaker.acquire().failure()
        breaker.acquire().returned("good")
    assert breaker.snapshot().failure_count == 0


def test_what_a_failed_call_raised_or_returned_says_how_long_to_wait(make: Make) -> None:
    fields = {"failure_threshold": 1, "retry_after_from": lambda answer: answer.seconds}
    raised, returned = make(**fields), make(**fields, failure_if=lambda answer: answer.seconds > 0)
    error = Boom("busy")
    error.seconds = 7  # type: ignore[attr-defined]
    raised.acquire().raised(error)
    assert (raised.snapshot().retry_after, raised.snapshot().last_failure) == (7.0, "Boom: busy")
    returned.acquire().returned(SimpleNamespace(seconds=9))
    assert returned.snapshot().retry_after == 9.0


def test_only_a_failure_is_asked_how_long_to_wait(make: Make) -> None:
    asked: list[object] = []
    breaker = make(
        failure_on=OSError,
        ignore=KeyError,
        retry_after_from=asked.append,
        failure_if=lambda answer: not answer,
    )
    for error in (ValueError(), KeyError()):
        breaker.acquire().raised(error)
    breaker.acquire().returned("good")
    assert asked == []
    assert breaker.snapshot().last_failure is None


@pytest.mark.parametrize("field", ["failure_on", "failure_if", "retry_after_from"])
def test_a_predicate_that_raises_is_the_failure_that_is_shown(make: Make, field: str) -> None:
    def broken(_: object) -> bool:
        raise LookupError(field)

    breaker = make(**{"failure_threshold": 1, "failure_if": bool, field: broken})
    permit = breaker.acquire()
    with pytest.raises(LookupError):
        permit.raised(Boom()) if field == "failure_on" else permit.returned("bad")
    assert (breaker.state, breaker.snapshot().last_failure) == ("open", f"LookupError: {field}")


def test_a_predicate_that_raises_on_a_failure_by_hand_is_counted_and_gives_the_probe_back(
    make: Make, clock: ManualClock
) -> None:
    def broken(_: object) -> float:
        raise LookupError("no such header")

    breaker = make(failure_threshold=1, reset_timeout=10, retry_after_from=broken)
    for _ in range(2):
        with pytest.raises(LookupError):
            breaker.acquire().failure(Boom())
        assert (breaker.state, breaker.snapshot().retry_after) == ("open", 10.0)
        assert breaker.snapshot().last_failure == "LookupError: no such header"
        clock.advance(10)


def test_a_rejection_that_is_reported_as_a_failure_is_no_evidence(make: Make, clock: ManualClock) -> None:
    breaker, inner = make(failure_threshold=1, reset_timeout=10), make("inner", failure_threshold=1)
    inner.acquire().failure()
    with pytest.raises(CircuitOpenError) as caught:
        inner.acquire()
    breaker.acquire().failure(caught.value)
    assert breaker.state == "closed"
    breaker.acquire().failure()
    clock.advance(10)
    breaker.acquire().failure(caught.value)
    breaker.acquire().success()  # the place of the probe is free again
    assert breaker.state == "closed"


def test_a_failure_by_hand_says_why_with_or_without_an_error(make: Make) -> None:
    breaker = make()
    for report, text in (
        ({"reason": "no JSON"}, "no JSON"),
        ({"error": "no XML"}, "no XML"),
        ({"error": Boom("down"), "reason": "no JSON"}, "Boom: down"),
    ):
        with breaker as call:
            call.failure(**report)
        assert breaker.snapshot().last_failure == text
    assert breaker.snapshot().failure_count == 3


def test_try_acquire_of_a_local_circuit_decides_at_once(make: Make) -> None:
    breaker = make(failure_threshold=1)
    permit = breaker.try_acquire()
    assert permit is not None
    permit.failure()
    with pytest.raises(CircuitOpenError):
        breaker.try_acquire()
