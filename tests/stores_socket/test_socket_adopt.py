"""Another policy for a circuit that several processes share."""

import pytest

from switchgear import CircuitBreakerPolicy, CircuitOpenError, CircuitState
from tests.stores_socket.test_socket_mirrors import fail, until, worker

pytestmark = pytest.mark.anyio


async def test_an_open_circuit_stays_open_and_evidence_counts_under_the_new_policy(served, caplog):
    async with (
        worker(served.path, failure_threshold=5) as one,
        worker(served.path, failure_threshold=5) as two,
    ):
        for breaker in (one, two, one):
            await fail(breaker)
        await until(lambda: one.snapshot().failure_count == two.snapshot().failure_count == 3)
        for breaker in (one, two):
            breaker.adopt(CircuitBreakerPolicy(failure_threshold=4))
        await fail(two)
        await until(lambda: one.state is two.state is CircuitState.OPEN)
        for breaker in (one, two):
            breaker.adopt(CircuitBreakerPolicy(failure_threshold=50, reset_timeout=1))
            with pytest.raises(CircuitOpenError):
                await breaker.acquire_async()
    assert "another policy" not in caplog.text


async def test_what_is_known_counts_in_another_window_too(served):
    async with worker(served.path, failure_threshold=3, window=60) as breaker:
        for _ in range(2):
            await fail(breaker)
        breaker.adopt(CircuitBreakerPolicy(failure_threshold=3, window=600))
        assert breaker.state is CircuitState.CLOSED
        await fail(breaker)
        assert breaker.state is CircuitState.OPEN
