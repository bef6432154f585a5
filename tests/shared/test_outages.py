"""A server that dies, hangs, or comes back with less than it had."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreakerPolicy, CircuitState
from tests.shared import jobs
from tests.shared.backends import Backend, fresh_key, record_failure, state_of
from tests.shared.fleet import Fleet
from tests.shared.scenes import eventually, open_circuit, outage, rewind

HANGS = 1.0
"""A call that waited for a hanging store without a bound of its own would take longer."""
ROUNDS = 5
"""A machine that is busy with other things may hold up a call for as long: but not in each round."""


def test_a_killed_server_is_no_callers_business_and_all_share_again_when_it_is_back(
    fleet: Fleet, own_backend: Backend
) -> None:
    # Each round ends when the news has reached every process.
    no_callers_business(fleet, own_backend, down=1.0, hang=False)


def test_a_hanging_server_is_no_callers_business(fleet: Fleet, own_backend: Backend) -> None:
    no_callers_business(fleet, own_backend, down=1.5, hang=True)


def no_callers_business(fleet: Fleet, backend: Backend, down: float, *, hang: bool) -> None:
    slowest: list[float] = []
    for _ in range(ROUNDS):
        found = outage(fleet, backend, up=0.5, down=down, hang=hang)
        assert found.strange == []
        slowest.append(found.slowest)
        if found.slowest < HANGS:
            return
    pytest.fail(f"calls were held up in every round: {slowest}")


@pytest.mark.parametrize("older", [False, True], ids=["empty", "older"])
def test_a_server_that_has_forgotten_an_open_circuit_gets_it_back(
    fleet: Fleet, own_backend: Backend, older: bool
) -> None:
    assert rewind(fleet, own_backend, older=older).closed_for == 0


def test_without_a_living_process_it_stays_forgotten(own_backend: Backend) -> None:
    """The test above would show nothing if the server had not forgotten."""
    key = fresh_key()
    record_failure(own_backend.url, key)
    own_backend.remember()
    open_circuit(own_backend.url, key)
    own_backend.server.kill()
    own_backend.go_back()
    assert state_of(own_backend.url, key).state is CircuitState.CLOSED


def test_failures_during_an_outage_are_counted_when_the_server_is_back(
    fleet: Fleet, own_backend: Backend
) -> None:
    key = fresh_key()
    policy = CircuitBreakerPolicy(failure_threshold=10**6)
    fleet.begin(jobs.fail, url=own_backend.url, key=key, policy=policy, times=1000)
    eventually(lambda: state_of(own_backend.url, key).failure_count > 0, 30)
    own_backend.server.pause()
    own_backend.server.resume()
    assert all(tally.strange == [] for tally in fleet.end())
    assert state_of(own_backend.url, key).failure_count == 8000
