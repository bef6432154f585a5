"""The contracts that ship, over every store that ships, and over stores that break them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from examples.sqlite_store import SQLiteStore

from switchgear import CircuitBreaker, CircuitState
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.stores.coordinator import Coordinator
from switchgear.testing import CircuitBreakerStoreContract, FlakyStore, SharedStoreContract
from tests.stores.user_store import UserStore, eventually


class TestInMemory(CircuitBreakerStoreContract):
    @pytest.fixture
    def store(self) -> InMemoryCircuitBreakerStore:
        return InMemoryCircuitBreakerStore()


class TestSQLite(CircuitBreakerStoreContract):
    lacks = ("bad keys",)

    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        return SQLiteStore(str(tmp_path / "circuits.db"))


class TestDictionary(CircuitBreakerStoreContract):
    lacks = ("targets", "bad keys")

    @pytest.fixture
    def store(self) -> UserStore:
        return UserStore()


class TestCoordinator(SharedStoreContract):
    @pytest.fixture
    def store(self) -> Coordinator:
        return Coordinator(lambda: round(time.time() * 1000))


# ---- a contract that nothing can break is none ----


class Forgetful(UserStore):
    """Counts no failure and zeroes nothing."""

    async def record_failure(self, key: str):
        return self.circuit(key)


def test_a_store_that_does_not_count_is_found_out() -> None:
    class Wrong(CircuitBreakerStoreContract):
        pass

    with pytest.raises(AssertionError):
        Wrong().test_failures_are_counted(Forgetful())
    with pytest.raises(AssertionError):
        Wrong().test_failures_at_once_are_all_counted(Forgetful())


def test_what_a_store_lacks_is_declared_and_not_run() -> None:
    class Lacking(CircuitBreakerStoreContract):
        lacks = ("atomic",)

    assert Lacking.test_failures_at_once_are_all_counted is None
    assert CircuitBreakerStoreContract.test_failures_at_once_are_all_counted is not None


def test_an_unknown_promise_is_refused() -> None:
    with pytest.raises(TypeError, match="lacks has no promise 'atomik': there are atomic, bad keys"):

        class Wrong(CircuitBreakerStoreContract):
            lacks = ("atomik",)


# ---- faults ----


def test_a_flaky_store_delays_no_call_and_loses_nothing() -> None:
    store = UserStore()
    flaky = FlakyStore(store)
    breaker = CircuitBreaker("x", store=flaky, failure_threshold=1000)
    flaky.error = ConnectionError("down")
    for _ in range(5):
        breaker.acquire().failure("bad")
    flaky.heal()
    eventually(
        lambda: store.circuit("x").failure_count >= 4
    )  # the first may be lost: nobody knows what it did


def test_a_lost_reply_is_no_reason_to_count_again() -> None:
    store = UserStore()
    flaky = FlakyStore(store)
    flaky.loses_replies = True
    breaker = CircuitBreaker("x", store=flaky, failure_threshold=1000)
    for _ in range(5):
        breaker.acquire().failure("bad")
    eventually(lambda: len(store.calls) > 3)
    flaky.heal()
    eventually(lambda: store.circuit("x").failure_count == 5)
    calls = len(store.calls)
    eventually(lambda: len(store.calls) > calls + 3)
    assert store.circuit("x").failure_count == 5


def test_a_share_of_calls_is_disturbed() -> None:
    flaky = FlakyStore(UserStore(), share=0.5, seed=3)
    flaky.error = ConnectionError("down")
    import asyncio

    async def tries() -> int:
        failed = 0
        for _ in range(100):
            try:
                await flaky.get_state("x")
            except ConnectionError:
                failed += 1
        return failed

    assert 30 < asyncio.run(tries()) < 70
    with pytest.raises(ValueError, match="share must be in"):
        FlakyStore(UserStore(), share=2)
    assert flaky.wrapped.circuit("x").state == CircuitState.CLOSED
