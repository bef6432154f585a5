"""The breakers of a configuration's circuits, and how another configuration takes them over."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from switchgear import CircuitBreaker, CircuitBreakerPolicy, Switchgear
    from switchgear.gateway.metrics.attention import Attention
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.metrics.tallies import CircuitTally

MOST_HELD: Final = 1000
"""Failures that are held back for one circuit: more than any sensible threshold."""

Held = deque[tuple[float, Exception | str]]
"""Failures and when they were, the oldest first."""


class Breakers:
    """Gives the guards of one configuration their breakers: those that `owner` has already, or new ones.

    Nothing changes for a breaker that is in use before `adopt`: a configuration can turn out to be unusable
    while its routes are put together.
    """

    def __init__(self, owner: Switchgear, board: Board) -> None:
        self._owner = owner
        self._board = board
        self._policies: dict[str, CircuitBreakerPolicy] = {}
        self._made: list[str] = []
        self._held: dict[str, Held] = {}

    def get(self, key: str, policy: CircuitBreakerPolicy) -> CircuitBreaker:
        """The breaker of a key. Raises `ValueError` when the configuration has another policy for it too."""
        if self._policies.setdefault(key, policy) != policy:
            raise ValueError(f"circuit {key!r} has two policies: {self._policies[key]} and {policy}")
        if key not in self._owner:
            self._made.append(key)
            return self._owner.breaker(key, policy=policy)
        return self._owner[key]

    def held(self, key: str) -> Held:
        """What the guards of a circuit hold back from it."""
        return self._held.setdefault(key, deque(maxlen=MOST_HELD))

    def attention(self, key: str) -> Attention:
        return self._board.attention(key)

    def tally(self, key: str) -> CircuitTally:
        return self._board.circuit(key)

    @property
    def made(self) -> list[CircuitBreaker]:
        """Breakers that were not there before."""
        return [self._owner[key] for key in self._made]

    def adopt(self) -> None:
        """The configuration holds from now on: its policies, at once, and no other circuits."""
        for key, policy in self._policies.items():
            self._owner.adopt(key, policy)
        for breaker in list(self._owner):
            if breaker.name not in self._policies:
                self._owner.discard(breaker.name)

    def withdraw(self) -> None:
        """The configuration will not hold."""
        for key in self._made:
            self._owner.discard(key)
