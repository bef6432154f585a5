"""`with breaker` and `async with breaker`: one object, many entries."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom, SyncCaller

Make = Callable[..., CircuitBreaker]


def test_the_exception_decides(make: Make, caller: SyncCaller) -> None:
    breaker = make(failure_threshold=2, ignore=KeyError)
    caller.enter(breaker)
    with pytest.raises(KeyError):
        caller.enter(breaker, KeyError())
    assert breaker.snapshot().failure_count == 0
    for _ in range(2):
        with pytest.raises(Boom):
            caller.enter(breaker, Boom("down"))
    with pytest.raises(CircuitOpenError):
        caller.enter(breaker)


def test_decided_by_hand(make: Make) -> None:
    breaker = make(failure_threshold=3)
    with breaker as call:
        call.failure("the answer made no sense")
    assert breaker.snapshot().failure_count == 1
    assert breaker.snapshot().last_failure == "the answer made no sense"
    with breaker as call:
        call.cancel()
    assert breaker.snapshot().failure_count == 1
    breaker.acquire().failure()
    with pytest.raises(Boom):
        _decide_and_raise(breaker)
    assert breaker.snapshot().failure_count == 0


def _decide_and_raise(breaker: CircuitBreaker) -> None:
    with breaker as call:
        call.success()
        raise Boom


def test_failure_if_does_not_look_here(make: Make) -> None:
    breaker = make(failure_threshold=1, failure_if=lambda _: True)
    with breaker:
        pass
    assert breaker.state == "closed"


def test_entries_may_be_left_in_another_order(make: Make) -> None:
    breakers = [make(name, window=60) for name in "abc"]
    entered = [weakref.ref(breaker.__enter__()) for breaker in breakers]
    for n in (1, 0, 2):
        breakers[n].__exit__(None, None, None)
    assert [breaker.snapshot().success_count for breaker in breakers] == [1, 1, 1]
    gc.collect()
    assert [ref() for ref in entered] == [None] * 3


def test_nested_entries_are_permits_of_their_own(make: Make) -> None:
    breaker, other = make(failure_threshold=3), make("other", failure_threshold=1)
    with breaker as outer, other, breaker as inner:
        assert outer is not inner
        inner.failure()
        outer.failure()
    assert breaker.snapshot().failure_count == 2
    assert other.state == "closed"


def test_entries_of_two_breakers_may_end_in_any_order(make: Make) -> None:
    breaker, other = make(failure_threshold=1), make("other", failure_threshold=1)
    breaker.__enter__()
    other.__enter__()
    breaker.__exit__(Boom, Boom(), None)
    assert (breaker.state, other.state) == ("open", "closed")
    other.__exit__(None, None, None)
    assert other.state == "closed"


def test_threads_share_it(make: Make) -> None:
    breaker = make(failure_threshold=1_000_000)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(30)
        for _ in range(100):
            with pytest.raises(Boom), breaker:
                raise Boom

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert breaker.snapshot().failure_count == 400


def test_tasks_share_it_also_those_started_inside(make: Make) -> None:
    breaker = make(failure_threshold=1_000_000)

    async def child(gate: asyncio.Event) -> None:
        async with breaker:
            await gate.wait()
            raise Boom

    async def main() -> None:
        gate = asyncio.Event()
        async with breaker as call:
            children = [asyncio.ensure_future(child(gate)) for _ in range(10)]
            await asyncio.sleep(0)
            call.failure()
        gate.set()
        ends = await asyncio.gather(*children, return_exceptions=True)
        assert [type(end) for end in ends] == [Boom] * 10

    asyncio.run(main())
    assert breaker.snapshot().failure_count == 11


def test_a_probe_that_is_entered_closes_the_circuit(
    make: Make, clock: ManualClock, caller: SyncCaller
) -> None:
    breaker = make()
    caller.open(breaker)
    clock.advance(30)
    caller.enter(breaker)
    assert breaker.state == "closed"
