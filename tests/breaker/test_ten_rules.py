"""The ten rules of the breaker, each by its name, for sync and async callers."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState, Switchgear, TransitionEvent
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller

Make = Callable[..., CircuitBreaker]


def test_rule_1_a_success_resets_a_consecutive_count(make: Make, caller: SyncCaller) -> None:
    breaker = make()
    for _ in range(5):
        caller.fail(breaker, 4)
        assert breaker.snapshot().failure_count == 4
        caller.call(breaker)
        assert breaker.snapshot().failure_count == 0
    assert breaker.state == "closed"
    caller.fail(breaker, 5)
    assert breaker.state == "open"


def test_rule_2_rejections_are_never_evidence(make: Make, clock: ManualClock, caller: SyncCaller) -> None:
    breaker, outer = make("inner"), make("outer", failure_threshold=1)
    caller.open(breaker)
    before = breaker.snapshot()
    for _ in range(10):
        with pytest.raises(CircuitOpenError):
            caller.call(breaker)
        clock.advance(1)
    assert breaker.snapshot().failure_count == before.failure_count
    assert breaker.snapshot().retry_after == 20.0  # not put off by any of them
    with pytest.raises(CircuitOpenError) as caught:
        caller.call(breaker)
    with pytest.raises(CircuitOpenError):
        caller.call(outer, error=caught.value)
    assert (outer.state, outer.snapshot().failure_count) == ("closed", 0)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
def test_rule_3_an_inconclusive_probe_gives_its_lease_back_and_decides_nothing(
    make: Make, clock: ManualClock, error: BaseException
) -> None:
    breaker = make()
    SyncCaller().open(breaker)
    clock.advance(30)
    with pytest.raises(type(error)):
        SyncCaller().call(breaker, error=error)
    assert (breaker.state, breaker.snapshot().retry_after) == ("half-open", 0.0)
    SyncCaller().call(breaker)
    assert breaker.state == "closed"


def test_rule_3_a_cancelled_task_is_no_evidence_unless_it_hung(make: Make, clock: ManualClock) -> None:
    async def cancelled(breaker: CircuitBreaker, after: float) -> None:
        started = asyncio.Event()

        @breaker
        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(hang())
        await started.wait()
        clock.advance(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    breaker = make(failure_threshold=1, slow_call_duration=2)
    asyncio.run(cancelled(breaker, 2.0))
    assert breaker.state == "closed"
    asyncio.run(cancelled(breaker, 2.1))
    assert breaker.state == "open"
    assert breaker.snapshot().last_failure == "cancelled after 2.1 s (slow_call_duration is 2 s)"


def test_rule_3_twenty_cancelled_calls_in_a_row_are_warned_of_once(
    make: Make, caller: SyncCaller, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = make()
    with caplog.at_level(logging.WARNING, "switchgear"):
        for _ in range(3):
            for _ in range(19):
                caller.acquire(breaker).cancel()
            caller.call(breaker)  # ends the row
        assert not caplog.records
        for _ in range(40):
            caller.acquire(breaker).cancel()
    assert [record.getMessage() for record in caplog.records] == [
        (
            "circuit payments: 20 calls in a row were cancelled and none of them counted; "
            "put the timeout inside the guarded call, "
            "or set slow_call_duration so that a call cancelled after it is a failure"
        )
    ]
    assert [record.circuit for record in caplog.records] == ["payments"]  # type: ignore[attr-defined]


def test_rule_4_an_outcome_of_an_older_generation_changes_nothing(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker = make()
    old_success, old_failure = caller.acquire(breaker), caller.acquire(breaker)
    caller.open(breaker)
    clock.advance(30)
    probe = caller.acquire(breaker)
    old_success.success()  # admitted while closed: no probe
    assert breaker.state == "half-open"
    old_failure.failure(Boom())
    assert breaker.state == "half-open"
    probe.success()
    assert breaker.state == "closed"


def test_rule_5_a_probe_that_vanishes_blocks_nobody_for_ever(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker = make(probe_timeout=60)
    caller.open(breaker)
    clock.advance(1000)
    assert (breaker.state, breaker.snapshot().retry_after) == ("open", 0.0)  # until a lease is granted
    kept = caller.acquire(breaker)
    assert breaker.state == "half-open"
    with pytest.raises(CircuitOpenError) as caught:
        caller.call(breaker)
    assert (caught.value.state, caught.value.retry_after) == ("half-open", 60.0)
    clock.advance(60)
    caller.call(breaker)
    assert breaker.state == "closed"
    kept.failure()
    assert breaker.state == "closed"


def test_rule_6_a_lease_counts_until_it_is_settled_whatever_the_circuit_does(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker = make(probe_timeout=100)
    caller.open(breaker)
    clock.advance(30)
    probe = caller.acquire(breaker)
    breaker.force_open(expires_in=1)
    clock.advance(1)
    with pytest.raises(CircuitOpenError) as caught:
        caller.call(breaker)
    assert caught.value.retry_after == 99.0
    probe.success()
    assert breaker.state == "open"
    caller.call(breaker)
    assert breaker.state == "closed"


def test_rule_7_only_monotonic_time_decides(caller: SyncCaller) -> None:
    class Jumping(ManualClock):
        """A host whose wall clock is set back and forth."""

        wall = 1e9

        def time(self) -> float:
            return self.wall

    clock = Jumping()
    breaker = CircuitBreaker("x", clock=clock)
    caller.open(breaker)
    assert breaker.snapshot().last_failure_time == 1e9
    clock.wall = 2e9
    assert breaker.snapshot().retry_after == 30.0
    clock.wall = 0.0
    clock.advance(30)
    caller.call(breaker)
    assert breaker.state == "closed"


def test_rule_8_a_family_is_bounded(clock: ManualClock, caller: SyncCaller) -> None:
    hosts = Switchgear(clock=clock).breakers("host:{}", limit=3, failure_threshold=1)
    for n in range(100):
        caller.call(hosts[f"healthy{n}"])
    assert len(hosts) == 3
    for n in range(100):
        caller.fail(hosts[f"attack{n}"])
    assert len(hosts) <= 6
    assert hosts["one more"].state == "closed"


def test_rule_9_listeners_never_break_or_delay_a_call(
    make: Make, caller: SyncCaller, caplog: pytest.LogCaptureFixture
) -> None:
    breaker, hold, seen = make(), threading.Event(), threading.Event()

    def broken(event: TransitionEvent) -> None:
        raise RuntimeError(f"cannot take {event.to_state}")

    def slow(_: TransitionEvent) -> None:
        hold.wait(30)
        seen.set()

    breaker.on_transition(broken)
    breaker.on_transition(slow)
    caller.fail(breaker, 5)  # returns although `slow` waits for what happens next
    assert breaker.state == "open"
    hold.set()
    assert seen.wait(30)
    assert "a transition listener raised" in caplog.text
    assert "cannot take open" in caplog.text


def test_rule_10_many_threads_lose_no_failure(make: Make) -> None:
    breaker = make(failure_threshold=1_000_000)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(30)
        for _ in range(250):
            breaker.acquire().failure()

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work) for _ in range(8)]:
            done.result(30)
    assert breaker.snapshot().failure_count == 2000


def test_rule_10_threads_and_event_loops_share_probes(make: Make, clock: ManualClock) -> None:
    breaker = make(half_open_max=2)
    SyncCaller().open(breaker)
    clock.advance(30)
    start = threading.Barrier(8)

    async def ask() -> object:
        try:
            return await breaker.acquire_async()
        except CircuitOpenError as error:
            return error

    def one(n: int) -> object:
        start.wait(30)
        if n % 2:
            return asyncio.run(ask())
        try:
            return breaker.acquire()
        except CircuitOpenError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(one, range(8)))
    probes = [answer for answer in answers if not isinstance(answer, CircuitOpenError)]
    assert len(probes) == 2
    for probe in probes:
        probe.cancel()  # type: ignore[attr-defined]


def test_rule_10_user_code_runs_without_a_lock(make: Make) -> None:
    breaker = make(failure_threshold=2, failure_if=lambda _: breaker.state == "open")
    other = threading.Event()

    def uses_it() -> str:
        thread = threading.Thread(target=lambda: (breaker.snapshot(), other.set()))
        thread.start()
        assert other.wait(30)
        thread.join(30)
        return breaker.call(lambda: "nested")

    assert breaker.call(uses_it) == "nested"


def test_rule_10_works_after_a_fork_while_another_thread_is_inside(make: Make) -> None:
    breaker = make(failure_threshold=1)
    family = Switchgear().breakers("f:{}")
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with breaker.circuit._lock, family._lock:
            inside.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:  # pragma: no cover  # another process
        threading.Timer(20, os._exit, [9]).start()
        breaker.acquire().failure()
        os._exit(0 if breaker.state is CircuitState.OPEN and family["x"].state == "closed" else 1)
    done.set()
    thread.join(30)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert breaker.state == "closed"
