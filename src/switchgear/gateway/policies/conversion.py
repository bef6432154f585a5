"""Between what is on the wire and what a policy sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from switchgear.gateway.answers import Answer, problem
from switchgear.gateway.exchange import Request, UpstreamFailure
from switchgear.gateway.http1.fields import cut_fields, join_fields
from switchgear.gateway.http1.response import ResponseHead, WholeAnswer
from switchgear.gateway.policies import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from switchgear.gateway.exchange import Header
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.policies import Outcome

_FRAMING: Final = (b"content-length", b"transfer-encoding")


def as_request(head: RequestHead, forwarded: bytes, params: Mapping[str, bytes]) -> Request:
    """A request as a policy sees it; `forwarded` are the lines that the gateway adds."""
    path, _, query = head.target.partition(b"?")
    headers = _without_framing(head.fields + forwarded)
    return Request(head.method, head.target, path, query, head.host, params, headers)


def as_response(outcome: Outcome) -> Response:
    """What came from inside as a policy sees it."""
    match outcome:
        case Response():
            return outcome
        case WholeAnswer():
            return Response(outcome.status, _without_framing(outcome.fields), outcome.body, evidence=True)
        case ResponseHead():
            return Response(outcome.status, _without_framing(outcome.fields), None, evidence=True)
        case UpstreamFailure():
            own = problem(outcome.status)
            return Response(own.status, list(own.headers), own.body, outcome, evidence=True)
        case Answer():
            return Response(outcome.status, list(outcome.headers), outcome.body)


def as_answer(outcome: Answer | Response | UpstreamFailure) -> Answer:
    """What the gateway sends by itself."""
    match outcome:
        case Answer():
            return outcome
        case UpstreamFailure():
            return problem(outcome.status)
        case Response():
            return Answer(outcome.status, tuple(outcome.headers), outcome.body or b"")


def length_field(head: ResponseHead) -> bytes:
    """The declared length, which a policy can't change while the body streams past."""
    return join_fields(field for field in cut_fields(head.fields) if field[0] == b"content-length")


def _without_framing(lines: bytes) -> list[Header]:
    return [field for field in cut_fields(lines) if field[0] not in _FRAMING]
