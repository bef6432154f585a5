"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Final

from switchgear.replay.lanes import MOST_KEYS
from switchgear.replay.outages import Outage
from switchgear.replay.report import CAVEATS, Figures, KeyReport, Report
from switchgear.replay.words import at, count, printable, share_of, span

_WIDTH: Final = 100
_LISTED: Final = 20
"""Names of keys in one sentence."""


def as_text(report: Report, openings: int = 10) -> Iterator[str]:
    """Lines. `openings`: how many of a key are listed under each policy."""
    yield from summary(report)
    for key in report.keys:
        if key.openings:
            yield ""
            yield from _key(report, key, openings)
    quiet = [printable(key.key) for key in report.keys if not key.openings]
    if quiet:
        yield ""
        yield from _wrapped(f"never opened ({len(quiet)}): {_listed(quiet)}")
    if len(report.keys) > 1:
        yield ""
        yield f"in all ({count(len(report.keys), 'key')}): {calls_in_words(report.totals)}"
        yield from _table(report, report.totals)
    yield ""
    yield "What a log can't tell:"
    for caveat in CAVEATS:
        yield from _wrapped(f"- {caveat}", "  ")


def summary(report: Report) -> Iterator[str]:
    """What was read, and what was not."""
    when = f", {at(report.first)} to {at(report.last)} UTC" if report.keys else ""
    lines, calls = count(report.lines, "line"), count(report.calls, "call")
    yield f"{printable(report.log)} ({report.format}): {lines}, {calls}{when}"
    for number, what, why in _left_out(report):
        if number:
            yield f"  {count(number, what)} {why}"
    for line in report.broken.first:
        yield f"    line {line.line}: {printable(line.reason)}: {printable(line.text)}"
    if report.broken.count > len(report.broken.first):
        yield f"    ... and {report.broken.count - len(report.broken.first):,} more"


def _left_out(report: Report) -> Iterator[tuple[int, str, str]]:
    """Numbers of what was not as it should be: of what, and what became of it."""
    names = _listed([printable(name) for name in report.without_policy])
    bound = span(report.reorder)
    yield report.lost, "line", "missing, as the log itself says"
    yield report.without_key, "call", "left out: no key"
    yield report.without_policy.total(), "call", f"left out: no policy for {names}"
    yield report.beyond, "call", f"left out: of keys beyond the first {MOST_KEYS:,}, or too long"
    yield report.late, "call", f"left out: more than {bound} out of order"
    yield report.long, "call", f"of more than {bound}, taken to have begun later than they did"
    yield report.without_duration, "call", "without a duration, taken to be instant"
    yield report.broken.count, "broken line", "left out:"


def _key(report: Report, key: KeyReport, openings: int) -> Iterator[str]:
    figures = [outcome.figures for outcome in key.outcomes]
    yield f"{printable(key.key)}: {calls_in_words(figures)}"
    yield from _table(report, figures)
    for name, outcome in zip(report.policies, key.outcomes, strict=True):
        if outcome.outages:
            yield f"  openings under {name}:" if len(report.policies) > 1 else "  openings:"
        for outage in outcome.outages[:openings]:
            yield from _outage(outage)
        more = outcome.figures.openings - min(openings, len(outcome.outages))
        if more:
            yield f"    ... and {more:,} more"


def calls_in_words(figures: Sequence[Figures]) -> str:
    """Calls by their ends; under policies that judge them differently, under each."""
    different = list(dict.fromkeys(each.calls for each in figures))
    words: list[str] = []
    for calls in different:
        parts = [f"{calls.good:,} good", f"{calls.bad:,} bad"]
        parts += [f"{calls.unknown:,} without evidence"] if calls.unknown else []
        parts += [f"{calls.not_made:,} rejected already in the log"] if calls.not_made else []
        words.append(", ".join(parts))
    return f"{count(different[0].all, 'call')}: {'; against: '.join(words)}"


def rows(figures: Figures) -> Iterator[tuple[str, str]]:
    """Name and value of each figure."""
    rejected = figures.rejections
    yield "openings", f"{figures.openings:,}"
    yield "  flaps", f"{figures.flaps:,}"
    yield "  failed probes", f"{figures.failed_probes:,}"
    yield "time not closed", span(figures.open_seconds)
    yield "calls rejected", f"{rejected.all:,}"
    yield "  of these good", f"{rejected.good:,}"
    yield "  of these bad (precision)", f"{rejected.bad:,} ({share_of(figures.precision)})"
    if rejected.unknown:
        yield "  of these without evidence", f"{rejected.unknown:,}"
    yield (
        "bad calls avoided (recall)",
        f"{rejected.bad:,} of {figures.calls.bad:,} ({share_of(figures.recall)})",
    )
    yield "time to open, median", span(figures.median_to_open)
    yield "time to open, longest", span(figures.longest_to_open if figures.openings else None)


def table(figures: Sequence[Figures]) -> Iterator[tuple[str, list[str]]]:
    """Name of each figure, and its value under each policy."""
    columns = [dict(rows(each)) for each in figures]
    names = dict.fromkeys(name for column in columns for name in column)
    for name in names:
        yield name, [column.get(name, "0") for column in columns]


def _table(report: Report, figures: Sequence[Figures]) -> Iterator[str]:
    lines = list(table(figures))
    if len(figures) > 1:
        lines.insert(0, ("", list(report.policies)))
    width = max(len(name) for name, _ in lines)
    widths = [max(len(values[i]) for _, values in lines) for i in range(len(figures))]
    for name, values in lines:
        cells = "  ".join(value.rjust(size) for value, size in zip(values, widths, strict=True))
        yield f"  {name.ljust(width)}  {cells}"


def _outage(outage: Outage) -> Iterator[str]:
    flap = ", a flap" if outage.flap else ""
    yield f"    {at(outage.opened)} opened after {span(outage.time_to_open)}{flap}: {outage.reason}"
    rejected = outage.rejections
    ended = "open to the end of the log"
    if outage.closed is not None:
        ended = f"closed {at(outage.closed)}, after {span(outage.closed - outage.opened)}"
    probes = f", {count(outage.failed_probes, 'failed probe')}" if outage.failed_probes else ""
    yield f"      {ended}{probes}; rejected {rejected.good:,} good, {rejected.bad:,} bad"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _wrapped(text: str, indent: str = "  ") -> Iterable[str]:
    return wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
