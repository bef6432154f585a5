"""An observed breaker: what its observer hears, and that nothing else changes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitOpenError, Switchgear
from switchgear.breaker.observed import ObservedCircuit
from switchgear.metrics.tally import CallTally
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock


class Boom(Exception):  # noqa: N818  # it stands in every test
    """The failure of a guarded service."""


def boom() -> None:
    raise Boom("down")


def counts(tally: CallTally, family: str) -> dict[tuple[str, ...], Any]:
    """What is not 0, by the labels after the circuit."""
    found = {
        tuple(labels[1:]): value for name, labels, value in tally.samples("x") if name == f"circuit_{family}"
    }
    return {labels: value for labels, value in found.items() if value}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def observed(clock: ManualClock, **fields: Any) -> tuple[CircuitBreaker, CallTally]:
    breaker = CircuitBreaker("x", clock=clock, **fields)
    tally = CallTally()
    breaker.observe(tally)
    return breaker, tally


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Boom):
            breaker.call(boom)


def test_each_call_is_told_once_by_its_outcome(clock):
    breaker, tally = observed(clock, failure_threshold=2, ignore=KeyError)

    @breaker
    def work(error: Exception | None = None) -> str:
        if error is not None:
            raise error
        return "ok"

    work()
    with pytest.raises(KeyError):
        work(KeyError())
    for _ in range(2):
        with pytest.raises(Boom):
            work(Boom())
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            work()
    assert counts(tally, "calls") == {
        ("success",): 1,
        ("inconclusive",): 1,
        ("failure",): 2,
        ("rejected",): 3,
    }


async def ways(breaker: CircuitBreaker) -> None:
    @breaker
    async def coroutine() -> None: ...

    @breaker
    def generator() -> Any:
        yield 1

    @breaker
    async def async_generator() -> Any:
        yield 1

    await coroutine()
    list(generator())
    [_ async for _ in async_generator()]
    with breaker:
        pass
    async with breaker:
        pass
    breaker.call(int)
    breaker.acquire().success()
    permit = breaker.try_acquire()
    assert permit is not None
    permit.success()
    (await breaker.acquire_async()).success()


def test_every_way_to_make_a_call_is_told(clock):
    breaker, tally = observed(clock)
    asyncio.run(ways(breaker))
    assert counts(tally, "calls") == {("success",): 9}


def test_durations_and_slow_calls(clock):
    breaker, tally = observed(clock, slow_call_duration=1)
    permit = breaker.acquire()
    clock.advance(0.06)
    permit.success()
    slow = breaker.acquire()
    clock.advance(2)
    slow.failure()
    durations = counts(tally, "call_duration_seconds")
    assert durations["success",][4] == 1  # 0.05 to 0.075
    assert durations["success",][-1] == pytest.approx(0.06)
    assert durations["failure",][10] == 1  # 1 to 2.5
    assert counts(tally, "slow_calls") == {("failure",): 1}


def test_a_cancelled_call_is_told_as_what_it_was_taken_for(clock):
    breaker, tally = observed(clock, slow_call_duration=1)
    breaker.acquire().cancel()
    hanging = breaker.acquire()
    clock.advance(2)
    hanging.cancel()
    assert counts(tally, "calls") == {("inconclusive",): 1, ("failure",): 1}


def test_probes_are_told_through_their_lives(clock):
    breaker, tally = observed(clock, failure_threshold=1, probe_timeout=60)
    fail(breaker)
    clock.advance(30)
    probe = breaker.acquire()
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    assert counts(tally, "probes_in_flight") == {(): 1}
    assert counts(tally, "probe_leases") == {("granted",): 1, ("denied",): 1}
    clock.advance(61)
    assert counts(tally, "probes_in_flight") == {}
    probe.success()
    assert counts(tally, "probe_leases") == {
        ("granted",): 1,
        ("denied",): 1,
        ("expired",): 1,
        ("late",): 1,
    }


def test_late_results_are_told(clock):
    breaker, tally = observed(clock, failure_threshold=1)
    late = breaker.acquire()
    fail(breaker)
    late.failure()
    assert counts(tally, "late_results") == {(): 1}


def test_transitions_have_the_rule_for_a_reason(clock):
    breaker, tally = observed(clock, failure_threshold=1)
    fail(breaker)
    clock.advance(30)
    breaker.call(int)
    assert counts(tally, "transitions") == {
        ("closed", "open", "consecutive"): 1,
        ("open", "half-open", "timer"): 1,
        ("half-open", "closed", "probes_ok"): 1,
    }


def test_shadow_rejections_are_told_by_their_end(clock):
    breaker, tally = observed(clock, failure_threshold=1, mode="shadow")
    fail(breaker, 3)
    breaker.call(int)
    assert counts(tally, "shadow_rejections") == {("failure",): 2, ("success",): 1}
    assert counts(tally, "calls") == {("failure",): 3, ("success",): 1}


def test_an_observer_that_raises_breaks_no_call(clock, caplog):
    class Broken(CallTally):
        def ended(self, *_: object) -> None:
            raise RuntimeError("observer")

        rejected = probe_granted = probe_settled = ended  # type: ignore[assignment]

    breaker = CircuitBreaker("x", failure_threshold=1, clock=clock)
    breaker.observe(Broken())
    breaker.call(int)
    fail(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    clock.advance(30)
    breaker.call(int)
    assert breaker.state == "closed"
    assert "an observer raised" in caplog.text


def test_who_is_not_told_any_more_costs_nothing(clock):
    breaker, tally = observed(clock)
    second = CallTally()
    breaker.observe(second)
    breaker.call(int)
    breaker.unobserve(tally)
    breaker.call(int)
    assert counts(tally, "calls") == {("success",): 1}
    assert counts(second, "calls") == {("success",): 2}
    breaker.unobserve(second)
    assert not isinstance(breaker.circuit, ObservedCircuit)
    breaker.force_open()
    assert counts(second, "transitions") == {}


def test_an_observer_stays_when_the_store_is_exchanged(clock):
    sg = Switchgear(clock=clock)
    breaker = sg.breaker("x", failure_threshold=1)
    tally = CallTally()
    breaker.observe(tally)
    with sg.open(InMemoryCircuitBreakerStore(clock=clock)):
        fail(breaker)
    breaker.call(int)
    assert counts(tally, "calls") == {("failure",): 1, ("success",): 1}
    assert counts(tally, "transitions") == {("closed", "open", "consecutive"): 1}


def test_a_policy_adopted_later_holds_for_an_observed_breaker(clock):
    breaker, tally = observed(clock)
    breaker.adopt(type(breaker.policy)(failure_threshold=1, failure_if=bool))
    breaker.call(lambda: True)
    assert breaker.state == "open"
    assert counts(tally, "calls") == {("failure",): 1}


def test_an_owner_shows_all_its_breakers_present_and_future(clock):
    sg = Switchgear(clock=clock)
    sg.breaker("early")
    hosts = sg.breakers("host:{}", limit=1)
    hosts["a"].call(int)
    asked: list[tuple[str, str | None]] = []
    tally = CallTally()

    def choose(breaker: CircuitBreaker, template: str | None) -> CallTally | None:
        asked.append((breaker.name, template))
        return None if breaker.name == "private" else tally

    stop = sg.observe(choose)
    sg.breaker("private").call(int)
    sg.breaker("late").call(int)
    hosts["a"].force_open()
    hosts["b"].force_open()
    hosts["c"].call(int)
    assert asked == [
        ("early", None),
        ("host:a", "host:{}"),
        ("private", None),
        ("late", None),
        ("host:b", "host:{}"),
        ("host:_other", "host:{}"),
    ]
    assert counts(tally, "calls") == {("success",): 2}
    stop()
    sg["late"].call(int)
    sg.breaker("later").call(int)
    assert counts(tally, "calls") == {("success",): 2}


def test_no_call_is_lost_between_threads():
    breaker, tally = observed(ManualClock())

    def work() -> None:
        for _ in range(2000):
            breaker.call(int)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(tally, "calls") == {("success",): 8000}


def test_observed_breakers_are_collected_like_others(clock):
    import gc
    import weakref

    sg = Switchgear(clock=clock)
    sg.observe(lambda breaker, template: CallTally())
    hosts = sg.breakers("host:{}", limit=1)
    gone = weakref.ref(hosts["a"])
    hosts["b"].call(int)
    gc.collect()
    assert gone() is None
