"""Python values as a tree: what `tomllib` and Python files give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from switchgear.gateway.config.mistakes import KeyPath, Mark, UnreadableError
from switchgear.gateway.config.nodes import DEEPEST, Entry, ListNode, MapNode, Node, ScalarNode, too_deep

MOST_NODES: Final = 20_000
"""An object that is in many places counts in each; a few dozen lines of Python make billions."""


class Located(Protocol):
    """Where a key and its value stand."""

    @property
    def key(self) -> Mark | None: ...
    @property
    def value(self) -> Mark | None: ...


@dataclass(slots=True)
class Places:
    """Places by path; those of a Python file are none."""

    known: Mapping[KeyPath, Located] = field(default_factory=dict[KeyPath, Located])
    left: int = MOST_NODES

    def value(self, path: KeyPath) -> Mark | None:
        place = self.known.get(path)
        return place.value if place else None

    def key(self, path: KeyPath) -> Mark | None:
        place = self.known.get(path)
        return place.key if place else None


def tree_of(value: object, places: Places, path: KeyPath = ()) -> Node:
    """The tree of a value. Recurses no deeper than a tree may be. Raises `UnreadableError`."""
    mark = places.value(path)
    places.left -= 1
    if places.left < 0:
        raise UnreadableError(f"more than {MOST_NODES} values")
    if len(path) > DEEPEST:
        raise too_deep(mark)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        return MapNode(mark, [_entry(key, item, places, path) for key, item in mapping.items()])
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        items = enumerate(cast("Iterable[object]", value))
        return ListNode(mark, [tree_of(item, places, (*path, index)) for index, item in items])
    return ScalarNode(value, mark)


def _entry(key: object, value: object, places: Places, path: KeyPath) -> Entry:
    inner = (*path, str(key))
    return Entry(str(key), places.key(inner), tree_of(value, places, inner))
