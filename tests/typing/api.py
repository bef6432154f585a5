"""Types as users see them. Never run: a type checker reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

from switchgear import (
    BreakerFamily,
    CircuitBreaker,
    CircuitBreakerPolicy,
    CircuitBreakerSnapshot,
    CircuitOpenError,
    CircuitState,
    Permit,
    Switchgear,
    TransitionEvent,
)
from switchgear.stores import CircuitBreakerStore, InMemoryCircuitBreakerStore

payments = CircuitBreaker("payments", CircuitBreakerPolicy(failure_rate=0.5))


def number(x: int) -> int:
    return x


async def number_async(x: int) -> int:
    return x


def numbers(x: int) -> Iterator[int]:
    yield x


async def numbers_async(x: int) -> AsyncIterator[int]:
    yield x


def text(error: CircuitOpenError, *args: Any) -> str:
    return str(error)


async def text_async(error: Exception, *args: Any) -> str:
    return str(error)


def kept(coroutine: object) -> None:
    """Takes a coroutine that nobody awaits."""


# A decorated function keeps its signature and its colour.
assert_type(payments(number)(1), int)
assert_type(payments()(number)(1), int)
assert_type(payments(numbers)(1), Iterator[int])
assert_type(payments(numbers_async)(1), AsyncIterator[int])
kept(assert_type(payments(number_async)(1), Coroutine[Any, Any, int]))
assert_type(payments(stale=60)(number)(1), int)
kept(assert_type(payments(stale=60, key=lambda x: x)(number_async)(1), Coroutine[Any, Any, int]))
payments(number)("1")  # type: ignore[arg-type]
payments(stale=60)(number)(1, 2)  # type: ignore[call-arg]

# A fallback adds the type of its answers.
assert_type(payments(fallback=text)(number)(1), int | str)
assert_type(payments(fallback=text, on=(CircuitOpenError, TimeoutError))(number)(1), int | str)
kept(assert_type(payments(fallback=text)(number_async)(1), Coroutine[Any, Any, int | str]))
kept(assert_type(payments(fallback=text_async)(number_async)(1), Coroutine[Any, Any, int | str]))
payments(fallback=text)(number)("1")  # type: ignore[arg-type]

assert_type(payments.call(number, 1), int)
kept(assert_type(payments.call(number_async, x=1), Coroutine[Any, Any, int]))
payments.call(number, "1")  # type: ignore[arg-type]

with payments as entered:
    assert_type(entered, Permit)
assert_type(payments.acquire(), Permit)
assert_type(payments.try_acquire(), Permit | None)
assert_type(payments.state, CircuitState)
assert_type(payments.snapshot(), CircuitBreakerSnapshot)
assert_type(payments.snapshot().retry_after, float | None)


async def main() -> None:
    assert_type(await payments(number_async)(1), int)
    assert_type(await payments(fallback=text_async)(number_async)(1), int | str)
    assert_type(await payments.acquire_async(), Permit)
    async with payments as entered:
        assert_type(entered, Permit)


def listener(event: TransitionEvent) -> None:
    assert_type(event.to_state, CircuitState)


assert_type(payments.on_transition(listener), Callable[[], None])

sg = Switchgear("shop", store=InMemoryCircuitBreakerStore())
assert_type(sg.breaker("x"), CircuitBreaker)
assert_type(sg.breakers("x:{}"), BreakerFamily)
assert_type(sg.breakers("x:{}")["key"], CircuitBreaker)
store: CircuitBreakerStore = InMemoryCircuitBreakerStore()


class Client:
    @payments
    def get(self, x: int) -> int:
        return x

    @payments
    async def get_async(self, x: int) -> int:
        return x

    @payments(fallback=text)
    def get_or_text(self, x: int) -> int:
        return x


assert_type(Client().get(1), int)
kept(assert_type(Client().get_async(1), Coroutine[Any, Any, int]))
assert_type(Client().get_or_text(1), int | str)
