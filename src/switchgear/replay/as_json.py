"""A report for programs. Moments are seconds since the epoch, lengths of time seconds, shares 0 to 1."""

from __future__ import annotations

from typing import Any

from switchgear.replay.outages import Moved, Outage, Rejections
from switchgear.replay.report import CAVEATS, Calls, Figures, KeyReport, Outcome, Report

Json = dict[str, Any]


def as_json(report: Report) -> Json:
    """The report as a JSON object."""
    return {
        "log": {
            "name": report.log,
            "format": report.format,
            "lines": report.lines,
            "calls": report.calls,
            "first": report.first if report.keys else None,
            "last": report.last if report.keys else None,
            "reorder": report.reorder,
            "broken": {
                "lines": report.broken.count,
                "first": [
                    {"line": each.line, "reason": each.reason, "text": each.text}
                    for each in report.broken.first
                ],
            },
            "lost": report.lost,
            "without_key": report.without_key,
            "without_policy": dict(report.without_policy),
            "without_duration": report.without_duration,
            "beyond_keys": report.beyond,
            "too_late": report.late,
            "too_long": report.long,
        },
        "policies": list(report.policies),
        "keys": [_key(key) for key in report.keys],
        "total": [_figures(figures) for figures in report.totals],
        "caveats": list(CAVEATS),
    }


def _key(key: KeyReport) -> Json:
    return {"key": key.key, "under": [_outcome(outcome) for outcome in key.outcomes]}


def _outcome(outcome: Outcome) -> Json:
    return {
        **_figures(outcome.figures),
        "outages": [_outage(outage) for outage in outcome.outages],
        "transitions": [_move(move) for move in outcome.moves],
    }


def _figures(figures: Figures) -> Json:
    return {
        "calls": _calls(figures.calls),
        "openings": figures.openings,
        "flaps": figures.flaps,
        "failed_probes": figures.failed_probes,
        "not_closed_seconds": figures.open_seconds,
        "rejected": _rejections(figures.rejections),
        "bad_avoided": figures.rejections.bad,
        "precision": figures.precision,
        "recall": figures.recall,
        "time_to_open": {
            "median": figures.median_to_open,
            "longest": figures.longest_to_open if figures.openings else None,
        },
    }


def _calls(calls: Calls) -> Json:
    return {
        "all": calls.all,
        "good": calls.good,
        "bad": calls.bad,
        "unknown": calls.unknown,
        "already_rejected": calls.not_made,
    }


def _rejections(rejections: Rejections) -> Json:
    return {
        "all": rejections.all,
        "good": rejections.good,
        "bad": rejections.bad,
        "unknown": rejections.unknown,
    }


def _outage(outage: Outage) -> Json:
    return {
        "opened": outage.opened,
        "closed": outage.closed,
        "rule": outage.rule,
        "reason": outage.reason,
        "time_to_open": outage.time_to_open,
        "flap": outage.flap,
        "failed_probes": outage.failed_probes,
        "rejected": _rejections(outage.rejections),
    }


def _move(move: Moved) -> Json:
    return {
        "at": move.at,
        "from": move.from_state,
        "to": move.to_state,
        "rule": move.rule,
        "reason": move.reason,
    }
