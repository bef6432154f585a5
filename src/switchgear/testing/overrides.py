"""Breakers held open, to test what one's own code does then."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.circuit import Circuit
from switchgear.breaker.forks import (
    _KNOWN,  # pyright: ignore[reportPrivateUsage]  # the one list of all circuits of a process
)
from switchgear.breaker.state import CircuitState


@contextmanager
def force_open(target: str | CircuitBreaker, reason: str = "forced open by a test") -> Generator[None]:
    """Reject every call of a breaker, or of all breakers of a name, for a `with` block.

    Afterwards the circuit is closed, without evidence. `LookupError` when no breaker has that name.
    """
    circuits = _named(target) if isinstance(target, str) else [target.circuit]
    for circuit in circuits:
        circuit.override(CircuitState.FORCED_OPEN, reason, None, None)
    try:
        yield
    finally:
        for circuit in circuits:
            circuit.reset()


def reset_all() -> None:
    """Close every circuit of this process, and forget all evidence."""
    for circuit in _circuits():
        circuit.reset()


def _circuits() -> list[Circuit]:
    return [thing for thing in list(_KNOWN) if isinstance(thing, Circuit)]


def _named(name: str) -> list[Circuit]:
    circuits = _circuits()
    found = [circuit for circuit in circuits if circuit.name == name]
    if not found:
        names = ", ".join(sorted({circuit.name for circuit in circuits})) or "none at all"
        raise LookupError(f"no breaker is called {name!r}; there are: {names}")
    return found
