"""A key's calls over time as SVG, and when the circuit would not have been closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from switchgear.replay.outages import Outage
from switchgear.replay.report import KeyReport, calls_of
from switchgear.replay.timeline import Timeline
from switchgear.replay.words import at, clock, count, span

_WIDTH: Final = 960
_LEFT: Final = 52
_RIGHT: Final = 12
_TOP: Final = 10
_HEIGHT: Final = 140
_STRIP: Final = 12
_GAP: Final = 8
_AXIS: Final = 22
_LABELS: Final = 6


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where moments lie, in the drawing."""

    begin: float
    end: float

    def x(self, moment: float) -> float:
        share = (moment - self.begin) / (self.end - self.begin)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, share))


def plot(key: KeyReport, timeline: Timeline, policies: Sequence[str]) -> str:
    """An `svg` element. Calls are judged by the first policy."""
    frame = _Frame(timeline.origin, timeline.origin + timeline.width * len(timeline.bins))
    bottom = _TOP + _HEIGHT
    height = bottom + (_GAP + _STRIP) * len(policies) + _AXIS
    label = escape(f"Calls of {key.key} over time, and when its circuit would not have been closed")
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">']
    parts += _bars(key, timeline, frame, bottom)
    for place, outcome in enumerate(key.outcomes):
        top = bottom + _GAP + place * (_STRIP + _GAP)
        parts += _strip(outcome.outages, frame, top, place)
    parts += _times(frame, height)
    return "".join((*parts, "</svg>"))


def _bars(key: KeyReport, timeline: Timeline, frame: _Frame, bottom: int) -> Iterator[str]:
    policy = key.outcomes[0].policy
    calls = [calls_of(codes, policy) for codes in timeline.bins]
    highest = max(1, *(each.good + each.bad for each in calls))
    for share in (0.0, 0.5, 1.0):
        y = bottom - _HEIGHT * share
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        rate = highest * share / timeline.width
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{rate:.3g}/s</text>'
    for place, each in enumerate(calls):
        begin = timeline.origin + place * timeline.width
        x, after = frame.x(begin), frame.x(begin + timeline.width)
        y = float(bottom)
        tip = f"<title>{at(begin)}: {each.good:,} good, {each.bad:,} bad</title>"
        for kind, number in (("bad", each.bad), ("good", each.good)):
            if number:
                tall = _HEIGHT * number / highest
                y -= tall
                width = max(after - x - 0.5, 0.5)
                yield (
                    f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{tall:.1f}">{tip}</rect>'
                )


def _strip(outages: Sequence[Outage], frame: _Frame, top: int, place: int) -> Iterator[str]:
    width = _WIDTH - _LEFT - _RIGHT
    yield f'<rect class="lane" x="{_LEFT}" y="{top}" width="{width}" height="{_STRIP}"/>'
    yield f'<text x="{_LEFT - 6}" y="{top + _STRIP - 2}" text-anchor="end">{"AB"[place]}</text>'
    for outage in outages:
        end = frame.end if outage.closed is None else outage.closed
        x = frame.x(outage.opened)
        tip = f"{at(outage.opened)}, {span(end - outage.opened)}: {outage.reason}; " + count(
            outage.rejections.all, "call rejected", "calls rejected"
        )
        yield (
            f'<rect class="open-{place}" x="{x:.1f}" y="{top}" width="{max(frame.x(end) - x, 1.0):.1f}" '
            f'height="{_STRIP}"><title>{escape(tip)}</title></rect>'
        )


def _times(frame: _Frame, height: int) -> Iterator[str]:
    for place in range(_LABELS + 1):
        moment = frame.begin + (frame.end - frame.begin) * place / _LABELS
        anchor = "start" if place == 0 else "end" if place == _LABELS else "middle"
        text = clock(moment, frame.end - frame.begin)
        yield f'<text x="{frame.x(moment):.1f}" y="{height - 6}" text-anchor="{anchor}">{text}</text>'
