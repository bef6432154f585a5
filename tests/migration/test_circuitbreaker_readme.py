"""What circuitbreaker's README shows and says, by the table of docs/migration/circuitbreaker.md."""

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState, Switchgear
from switchgear.testing import ManualClock


class RequestError(Exception):
    pass


class AnswerError(RequestError):
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def raising(error: Exception):
    def external_call() -> None:
        raise error

    return external_call


def attempt(function) -> type[BaseException] | None:
    try:
        function()
    except Exception as error:
        return type(error)
    return None


def test_the_simplest_example_opens_after_five_failures_and_tries_again_after_30_seconds():
    clock = ManualClock()
    external_call = CircuitBreaker("external_call", clock=clock)(raising(OSError()))
    assert [attempt(external_call) for _ in range(6)] == [OSError] * 5 + [CircuitOpenError]
    clock.advance(29)
    assert attempt(external_call) is CircuitOpenError
    clock.advance(1)
    assert attempt(external_call) is OSError  # the test execution
    assert attempt(external_call) is CircuitOpenError


def test_a_success_resets_the_count_and_a_successful_test_execution_closes():
    clock, works = ManualClock(), [True]
    breaker = CircuitBreaker("external_call", clock=clock)

    @breaker
    def external_call() -> None:
        if not works[0]:
            raise OSError

    works[0] = False
    assert [attempt(external_call) for _ in range(4)] == [OSError] * 4
    works[0] = True
    external_call()
    assert breaker.snapshot().failure_count == 0
    works[0] = False
    assert [attempt(external_call) for _ in range(5)] == [OSError] * 5
    clock.advance(30)
    works[0] = True
    external_call()
    assert breaker.state == "closed"


@pytest.mark.anyio
async def test_async_functions_are_supported():
    breaker = CircuitBreaker("external_call", failure_threshold=1)

    @breaker
    async def external_call() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - any
        await external_call()
    with pytest.raises(CircuitOpenError):
        await external_call()


def test_threshold_and_expected_exception():
    breaker = CircuitBreaker("external_call", failure_threshold=10, failure_on=ConnectionError)
    assert [attempt(breaker(raising(KeyError()))) for _ in range(20)] == [KeyError] * 20
    failing = breaker(raising(ConnectionError()))
    assert [attempt(failing) for _ in range(11)] == [ConnectionError] * 10 + [CircuitOpenError]


def test_several_expected_exceptions():
    breaker = CircuitBreaker("external_call", failure_threshold=2, failure_on=(ConnectionError, TimeoutError))
    attempt(breaker(raising(ConnectionError())))
    attempt(breaker(raising(TimeoutError())))
    assert breaker.state == "open"


def test_a_predicate_tells_failures():
    flaky = CircuitBreaker(
        "flaky",
        failure_threshold=1,
        failure_on=lambda error: isinstance(error, RequestError) and not isinstance(error, AnswerError),
    )
    slow = CircuitBreaker(
        "slow",
        failure_threshold=1,
        failure_on=lambda error: isinstance(error, AnswerError) and error.status_code == 429,
        failure_statuses=None,
    )
    attempt(flaky(raising(AnswerError(503))))
    assert flaky.state == "closed"
    attempt(flaky(raising(RequestError())))
    assert flaky.state == "open"
    attempt(slow(raising(AnswerError(404))))
    assert slow.state == "closed"
    attempt(slow(raising(AnswerError(429))))
    assert slow.state == "open"


def test_a_fallback_takes_the_same_arguments():
    breaker = CircuitBreaker("external_call")
    breaker.force_open()

    def from_cache(path: str) -> str:
        return f"a copy of {path}"

    @breaker(fallback=lambda error, *args: from_cache(*args))
    def external_call(path: str) -> str:
        raise AssertionError("the circuit is open")

    assert external_call("/") == "a copy of /"


def test_options_of_ones_own_stand_in_one_place():
    mine = CircuitBreakerPolicy(failure_threshold=10, reset_timeout=60, failure_on=RequestError)
    for breaker in (CircuitBreaker("a", mine), Switchgear().breaker("b", mine)):
        failing = breaker(raising(RequestError()))
        assert [attempt(failing) for _ in range(11)] == [RequestError] * 10 + [CircuitOpenError]


def test_one_place_knows_all_circuits_and_their_health():
    sg = Switchgear(failure_threshold=1)
    orders, stock = sg.breaker("orders"), sg.breaker("stock")
    assert all(breaker.state is CircuitState.CLOSED for breaker in sg)
    attempt(stock(raising(OSError())))
    assert [breaker.name for breaker in sg if breaker.state is not CircuitState.CLOSED] == ["stock"]
    assert [breaker.name for breaker in sg if breaker.state is CircuitState.CLOSED] == [orders.name]
