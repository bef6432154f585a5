"""Which evidence opens a circuit: the only place where a count is compared with a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.window import Counts


class Rule(StrEnum):
    """Why a circuit changed its state: a closed list, fit for a metric's label."""

    CONSECUTIVE = "consecutive"
    COUNT = "count"
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    PROBE_FAILED = "probe_failed"
    PROBES_OK = "probes_ok"
    TIMER = "timer"
    OVERRIDE = "override"
    OVERRIDE_EXPIRED = "override_expired"
    RESET = "reset"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of recent calls. Without a window `failures` is the run of consecutive ones."""

    calls: int = 0
    failures: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that holds, and its numbers in words."""

    rule: Rule
    reason: str


def judge(policy: CircuitBreakerPolicy, evidence: Evidence | Counts) -> Verdict | None:
    """The first rule of `policy` that `evidence` meets."""
    failures, threshold = evidence.failures, policy.failure_threshold
    if threshold is not None and failures >= threshold:
        return _count(failures, threshold, policy)
    calls = evidence.calls
    if policy.window is None or calls < policy.minimum_calls:
        return None
    # Divided, not multiplied: 0.07 * 100 is more than 7, so seven of a hundred would not be 7 %.
    if policy.failure_rate is not None and failures / calls >= policy.failure_rate:
        return _rate(Rule.FAILURE_RATE, "failed", failures, calls, policy.failure_rate, policy)
    if policy.slow_call_rate is not None and evidence.slow / calls >= policy.slow_call_rate:
        return _rate(Rule.SLOW_RATE, "were slow", evidence.slow, calls, policy.slow_call_rate, policy)
    return None


def least_failures(policy: CircuitBreakerPolicy, evidence: Evidence | Counts) -> float:
    """The fewest failures that could meet a rule from now on, however many calls succeed meanwhile.

    It holds as long as no call is slow and none leaves the window; 0 where any call may be the one too many.
    """
    least = math.inf if policy.failure_threshold is None else policy.failure_threshold
    if policy.window is None:
        return least
    calls = max(evidence.calls, policy.minimum_calls)
    if policy.slow_call_rate is not None and evidence.slow / calls >= policy.slow_call_rate:
        return 0
    if policy.failure_rate is not None:
        failures = int(policy.failure_rate * calls)
        while failures / calls < policy.failure_rate:  # divided, as above
            failures += 1
        least = min(least, failures)
    return least


def _count(failures: int, threshold: int, policy: CircuitBreakerPolicy) -> Verdict:
    if policy.window is None:
        return Verdict(Rule.CONSECUTIVE, f"{failures} consecutive failures (threshold {threshold})")
    return Verdict(Rule.COUNT, f"{failures} failures in {policy.window:g} s (threshold {threshold})")


def _rate(
    rule: Rule, what: str, part: int, calls: int, limit: float, policy: CircuitBreakerPolicy
) -> Verdict:
    share = f"{part / calls:.1%}, limit {limit:.1%}"
    return Verdict(rule, f"{part} of {calls} calls in {policy.window:g} s {what} ({share})")
