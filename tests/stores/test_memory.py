"""The in-memory store: its five methods, and breakers that share it."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, CircuitState, Switchgear
from switchgear.stores import CircuitBreakerStore, InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> InMemoryCircuitBreakerStore:
    return InMemoryCircuitBreakerStore(clock=clock)


async def test_it_is_a_store(store: InMemoryCircuitBreakerStore) -> None:
    assert isinstance(store, CircuitBreakerStore)
    async with store:
        pass
    await store.aclose()


async def test_a_key_that_was_never_written_is_closed_and_reading_creates_nothing(
    store: InMemoryCircuitBreakerStore,
) -> None:
    seen = await store.get_state("k")
    assert (seen.state, seen.failure_count, seen.success_count, seen.last_failure_time) == (
        "closed",
        0,
        0,
        0.0,
    )
    await store.reset("k")
    assert not store._entries


async def test_counts_of_a_closed_circuit(store: InMemoryCircuitBreakerStore, clock: ManualClock) -> None:
    for n in range(1, 8):
        seen = await store.record_failure("k")
        assert (seen.state, seen.failure_count, seen.last_failure_time) == ("closed", n, 1000.0)
    clock.advance(5)
    seen = await store.record_success("k")
    assert (seen.failure_count, seen.success_count, seen.last_failure_time) == (0, 1, 1000.0)
    assert await store.get_state("k") == seen


@pytest.mark.parametrize("state", ["open", "half-open"])
async def test_a_failure_while_not_closed_only_sets_its_time(
    store: InMemoryCircuitBreakerStore, clock: ManualClock, state: str
) -> None:
    await store.record_failure("k")
    before = await store.transition("k", state)  # type: ignore[arg-type]
    clock.advance(3)
    after = await store.record_failure("k")
    assert (after.state, after.failure_count, after.generation) == (state, 1, before.generation)
    assert (before.last_failure_time, after.last_failure_time) == (1000.0, 1003.0)


@pytest.mark.parametrize("to", ["closed", "open", "half-open"])
@pytest.mark.parametrize("start", ["closed", "open", "half-open"])
async def test_transition_is_unconditional(store: InMemoryCircuitBreakerStore, start: Any, to: Any) -> None:
    if start != "closed":
        await store.record_failure("k")
    await store.transition("k", start)
    seen = await store.transition("k", CircuitState(to))
    assert (seen.state, seen.last_state_change) == (to, 1000.0)
    assert seen.failure_count == (0 if "closed" in (start, to) else 1)


async def test_to_closed_zeroes_the_counts_and_to_half_open_the_successes(
    store: InMemoryCircuitBreakerStore,
) -> None:
    await store.record_failure("k")
    await store.transition("k", CircuitState.HALF_OPEN)
    assert [(await store.record_success("k")).success_count for _ in range(2)] == [1, 2]
    seen = await store.transition("k", CircuitState.HALF_OPEN)
    assert (seen.failure_count, seen.success_count) == (1, 0)
    seen = await store.transition("k", CircuitState.CLOSED)
    assert (seen.failure_count, seen.success_count) == (0, 0)


@pytest.mark.parametrize("to", [CircuitState.FORCED_OPEN, "disabled", "OPEN", "", None, 1])
async def test_transition_to_anything_else(store: InMemoryCircuitBreakerStore, to: Any) -> None:
    with pytest.raises(ValueError, match="allowed are 'closed', 'open', 'half-open'"):
        await store.transition("k", to)


@pytest.mark.parametrize("key", ["x" * 1025, "a\0", "\ud800"])
async def test_keys_that_are_none(store: InMemoryCircuitBreakerStore, key: str) -> None:
    for method in (store.get_state, store.record_success, store.record_failure, store.reset):
        with pytest.raises(ValueError, match="a circuit's key"):
            await method(key)


async def test_any_other_text_is_a_key(store: InMemoryCircuitBreakerStore) -> None:
    for key in ("", " ", "a/b:c", "é" * 512, "名前", "x" * 1024):
        assert (await store.record_failure(key)).failure_count == 1


async def test_reset_and_clear_forget(store: InMemoryCircuitBreakerStore) -> None:
    await store.record_failure("a")
    await store.transition("b", CircuitState.OPEN)
    await store.reset("a")
    assert (await store.get_state("a")).failure_count == 0
    store.clear()
    assert (await store.get_state("b")).state == "closed"


async def test_it_keeps_a_bounded_number(clock: ManualClock) -> None:
    store = InMemoryCircuitBreakerStore(clock=clock, limit=3)
    for n in range(10):
        await store.record_failure(f"k{n}")
    assert sorted(store._entries) == ["k7", "k8", "k9"]


# ---- with breakers ----


async def test_breakers_of_one_store_and_key_are_one_circuit(store: InMemoryCircuitBreakerStore) -> None:
    first = CircuitBreaker("a", store=store, failure_threshold=2)
    second = CircuitBreaker("a", store=store, failure_threshold=2)
    elsewhere = CircuitBreaker("a", failure_threshold=2)
    for breaker in (first, second):
        breaker.acquire().failure()
    assert (first.state, second.state, elsewhere.state) == ("open", "open", "closed")
    assert (await store.get_state("a")).state == "open"
    with pytest.raises(CircuitOpenError):
        second.acquire()


async def test_the_key_is_namespace_and_name(store: InMemoryCircuitBreakerStore) -> None:
    Switchgear("shop", store=store).breaker("a").force_open()
    assert (await store.get_state("shop/a")).state == "forced-open"
    assert (await store.get_state("a")).state == "closed"


async def test_writes_through_the_methods_reach_breakers(store: InMemoryCircuitBreakerStore) -> None:
    breaker = CircuitBreaker("a", store=store, failure_threshold=3)
    await store.record_failure("a")
    assert breaker.snapshot().failure_count == 1
    breaker.acquire().success()
    assert (await store.get_state("a")).failure_count == 0
    assert (await store.get_state("a")).success_count == 1
    await store.transition("a", CircuitState.OPEN)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    await store.reset("a")
    breaker.acquire().success()


async def test_a_circuit_opened_before_its_breaker_came_stays_open(
    store: InMemoryCircuitBreakerStore, clock: ManualClock
) -> None:
    await store.transition("a", CircuitState.OPEN)
    clock.advance(10)
    breaker = CircuitBreaker("a", store=store, reset_timeout=30)
    assert (breaker.state, breaker.snapshot().retry_after) == ("open", 20.0)
    clock.advance(20)
    breaker.acquire().success()
    assert breaker.state == "closed"


async def test_an_owner_shares_present_and_future_breakers_for_a_block(
    store: InMemoryCircuitBreakerStore, clock: ManualClock
) -> None:
    shop, other = (Switchgear("shop", clock=clock, failure_threshold=1) for _ in range(2))
    present = shop.breaker("payments")
    with shop.open(store), other.open(store):
        future = shop.breaker("stock")
        for breaker in (present, future):
            breaker.acquire().failure()
            with pytest.raises(CircuitOpenError, match=f"circuit '{breaker.name}' is open"):
                other.breaker(breaker.name).acquire()
        with pytest.raises(ValueError, match="policy"):
            CircuitBreaker("payments", store=store, namespace="shop", failure_threshold=9)
    assert [breaker.state for breaker in shop] == ["closed", "closed"]
    present.acquire().failure()
    clock.advance(29)
    with pytest.raises(CircuitOpenError, match="circuit 'payments' is open"):
        present.acquire()
    clock.advance(1)
    assert present.acquire().probe


async def test_a_breaker_goes_to_another_store_and_on_by_itself(
    store: InMemoryCircuitBreakerStore, clock: ManualClock
) -> None:
    breaker = CircuitBreaker("payments", failure_threshold=1, clock=clock)
    breaker.rebind(store)
    breaker.acquire().failure()
    assert (await store.get_state("payments")).state == "open"
    breaker.adopt(CircuitBreakerPolicy(failure_threshold=1, mode="shadow"))
    breaker.acquire().failure()
    assert (await store.get_state("payments#shadow")).state == "open"
    breaker.rebind(None)
    assert (breaker.state, breaker.policy.mode) == ("closed", "shadow")


async def test_two_policies_for_one_key(store: InMemoryCircuitBreakerStore) -> None:
    breaker = CircuitBreaker("a", store=store, failure_threshold=3)
    with pytest.raises(
        ValueError, match=r"circuit 'a' has another policy in this process: .*failure_threshold=3"
    ):
        CircuitBreaker("a", store=store, failure_threshold=4)
    del breaker
    gc.collect()
    assert CircuitBreaker("a", store=store, failure_threshold=4).policy.failure_threshold == 4


async def test_a_shadow_never_meets_an_enforcing_circuit(store: InMemoryCircuitBreakerStore) -> None:
    enforcing = CircuitBreaker("a", store=store, failure_threshold=1)
    shadow = CircuitBreaker("a", store=store, failure_threshold=1, mode="shadow")
    shadow.acquire().failure()
    assert (shadow.state, enforcing.state) == ("open", "closed")
    assert (await store.get_state("a#shadow")).state == "open"


async def test_clear_resets_circuits_in_use(store: InMemoryCircuitBreakerStore) -> None:
    breaker = CircuitBreaker("a", store=store, failure_threshold=1)
    breaker.acquire().failure()
    store.clear()
    assert (breaker.state, (await store.get_state("a")).state) == ("closed", "closed")
    breaker.acquire().failure()
    assert (await store.get_state("a")).state == "open"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            InMemoryCircuitBreakerStore,
            "store must be an object, got the class InMemoryCircuitBreakerStore; make one",
        ),
        (object(), "object is no store: it lacks the methods get_state, record_success, record_failure"),
        ("redis://x", "str is no store"),
    ],
)
async def test_what_is_no_store(wrong: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        CircuitBreaker("a", store=wrong)
    assert text in str(caught.value)
