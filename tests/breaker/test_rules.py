"""Which evidence opens a circuit, at and just below every threshold."""

from __future__ import annotations

from typing import Any

import pytest

from switchgear import CircuitBreakerPolicy
from switchgear.breaker.rules import Evidence, Rule, judge

RATE = {"failure_rate": 0.5, "minimum_calls": 10}
SLOW = {"slow_call_rate": 0.4, "slow_call_duration": 1, "minimum_calls": 10}


@pytest.mark.parametrize(
    ("fields", "evidence", "rule", "reason"),
    [
        ({}, Evidence(failures=4), None, ""),
        ({}, Evidence(failures=5), Rule.CONSECUTIVE, "5 consecutive failures (threshold 5)"),
        ({"window": 10}, Evidence(9, 4), None, ""),
        ({"window": 10}, Evidence(5, 5), Rule.COUNT, "5 failures in 10 s (threshold 5)"),
        (RATE, Evidence(9, 9), None, ""),
        (RATE, Evidence(10, 4), None, ""),
        (RATE, Evidence(10, 5), Rule.FAILURE_RATE, "5 of 10 calls in 30 s failed (50.0%, limit 50.0%)"),
        (SLOW, Evidence(10, 10, 3), None, ""),
        (SLOW, Evidence(10, 0, 4), Rule.SLOW_RATE, "4 of 10 calls in 30 s were slow (40.0%, limit 40.0%)"),
        (
            {**RATE, **SLOW},
            Evidence(10, 0, 4),
            Rule.SLOW_RATE,
            "4 of 10 calls in 30 s were slow (40.0%, limit 40.0%)",
        ),
        ({**RATE, "failure_threshold": 3}, Evidence(3, 3), Rule.COUNT, "3 failures in 30 s (threshold 3)"),
    ],
)
def test_rules_are_or_ed_and_compared_by_at_least(
    fields: dict[str, Any], evidence: Evidence, rule: Rule | None, reason: str
) -> None:
    verdict = judge(CircuitBreakerPolicy(**fields), evidence)
    assert (verdict.rule if verdict else None) == rule
    assert (verdict.reason if verdict else "") == reason


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_that_equals_the_limit_opens_for_every_percentage(percent: int) -> None:
    policy = CircuitBreakerPolicy(failure_rate=percent / 100, minimum_calls=1)
    assert judge(policy, Evidence(100, percent)) is not None
    assert judge(policy, Evidence(100, percent - 1)) is None
