"""Reads a tree by the tables of fields: every mistake is told at its place, what is right goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final

from switchgear.gateway.config.kinds import WRONG_TYPE, Scalar
from switchgear.gateway.config.mistakes import Key, KeyPath, Mark, Report, written_path
from switchgear.gateway.config.nodes import HUGE, Entry, ListNode, MapNode, Node, ScalarNode, describe, plain
from switchgear.gateway.config.sections import Either, Field, Json, Kind, ListOf, MapOf, Section


class _Invalid:
    """Stands for a value that was told to be wrong."""


INVALID: Final = _Invalid()


@dataclass(frozen=True, slots=True)
class Place:
    """A node, where it stands, and where to tell what is wrong with it."""

    report: Report
    path: KeyPath
    node: Node
    key: Mark | None = None
    in_python: bool = False

    @property
    def parent_mark(self) -> Mark | None:
        """Where to tell that something inside is missing: at the key, the value may begin anywhere below."""
        return self.key or self.node.mark

    @property
    def where(self) -> str:
        """The place in words, for the message of another one."""
        return str(self.parent_mark or written_path(self.path))

    def below(self, key: Key, node: Node, mark: Mark | None = None) -> Place:
        return replace(self, path=(*self.path, key), node=node, key=mark)

    def wrong(
        self, message: str, *, allowed: str | None = None, hint: str | None = None, show: bool = True
    ) -> None:
        """Tells that the value is wrong; `show`: and what it is."""
        found = describe(self.node) if show else None
        self.report.add(message, self.node.mark, self.path, found=found, allowed=allowed, hint=hint)

    def wrong_key(self, message: str, *, allowed: str | None = None, hint: str | None = None) -> None:
        self.report.add(message, self.parent_mark, self.path, allowed=allowed, hint=hint)

    def warn(self, message: str) -> None:
        """Tells what is worth a word and no mistake."""
        self.report.warn(f"warning: {message}", self.parent_mark, self.path)

    def missing(self, key: str, allowed: str) -> None:
        self.report.add("missing", self.parent_mark, (*self.path, key), allowed=allowed)


@dataclass(frozen=True, slots=True)
class Found:
    """A value that was read, the field that it was read for, and its place."""

    value: Any
    place: Place
    field: Field


@dataclass(frozen=True, slots=True)
class Values:
    """What was read of a section, by slot; `wrong` are the slots whose values were told to be wrong."""

    place: Place
    found: dict[str, Found] = field(default_factory=dict[str, Found])
    wrong: set[str] = field(default_factory=set[str])

    @property
    def is_empty(self) -> bool:
        return isinstance(self.place.node, MapNode) and not self.place.node.entries

    def __contains__(self, slot: str) -> bool:
        return slot in self.found

    def get(self, slot: str, default: Any = None) -> Any:
        return self.found[slot].value if slot in self.found else default

    def pick(self, *slots: str) -> dict[str, Any]:
        """The values of these slots (without any: of all) that are there, as keyword arguments."""
        return {slot: found.value for slot, found in self.found.items() if not slots or slot in slots}


@dataclass(frozen=True, slots=True)
class Item:
    """A key of the user's, or an item of a list, with what was read there."""

    key: str
    value: Any
    place: Place


def read(kind: Kind, place: Place) -> Any:
    """The value at a place, or `INVALID` after what is wrong was told.

    Sections give `Values`, lists and maps `Item`s.
    """
    match kind:
        case Scalar():
            value = _scalar(kind, place)
        case ListOf():
            value = _list(kind, place)
        case MapOf():
            value = _map(kind, place)
        case Section():
            value = _section(kind, place)
        case Either():
            value = _either(kind, place)
        case Json():
            value = _json(kind, place)
    return value


def _either(kind: Either, place: Place) -> Any:
    if isinstance(place.node, MapNode):
        return read(kind.mapping, place)
    return _scalar(replace(kind.scalar, allowed=kind.allowed), place)


def _scalar(kind: Scalar, place: Place) -> Any:
    node = place.node
    if not isinstance(node, ScalarNode):
        place.wrong(WRONG_TYPE, allowed=kind.allowed)
    elif not node.unknown:
        try:
            return kind.parse(node)
        except ValueError as error:
            hint = closest(str(node.value), kind.choices)
            place.wrong(str(error), allowed=kind.allowed, hint=hint, show=not kind.secret)
    return INVALID


