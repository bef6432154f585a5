"""What switchgear raises.

SwitchgearError
├── CircuitOpenError     a call was rejected
└── PolicyError          a policy has fields out of range (also a ValueError)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchgear.breaker.state import CircuitState


class SwitchgearError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One field of a policy that is out of range."""

    field: str
    allowed: str
    found: object

    def __str__(self) -> str:
        return f"{self.field} must be {self.allowed}, got {self.found!r}"


class PolicyError(SwitchgearError, ValueError):
    """A policy has fields out of range; `problems` has every one of them."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class CircuitOpenError(SwitchgearError):
    """A call was rejected, and the guarded function was not called.

    All fields live in `args`: the error pickles and copies by itself, and a rejection costs no Python-level
    constructor (`rejection` below).
    """

    def __init__(
        self,
        name: str,
        state: CircuitState | str,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
    ) -> None:
        wait = None if retry_after is None else float(retry_after)
        super().__init__(name, CircuitState(state), wait, reason, last_failure)

    @property
    def name(self) -> str:
        """The circuit's name."""
        return self.args[0]  # type: ignore[no-any-return]

    @property
    def state(self) -> CircuitState:
        """The state that rejected the call."""
        return self.args[1]  # type: ignore[no-any-return]

    @property
    def retry_after(self) -> float | None:
        """Seconds to the next possible probe; 0.0 when one is due, `None` when nobody knows (forced open)."""
        return self.args[2]  # type: ignore[no-any-return]

    @property
    def reason(self) -> str:
        """Why the circuit is in this state: rule and numbers of the last transition."""
        return self.args[3]  # type: ignore[no-any-return]

    @property
    def last_failure(self) -> str | None:
        """The last failure, as `Type: message`, at most 200 characters, credentials in URLs masked."""
        return self.args[4]  # type: ignore[no-any-return]

    def __str__(self) -> str:
        parts = [f"circuit {self.name!r} is {self.state}"]
        if self.reason:
            parts.append(self.reason)
        if self.last_failure:
            parts.append(f"last failure: {self.last_failure}")
        if self.retry_after is None:
            parts.append("no time is set for the next probe")
        else:
            parts.append(
                f"next probe in {round(self.retry_after, 3):g} s" if self.retry_after else "a probe is due"
            )
        return "; ".join(parts)
