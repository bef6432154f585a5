"""`stale`, `fallback`, `on` and `key`, alone and together."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.testing import ManualClock
from tests.breaker.conftest import Boom

Make = Callable[..., CircuitBreaker]


class Service:
    """Answers until it is down."""

    def __init__(self) -> None:
        self.down = False
        self.calls = 0

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.down:
            raise Boom("down")
        return ("answer", self.calls, *args, *kwargs.items())

    async def get_async(self, *args: Any, **kwargs: Any) -> Any:
        return self.get(*args, **kwargs)


@pytest.fixture(params=["sync", "async"])
def guarded(request: pytest.FixtureRequest) -> Callable[..., tuple[Service, Callable[..., Any]]]:
    """A service, and its call guarded with the given rescue, for either colour."""

    def guarded(breaker: CircuitBreaker, **rescue: Any) -> tuple[Service, Callable[..., Any]]:
        service = Service()
        if request.param == "sync":
            return service, breaker(**rescue)(service.get)
        call = breaker(**rescue)(service.get_async)
        return service, lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))

    return guarded


def test_a_fallback_gets_the_error_and_the_arguments(make: Make, guarded: Any) -> None:
    breaker = make(failure_threshold=1)
    service, call = guarded(breaker, fallback=lambda error, *args, **kwargs: (type(error), args, kwargs))
    service.down = True
    with pytest.raises(Boom):  # `on` is CircuitOpenError unless said otherwise
        call(1, x=2)
    assert call(1, x=2) == (CircuitOpenError, (1,), {"x": 2})
    assert service.calls == 1


def test_on_chooses_the_errors(make: Make, guarded: Any) -> None:
    service, call = guarded(
        make(failure_threshold=2), fallback=lambda error: type(error).__name__, on=(Boom, CircuitOpenError)
    )
    service.down = True
    assert [call() for _ in range(3)] == ["Boom", "Boom", "CircuitOpenError"]


def test_a_failure_that_was_rescued_is_still_a_failure(make: Make, guarded: Any) -> None:
    breaker = make(failure_threshold=5)
    service, call = guarded(breaker, fallback=lambda _: None, on=Exception)
    service.down = True
    call()
    assert breaker.snapshot().failure_count == 1


def test_a_fallback_that_raises_reaches_the_caller(make: Make, guarded: Any) -> None:
    def broken(_: Exception) -> None:
        raise LookupError("nothing here either")

    service, call = guarded(make(failure_threshold=1), fallback=broken, on=Boom)
    service.down = True
    with pytest.raises(LookupError):
        call()


def test_the_last_good_answer_to_the_same_arguments(make: Make, clock: ManualClock, guarded: Any) -> None:
    service, call = guarded(
        make(failure_threshold=1), stale=timedelta(seconds=600), on=(Boom, CircuitOpenError)
    )
    assert call(1) == ("answer", 1, 1)
    assert call(1) == ("answer", 2, 1)
    assert call(1, x=2) == ("answer", 3, 1, ("x", 2))
    service.down = True
    assert call(1) == ("answer", 2, 1)
    assert call(1, x=2) == ("answer", 3, 1, ("x", 2))
    with pytest.raises(CircuitOpenError):
        call(2)
    clock.advance(600)
    assert call(1) == ("answer", 2, 1)
    clock.advance(0.001)
    with pytest.raises(CircuitOpenError):
        call(1)


def test_stale_goes_before_fallback(make: Make, guarded: Any) -> None:
    service, call = guarded(make(failure_threshold=1), stale=60, fallback=lambda _, x: -x, on=Exception)
    assert call(1) == ("answer", 1, 1)
    service.down = True
    assert [call(1), call(2)] == [("answer", 1, 1), -2]


def test_what_failure_if_calls_a_failure_is_not_kept(make: Make, guarded: Any) -> None:
    breaker = make(failure_threshold=1, failure_if=lambda answer: answer[1] == 2)
    _, call = guarded(breaker, stale=60)
    assert call() == ("answer", 1)
    assert call() == ("answer", 2)
    assert breaker.state == "open"
    assert call() == ("answer", 1)


def test_at_most_stale_size_answers_the_oldest_goes(make: Make, guarded: Any) -> None:
    service, call = guarded(make(failure_threshold=1), stale=60, stale_size=2, on=Exception)
    for n in (1, 2, 1, 3):
        call(n)
    service.down = True
    assert call(1) == ("answer", 3, 1)
    assert call(3) == ("answer", 4, 3)
    with pytest.raises(CircuitOpenError):
        call(2)


def test_unhashable_arguments_are_refused_at_the_call(make: Make, guarded: Any) -> None:
    breaker = make()
    service, call = guarded(breaker, stale=60)
    with pytest.raises(
        TypeError, match=r"stale= needs hashable arguments \(unhashable type: 'list'\); choose a key"
    ):
        call([1])
    assert (service.calls, breaker.snapshot().failure_count) == (0, 0)


def test_key_chooses_what_the_same_means(make: Make, guarded: Any) -> None:
    service, call = guarded(make(), stale=60, key=len, on=Boom)
    assert call([1]) == ("answer", 1, [1])
    service.down = True
    assert call([2]) == ("answer", 1, [1])
    with pytest.raises(Boom):
        call([1, 2])


def test_a_fallback_may_be_async_on_an_async_function_only(make: Make) -> None:
    breaker = make(failure_threshold=1)

    async def instead(error: Exception) -> str:
        return f"{type(error).__name__}, later"

    service = Service()
    service.down = True
    assert asyncio.run(breaker(fallback=instead, on=Boom)(service.get_async)()) == "Boom, later"
    with pytest.raises(
        TypeError, match=r"the fallback .*instead is async, but Service\.get is a sync function"
    ):
        breaker(fallback=instead)(service.get)


def test_a_sync_function_that_returns_an_awaitable_is_rescued_too(make: Make) -> None:
    service = Service()
    service.down = True
    call = make()(fallback=lambda _: "instead", on=Boom)(lambda: service.get_async(1))

    async def main() -> Any:
        return await call()

    assert asyncio.run(main()) == "instead"


def test_the_last_good_answer_of_a_function_that_returns_an_awaitable(make: Make) -> None:
    service = Service()
    breaker = make(failure_if=lambda answer: answer[1] == 2)

    @breaker(stale=60, on=Boom)
    def call(*args: Any, **kwargs: Any) -> Any:
        return service.get_async(*args, **kwargs)

    async def main(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    assert asyncio.run(main(7, x=1)) == ("answer", 1, 7, ("x", 1))
    assert asyncio.run(main(7, x=1)) == ("answer", 2, 7, ("x", 1))  # a failure: not kept
    service.down = True
    assert asyncio.run(main(7, x=1)) == ("answer", 1, 7, ("x", 1))
    with pytest.raises(Boom):
        asyncio.run(main(8))


@pytest.mark.parametrize("name", ["get", "get_async"])
def test_signature_and_name_stay_with_a_rescue(make: Make, name: str) -> None:
    method = getattr(Service(), name)
    guarded = make()(fallback=print)(method)
    assert (guarded.__name__, guarded.__wrapped__) == (name, method)


def test_a_fallback_without_a_name_is_shown_as_it_is(make: Make) -> None:
    async def instead(_: Exception) -> str:
        return "later"

    with pytest.raises(TypeError, match=r"the fallback functools\.partial\(<function .*instead at"):
        make()(fallback=functools.partial(instead))(Service().get)


def test_generators_have_no_single_answer(make: Make) -> None:
    def numbers() -> Any:
        yield 1

    async def async_numbers() -> Any:
        yield 1

    for fn, words in ((numbers, "a generator"), (async_numbers, "an async generator")):
        for rescue in ({"stale": 1}, {"fallback": print}):
            with pytest.raises(
                TypeError,
                match=f"fallback= and stale= need one answer per call; .*numbers is {words} function",
            ):
                make()(**rescue)(fn)


@pytest.mark.parametrize(
    ("rescue", "error", "text"),
    [
        ({"stale": 0}, ValueError, "stale must be a duration over 0 (seconds or timedelta), got 0"),
        ({"stale": "10m"}, ValueError, "stale must be a duration over 0 (seconds or timedelta), got '10m'"),
        ({"stale": 1, "stale_size": 0}, ValueError, "stale_size must be an integer of at least 1, got 0"),
        ({"fallback": 5}, TypeError, "fallback= takes a callable, got 5"),
        ({"stale": 1, "key": 5}, TypeError, "key= takes a callable, got 5"),
        (
            {"fallback": print, "on": "Boom"},
            TypeError,
            "on= takes an exception type or a tuple of them, got 'Boom'",
        ),
        ({"fallback": print, "on": (Boom, 5)}, TypeError, "on= takes an exception type or a tuple of them"),
    ],
)
def test_bad_use_is_told_at_decoration(
    make: Make, rescue: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        make()(**rescue)
    assert str(caught.value).startswith(text)
