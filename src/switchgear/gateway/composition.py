"""The answer of a merged route, composed of what became of its parts. Pure.

Fields: cookies and `Vary` of all parts are kept. What describes one part's body (`Content-*`, validators,
ages) does not describe the merged one and is left out. `Cache-Control` stays when all parts agree on it;
where they differ, or a part is missing, the answer must not be stored. Of any other field the last part's
stays, in declared order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from switchgear.gateway.answers import JSON_TYPE, Answer, Origin
from switchgear.gateway.merge import merge, merged_status
from switchgear.gateway.parts import Reason, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from switchgear.gateway.exchange import Header
    from switchgear.gateway.parts import Contribution, Failure, Part, Result

_OF_ONE_BODY: Final = frozenset(
    (
        b"accept-ranges age cache-control content-digest content-disposition content-encoding "
        b"content-language content-length content-location content-md5 content-range content-type "
        b"date digest etag expires last-modified pragma repr-digest server switchgear-origin "
        b"switchgear-parts"
    ).split()
)
_OF_ALL: Final = frozenset((b"set-cookie", b"vary"))
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")


class Evidence(StrEnum):
    """What a merged answer tells the circuit of its route."""

    STATUS = "status"
    """The status of the answer decides."""
    FAILURE = "failure"
    """A required part got no answer: a failure whatever the client was told."""
    NONE = "none"
    """Nothing was tried: the circuits of the parts are open."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged route's answer, and how it came about."""

    answer: Answer
    evidence: Evidence
    results: tuple[Result, ...] = ()
    """In declared order; a part that was never waited for is not in it."""


def compose(parts: Sequence[Part], results: Mapping[int, Result]) -> Merged:
    """`results` by the parts' declared places. The first required part that failed decides the answer."""
    declared = tuple(results[part.index] for part in parts if part.index in results)
    for result in declared:
        failure = result.failure
        if failure is not None and result.source is Source.FAILED:
            return Merged(failure.answer, _evidence_of(failure), declared)
    return Merged(_success(declared), _evidence(parts, results), declared)


def _evidence_of(failure: Failure) -> Evidence:
    if failure.reason is Reason.OPEN:
        return Evidence.NONE
    return Evidence.FAILURE if failure.cut else Evidence.STATUS


def _evidence(parts: Sequence[Part], results: Mapping[int, Result]) -> Evidence:
    """Of a success: what failed behind a fallback counts if it is required; an optional part never does."""
    failures = {index: result.failure for index, result in results.items() if result.failure is not None}
    if any(part.required and failures[part.index].cut for part in parts if part.index in failures):
        return Evidence.FAILURE
    if failures and len(failures) == len(results) and all(f.reason is Reason.OPEN for f in failures.values()):
        return Evidence.NONE
    return Evidence.STATUS


def _success(results: Sequence[Result]) -> Answer:
    contributions = [result.contribution for result in results if result.contribution is not None]
    status = merged_status(c.status for c in contributions if c.status is not None)
    headers = _merged_fields(results)
    if status in (204, 205) and not any(c.members for c in contributions):
        return Answer(status, tuple(headers))
    # A fixed value beside a 204: there is a body after all.
    status = 200 if status in (204, 205) else status
    body = merge(c.members for c in contributions)
    return Answer(status, ((b"content-type", JSON_TYPE), *headers), body)


def _merged_fields(results: Sequence[Result]) -> list[Header]:
    live = [r.contribution for r in results if r.contribution is not None and r.source is Source.OK]
    fields: dict[bytes, list[Header]] = {}
    for contribution in live:
        _take_fields(contribution, fields)
    merged = [field for lines in fields.values() for field in lines]
    if len(live) < len(results):
        merged.append((b"switchgear-parts", ", ".join(map(str, results)).encode()))
        merged.append(_NO_STORE)
    else:
        merged += _cache_control(live)
    if results and not live:
        merged.append(Origin.FALLBACK.header)
    return merged


def _take_fields(contribution: Contribution, fields: dict[bytes, list[Header]]) -> None:
    own: dict[bytes, list[Header]] = {}
    for field in contribution.headers:
        name = field[0]
        if name in _OF_ALL:
            lines = fields.setdefault(name, [])
            if name == b"set-cookie" or field not in lines:
                lines.append(field)
        elif name not in _OF_ONE_BODY:
            own.setdefault(name, []).append(field)
    fields.update(own)


def _cache_control(contributions: Sequence[Contribution]) -> list[Header]:
    said = {
        tuple(field for field in contribution.headers if field[0] == b"cache-control")
        for contribution in contributions
    }
    return list(*said) if len(said) <= 1 else [_NO_STORE]
