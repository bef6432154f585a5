"""What the machine is asked and told about calls, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from switchgear.breaker.rules import Rule
from switchgear.breaker.state import CircuitState


class Outcome(StrEnum):
    """How a call ended, as evidence about the service."""

    SUCCESS = "success"
    FAILURE = "failure"
    INCONCLUSIVE = "inconclusive"


# Looking a member up in its enum costs as much as a function call (CPython 3.11); these names do not.
SUCCESS, FAILURE, INCONCLUSIVE = Outcome.SUCCESS, Outcome.FAILURE, Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that has happened. `author` is set for overrides."""

    from_state: CircuitState
    to_state: CircuitState
    generation: int
    rule: Rule
    reason: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """The call is free to go: an ordinary call of this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Leased:
    """The call is a probe."""

    generation: int
    token: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call is rejected; seconds to the next possible probe, `None` when nobody knows."""

    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """How an admitted call ended.

    `retry_after`: the open time that the upstream asks for, should this failure open the circuit. `spread` in
    [-1, 1]: the draw that the policy's jitter scales.
    """

    outcome: Outcome
    slow: bool = False
    retry_after: float | None = None
    spread: float = 0.0
