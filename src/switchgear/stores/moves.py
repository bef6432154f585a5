"""Changes of state that a process proposes: to where, why, for how long."""

from __future__ import annotations

from switchgear.breaker.machine import CLOSED, OPEN
from switchgear.breaker.rules import Rule, Verdict
from switchgear.stores.operations import Move
from switchgear.stores.tokens import Tokens


def opening(tokens: Tokens, verdict: Verdict, open_time: float, rounds: int) -> Move:
    """Open for `open_time` seconds, after so many failed rounds of probes."""
    return Move(
        to=OPEN.value,
        token=tokens.new(verdict.rule),
        why=verdict.reason,
        open_ms=round(open_time * 1000),
        rounds=rounds,
    )


def closing(tokens: Tokens, successes: int) -> Move:
    """Close, since so many probes have succeeded."""
    why = "a probe succeeded" if successes == 1 else f"{successes} probes succeeded"
    return Move(to=CLOSED.value, token=tokens.new(Rule.PROBES_OK), why=why)
