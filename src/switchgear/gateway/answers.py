"""What the gateway answers by itself: problems (RFC 9457), rejections by a circuit, `Allow`.

A problem says what is wrong with the request or which part of the route failed, never where an upstream
lives, how a circuit is called or what an exception said: these are for the log. Answers that don't change are
built once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from switchgear.gateway.exchange import Header

PROBLEM_TYPE: Final = b"application/problem+json"
JSON_TYPE: Final = b"application/json"
TEXT_TYPE: Final = b"text/plain; charset=utf-8"


class Origin(StrEnum):
    """Why the gateway answered by itself: the value of the field `Switchgear-Origin`."""

    BREAKER = "breaker"
    TIMEOUT = "timeout"
    LIMIT = "limit"
    FALLBACK = "fallback"
    ERROR = "error"

    @property
    def header(self) -> Header:
        return (b"switchgear-origin", self.value.encode())


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the gateway's own; the sender adds `Content-Length`, `Connection` and `Date`."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""


# Status -> title (the phrases of RFC 9110: those of `http.HTTPStatus` differ between Python versions) and
# origin.
_KNOWN: Final[Mapping[int, tuple[str, Origin]]] = {
    400: ("Bad Request", Origin.ERROR),
    404: ("Not Found", Origin.ERROR),
    405: ("Method Not Allowed", Origin.ERROR),
    408: ("Request Timeout", Origin.TIMEOUT),
    411: ("Length Required", Origin.ERROR),
    413: ("Content Too Large", Origin.LIMIT),
    414: ("URI Too Long", Origin.LIMIT),
    417: ("Expectation Failed", Origin.ERROR),
    421: ("Misdirected Request", Origin.ERROR),
    429: ("Too Many Requests", Origin.LIMIT),
    431: ("Request Header Fields Too Large", Origin.LIMIT),
    500: ("Internal Server Error", Origin.ERROR),
    501: ("Not Implemented", Origin.ERROR),
    502: ("Bad Gateway", Origin.ERROR),
    503: ("Service Unavailable", Origin.LIMIT),
    504: ("Gateway Timeout", Origin.TIMEOUT),
    505: ("HTTP Version Not Supported", Origin.ERROR),
}


def problem(
    status: int,
    detail: str = "",
    *,
    origin: Origin | None = None,
    headers: Iterable[Header] = (),
    part: str | None = None,
) -> Answer:
    """An `application/problem+json` answer.

    `detail` is one sentence for the client, `part` the name of the service of a merged route that is to
    blame, and `origin` replaces the usual one of the status. A status without a title here gets the one of
    its class.
    """
    title, usual = _KNOWN.get(status) or _KNOWN[status // 100 * 100]
    members: dict[str, str | int] = {"title": title, "status": status}
    if detail:
        members["detail"] = detail
    if part is not None:
        members["part"] = part
    fields = ((b"content-type", PROBLEM_TYPE), (origin or usual).header, *headers)
    return Answer(status, fields, msgspec.json.encode(members))


def not_found() -> Answer:
    """404: no route has this path."""
    return problem(404, "No route has this path.")


def method_not_allowed(allow: bytes) -> Answer:
    """405: the path exists, with the methods `allow`."""
    return problem(405, "The path does not take this method.", headers=((b"allow", allow),))


def options(allow: bytes) -> Answer:
    """204: the methods of a path, for an `OPTIONS` that no route declares."""
    return Answer(204, ((b"allow", allow),))


class Rejection:
    """What a client gets while a circuit rejects; all but `Retry-After` is built once."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int = 503, body: object = None) -> None:
        """`body`: a text is sent as text, any other value as JSON, and `None` as a problem."""
        kind = (b"content-type", TEXT_TYPE if isinstance(body, str) else JSON_TYPE)
        if body is None:
            usual = problem(status, "A circuit breaker is open.", origin=Origin.BREAKER)
            self._headers, self._body = usual.headers, usual.body
        else:
            self._body = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
            self._headers = (kind, Origin.BREAKER.header)
        self._status = status

    def answer(self, retry_after: float | None) -> Answer:
        """The answer now. `retry_after`: seconds to the next possible probe, `None` when nobody knows."""
        if retry_after is None:
            return Answer(self._status, self._headers, self._body)
        # Rounded up, and never 0: a client that comes back too early is only rejected again.
        seconds = b"%d" % max(1, math.ceil(retry_after))
        return Answer(self._status, (*self._headers, (b"retry-after", seconds)), self._body)
