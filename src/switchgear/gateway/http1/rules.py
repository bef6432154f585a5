"""Fields that a configuration sets or removes, compiled when a route is put together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from switchgear.gateway.http1.fields import join_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from switchgear.gateway.config.model import HeaderRules
    from switchgear.gateway.exchange import Header


class FieldRules:
    """Rules for the fields of a message, as lines or as pairs.

    They can't name a field that frames the message (the checker sees to that), so what was unambiguous stays
    so.
    """

    __slots__ = ("_added", "_lines", "_names", "_remove")

    def __init__(self, rules: HeaderRules) -> None:
        self._added = [(name.lower().encode(), value.encode()) for name, value in rules.set]
        self._lines = join_fields((name.encode(), value.encode()) for name, value in rules.set)
        self._names = frozenset(name for name, _ in self._added) | {n.lower().encode() for n in rules.remove}
        # Lines were checked when they were read: a name stands at their start, and a colon right behind it.
        names = b"|".join(re.escape(name) for name in sorted(self._names))
        self._remove = re.compile(rb"(?im)^(?:" + names + rb"):[^\n]*\n")

    def __contains__(self, name: bytes) -> bool:
        return name in self._names

    def lines(self, lines: bytes) -> bytes:
        """Complete lines after the rules; a start line before them stays as it is."""
        return self._remove.sub(b"", lines) + self._lines

    def pairs(self, headers: Iterable[Header]) -> list[Header]:
        """Fields, their names in lower case, after the rules."""
        return [*(field for field in headers if field[0] not in self._names), *self._added]


def compiled(rules: HeaderRules) -> FieldRules | None:
    """`None`: there is no rule."""
    return FieldRules(rules) if rules else None
