"""Nothing that happens is lost, and nothing is counted twice."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreakerPolicy, Switchgear
from tests.shared.backends import Backend, fresh_key, state_of
from tests.shared.fleet import Fleet
from tests.shared.lossy import LossyWay
from tests.shared.scenes import counted

IN_A_WINDOW = CircuitBreakerPolicy(failure_threshold=10**6, window=60)
IN_A_ROW = CircuitBreakerPolicy(failure_threshold=10**6)


@pytest.mark.parametrize("policy", [IN_A_WINDOW, IN_A_ROW], ids=["window", "run"])
def test_every_failure_of_eight_processes_is_counted_once(
    fleet: Fleet, backend: Backend, policy: CircuitBreakerPolicy
) -> None:
    assert counted(fleet, backend.url, policy, 500) == 4000


@pytest.mark.parametrize("policy", [IN_A_WINDOW, IN_A_ROW], ids=["window", "run"])
def test_every_failure_is_counted_once_also_when_a_fifth_of_the_answers_is_lost(
    fleet: Fleet, backend: Backend, policy: CircuitBreakerPolicy
) -> None:
    with LossyWay(backend.url) as way:
        assert counted(fleet, backend.url, policy, 500, way.url) == 4000
    assert way.lost > way.answers / 10


def test_what_is_pending_at_the_end_outlives_lost_answers(backend: Backend) -> None:
    key, gear = fresh_key(), Switchgear()
    with LossyWay(backend.url, share=0) as way:
        with gear.open(way.url):
            breaker = gear.breaker(key, IN_A_ROW)
            assert breaker.ready(30)
            way.lose_next(6)  # before: what is sent meanwhile is lost, too, and pending again
            for _ in range(25):
                breaker.acquire().failure()
        assert way.lost == 6
    assert state_of(backend.url, key).failure_count == 25