def _list(kind: ListOf, place: Place) -> Any:
    node = place.node
    if not isinstance(node, ListNode):
        if kind.single:
            value = read(kind.item, place)
            return INVALID if value is INVALID else (Item("", value, place),)
        place.wrong(WRONG_TYPE, allowed=kind.allowed)
        return INVALID
    if kind.single and not node.items:
        place.wrong("an empty list", allowed=kind.allowed, show=False)
        return INVALID
    places = [place.below(index, item) for index, item in enumerate(node.items)]
    items = [Item("", read(kind.item, item), item) for item in places]
    return INVALID if any(item.value is INVALID for item in items) else tuple(items)


def _map(kind: MapOf, place: Place) -> Any:
    node = place.node
    if isinstance(node, ScalarNode) and node.value is None and not node.unknown:
        node = MapNode(node.mark)  # `services:` with nothing below it
    if not isinstance(node, MapNode):
        place.wrong(WRONG_TYPE, allowed=kind.allowed)
        return INVALID
    if not node.entries and not kind.may_be_empty:
        place.wrong_key("empty", allowed=kind.allowed)
        return INVALID
    return tuple(_items(kind, node, place))


def _items(kind: MapOf, node: MapNode, place: Place) -> Iterator[Item]:
    for entry in node.entries:
        inner = place.below(entry.key, entry.value, entry.mark)
        try:
            kind.check_key(entry.key)
        except ValueError as error:
            inner.wrong_key(str(error))
        value = read(kind.item, inner)
        if value is not INVALID:
            yield Item(entry.key, value, inner)


def _section(section: Section, place: Place) -> Any:
    node = place.node
    if not isinstance(node, MapNode):
        place.wrong(WRONG_TYPE, allowed=section.allowed)
        return INVALID
    values = Values(place)
    present = {known.target: entry for entry in node.entries if (known := _entry(section, entry, values))}
    for known in section.fields:
        if known.required and known.target not in present:
            place.missing(known.name, known.kind.allowed)
    return values


def _entry(section: Section, entry: Entry, values: Values) -> Field | None:
    place = values.place.below(entry.key, entry.value, entry.mark)
    known = section.find(entry.key)
    if known is None:
        _unknown_key(section, place, entry.key)
        return None
    first = _earlier(section, known, entry, values)
    if first is not None:
        at = f" at {first.mark}" if first.mark else ""
        place.wrong_key(f"another spelling of {first.key}{at}, which is there already")
    elif known.python_only and not place.in_python:
        place.wrong_key("possible only in a Python file")
    else:
        _keep(known, place, values)
    return known


def _earlier(section: Section, known: Field, entry: Entry, values: Values) -> Entry | None:
    """An entry above this one that sets the same slot."""
    node = values.place.node
    for other in node.entries if isinstance(node, MapNode) else ():
        if other is entry:
            return None
        spelled = section.find(other.key)
        if spelled is not None and spelled.target == known.target:
            return other
    return None


def _keep(known: Field, place: Place, values: Values) -> None:
    is_null = isinstance(place.node, ScalarNode) and place.node.value is None and not place.node.unknown
    value = None if is_null and known.nullable else read(known.kind, place)
    if value is INVALID:
        values.wrong.add(known.target)
    else:
        values.found[known.target] = Found(value, place, known)


def _unknown_key(section: Section, place: Place, key: str) -> None:
    instead = section.refusal(key)
    if instead is not None:
        place.wrong_key(f"not supported: {instead}")
    else:
        hint = None if place.report.full else closest(key, section.names)
        place.wrong_key("unknown key", allowed=", ".join(section.names), hint=hint)


def closest(word: str, words: tuple[str, ...]) -> str | None:
    """The word that was probably meant, whatever its case."""
    plain_words = {_plain(other): other for other in words}
    matches = get_close_matches(_plain(word[:64]), plain_words, n=1, cutoff=0.7)
    return plain_words[matches[0]] if matches else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _json(kind: Json, place: Place) -> Any:
    for node, inner in _scalars(place):
        if node.unknown:
            return INVALID
        if not _is_json(node.value):
            inner.wrong("not a value of JSON", allowed=kind.allowed)
            return INVALID
    return plain(place.node)


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= HUGE
    return value is None or isinstance(value, str)


def _scalars(place: Place) -> Iterator[tuple[ScalarNode, Place]]:
    match place.node:
        case ScalarNode() as node:
            yield node, place
        case ListNode(items=items):
            for index, item in enumerate(items):
                yield from _scalars(place.below(index, item))
        case MapNode(entries=entries):
            for entry in entries:
                yield from _scalars(place.below(entry.key, entry.value, entry.mark))
