"""Finds where the keys and values of a TOML text stand.

It takes every legal text for what it is; at what is none it stops, and leaves the message to `tomllib`.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from switchgear.gateway.config.mistakes import Key, KeyPath, Mark, Report, UnreadableError
from switchgear.gateway.config.nodes import DEEPEST, too_deep

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_TEXT = re.compile(
    r'''"""(?:\\.|[^\\])*?"""+|"(?:\\.|[^"\\\n])*"|\'\'\'.*?\'\'\'+|\'[^'\n]*\'''',
    re.DOTALL,
)
_BARE = re.compile(r"[^\s,\]}#\[{\"'=]+(?: [0-9][^\s,\]}#]*)?")  # the space is that of a date and a time
_LONGEST_BARE: Final = 400

_AFTER_VALUE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


@dataclass(slots=True)
class Place:
    """Where a key stands (a list's item has none) and where its value does."""

    key: Mark | None
    value: Mark


class _Stop(Exception):  # noqa: N818 - ends the walk and is no error of anybody
    """Something that is no TOML."""


@dataclass(slots=True)
class _Inner:
    """An inline table or a list that is still open."""

    path: KeyPath
    closing: str
    items: int = 0


@dataclass(slots=True)
class _Locator:
    text: str
    report: Report
    offset: int = 0
    line: int = 1
    line_start: int = 0
    counted: int = 0
    places: dict[KeyPath, Place] = field(default_factory=dict[KeyPath, Place])
    assigned: dict[KeyPath, Mark] = field(default_factory=dict[KeyPath, Mark])
    lists: dict[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    table: KeyPath = ()

    def run(self) -> None:
        while True:
            self._skip(_BLANK_LINES)
            if self.offset >= len(self.text):
                return
            if self.text[self.offset] == "[":
                self._header()
            else:
                self._pair()
            self._expect(_AFTER_VALUE)

    def _header(self) -> None:
        mark = self._mark()
        of_list = self.text.startswith("[[", self.offset)
        self.offset += 2 if of_list else 1
        path = self._keys(())
        self._skip(_BLANK)
        self._literal("]]" if of_list else "]")
        if of_list:
            self.lists[path] = self.lists.get(path, -1) + 1
            self.table = (*path, self.lists[path])
            self.places[self.table] = Place(None, mark)
        else:
            self.table = path
            self._assign(path, mark)

    def _pair(self) -> None:
        """A key and its value, whatever nests in it, without recursion."""
        stack: list[_Inner] = []
        self._start_pair(self.table, stack)
        while stack:
            self._skip(_BLANK_LINES)
            inner = stack[-1]
            if self._take(inner.closing):
                stack.pop()
                continue
            if inner.items and not self._take(","):
                raise _Stop
            self._skip(_BLANK_LINES)
            if self._take(inner.closing):
                stack.pop()
                continue
            self._start_item(inner, stack)

    def _start_item(self, inner: _Inner, stack: list[_Inner]) -> None:
        inner.items += 1
        if inner.closing == "}":
            self._start_pair(inner.path, stack)
        else:
            self._start_value((*inner.path, inner.items - 1), None, stack)

    def _start_pair(self, table: KeyPath, stack: list[_Inner]) -> None:
        mark = self._mark()
        path = self._keys(table)
        self._assign(path, mark)
        self._skip(_BLANK)
        self._literal("=")
        self._skip(_BLANK)
        self._start_value(path, self.places[path].key, stack)

    def _start_value(self, path: KeyPath, key: Mark | None, stack: list[_Inner]) -> None:
        mark = self._mark()
        self.places[path] = Place(key, mark)
        if self._take("["):
            stack.append(_Inner(path, "]"))
        elif self._take("{"):
            stack.append(_Inner(path, "}"))
        else:
            self._scalar()
        if len(path) > DEEPEST:
            raise too_deep(mark)

    def _scalar(self) -> None:
        if self.text[self.offset : self.offset + 1] in {'"', "'"}:
            self._expect(_TEXT)
            return
        mark = self._mark()
        if len(self._expect(_BARE)) > _LONGEST_BARE:
            raise UnreadableError(f"a value of more than {_LONGEST_BARE} characters without quotes", mark)

    def _keys(self, table: KeyPath) -> KeyPath:
        """A dotted key below `table`; the tables on its way get this place if they have none yet."""
        path = table
        while True:
            self._skip(_BLANK)
            mark = self._mark()
            path = (*path, _unquoted(self._expect(_KEY_PART)))
            self.places.setdefault(path, Place(mark, mark))
            if len(path) > DEEPEST:
                raise too_deep(mark)
            self._skip(_BLANK)
            if not self._take("."):
                return path
            path = self._last_item(path)

    def _last_item(self, path: KeyPath) -> KeyPath:
        return (*path, self.lists[path]) if path in self.lists else path

    def _assign(self, path: KeyPath, mark: Mark) -> None:
        first = self.assigned.setdefault(path, mark)
        if first is not mark:
            self.report.add(f"duplicate key; the first one is at {first}", mark, path)

    def _mark(self) -> Mark:
        newlines = self.text.count("\n", self.counted, self.offset)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rfind("\n", 0, self.offset) + 1
        self.counted = self.offset
        return Mark(self.line, self.offset - self.line_start + 1)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.offset)
        self.offset = found.end() if found else self.offset

    def _expect(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.offset)
        if not found:
            raise _Stop
        self.offset = found.end()
        return found[0]

    def _take(self, text: str) -> bool:
        taken = self.text.startswith(text, self.offset)
        self.offset += len(text) if taken else 0
        return taken

    def _literal(self, text: str) -> None:
        if not self._take(text):
            raise _Stop


def _unquoted(part: str) -> Key:
    if part[0] == '"' and "\\" in part:
        try:
            return str(tomllib.loads(f"key = {part}")["key"])
        except tomllib.TOMLDecodeError:
            raise _Stop from None
    return part[1:-1] if part[0] in "\"'" else part


def locate(text: str, report: Report) -> dict[KeyPath, Place]:
    """The places of all keys and values; tells duplicate keys.

    Raises `UnreadableError` for a tree of too many levels.
    """
    locator = _Locator(text, report)
    with suppress(_Stop):
        locator.run()
    return locator.places
