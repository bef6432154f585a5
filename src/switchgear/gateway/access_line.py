"""A line of the access log: one JSON object.

Lines are put together as bytes, by templates: that takes a third of the time that the same takes as text.
What a route says of itself is in its templates, worked out when it is put together.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from switchgear import CircuitState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from switchgear.gateway.books import Note

LONGEST_PATH: Final = 4096
"""Characters of a request line that was refused."""

_COMMON: Final = (
    b'{"time":"%b","http.request.method":"%b","url.path":"%b","http.response.status_code":%d,'
    b'"duration_ms":%.3f,"bytes_out":%d,"origin":"%b","client.address":"%b"'
)
_REFUSED: Final = _COMMON + b"}\n"
_PLAIN: Final = _COMMON + b',"request_id":"%b"}\n'
_OF_PLAIN: Final = 9  # values
_ID: Final = slice(len(b"X-Request-Id: "), -2)
_STATES: Final = {"": b""} | {
    state.value: b',"circuit_state":"%b"' % state.encode() for state in CircuitState
}
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) +([^ ?#]+)")
_QUOTE, _BACKSLASH = b'"\\'


@dataclass(frozen=True, slots=True)
class RouteLine:
    """The templates of a route's lines: of requests that a service answered, and of others."""

    answered: bytes
    other: bytes


def route_line(members: Mapping[str, object]) -> RouteLine:
    """`members`: what each line of the route says."""
    own = json.dumps(members, separators=(",", ":"))[1:-1].encode().replace(b"%", b"%%")
    start = _COMMON + b',"request_id":"%b",' + own + b'%b,"attempts":%d'
    return RouteLine(start + b',"upstream_ms":%.3f}\n', start + b"}\n")


def lines_of(notes: Iterable[Note], epoch: float) -> list[bytes]:
    """The lines of requests that are over, in order. `epoch` and their ends make seconds since the epoch.

    One loop almost without calls: it is most of what the access log costs.
    """
    lines: list[bytes] = []
    moment, until = b"", 0.0  # many requests end in the same millisecond
    for reply, exchange, ended, state in notes:
        if ended >= until:
            now = int((epoch + ended) * 1000)
            moment, until = text_of(now), (now + 1) / 1000 - epoch
        request = reply.request
        path = request.target.partition(b"?")[0]  # a query may carry what is secret
        if _QUOTE in path or _BACKSLASH in path:  # nothing else in a target needs an escape
            path = _escaped(path)
        if exchange is None:
            template, members, more, attempts, upstream = _PLAIN, _OF_PLAIN, b"", 0, 0.0
        else:
            more, attempts, upstream = _STATES[state], exchange.attempts, exchange.upstream_seconds * 1000
            template, members = exchange.plan.line.answered, None
            if not upstream:
                template, members = exchange.plan.line.other, -1
            if reply.bytes_in:
                more += b',"bytes_in":%d' % reply.bytes_in
            if exchange.tried is not None:
                more += b',"endpoint":"%b"' % exchange.tried.origin.encode()
            if exchange.head_at:
                more += b',"ttfb_ms":%.3f' % ((exchange.head_at - exchange.started) * 1000)
            if exchange.parts:
                more += b',"parts":"%b"' % ", ".join(map(str, exchange.parts)).encode()
        values = (
            moment,
            request.method,
            path,
            reply.status,
            (ended - reply.started) * 1000,
            reply.bytes_out,
            reply.origin or b"upstream",
            request.client.encode() or reply.client.address,
            reply.id_line[_ID],
            more,
            attempts,
            upstream,
        )
        lines.append(template % (values[:members] if members else values))
    return lines


def line_of_refused(moment: float, line: bytes, status: int, client: bytes) -> bytes:
    """The line of a request that could not be read, with what its first line tells."""
    known = _REQUEST_LINE.match(line[:LONGEST_PATH])
    method, path = known.groups() if known else (b"", b"")
    time_of_day = text_of(int(moment * 1000))
    return _REFUSED % (time_of_day, method, _escaped(path), status, 0.0, 0, b"error", client)


def text_of(milliseconds: int) -> bytes:
    """A point in time, in milliseconds since the epoch."""
    second, rest = divmod(milliseconds, 1000)
    return b"%b.%03dZ" % (_date(second), rest)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()


def _escaped(text: bytes) -> bytes:
    """For a JSON string."""
    return json.dumps(text.decode("latin-1"))[1:-1].encode()
