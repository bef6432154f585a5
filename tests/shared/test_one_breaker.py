"""Eight processes are one breaker, and one that is sick does not stop the others."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreakerPolicy
from tests.shared.backends import Backend
from tests.shared.fleet import SIZE, Fleet
from tests.shared.scenes import death, sickness

THRESHOLD = 50
ROUNDS = 10


@pytest.mark.parametrize("window", [10, None], ids=["window", "run"])
def test_a_dead_dependency_is_left_alone_by_all_long_before_each_has_found_out_for_itself(
    fleet: Fleet, backend: Backend, window: float | None
) -> None:
    policy = CircuitBreakerPolicy(failure_threshold=THRESHOLD, window=window, reset_timeout=60)
    reached: list[int] = []
    for _ in range(ROUNDS):
        found = death(fleet, backend.url, policy, times=150)
        assert found.all_reject
        assert found.reached >= THRESHOLD
        reached.append(found.reached)
        # How many calls are on their way meanwhile depends on the machine, and on what else it does: the
        # benchmark has a bar for that. Processes that found out for themselves would never need fewer.
        if found.reached < THRESHOLD * SIZE * 0.75:
            return
    pytest.fail(f"as many calls as without each other in every round: {reached}")


@pytest.mark.parametrize(
    "rule",
    [{"failure_threshold": 5}, {"failure_threshold": 5, "window": 10}, {"failure_rate": 0.1}],
    ids=["run", "window", "rate"],
)
def test_one_sick_process_of_eight_rejects_its_own_calls_and_no_others(
    fleet: Fleet, backend: Backend, rule: dict[str, float]
) -> None:
    found = sickness(fleet, backend.url, CircuitBreakerPolicy(**rule), times=150)
    assert found.others_served >= 0.97
    assert found.sick_rejected >= 0.8
