"""Probes are counted over all processes."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitState
from switchgear.stores import store_from_url
from switchgear.stores.sharing import release
from tests.shared.backends import Backend, fresh_key, state_of
from tests.shared.fleet import Fleet
from tests.shared.scenes import admitted, most_at_once, next_probe, open_circuit, probes

LEASE = 0.5
ROUNDS = 20


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("failing", [0.0, 0.5], ids=["succeed", "fail while others run"])
def test_never_more_probes_at_once_than_allowed(
    fleet: Fleet, backend: Backend, limit: int, failing: float
) -> None:
    # Who gets a lease is chance, and whoever has just had one asks first: what may happen is given rounds.
    for _ in range(ROUNDS):
        found = probes(fleet, backend.url, limit, failing)
        most = most_at_once(found)
        assert most <= limit
        if most == limit and len({probe.member for probe in found}) > 1:
            return
    pytest.fail(f"in {ROUNDS} rounds never {limit} probes at once, of several members")


def test_a_prober_that_is_killed_is_replaced_when_its_lease_ends(backend: Backend) -> None:
    assert next_probe(backend.url, LEASE) > LEASE / 2


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_late_result_of_an_expired_lease_changes_nothing(backend: Backend, outcome: str) -> None:
    key = fresh_key()
    policy = CircuitBreakerPolicy(reset_timeout=0.05, probe_timeout=LEASE, success_threshold=2)
    stores = [store_from_url(backend.url) for _ in range(2)]  # two mirrors, like two processes
    late, prompt = (CircuitBreaker(key, policy, store=store) for store in stores)
    open_circuit(backend.url, key)
    assert late.ready(30)
    assert prompt.ready(30)
    try:
        expired = admitted(late)
        admitted(prompt).cancel()  # admitted, so the first one's lease is over
        before = state_of(backend.url, key)
        assert before.state is CircuitState.HALF_OPEN
        getattr(expired, outcome)()
    finally:
        for store in stores:
            release(store)  # sends what is to be sent
    after = state_of(backend.url, key)
    assert (after.state, after.generation, after.success_count) == (
        before.state,
        before.generation,
        before.success_count,
    )
