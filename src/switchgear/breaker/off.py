"""The circuit of a process whose breakers are switched off."""

from __future__ import annotations

from typing import Any

from switchgear.breaker.circuit import Circuit, Grant
from switchgear.breaker.machine import INCONCLUSIVE, Outcome, Passed
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.clock import Clock


class OffCircuit(Circuit):
    """Everything passes, nothing is counted, operators change nothing."""

    __slots__ = ()

    def __init__(self, name: str, policy: CircuitBreakerPolicy, clock: Clock) -> None:
        super().__init__(name, policy, clock)
        self.era = self.calm = Passed(1)

    def admit(self) -> Grant:
        assert self.era is not None
        return self.era

    def settle(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is counted."""

    succeed = fail = settle

    def cancel(self, *args: Any, **kwargs: Any) -> Outcome:
        """Nothing is counted."""
        return INCONCLUSIVE

    def snapshot(self) -> CircuitBreakerSnapshot:
        return CircuitBreakerSnapshot(state=CircuitState.DISABLED, reason="SWITCHGEAR_OFF=1")

    def override(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to override."""

    def release(self) -> None:
        """Nothing to release."""

    def reset(self) -> None:
        """Nothing to reset."""
