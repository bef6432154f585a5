"""Names of changes, by which their maker knows them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from switchgear.breaker.rules import Rule

REMEMBERED: Final = 32


class Tokens:
    """Names of this process's own changes: a view that carries one tells which rule it was."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._rules: dict[str, Rule] = {}

    def new(self, rule: Rule) -> str:
        """A new one. Chance comes from outside, so that a simulation can be repeated."""
        token = "".join(f"{int((self._draw() + 1) * 2**31):08x}" for _ in range(2))
        self._rules[token] = rule
        if len(self._rules) > REMEMBERED:
            del self._rules[next(iter(self._rules))]
        return token

    def rule(self, change: str) -> Rule:
        """Why a change was made, as far as this process knows."""
        return self._rules.get(change, Rule.STORE)
