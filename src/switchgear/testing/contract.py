"""What every store must do: subclass it with a fixture `store`, and pytest runs it.

class TestMyStore(CircuitBreakerStoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return MyStore(tmp_path / "circuits")
"""

from __future__ import annotations

import asyncio
import time

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.errors import CircuitOpenError
from switchgear.stores.protocol import CircuitBreakerStore
from switchgear.testing.promises import Contract, promise, promised

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
KEYS = ("k", "a b", "a/b:c", "{}", "}{", "ünï→🔌", "line\nbreak", "'; --", "%s", "k" * 1024, "ü" * 512)
PATIENCE = 20.0


class CircuitBreakerStoreContract(Contract):
    """The five methods. Promises: `counting`, `atomic`, `states`, `targets`, `times`, `keys`, `bad keys`,
    `breaker`.
    """

    # ---- counting ----

    @promise("counting")
    async def test_an_unknown_circuit_is_closed(self, store: CircuitBreakerStore) -> None:
        self._is(await store.get_state("k"), CLOSED, 0)
        assert (await store.get_state("k")).success_count == 0

    @promise("counting")
    async def test_failures_are_counted(self, store: CircuitBreakerStore) -> None:
        for count in (1, 2, 3):
            self._is(await store.record_failure("k"), CLOSED, count)
        self._is(await store.get_state("k"), CLOSED, 3)

    @promise("counting")
    async def test_a_success_ends_the_run_of_failures(self, store: CircuitBreakerStore) -> None:
        await store.record_failure("k")
        self._is(await store.record_success("k"), CLOSED, 0)
        self._is(await store.record_failure("k"), CLOSED, 1)

    @promise("counting")
    async def test_no_count_of_failures_opens_a_circuit(self, store: CircuitBreakerStore) -> None:
        for _ in range(50):
            await store.record_failure("k")
        self._is(await store.get_state("k"), CLOSED, 50)

    @promise("atomic")
    async def test_failures_at_once_are_all_counted(self, store: CircuitBreakerStore) -> None:
        await asyncio.gather(*(store.record_failure("k") for _ in range(40)))
        self._is(await store.get_state("k"), CLOSED, 40)

    # ---- states ----

    @promise("states")
    async def test_any_state_can_follow_any(self, store: CircuitBreakerStore) -> None:
        for first in (CLOSED, OPEN, HALF_OPEN):
            for second in (CLOSED, OPEN, HALF_OPEN):
                await store.transition("k", first)
                assert (await store.transition("k", second)).state == second
                assert (await store.get_state("k")).state == second

    @promise("states")
    async def test_closing_zeroes_the_counts(self, store: CircuitBreakerStore) -> None:
        await store.record_failure("k")
        self._is(await store.transition("k", OPEN), OPEN, 1)
        await store.transition("k", HALF_OPEN)
        self._is(await store.transition("k", CLOSED), CLOSED, 0)

    @promise("states")
    async def test_half_opening_zeroes_the_successes(self, store: CircuitBreakerStore) -> None:
        await store.record_success("k")
        assert (await store.transition("k", HALF_OPEN)).success_count == 0
        assert (await store.record_success("k")).success_count == 1

    @promise("states")
    async def test_failures_count_only_while_closed(self, store: CircuitBreakerStore) -> None:
        await store.record_failure("k")
        for state in (OPEN, HALF_OPEN):
            before = await store.transition("k", state)
            after = await store.record_failure("k")
            self._is(after, state, before.failure_count)

    @promise("states")
    async def test_reset_forgets(self, store: CircuitBreakerStore) -> None:
        await store.record_failure("k")
        await store.transition("k", OPEN)
        await store.reset("k")
        self._is(await store.get_state("k"), CLOSED, 0)
        await store.reset("never seen")

    @promise("targets")
    async def test_a_state_may_be_given_by_its_name(self, store: CircuitBreakerStore) -> None:
        for name in ("open", "half-open", "closed"):
            snapshot = await store.transition("k", name)  # type: ignore[arg-type]  # text that equals the member
            assert snapshot.state == name

    @promise("targets")
    async def test_no_other_state_can_be_set(self, store: CircuitBreakerStore) -> None:
        for wrong in ("forced-open", "disabled", "ajar", ""):
            try:
                await store.transition("k", wrong)  # type: ignore[arg-type]  # the mistake to be refused
            except ValueError:
                continue
            raise AssertionError(f"transition to {wrong!r} must raise ValueError")
        self._is(await store.get_state("k"), CLOSED, 0)

    # ---- times ----

    @promise("times")
    async def test_times_are_seconds_since_the_epoch(self, store: CircuitBreakerStore) -> None:
        failed = await store.record_failure("k")
        moved = await store.transition("k", OPEN)
        for moment in (failed.last_failure_time, moved.last_failure_time, moved.last_state_change):
            assert abs(time.time() - moment) < 3600, moment

    @promise("times")
    async def test_never_is_zero(self, store: CircuitBreakerStore) -> None:
        unknown = await store.get_state("k")
        assert (unknown.last_failure_time, unknown.last_state_change) == (0.0, 0.0)

    @promise("times")
    async def test_a_failure_while_open_is_remembered(self, store: CircuitBreakerStore) -> None:
        opened = await store.transition("k", OPEN)
        failed = await store.record_failure("k")
        assert failed.last_failure_time > 0
        assert failed.last_state_change == opened.last_state_change

    # ---- keys ----

    @promise("keys")
    async def test_keys_are_apart_from_each_other(self, store: CircuitBreakerStore) -> None:
        for key in KEYS:
            self._is(await store.record_failure(key), CLOSED, 1)
        for key in KEYS:
            self._is(await store.get_state(key), CLOSED, 1)

    @promise("bad keys")
    async def test_other_keys_are_refused(self, store: CircuitBreakerStore) -> None:
        for key in ("a\0b", "k" * 1025, "ü" * 513):
            try:
                await store.record_failure(key)
            except ValueError:
                continue
            raise AssertionError(f"key {key[:10]!r} must raise ValueError")

    # ---- in a breaker ----

    @promised("breaker")
    def test_it_works_in_a_breaker(self, store: CircuitBreakerStore) -> None:
        """Opened by failures here, seen in the store; closed in the store, seen here."""
        breaker = CircuitBreaker("contract", store=store, failure_threshold=3)
        for _ in range(3):
            breaker.acquire().failure("no answer")
        try:
            breaker.acquire()
        except CircuitOpenError:
            self._eventually(store, OPEN)
        else:
            raise AssertionError("three failures must open it")
        asyncio.run(store.transition("contract", CLOSED))
        end = time.monotonic() + PATIENCE
        while breaker.state != CLOSED:
            assert time.monotonic() < end, "what others do must be seen here"
            time.sleep(0.01)

    @promised("breaker")
    def test_it_works_in_an_async_breaker(self, store: CircuitBreakerStore) -> None:
        async def calls() -> None:
            breaker = CircuitBreaker("contract", store=store, failure_threshold=3)
            for _ in range(3):
                (await breaker.acquire_async()).failure("no answer")
            assert breaker.state == OPEN

        asyncio.run(calls())
        self._eventually(store, OPEN)

    def _eventually(self, store: CircuitBreakerStore, state: CircuitState) -> None:
        end = time.monotonic() + PATIENCE
        while asyncio.run(store.get_state("contract")).state != state:
            assert time.monotonic() < end, f"the store never heard that it is {state}"
            time.sleep(0.01)

    @staticmethod
    def _is(snapshot: CircuitBreakerSnapshot, state: CircuitState, failures: int) -> None:
        assert (snapshot.state, snapshot.failure_count) == (state, failures)
