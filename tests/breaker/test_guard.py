"""Guarding functions of every colour."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError
from switchgear.breaker.colour import surely_sync
from tests.breaker.conftest import Boom

Make = Callable[..., CircuitBreaker]


class Service:
    async def method(self, x: int) -> int:
        return x + 1

    def sync_method(self, x: int) -> int:
        return x + 1

    async def __call__(self, x: int) -> int:
        return x + 1


def plain(x: int) -> int:
    """Adds one."""
    return x + 1


async def coroutine(x: int) -> int:
    return x + 1


@pytest.mark.parametrize(
    "fn",
    [plain, functools.partial(plain), Service().sync_method, lambda x: x + 1, functools.lru_cache(plain)],
)
def test_sync_callables(make: Make, fn: Callable[[int], int]) -> None:
    breaker = make()
    assert breaker(fn)(1) == 2
    assert breaker.call(fn, 1) == 2
    assert not inspect.iscoroutinefunction(breaker(fn))


@pytest.mark.parametrize(
    "fn", [coroutine, functools.partial(functools.partial(coroutine)), Service().method, Service()]
)
def test_async_callables(make: Make, fn: Callable[[int], Awaitable[int]]) -> None:
    breaker = make()
    guarded = breaker(fn)
    assert inspect.iscoroutinefunction(guarded)

    async def both() -> tuple[int, int]:
        return await guarded(1), await breaker.call(fn, 2)

    assert asyncio.run(both()) == (2, 3)


def test_ordinary_functions_are_told_from_coloured_ones_at_a_glance() -> None:
    assert surely_sync(plain)
    assert not any(map(surely_sync, (coroutine, _numbers, _async_numbers)))
    assert not surely_sync(functools.partial(plain))  # not sure: `colour_of` looks closer


def test_a_call_of_what_is_not_callable_is_pythons_own_error(make: Make) -> None:
    with pytest.raises(TypeError, match="'int' object is not callable"):
        make().call(5)  # type: ignore[arg-type]


def test_signature_name_and_doc_stay(make: Make) -> None:
    guarded = make()(plain)
    assert inspect.signature(guarded) == inspect.signature(plain)
    assert (guarded.__name__, guarded.__doc__, guarded.__wrapped__) == ("plain", "Adds one.", plain)  # type: ignore[attr-defined]


def test_methods(make: Make) -> None:
    breaker = make(failure_threshold=2)

    class Client:
        def __init__(self, word: str) -> None:
            self.word = word

        @breaker
        def get(self, error: Exception | None = None) -> str:
            if error:
                raise error
            return self.word

        @classmethod
        @breaker
        def of(cls, word: str) -> str:
            return cls(word).get()

        @staticmethod
        @breaker
        async def go() -> str:
            return "gone"

    assert (Client("a").get(), Client.of("b"), asyncio.run(Client.go())) == ("a", "b", "gone")
    for client in (Client("a"), Client("b")):
        with pytest.raises(Boom):
            client.get(Boom())
    with pytest.raises(CircuitOpenError):
        Client.of("c")


def test_the_permit_is_taken_when_the_work_starts(make: Make) -> None:
    breaker = make(failure_threshold=1)

    @breaker
    async def work() -> str:
        return "done"

    @breaker
    def items() -> Iterator[int]:
        yield 1

    created, made = work(), items()
    breaker.acquire().failure()
    for start in (lambda: asyncio.run(created), lambda: next(made)):
        with pytest.raises(CircuitOpenError):
            start()


def test_what_is_never_started_is_no_evidence(make: Make) -> None:
    breaker = make(failure_threshold=1, slow_call_duration=1)
    work, items = breaker(coroutine)(1), breaker(_numbers)(3)
    work.close()  # type: ignore[attr-defined]
    items.close()  # type: ignore[attr-defined]
    assert breaker.snapshot().success_count == 0


def _numbers(n: int, error: Exception | None = None) -> Iterator[int]:
    yield from range(n)
    if error:
        raise error


async def _async_numbers(n: int, error: Exception | None = None) -> AsyncIterator[int]:
    for i in range(n):
        yield i
    if error:
        raise error


def test_generators_end_when_they_end(make: Make) -> None:
    breaker = make(failure_threshold=1)
    guarded = breaker(_numbers)
    assert inspect.isgeneratorfunction(guarded)
    assert list(guarded(n=3)) == [0, 1, 2]
    items = guarded(2, Boom("late"))
    assert [next(items), next(items)] == [0, 1]
    assert breaker.state == "closed"
    with pytest.raises(Boom):
        next(items)
    assert breaker.state == "open"


def test_async_generators_end_when_they_end(make: Make) -> None:
    breaker = make(failure_threshold=1)
    guarded = breaker(_async_numbers)
    assert inspect.isasyncgenfunction(guarded)

    async def main() -> None:
        assert [i async for i in guarded(n=3)] == [0, 1, 2]
        assert breaker.state == "closed"
        with pytest.raises(Boom):
            _ = [i async for i in guarded(1, Boom("late"))]
        assert breaker.state == "open"
        with pytest.raises(CircuitOpenError):
            _ = [i async for i in guarded(3)]

    asyncio.run(main())


def test_a_generator_abandoned_after_an_item_is_a_success(make: Make) -> None:
    breaker = make(failure_threshold=2)
    breaker.acquire().failure()
    items = breaker(_numbers)(3)
    assert next(items) == 0
    del items
    gc.collect()
    assert breaker.snapshot().failure_count == 0

    async def main() -> None:
        breaker.acquire().failure()
        items = breaker(_async_numbers)(3)
        assert await anext(items) == 0  # type: ignore[arg-type]
        await items.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert breaker.snapshot().failure_count == 0


def test_generators_are_sent_to_and_thrown_into(make: Make) -> None:
    breaker = make()

    @breaker
    def echo() -> Any:
        try:
            got = yield "first"
        except KeyError:
            got = "caught"
        yield got
        return "end"

    @breaker
    async def async_echo() -> Any:
        try:
            got = yield "first"
        except KeyError:
            got = "caught"
        yield got

    items = echo()
    assert (next(items), items.send("x")) == ("first", "x")
    with pytest.raises(StopIteration, match="end"):
        next(items)
    items = echo()
    assert (next(items), items.throw(KeyError())) == ("first", "caught")

    async def main() -> None:
        items = async_echo()
        assert (await anext(items), await items.asend("x")) == ("first", "x")
        await items.aclose()
        items = async_echo()
        assert (await anext(items), await items.athrow(KeyError())) == ("first", "caught")
        await items.aclose()

    asyncio.run(main())


def test_a_cancelled_async_generator_is_no_evidence(make: Make) -> None:
    breaker = make(failure_threshold=1)

    @breaker
    async def hang() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(hang())  # type: ignore[arg-type]

    asyncio.run(main())
    assert breaker.snapshot().failure_count == 0


def test_a_sync_function_that_returns_an_awaitable_ends_when_that_does(make: Make) -> None:
    breaker = make(failure_threshold=1)

    async def late() -> None:
        raise Boom("late")

    @breaker
    def work() -> Awaitable[None]:
        return late()

    async def main() -> None:
        pending = work()
        assert breaker.state == "closed"
        with pytest.raises(Boom):
            await pending

    asyncio.run(main())
    assert (breaker.state, breaker.snapshot().last_failure) == ("open", "Boom: late")


def test_what_awaiting_returns_is_judged_too(make: Make) -> None:
    breaker = make(failure_threshold=1, failure_if=lambda answer: answer == 3)

    @breaker
    def work(x: int) -> Awaitable[int]:
        return coroutine(x)

    async def main(x: int) -> int:
        return await work(x)

    assert asyncio.run(main(1)) == 2
    assert breaker.state == "closed"
    assert asyncio.run(main(2)) == 3
    assert breaker.state == "open"


def test_any_object_may_be_returned(make: Make) -> None:
    answer = object()
    assert make().call(lambda: answer) is answer


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_call_that_nobody_timed_is_not_slow_under_the_policy_that_came_meanwhile(
    make: Make, clock: Any, colour: str
) -> None:
    breaker = make()

    def work() -> None:
        breaker.adopt(CircuitBreakerPolicy(slow_call_rate=1, slow_call_duration=1, minimum_calls=1))
        clock.advance(60)

    async def work_async() -> None:
        work()

    if colour == "sync":
        breaker.call(work)
    else:
        asyncio.run(breaker(work_async)())
    assert breaker.state == "closed"


def test_failure_if_judges_what_was_returned(make: Make) -> None:
    breaker = make(failure_threshold=1, failure_if=lambda answer: answer == "bad")
    assert breaker.call(lambda: "good") == "good"
    assert breaker.state == "closed"
    assert breaker.call(lambda: "bad") == "bad"
    assert breaker.state == "open"


@pytest.mark.parametrize("rate", [{}, {"window": 10}, {"failure_rate": 0.5, "minimum_calls": 5}])
def test_every_kind_of_evidence_opens(make: Make, rate: dict[str, Any]) -> None:
    breaker = make(**rate)
    for n in range(5):
        assert breaker.state == "closed", n
        breaker.acquire().failure()
    assert breaker.state == "open"


def test_slow_calls_open(make: Make, clock: Any) -> None:
    breaker = make(slow_call_rate=0.5, slow_call_duration=1, minimum_calls=4)
    for took in (0.5, 0.5, 1.0, 1.5, 1.5, 1.5):
        breaker.call(clock.advance, took)
    assert breaker.state == "open"
    assert breaker.snapshot().reason == "3 of 6 calls in 30 s were slow (50.0%, limit 50.0%)"


@pytest.mark.parametrize("wrapper", [classmethod, staticmethod, property])
def test_a_breaker_above_a_descriptor_says_where_it_belongs(make: Make, wrapper: Any) -> None:
    with pytest.raises(TypeError, match=rf"circuit 'payments': put the breaker below @{wrapper.__name__}"):
        make()(wrapper(plain))


@pytest.mark.parametrize("wrong", [5, "text"])
def test_what_is_not_callable_is_refused(make: Make, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"circuit 'payments' can't guard .*: .* is not callable"):
        make()(wrong)


@pytest.mark.parametrize("colour", ["sync", "async", "permit"])
def test_an_interrupt_is_no_evidence_however_long_the_call_took(make: Make, clock: Any, colour: str) -> None:
    breaker = make(failure_threshold=1, slow_call_duration=1)

    def work() -> None:
        clock.advance(60)
        raise KeyboardInterrupt

    async def work_async() -> None:
        work()

    def entered() -> None:
        with breaker.acquire():
            work()

    calls = {"sync": lambda: breaker.call(work), "async": lambda: breaker(work_async)().send(None)}
    with pytest.raises(KeyboardInterrupt):
        calls.get(colour, entered)()
    assert (breaker.state, breaker.snapshot().failure_count) == ("closed", 0)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_rejection_from_within_is_no_evidence_and_ones_own_says_when_to_come_back(
    make: Make, clock: Any, colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    inner, breaker = make("inner", failure_threshold=1), make(failure_threshold=1)
    inner.acquire().failure()
    caplog.clear()
    clock.advance(10)

    def work() -> None:
        inner.acquire()

    async def work_async() -> None:
        work()

    def rejected() -> tuple[str, float | None]:
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(work) if colour == "sync" else asyncio.run(breaker(work_async)())
        return caught.value.name, caught.value.retry_after

    assert {rejected() for _ in range(20)} == {("inner", 20.0)}
    assert breaker.state == "closed"
    assert caplog.messages == []  # nobody cancelled anything
    breaker.acquire().failure()
    assert rejected() == ("payments", 30.0)


def test_a_rejection_tells_the_last_failure_in_words(make: Make) -> None:
    breaker = make(failure_threshold=2)

    def work() -> None:
        raise Boom("redis://user:secret@host is down")

    def told() -> str | None:
        with pytest.raises(CircuitOpenError) as caught:
            breaker.call(work)
        return caught.value.last_failure

    late = breaker.acquire()
    for _ in range(2):
        with pytest.raises(Boom):
            breaker.call(work)
    assert told() == "Boom: redis://***@host is down"
    late.failure(Boom("redis://user:secret@other is down, too"))
    assert [told(), told()] == ["Boom: redis://***@other is down, too"] * 2


@pytest.mark.parametrize("attribute", ["response", "status_code", "status"])
def test_a_status_that_is_an_answer_ends_a_run_of_failures(make: Make, attribute: str) -> None:
    class NotFoundError(Exception):
        pass

    carried = types.SimpleNamespace(status_code=404) if attribute == "response" else 404
    setattr(NotFoundError, attribute, carried)

    def missing() -> None:
        raise NotFoundError

    breaker = make()
    for _ in range(4):
        breaker.acquire().failure()
    with pytest.raises(NotFoundError):
        breaker.call(missing)
    assert breaker.snapshot().failure_count == 0


@pytest.mark.parametrize("broken", ["response", "__str__"])
def test_an_error_that_cannot_be_looked_at_is_still_the_one_that_is_raised(make: Make, broken: str) -> None:
    def fails(_: object) -> str:
        raise RuntimeError("not now")

    error = type("Odd", (Exception,), {broken: fails if broken == "__str__" else property(fails)})
    breaker = make(failure_threshold=2)

    def work() -> None:
        raise error("x")

    for _ in range(2):
        with pytest.raises(error):
            breaker.call(work)
    assert breaker.state == "open"
    assert breaker.snapshot().last_failure == ("Odd" if broken == "__str__" else "Odd: x")


def test_call_passes_all_arguments_on_and_takes_the_permit_at_the_await(make: Make) -> None:
    breaker = make(failure_threshold=1)
    assert breaker.call(plain, x=1) == 2
    pending = [breaker.call(coroutine, x=1), breaker.call(functools.partial(coroutine), 1)]
    breaker.acquire().failure()
    for work in pending:
        with pytest.raises(CircuitOpenError):
            asyncio.run(work)


def test_a_long_message_is_kept_short(make: Make) -> None:
    breaker = make()

    def work() -> None:
        raise Boom("x" * 100_000)

    with pytest.raises(Boom):
        breaker.call(work)
    assert len(breaker.circuit._last_failure[1]) == 400  # type: ignore[index,arg-type]
    assert len(breaker.snapshot().last_failure or "") == 200
