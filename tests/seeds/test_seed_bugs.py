"""Bugs of the two gateways whose features live on here, each by its number: none of them may come back.

Those that concern the breaker and its stores stand here. Those of routes, bodies, merging, configuration and
connections stand in `tests/gateway/test_seed_bugs.py`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState, Switchgear, TransitionEvent
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller
from tests.breaker.test_events import Recorder
from tests.breaker.test_rescue import Service

CALLER = SyncCaller()
Make = Callable[..., CircuitBreaker]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make(clock: ManualClock) -> Make:
    return lambda name="x", **fields: CircuitBreaker(name, clock=clock, **fields)


# ---- Prism ----


def test_prism_1_its_own_rejections_do_not_keep_it_open_under_steady_traffic(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(failure_threshold=3, window=10, reset_timeout=5)
    CALLER.open(breaker)
    for _ in range(50):
        clock.advance(0.1)
        try:
            CALLER.call(breaker)
        except CircuitOpenError:
            continue
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError("no route")])
def test_prism_2_connection_errors_and_timeouts_trip(make: Make, error: Exception) -> None:
    breaker = make(failure_threshold=1)
    with pytest.raises(type(error)):
        CALLER.call(breaker, error=error)
    assert breaker.state == "open"


def test_prism_13_reading_a_circuit_does_no_work_that_grows_with_its_history(make: Make) -> None:
    breaker = make(failure_threshold=1_000_000, window=10)
    for _ in range(5000):
        breaker.acquire().failure()
    assert len(breaker.circuit._counts._ring) == 1  # type: ignore[attr-defined]


def test_prism_14_the_memory_of_a_window_is_bounded(make: Make, clock: ManualClock) -> None:
    breaker = make(failure_threshold=1_000_000, window=10)
    for _ in range(5000):
        clock.advance(0.013)
        breaker.acquire().failure()
    assert len(breaker.circuit._counts._ring) <= 17  # type: ignore[attr-defined]
    assert breaker.snapshot().failure_count == pytest.approx(10 / 0.013, rel=1 / 16)


def test_prism_18_one_backend_has_one_breaker_wherever_it_is_used() -> None:
    sg = Switchgear()
    assert sg.breaker("inbox") is sg.breaker("inbox")


# ---- Stoma ----


def test_stoma_1_a_success_resets_the_count(make: Make, clock: ManualClock) -> None:
    breaker = make()
    for _ in range(10):  # five failures in a week
        CALLER.fail(breaker)
        clock.advance(86_400)
        CALLER.call(breaker)
    assert breaker.state == "closed"


def test_stoma_2_the_count_starts_anew_after_an_outage_and_the_open_time_grows(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(reset_timeout_factor=2)
    CALLER.open(breaker)
    clock.advance(30)
    CALLER.fail(breaker)
    assert breaker.snapshot().retry_after == 60.0
    clock.advance(60)
    CALLER.call(breaker)
    CALLER.fail(breaker, 4)
    assert (breaker.state, breaker.snapshot().failure_count) == ("closed", 4)


def test_stoma_3_no_update_is_lost_and_no_success_undoes_an_opening() -> None:
    store = InMemoryCircuitBreakerStore()
    start = threading.Barrier(4)

    def write() -> None:
        start.wait(30)
        for _ in range(100):
            asyncio.run(store.record_failure("k"))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert asyncio.run(store.get_state("k")).failure_count == 400
    asyncio.run(store.transition("k", CircuitState.OPEN))
    assert asyncio.run(store.record_success("k")).state == "open"


def test_stoma_4_a_late_outcome_does_not_write_closed_over_open(make: Make, clock: ManualClock) -> None:
    breaker = make(half_open_max=2)
    CALLER.open(breaker)
    clock.advance(30)
    good, bad = breaker.acquire(), breaker.acquire()
    bad.failure(Boom())
    good.success()
    assert breaker.state == "open"


def test_stoma_5_racing_callers_never_get_more_than_half_open_max_probes(
    make: Make, clock: ManualClock
) -> None:
    breaker = make(half_open_max=2)
    CALLER.open(breaker)
    clock.advance(30)

    async def race() -> list[Any]:
        return await asyncio.gather(*(breaker.acquire_async() for _ in range(20)), return_exceptions=True)

    probes = [answer for answer in asyncio.run(race()) if not isinstance(answer, CircuitOpenError)]
    assert len(probes) == 2
    for probe in probes:
        probe.cancel()


def test_stoma_6_late_outcomes_neither_lengthen_an_outage_nor_repeat_its_event(
    make: Make, clock: ManualClock
) -> None:
    breaker, events = make(), Recorder()
    breaker.on_transition(events)
    late, stale = breaker.acquire(), None
    CALLER.open(breaker)
    clock.advance(10)
    late.failure(Boom())
    assert (breaker.snapshot().retry_after, events.states(1)) == (20.0, ["open"])
    clock.advance(20)
    stale = breaker.acquire()
    clock.advance(60)  # its lease is over
    CALLER.call(breaker)
    stale.failure(Boom())
    assert (breaker.state, events.states(3)) == ("closed", ["open", "half-open", "closed"])


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("the request was wrong")])
def test_stoma_7_not_every_throw_is_a_failure(make: Make, error: BaseException) -> None:
    breaker = make(failure_threshold=1, ignore=ValueError)
    with pytest.raises(type(error)):
        CALLER.call(breaker, error=error)
    assert breaker.state == "closed"


def test_stoma_8_a_wall_clock_that_jumps_changes_nothing(make: Make, clock: ManualClock) -> None:
    breaker = make()
    CALLER.open(breaker)
    clock.time = lambda: 0.0  # type: ignore[method-assign]
    assert breaker.snapshot().retry_after == 30.0


def test_stoma_9_keys_from_data_are_bounded() -> None:
    family = Switchgear().breakers("path:{}", limit=10)
    for n in range(1000):
        family[f"/users/{n}"].acquire().success()
    assert len(family) == 10


def test_stoma_10_what_a_cache_answers_is_no_success(make: Make) -> None:
    breaker = make(failure_threshold=1)
    service = Service()
    call = breaker(stale=600)(service.get)
    assert call() == ("answer", 1)
    service.down = True
    with pytest.raises(Boom):
        call()
    assert call() == ("answer", 1)  # an open circuit hides no answer that is kept
    assert (breaker.state, breaker.snapshot().success_count) == ("open", 0)


def test_stoma_12_an_event_tells_what_has_happened(make: Make) -> None:
    breaker, seen = make(failure_threshold=1), Recorder()
    states: list[CircuitState] = []

    def look(event: TransitionEvent) -> None:
        states.append(breaker.state)
        seen(event)

    breaker.on_transition(look)
    breaker.acquire().failure()
    seen.states(1)
    assert states == [CircuitState.OPEN]


def test_stoma_13_a_store_is_wired_by_naming_it_once() -> None:
    store = InMemoryCircuitBreakerStore()
    Switchgear("shop", store=store).breaker("x", failure_threshold=1).acquire().failure()
    assert asyncio.run(store.get_state("shop/x")).state == "open"


def test_stoma_14_records_that_nobody_uses_do_not_pile_up() -> None:
    store = InMemoryCircuitBreakerStore(limit=5)
    for n in range(100):
        asyncio.run(store.record_failure(f"k{n}"))
    assert len(store._entries) == 5
    breaker = CircuitBreaker("gone", store=store)
    circuit = weakref.ref(breaker.circuit)
    del breaker
    gc.collect()
    for n in range(5):
        asyncio.run(store.record_failure(f"j{n}"))
    gc.collect()
    assert circuit() is None


def test_stoma_15_retry_after_in_half_open_is_the_time_that_is_left(make: Make, clock: ManualClock) -> None:
    breaker = make(probe_timeout=60)
    CALLER.open(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    clock.advance(50)
    with pytest.raises(CircuitOpenError) as caught:
        breaker.acquire()
    assert caught.value.retry_after == 10.0
    probe.cancel()
