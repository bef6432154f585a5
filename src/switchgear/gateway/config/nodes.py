"""A configuration file as a tree of values with their places, the same for every format."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Final

from switchgear.gateway.config.mistakes import Key, KeyPath, Mark, Report, UnreadableError

DEEPEST: Final = 100
"""Levels of nesting; a file that needs more is broken or an attack."""

HUGE: Final = 1000
"""Bits of an integer above which it is no number that anything here could want."""

_LONGEST_FOUND = 80
_CREDENTIALS = re.compile(r"(?<=//)\S*@")
_SECRET_PARAMETER = re.compile(r"(?i)((?:password|token|secret)=)[^&\s]*")


@dataclass(slots=True)
class ScalarNode:
    """A single value.

    `written` is the text that it was read from. `replaced` is what stood there before environment variables
    were put in; `unknown` says that one could not be, which was told: nothing more is to be said about it.
    """

    value: object
    mark: Mark | None = None
    written: str | None = None
    replaced: str | None = None
    unknown: bool = False


@dataclass(slots=True)
class ListNode:
    mark: Mark | None = None
    items: list[Node] = field(default_factory=list["Node"])


@dataclass(slots=True)
class Entry:
    """A key and its value."""

    key: str
    mark: Mark | None
    value: Node


@dataclass(slots=True)
class MapNode:
    """Keys are unique: a second one is told as a mistake when the tree is built, and left out."""

    mark: Mark | None = None
    entries: list[Entry] = field(default_factory=list[Entry])


Node = ScalarNode | ListNode | MapNode


def describe(node: Node) -> str:
    """What a message says was found; never the value of an environment variable or a password in a URL."""
    match node:
        case MapNode():
            found = "a mapping"
        case ListNode():
            found = "a list"
        case ScalarNode(replaced=str(text)) | ScalarNode(value=str(text)):
            found = _quoted(_SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("***@", text)))
        case ScalarNode(value=None | bool()):
            found = json.dumps(node.value)
        case ScalarNode(written=str(written)):
            found = _shortened(written)
        case ScalarNode(value=int(value)) if value.bit_length() > HUGE:  # Python refuses to write it
            found = "a huge integer"
        case ScalarNode(value=int() | float() | timedelta() | date() | time() as value):
            found = str(value)
        case _:
            found = f"an object of type {type(node.value).__name__}"
    return found


def _quoted(text: str) -> str:
    return json.dumps(_shortened(text), ensure_ascii=not text.isprintable())


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_FOUND else f"{text[: _LONGEST_FOUND - 1]}…"


def plain(node: Node) -> object:
    """The tree without its places."""
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [plain(item) for item in node.items]
        case MapNode():
            return {entry.key: plain(entry.value) for entry in node.entries}


@dataclass(slots=True)
class _Level:
    node: ListNode | MapNode
    seen: dict[str, Mark | None] = field(default_factory=dict[str, "Mark | None"])
    key: str = ""
    key_mark: Mark | None = None
    dropped: bool = False

    @property
    def position(self) -> Key:
        return self.key if isinstance(self.node, MapNode) else len(self.node.items)


class TreeBuilder:
    """Builds a tree from what a parser meets one after the other, on a stack of its own."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._levels: list[_Level] = []
        self.root: Node | None = None

    @property
    def depth(self) -> int:
        return len(self._levels)

    def open(self, node: ListNode | MapNode) -> None:
        """Begins a list or a mapping. Raises `UnreadableError` when it is nested too deep."""
        if self.depth >= DEEPEST:
            raise too_deep(node.mark)
        self.add(node)
        self._levels.append(_Level(node))

    def close(self) -> Node:
        """Ends the innermost list or mapping."""
        return self._levels.pop().node

    def key(self, text: str, mark: Mark | None) -> None:
        """Gives the key of the value that comes next."""
        level = self._levels[-1]
        level.key, level.key_mark = text, mark
        level.dropped = text in level.seen
        if level.dropped:
            first = level.seen[text]
            self._report.add(f"duplicate key; the first one is at {first}", mark, self._path())
        else:
            level.seen[text] = mark

    def add(self, node: Node) -> None:
        """Adds a value to the innermost list or mapping."""
        if not self._levels:
            self.root = node
            return
        level = self._levels[-1]
        if isinstance(level.node, ListNode):
            level.node.items.append(node)
        elif not level.dropped:
            level.node.entries.append(Entry(level.key, level.key_mark, node))

    def _path(self) -> KeyPath:
        # A list's own position is that of the item still open, which `open` has added already.
        *outer, last = self._levels
        keys = [level.position - 1 if isinstance(level.position, int) else level.position for level in outer]
        return (*keys, last.position)


def too_deep(mark: Mark | None) -> UnreadableError:
    """The error for a tree of too many levels. As for every limit of a file, the message has the place."""
    where = f" (line {mark.line}, column {mark.column})" if mark else ""
    return UnreadableError(f"nested deeper than {DEEPEST} levels{where}")
