"""A report as one HTML file, which opens without a network: style and drawings are in it, scripts are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from switchgear.replay.outages import Outage
from switchgear.replay.plot import plot
from switchgear.replay.report import CAVEATS, Figures, KeyReport, Report
from switchgear.replay.text import calls_in_words, summary, table
from switchgear.replay.words import at, span

_PLOTTED: Final = 25
"""Keys with a section of their own; all are in the table behind."""
_LISTED: Final = 200
_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
"""


def as_html(report: Report) -> Iterator[str]:
    """The page, in pieces."""
    title = escape(f"Replay of {report.log}")
    style = (files("switchgear.replay") / "page.css").read_text("utf-8")
    yield _HEAD.format(title=title, style=style)
    yield f"<h1>{title}</h1>\n"
    for line in summary(report):
        yield f'<p class="quiet">{escape(line.strip())}</p>\n'
    yield f"<p>{_legend(report)}</p>\n"
    yield "<h2>In all</h2>\n"
    yield f"<p>{escape(calls_in_words(report.totals))}</p>\n"
    yield _table(report, report.totals)
    for key in report.keys[:_PLOTTED]:
        yield from _key(report, key)
    if len(report.keys) > _PLOTTED:
        yield f"<h2>All keys ({len(report.keys):,})</h2>\n"
        yield from _keys(report)
    yield "<h2>What a log can't tell</h2>\n<ul>\n"
    for caveat in CAVEATS:
        yield f"<li>{escape(caveat)}</li>\n"
    yield "</ul>\n</body>\n</html>\n"


def _legend(report: Report) -> str:
    marks = ['<span class="key good"></span>good calls', '<span class="key bad"></span>bad calls']
    for place, name in enumerate(report.policies):
        mark = f'<span class="key open-{place}"></span>not closed under {"AB"[place]}, {escape(name)}'
        marks.append(mark)
    return "".join(marks)


def _key(report: Report, key: KeyReport) -> Iterator[str]:
    figures = [outcome.figures for outcome in key.outcomes]
    yield f"<section>\n<h2>{escape(key.key)}</h2>\n<p>{escape(calls_in_words(figures))}</p>\n"
    if key.timeline is not None and key.timeline.bins:
        bins = f"A bar is {span(key.timeline.width)}."
        drawing = plot(key, key.timeline, report.policies)
        yield f"<figure>{drawing}<figcaption>{bins}</figcaption></figure>\n"
    yield _table(report, figures)
    for name, outcome in zip(report.policies, key.outcomes, strict=True):
        if outcome.outages:
            yield f"<details><summary>Openings under {escape(name)}</summary>\n"
            yield _outages(outcome.outages[:_LISTED])
            more = outcome.figures.openings - min(_LISTED, len(outcome.outages))
            yield f"<p>... and {more:,} more</p></details>\n" if more else "</details>\n"
    yield "</section>\n"


def _table(report: Report, figures: Sequence[Figures]) -> str:
    head = "".join(f'<th class="figure">{escape(name)}</th>' for name in report.policies)
    rows: list[str] = []
    for name, values in table(figures):
        inner = ' class="inner"' if name.startswith(" ") else ""
        cells = "".join(f'<td class="figure">{value}</td>' for value in values)
        rows.append(f"<tr><td{inner}>{name.strip()}</td>{cells}</tr>\n")
    return f'<div class="scroll"><table>\n<tr><th></th>{head}</tr>\n{"".join(rows)}</table></div>\n'


def _outages(outages: Sequence[Outage]) -> str:
    heads = ("opened", "after", "not closed for", "failed probes", "good rejected", "bad rejected", "why")
    rows = [f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n"]
    for outage in outages:
        lasted = "to the end" if outage.closed is None else span(outage.closed - outage.opened)
        rejected = outage.rejections
        numbers = (
            lasted,
            f"{outage.failed_probes:,}",
            f"{rejected.good:,}",
            f"{rejected.bad:,}",
        )
        flap = " (a flap)" if outage.flap else ""
        cells = "".join(f'<td class="figure">{number}</td>' for number in numbers)
        rows.append(
            f"<tr><td>{at(outage.opened)}</td><td>{span(outage.time_to_open)}</td>{cells}"
            f"<td>{escape(outage.reason)}{flap}</td></tr>\n"
        )
    return f'<div class="scroll"><table>\n{"".join(rows)}</table></div>\n'


def _keys(report: Report) -> Iterator[str]:
    heads = "".join(
        f'<th class="figure">{word}, {"AB"[place]}</th>'
        for place in range(len(report.policies))
        for word in ("openings", "bad avoided", "good rejected")
    )
    yield f'<div class="scroll"><table>\n<tr><th>key</th><th class="figure">calls</th>{heads}</tr>\n'
    for key in report.keys:
        cells = [f"{key.outcomes[0].figures.calls.all:,}"]
        for outcome in key.outcomes:
            rejected = outcome.figures.rejections
            cells += (f"{outcome.figures.openings:,}", f"{rejected.bad:,}", f"{rejected.good:,}")
        row = "".join(f'<td class="figure">{cell}</td>' for cell in cells)
        yield f"<tr><td><code>{escape(key.key)}</code></td>{row}</tr>\n"
    yield "</table></div>\n"
