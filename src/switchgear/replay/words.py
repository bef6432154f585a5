"""Figures in words."""

from __future__ import annotations

from datetime import UTC, datetime


def at(moment: float) -> str:
    """A moment, in UTC, to the millisecond."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="milliseconds")
    return text.removesuffix("+00:00")


def clock(moment: float, within: float) -> str:
    """A moment on the axis of a drawing that is `within` seconds wide: as fine as is needed there."""
    form = "%H:%M:%S" if within < 7200 else "%m-%d %H:%M" if within < 86400 * 60 else "%Y-%m-%d"
    return f"{datetime.fromtimestamp(moment, UTC):{form}}"


def printable(text: str) -> str:
    """Text of a log for a terminal, on which it must not act."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def span(seconds: float | None) -> str:
    """A length of time."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def share_of(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def count(value: int, singular: str, plural: str = "") -> str:
    """`1 call`, `2,000 calls`."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"
