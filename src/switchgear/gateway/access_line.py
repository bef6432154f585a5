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
from switchgear.gateway.proxy import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from switchgear.gateway.reply import Reply

LONGEST_PATH: Final = 4096
"""Characters of a request line that was refused."""

_START: Final = (
    b'{"time":"%b","http.request.method":"%b","url.path":"%b","http.response.status_code":%d,'
    b'"duration_ms":%.3f,"bytes_out":%d,"origin":"'
)
_COMMON: Final = _START + b'%b","client.address":"%b"'
_REFUSED: Final = _COMMON + b"}\n"
_PLAIN: Final = _COMMON + b',"request_id":"%b"}\n'
_UPSTREAM_MS: Final = b',"upstream_ms":%.3f}\n'
_ID: Final = slice(len(b"X-Request-Id: "), -2)
_STATES: Final = {"": b""} | {
    state.value: b',"circuit_state":"%b"' % state.encode() for state in CircuitState
}
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) +([^ ?#]+)")
_QUERY, _QUOTE, _BACKSLASH = b'?"\\'


@dataclass(frozen=True, slots=True)
class RouteLine:
    """The templates of a route's lines."""

    ordinary: Mapping[str, bytes] | None
    """By the state of the circuit: of requests whose first attempt was answered, if no more is to tell."""
    answered: bytes
    """Of others that a service answered."""
    other: bytes


def route_line(members: Mapping[str, object], *, alone: bool) -> RouteLine:
    """`members`: what each line of the route says; `alone`: whether one URL answers all of its requests."""
    own = json.dumps(members, separators=(",", ":"))[1:-1].encode().replace(b"%", b"%%")
    middle = b',"request_id":"%b",' + own
    begin = _START + b'upstream","client.address":"%b"' + middle
    end = b',"attempts":1' + _UPSTREAM_MS
    start = _COMMON + middle + b'%b,"attempts":%d'
    ordinary = {name: begin + state + end for name, state in _STATES.items()}
    return RouteLine(ordinary if alone else None, start + _UPSTREAM_MS, start + b"}\n")


def lines_of(replies: Iterable[Reply], epoch: float) -> bytes:
    """The lines of requests that are over, in order. `epoch` and their ends make seconds since the epoch.

    One loop, for ordinary requests almost without calls: it is most of what the access log costs.
    """
    lines: list[bytes] = []
    moment, until = b"", 0.0  # many requests end in the same millisecond
    for reply in replies:
        ended, request = reply.ended, reply.request
        if ended >= until:
            now = int((epoch + ended) * 1000)
            moment, until = text_of(now), (now + 1) / 1000 - epoch
        path = request.target
        if _QUERY in path:
            path = path.partition(b"?")[0]  # it may carry what is secret
        if _QUOTE in path or _BACKSLASH in path:  # nothing else in a target needs an escape
            path = _escaped(path)
        client = request.client
        if (
            not isinstance(reply, Exchange)
            or (ordinary := reply.plan.line.ordinary) is None
            or not reply.upstream_seconds
            or reply.attempts != 1
            or reply.origin
            or reply.bytes_in
            or reply.head_at
        ):
            lines.append(_line_of(reply, moment, path))
            continue
        values = (
            moment,
            request.method,
            path,
            reply.status,
            (ended - reply.started) * 1000,
            reply.bytes_out,
            client.encode() if client else reply.client.address,
            reply.id_line[_ID],
            reply.upstream_seconds * 1000,
        )
        lines.append(ordinary[reply.circuit_state] % values)
    return b"".join(lines)


def _line_of(reply: Reply, moment: bytes, path: bytes) -> bytes:
    """The line of any request."""
    common = (
        moment,
        reply.request.method,
        path,
        reply.status,
        (reply.ended - reply.started) * 1000,
        reply.bytes_out,
        reply.origin or b"upstream",
        reply.request.client.encode() or reply.client.address,
        reply.id_line[_ID],
    )
    if not isinstance(reply, Exchange):
        return _PLAIN % common
    more, line = _STATES[reply.circuit_state], reply.plan.line
    if reply.bytes_in:
        more += b',"bytes_in":%d' % reply.bytes_in
    if reply.tried is not None:
        more += b',"endpoint":"%b"' % reply.tried.origin.encode()
    if reply.head_at:
        more += b',"ttfb_ms":%.3f' % ((reply.head_at - reply.started) * 1000)
    if reply.parts:
        more += b',"parts":"%b"' % ", ".join(map(str, reply.parts)).encode()
    if reply.upstream_seconds:
        return line.answered % (*common, more, reply.attempts, reply.upstream_seconds * 1000)
    return line.other % (*common, more, reply.attempts)


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
