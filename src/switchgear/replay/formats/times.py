"""Moments and durations as logs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

SECONDS_KEPT: Final = 10_000

_UNITS: Final = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "m": 60.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE]([-+]?\d{1,3}))? ?([a-zµ]{0,2})")
EARLIEST: Final = -6e10
"""Seconds since the epoch, in the year 68."""
LATEST: Final = 1e11
"""Seconds since the epoch, in the year 5138: what is above it is written in a smaller unit."""


def moment(text: str) -> float:
    """Seconds since the epoch, of a number (seconds, or by its size ms, µs, ns) or of RFC 3339 text.

    Text without an offset is UTC. Raises `ValueError`.
    """
    try:
        number = float(text)
    except ValueError:
        return _of_text(text)
    if not 0 <= number < LATEST * 1e9:  # nor is NaN
        raise ValueError("no time: a number out of range")
    while number >= LATEST:
        number /= 1000
    return number


def _of_text(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            "no time: neither seconds since the epoch nor a date such as 2026-11-29T12:00:00Z"
        ) from None


def duration(text: str) -> float:
    """Seconds, of a number of seconds or a number with a unit (`250ms`). Raises `ValueError`."""
    found = _DURATION.fullmatch(text)
    if not found or found[3] not in _UNITS:
        raise ValueError("no duration: neither seconds nor a number with s, ms, us or ns")
    return float(f"{found[1]}e{found[2] or 0}") * _UNITS[found[3]]


class Moments:
    """Reads moments of which many lie in one second: the date is then read once."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def read(self, text: str) -> float:
        """As `moment`."""
        second = self._seconds.get(text[:19])  # not `[]`: for numbers of seconds the error would cost more
        if second is not None:
            try:
                return second + float(text[19:-1])
            except ValueError:  # another form, such as one with an offset
                pass
        return self._anew(text)

    def _anew(self, text: str) -> float:
        if text[10:11] == "T" and text[-1:] == "Z" and text[19:20] == ".":
            if len(self._seconds) >= SECONDS_KEPT:
                self._seconds.clear()
            self._seconds[text[:19]] = moment(f"{text[:19]}Z")
        return moment(text)
