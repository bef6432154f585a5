"""A live breaker that is given recorded calls, each at its time: what replay has to agree with."""

from __future__ import annotations

from collections import Counter

from switchgear import CircuitBreaker, CircuitBreakerPolicy, CircuitOpenError, Permit
from switchgear.replay import calls
from switchgear.replay.calls import Call, verdicts

Move = tuple[float, str]
"""When, and to which state."""


class _Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


def live(policy: CircuitBreakerPolicy, recorded: list[Call]) -> tuple[list[Move], Counter[int]]:
    """The transitions of a breaker that guards these calls, and the codes of those that it rejects.

    At one moment ends come before beginnings, that of the older call first.
    """
    clock = _Clock()
    breaker = CircuitBreaker("live", policy=policy, clock=clock)
    in_order = sorted(recorded)
    events = [(call[0], 0, place) for place, call in enumerate(in_order)]
    events += [(call[1], 1, place) for place, call in enumerate(in_order)]
    permits: dict[int, Permit] = {}
    moves: list[Move] = []
    rejected: Counter[int] = Counter()
    table, state = verdicts(policy), breaker.state
    for at, begins, place in sorted(events):
        clock.now = at
        code = in_order[place][2]
        if begins:
            try:
                permits[place] = breaker.acquire()
            except CircuitOpenError:
                rejected[code] += 1
        elif place in permits:
            _end(permits.pop(place), table[code])
        if breaker.state != state:
            state = breaker.state
            moves.append((at, state.value))
    return moves, rejected


def _end(permit: Permit, verdict: int) -> None:
    match verdict:
        case calls.GOOD:
            permit.success()
        case calls.BAD:
            permit.failure()
        case calls.LEFT:
            permit.cancel()
        case _:
            permit.raised(KeyboardInterrupt())  # which says nothing about the service, however long it took
