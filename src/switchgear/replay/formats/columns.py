"""CSV: time, key, outcome, duration, in this order or in that of a header."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from switchgear.replay.calls import FAILURE, GONE, INCONCLUSIVE, REJECTED, SUCCESS
from switchgear.replay.formats.reader import ALL, LogReader, count_lines
from switchgear.replay.formats.times import Moments, duration

TIME: Final = ("time", "timestamp", "ts", "at")
KEY: Final = ("key", "circuit", "service", "route", "host", "name")
OUTCOME: Final = ("outcome", "status", "result", "code")
DURATION: Final = ("duration", "seconds", "duration_s", "duration_ms", "duration_us")
_SCALES: Final = {"duration_ms": 1e-3, "duration_us": 1e-6}

OUTCOMES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("success", "ok", "good", "true", "1"), SUCCESS),
    **dict.fromkeys(("failure", "fail", "failed", "error", "bad", "false", "0"), FAILURE),
    **dict.fromkeys(("inconclusive", "unknown", "ignored"), INCONCLUSIVE),
    **dict.fromkeys(("cancelled", "canceled", "gone"), GONE),
    "rejected": REJECTED,
    **{str(status): status for status in range(100, 600)},
}
"""What may stand for an outcome, in lower case: a word, or an HTTP status."""


class HeaderError(Exception):
    """A header that lacks a column."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Which column is where; `duration` is -1 when there is none."""

    time: int
    key: int
    outcome: int
    duration: int
    scale: float
    """Of the duration, to seconds."""


class CsvReader(LogReader):
    """`key`: the name of a column, `all`, or empty for the usual one."""

    name = "csv"

    def __init__(self, key: str = "", *, from_start: bool = False) -> None:
        super().__init__(from_start=from_start)
        self._key = key
        self._places: _Places | None = None
        self._outcomes = dict(OUTCOMES)
        self._moments = Moments()

    def read(self, block: bytes, line: int) -> int:
        """Raises `HeaderError` when the first line is a header that lacks a column."""
        lines = block.decode("utf-8", "surrogateescape").split("\n")
        first = 0
        if self._places is None:
            first = next((place for place, text in enumerate(lines) if text), len(lines))
            if first == len(lines):
                return count_lines(block)
            row = _row(lines[first])
            header = self._header(row)
            self._places = header or self._usual(row)
            first += header is not None
        self._take(lines[first:], line + first, self._places)
        return count_lines(block)

    def _header(self, row: Sequence[str]) -> _Places | None:
        names = [name.strip().lower() for name in row]
        if not set(names) & {*TIME, *OUTCOME}:
            return None
        key = (self._key.lower(),) if self._key else KEY
        wanted = {"time": TIME, "key": (names[0],) if self._key == ALL else key, "outcome": OUTCOME}
        found = {what: _find(names, allowed) for what, allowed in wanted.items()}
        for what, place in found.items():
            if place < 0:
                raise HeaderError(
                    f"the header has no column for the {what}; allowed {', '.join(wanted[what])}"
                )
        lasted = _find(names, DURATION)
        scale = _SCALES.get(names[lasted], 1.0) if lasted >= 0 else 1.0
        return _Places(found["time"], found["key"], found["outcome"], lasted, scale)

    def _usual(self, row: Sequence[str]) -> _Places:
        if self._key not in ("", "key", ALL):
            raise HeaderError(f"there is no header, hence no column {self._key}")
        return _Places(0, 1, 2, 3 if len(row) > 3 else -1, 1.0)

    def _take(self, lines: list[str], first: int, places: _Places) -> None:
        at, by, ended, lasted, scale = places.time, places.key, places.outcome, places.duration, places.scale
        outcomes, read_time, keep = self._outcomes, self._moments.read, self.keep
        one_key = ALL if self._key == ALL else ""
        seconds = 0.0
        for number, line in enumerate(lines, first):
            if not line:
                continue
            try:
                row = line.split(",") if '"' not in line else _row(line)
                code = outcomes.get(row[ended])
                if code is None:
                    code = self._outcome(row[ended])
                if lasted >= 0:
                    text = row[lasted]
                    try:
                        seconds = float(text) * scale
                    except ValueError:
                        seconds = duration(text.strip())
                keep(one_key or row[by], read_time(row[at]), seconds, code)
            except IndexError:
                self.broken.add(number, "too few columns", line.encode("utf-8", "surrogateescape"))
            except ValueError as error:
                self.broken.add(number, str(error), line.encode("utf-8", "surrogateescape"))

    def _outcome(self, text: str) -> int:
        code = OUTCOMES.get(text.strip().lower())
        if code is None:
            raise ValueError("no outcome: neither success, failure, inconclusive nor a status in 100-599")
        if len(self._outcomes) < 2 * len(OUTCOMES):
            self._outcomes[text] = code
        return code


def _row(line: str) -> Sequence[str]:
    """The values of one line. No value holds a line's end: so one unclosed quote costs one line."""
    try:
        return next(csv.reader([line]), ())
    except csv.Error:  # a value that is too long: no column has such
        return (line,)


def _find(names: Sequence[str], allowed: Sequence[str]) -> int:
    return next((names.index(name) for name in allowed if name in names), -1)
