"""JSON with places. The standard library's parser recurses, keeps no places and drops duplicate keys."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from typing import Final

from switchgear.gateway.config.mistakes import Mark, Report, UnreadableError
from switchgear.gateway.config.nodes import ListNode, MapNode, Node, ScalarNode, TreeBuilder

_DECODER: Final = JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z]+|.", re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER: Final = 400

_VALUE, _FIRST_VALUE, _KEY, _FIRST_KEY, _AFTER, _END = (
    "a value",
    "a value or ]",
    "a key in double quotes",
    "a key in double quotes or }",
    "a comma or the end of the list or mapping",
    "the end of the file",
)


@dataclass(slots=True)
class _Scanner:
    """Walks over the text once. `expected` is what may come next, in the words of the error message."""

    text: str
    report: Report
    offset: int = 0
    expected: str = _VALUE
    builder: TreeBuilder = field(init=False)
    levels: list[MapNode | ListNode] = field(default_factory=list[MapNode | ListNode])
    lines: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.builder = TreeBuilder(self.report)
        self.lines = [0, *(found.end() for found in re.finditer("\n", self.text))]

    def run(self) -> Node | None:
        while self._next():
            self._take(self.text[self.offset])
        if self.expected != _END:
            raise self._error()
        return self.builder.root

    def _next(self) -> bool:
        space = _SPACE.match(self.text, self.offset)
        self.offset = space.end() if space else self.offset
        return self.offset < len(self.text)

    def _take(self, char: str) -> None:
        if char in "]}" and self.levels:
            self._close(char)
        elif self.expected == _AFTER:
            self._comma(char)
        elif self.expected in {_KEY, _FIRST_KEY}:
            self._key(char)
        elif self.expected in {_VALUE, _FIRST_VALUE}:
            self._value(char)
        else:
            raise self._error()

    def _close(self, char: str) -> None:
        in_map = isinstance(self.levels[-1], MapNode)
        if char != ("}" if in_map else "]") or self.expected not in {_AFTER, _FIRST_KEY, _FIRST_VALUE}:
            raise self._error()
        self.levels.pop()
        self.builder.close()
        self.offset += 1
        self._done()

    def _comma(self, char: str) -> None:
        if char != ",":
            raise self._error()
        self.offset += 1
        self.expected = _KEY if isinstance(self.levels[-1], MapNode) else _VALUE

    def _key(self, char: str) -> None:
        if char != '"':
            raise self._error()
        mark = self._mark()
        self.builder.key(self._string(), mark)
        if not self._next() or self.text[self.offset] != ":":
            raise self._error("a colon")
        self.offset += 1
        self.expected = _VALUE

    def _value(self, char: str) -> None:
        mark = self._mark()
        if char in "{[":
            self._open(MapNode(mark) if char == "{" else ListNode(mark))
            return
        start = self.offset
        value = self._string() if char == '"' else self._number_or_word()
        self.builder.add(ScalarNode(value, mark, self.text[start : self.offset]))
        self._done()

    def _open(self, node: MapNode | ListNode) -> None:
        self.builder.open(node)
        self.levels.append(node)
        self.offset += 1
        self.expected = _FIRST_KEY if isinstance(node, MapNode) else _FIRST_VALUE

    def _done(self) -> None:
        self.expected = _AFTER if self.levels else _END

    def _string(self) -> str:
        try:
            value, end = _DECODER.raw_decode(self.text, self.offset)
        except JSONDecodeError as error:
            raise UnreadableError(f"not legal JSON: {error.msg}", self._mark(error.pos)) from None
        if _SURROGATE.search(value):
            raise UnreadableError("not legal JSON: half of a surrogate pair in a text", self._mark())
        self.offset = end
        return str(value)

    def _number_or_word(self) -> object:
        number = _NUMBER.match(self.text, self.offset)
        if number:
            return self._number(number)
        word = _WORD.match(self.text, self.offset)
        if not word or word[0] not in _CONSTANTS:
            raise self._error()
        self.offset = word.end()
        return _CONSTANTS[word[0]]

    def _number(self, number: re.Match[str]) -> float:
        if len(number[0]) > _LONGEST_NUMBER:
            raise UnreadableError(f"a number of more than {_LONGEST_NUMBER} digits", self._mark())
        self.offset = number.end()
        return float(number[0]) if number[1] or number[2] else int(number[0])

    def _mark(self, offset: int | None = None) -> Mark:
        at = self.offset if offset is None else offset
        line = bisect_right(self.lines, at)
        return Mark(line, at - self.lines[line - 1] + 1)

    def _error(self, expected: str | None = None) -> UnreadableError:
        found = "the end of the file"
        if self.offset < len(self.text):
            found = repr(self.text[self.offset])
        return UnreadableError(
            f"not legal JSON: expected {expected or self.expected}, found {found}", self._mark()
        )


def parse(text: str, report: Report) -> Node | None:
    """The tree of a JSON text. Raises `UnreadableError`."""
    return _Scanner(text, report).run() if text.strip(" \t\n\r") else None
