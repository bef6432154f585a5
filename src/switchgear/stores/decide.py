"""What the pooled evidence of all processes means: the one place where a shared circuit's state is decided.

Whoever receives a view decides; what is decided is a compare-and-set on the view's generation, so that of
several processes that decide the same, one wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.rules import Evidence, Rule, Verdict, judge
from switchgear.stores.view import View

FLEET: Final = 3
"""From so many live processes on, failures must be widespread: a lone sick process opens its own circuit
only.
"""


@dataclass(frozen=True, slots=True)
class SharedRule:
    """One rule of a policy, and what those without the worst eighth must meet for it to be everybody's
    trouble.
    """

    rule: CircuitBreakerPolicy
    half: CircuitBreakerPolicy
    by_slow: bool


def shared_rules(policy: CircuitBreakerPolicy) -> tuple[SharedRule, ...]:
    """The rules of `policy` one by one, each with its half."""
    rules: list[SharedRule] = []
    threshold = policy.failure_threshold
    if threshold is not None:
        count = replace(policy, failure_rate=None, slow_call_rate=None)
        rules.append(
            SharedRule(count, replace(count, failure_threshold=max(1, threshold // 2)), by_slow=False)
        )
    few = -(-policy.minimum_calls // 2)
    if policy.failure_rate is not None:
        rate = replace(policy, failure_threshold=None, slow_call_rate=None)
        half = replace(rate, failure_rate=policy.failure_rate / 2, minimum_calls=few)
        rules.append(SharedRule(rate, half, by_slow=False))
    if policy.slow_call_rate is not None:
        slow = replace(policy, failure_threshold=None, failure_rate=None)
        half = replace(slow, slow_call_rate=policy.slow_call_rate / 2, minimum_calls=few)
        rules.append(SharedRule(slow, half, by_slow=True))
    return tuple(rules)


def pooled_verdict(rules: tuple[SharedRule, ...], view: View) -> Verdict | None:
    """Why a closed shared circuit is to open, or `None`."""
    fleet = view.live >= FLEET
    for shared in rules:
        windowed = shared.rule.window is not None
        failures = view.failures if windowed else max(view.run, view.peak)
        verdict = judge(shared.rule, Evidence(view.calls, failures, view.slow))
        if verdict is not None and (not fleet or judge(shared.half, _rest(shared, view)) is not None):
            return verdict
    if fleet and view.overlays * 2 > view.live:
        return Verdict(Rule.COUNT, f"{view.overlays} of {view.live} processes have opened it for themselves")
    return None


def _rest(shared: SharedRule, view: View) -> Evidence:
    if shared.by_slow:
        return Evidence(view.rest_slow_calls, 0, view.rest_slow)
    return Evidence(view.rest_calls, view.rest_failures, 0)


def rounds_kept(view: View) -> int:
    """The failed probe rounds that still count when a closed circuit opens again.

    None once it was closed for longer than it was open before: the service had recovered.
    """
    return view.rounds if view.now - view.since <= view.open_ms else 0
