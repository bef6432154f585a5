"""A line of the result: what was measured, and what it has to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One figure and its bar."""

    what: str
    measured: str
    bar: str
    met: bool

    def __str__(self) -> str:
        return f"{self.what:<78} {self.measured:>12}  {self.bar:<13} {'' if self.met else 'MISSED'}".rstrip()


def exactly(what: str, measured: int, wanted: int) -> Line:
    return Line(what, f"{measured:,}", f"= {wanted:,}", measured == wanted)


def at_most(what: str, measured: float, bar: float, unit: str = "") -> Line:
    return Line(what, _number(measured, unit), f"<= {_number(bar, unit)}", measured <= bar)


def at_least(what: str, measured: float, bar: float, unit: str = "") -> Line:
    return Line(what, _number(measured, unit), f">= {_number(bar, unit)}", measured >= bar)


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
    return f"{shown} {unit}".rstrip() if unit != "%" else f"{shown}%"
