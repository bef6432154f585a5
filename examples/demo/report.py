"""What the demo tells, in plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from examples.demo.services import Mood, Service
from examples.demo.traffic import Answer
from switchgear import CircuitBreaker, CircuitState, TransitionEvent


def second(elapsed: float, counts: Counter[Answer], circuits: Iterable[CircuitBreaker]) -> str:
    """A line a second: requests by answer, and each circuit's state."""
    states = " | ".join(f"{_short(circuit.name)} {circuit.state}" for circuit in circuits)
    return f"{elapsed:3.0f} s: {_by_answer(counts)} [{states}]"


def transition(event: TransitionEvent) -> str:
    """A line for a transition, with its reason."""
    return f"CIRCUIT {event.name}: {event}"


def mood(service: Service, now: Mood) -> str:
    """A line for a service that changes its ways."""
    return f"SERVICE {service.name}: now it {now}"


def summary(counts: Counter[Answer], events: Sequence[TransitionEvent]) -> str:
    """The last line."""
    reached = Counter(event.to_state for event in events)
    return (
        f"In all: {_by_answer(counts)}; circuits opened {reached[CircuitState.OPEN]} times "
        f"and closed {reached[CircuitState.CLOSED]} times"
    )


def _by_answer(counts: Counter[Answer]) -> str:
    always = (Answer.GOOD, Answer.FAILED, Answer.TIMEOUT, Answer.REJECTED)
    return ", ".join(
        f"{answer} {counts[answer]:>2}" for answer in Answer if answer in always or counts[answer]
    )


def _short(circuit: str) -> str:
    """A circuit's name without the addresses that it stands for."""
    return circuit.partition("@")[0]
