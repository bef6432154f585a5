"""What a protected call costs beyond the call itself, against a hand-written minimum and other libraries.

All subjects are measured in turn, many times over, so that whatever else the machine does hits all of them; a
subject's figure is the lower quartile of its rounds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.report import table
from benchmarks.subjects import SUBJECTS, Subject, UnavailableError
from benchmarks.timing import timed, timed_async

ROUNDS = 200
ENDS = ("success", "failure", "rejection")
BASELINE = "bare call"


@dataclass
class Series:
    """One subject's figures for one way to end."""

    subject: Subject
    end: str
    colour: str
    measure: Callable[[], float]
    rounds: list[float] = field(default_factory=list)

    @property
    def nanoseconds(self) -> float:
        return sorted(self.rounds)[len(self.rounds) // 4]


def run(subjects: Sequence[Subject] = SUBJECTS) -> None:
    """Measure and print."""
    every = [series for colour in ("sync", "async") for series in _prepared(colour, subjects)]
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS):
        for series in every:
            series.rounds.append(series.measure())
    for colour in ("sync", "async"):
        print(f"\noverhead per {colour} call in ns (times the minimum)")
        print(table(("", *ENDS), _rows([series for series in every if series.colour == colour])))


def _prepared(colour: str, subjects: Sequence[Subject]) -> list[Series]:
    out = []
    for subject in subjects:
        for end in ENDS:
            try:
                call = subject.prepare(end, colour)
            except UnavailableError:
                continue
            measure = timed if colour == "sync" else timed_async
            out.append(Series(subject, end, colour, lambda call=call, measure=measure: measure(call)))
    return out


def _rows(every: list[Series]) -> list[tuple[str, ...]]:
    figures = {(series.subject.name, series.end): series.nanoseconds for series in every}
    names = dict.fromkeys(series.subject.name for series in every)

    def overhead(name: str, end: str) -> float | None:
        figure = figures.get((name, end))
        # A rejected call is not made: it is compared with a call that returns.
        return (
            None if figure is None else figure - figures[BASELINE, "success" if end == "rejection" else end]
        )

    rows = []
    for name in names:
        if name == BASELINE:
            continue
        cells = []
        for end in ENDS:
            mine, least = overhead(name, end), overhead("minimum", end)
            cells.append("-" if mine is None or not least else f"{mine:.0f} ({mine / least:.1f})")
        rows.append((name, *cells))
    return rows
