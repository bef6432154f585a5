"""What pybreaker's README shows and says, in its order, by the table of docs/migration/pybreaker.md."""

import logging
from dataclasses import replace
from uuid import uuid4

import pytest

from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.stores import RedisCircuitBreakerStore
from switchgear.testing import ManualClock


class CustomerValidationError(Exception):
    pass


class HTTPError(Exception):
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def broken(*_: object) -> None:
    raise ConnectionError("database is gone")


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(broken)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def db_breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("db", failure_threshold=5, reset_timeout=60, clock=clock)


def test_a_decorated_function_opens_the_circuit_after_five_failures(db_breaker):
    @db_breaker
    def update_customer(cust: str) -> None:
        broken(cust)

    for _ in range(5):
        with pytest.raises(ConnectionError):
            update_customer("ada")
    with pytest.raises(CircuitOpenError):
        update_customer("ada")


def test_call_passes_arguments_and_result(db_breaker):
    assert db_breaker.call(lambda cust, *, active: (cust, active), "ada", active=True) == ("ada", True)


def test_a_with_block_is_a_call(db_breaker):
    for _ in range(5):
        with pytest.raises(ConnectionError), db_breaker:
            broken()
    with pytest.raises(CircuitOpenError), db_breaker:
        raise AssertionError("the block must not run")


def test_after_the_timeout_one_success_closes_and_one_failure_opens(db_breaker, clock):
    fail(db_breaker, 5)
    clock.advance(60)
    fail(db_breaker, 1)
    with pytest.raises(CircuitOpenError):
        db_breaker.call(broken)
    clock.advance(60)
    db_breaker.call(str)
    assert db_breaker.state == "closed"


def test_a_success_threshold_takes_several_successes(clock):
    breaker = CircuitBreaker("db", failure_threshold=5, reset_timeout=60, success_threshold=3, clock=clock)
    fail(breaker, 5)
    clock.advance(60)
    for _ in range(2):
        breaker.call(str)
        assert breaker.state == "half-open"
    breaker.call(str)
    assert breaker.state == "closed"


def test_redis_backs_it_and_namespaces_keep_breakers_apart(redis_server):
    namespace = uuid4().hex
    with (
        RedisCircuitBreakerStore(redis_server.url, namespace=namespace) as first,
        RedisCircuitBreakerStore(redis_server.url, namespace=f"{namespace}2") as second,
    ):
        one = CircuitBreaker("db", failure_threshold=1, store=first)
        other = CircuitBreaker("db", failure_threshold=1, store=second)
        fail(one, 1)
        assert (one.state, other.state) == ("open", "closed")


def test_listeners_hear_of_changes_of_state(db_breaker, caplog):
    def log(event) -> None:
        logging.getLogger("listener").warning(
            "State Change: CB: %s, New State: %s", event.name, event.to_state
        )

    heard = []
    db_breaker.on_transition(log)
    db_breaker.on_transition(lambda event: heard.append((event.from_state, event.to_state)))
    fail(db_breaker, 5)
    assert "State Change: CB: db, New State: open" in caplog.messages
    assert heard == [("closed", "open")]


def test_a_generator_function_is_guarded(db_breaker):
    @db_breaker
    def rows():
        yield 1
        broken()

    for _ in range(5):
        with pytest.raises(ConnectionError):
            list(rows())
    assert db_breaker.state == "open"


def test_excluded_exceptions_are_no_system_errors(clock):
    breaker = CircuitBreaker(
        "db", failure_threshold=2, failure_on=lambda error: not isinstance(error, CustomerValidationError)
    )

    def invalid() -> None:
        raise CustomerValidationError

    fail(breaker, 1)
    with pytest.raises(CustomerValidationError):
        breaker.call(invalid)
    assert breaker.snapshot().failure_count == 0  # as in pybreaker, the call was a success of the system
    for _ in range(5):
        with pytest.raises(CustomerValidationError):
            breaker.call(invalid)
    assert breaker.state == "closed"


@pytest.mark.parametrize(("status", "state"), [(404, "closed"), (500, "open")])
def test_an_exception_is_excluded_by_a_condition(status, state):
    breaker = CircuitBreaker(
        "db",
        failure_threshold=1,
        failure_on=lambda error: not (type(error) is HTTPError and error.status_code < 500),
    )

    def answer() -> None:
        raise HTTPError(status)

    with pytest.raises(HTTPError):
        breaker.call(answer)
    assert breaker.state == state


def test_monitoring_and_management(db_breaker, clock):
    fail(db_breaker, 3)
    assert db_breaker.snapshot().failure_count == 3
    assert db_breaker.policy.failure_threshold == 5
    db_breaker.adopt(replace(db_breaker.policy, failure_threshold=10, reset_timeout=30, success_threshold=3))
    fail(db_breaker, 6)
    assert db_breaker.state == "closed"
    db_breaker.reset()
    assert (db_breaker.state, db_breaker.snapshot().failure_count) == ("closed", 0)
    db_breaker.force_open("maintenance", expires_in=30)
    assert db_breaker.state == "forced-open"
    with pytest.raises(CircuitOpenError):
        db_breaker.call(str)
    clock.advance(30)
    db_breaker.call(str)  # the time is over: the next call probes
    assert db_breaker.state == "half-open"
    db_breaker.call(str)
    db_breaker.call(str)
    assert db_breaker.state == "closed"
