"""A line of the access log: one JSON object.

Lines are put together as bytes, by templates: that takes a third of the time that the same takes as text.
What a route says of itself is in its templates; those of ordinary requests hold all that they have in common.
"""

from __future__ import annotations

import json
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from switchgear.gateway.proxy import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from switchgear.gateway.reply import Reply

LONGEST_PATH: Final = 4096
"""Characters of a request line that was refused."""

LONGEST_AGENT: Final = 512
"""Bytes of what a client calls itself."""

_START: Final = (
    b'{"time":"%b","http.request.method":"%b","url.path":"%b","http.response.status_code":%d,'
    b'"duration_ms":%.3f,"bytes_out":%d,"origin":"'
)
_COMMON: Final = _START + b'%b","client.address":"%b"'
_REFUSED: Final = _COMMON + b"}\n"
_PLAIN: Final = _COMMON + b',"request_id":"%b"%b}\n'
_STATE: Final = b',"circuit_state":"%b"'
_ANSWERED: Final = b',"upstream_ms":%.3f,"upstream_status":%d'
_FAILED: Final = b',"upstream_ms":%.3f'
_ID: Final = slice(len(b"X-Request-Id: "), -2)
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) +([^ ?#]+)")
_QUERY, _QUOTE, _BACKSLASH = b'?"\\'

_find_agent = re.compile(rb"\n(?i:user-agent):[\t ]*+([^\r]*+)").search
_find_traces = re.compile(rb"\n(?i:traceparent):[\t ]*+([^\r]*+)").findall
_match_trace = re.compile(  # W3C Trace Context: a later version may have more at its end
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*+)?"
).fullmatch


class RouteLine:
    """The templates of a route's lines, with what each of them says of the route."""

    __slots__ = ("_alone", "_own", "any")

    def __init__(self, members: Mapping[str, object], *, alone: bool) -> None:
        """`members`: what there is to say of the route; `alone`: whether one URL answers all requests."""
        own = json.dumps(members, separators=(",", ":"))[1:-1].encode().replace(b"%", b"%%")
        self._own = b',"request_id":"%b",' + own
        self._alone = alone
        self.any: bytes = _COMMON + self._own + b'%b,"attempts":%d%b%b}\n'
        """Of the line of any request."""

    def ordinary(self, method: bytes, status: int, state: str) -> bytes:
        """The template for requests whose first attempt gave the answer, if no more is to tell: those that
        had one method, status and state of the circuit. Empty where there is always more."""
        if not self._alone:
            return b""
        return (
            b'{"time":"%%b","http.request.method":"%b","url.path":"%%b","http.response.status_code":%d,'
            b'"duration_ms":%%.3f,"bytes_out":%%d,"origin":"upstream","client.address":"%%b"%b%b,"attempts":1'
            b',"upstream_ms":%%.3f,"upstream_status":%d%%b}\n'
        ) % (method, status, self._own, _of_state(state), status)


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
        ordinary = reply.account.ordinary
        if (
            not ordinary
            or not isinstance(reply, Exchange)
            or reply.upstream_status != reply.status
            or reply.attempts != 1
            or reply.bytes_in
            or reply.head_at
        ):
            lines.append(_line_of(reply, moment, path))
            continue
        client, fields = request.client, request.fields
        values = (
            moment,
            path,
            (ended - reply.started) * 1000,
            reply.bytes_out,
            client.encode() if client else reply.client.address,
            reply.id_line[_ID],
            reply.upstream_seconds * 1000,
            _told(fields) if fields else b"",
        )
        lines.append(ordinary % values)
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
    told = _told(reply.request.fields)
    if not isinstance(reply, Exchange):
        return _PLAIN % (*common, told)
    more = _of_state(reply.account.state)
    if reply.bytes_in:
        more += b',"bytes_in":%d' % reply.bytes_in
    if reply.tried is not None:
        more += b',"endpoint":"%b"' % reply.tried.origin.encode()
    if reply.head_at:
        more += b',"ttfb_ms":%.3f' % ((reply.head_at - reply.started) * 1000)
    if reply.parts:
        more += b',"parts":"%b"' % ", ".join(map(str, reply.parts)).encode()
    return reply.plan.line.any % (*common, more, reply.attempts, _of_upstream(reply), told)


def _of_state(state: str) -> bytes:
    return _STATE % state.encode() if state else b""


def _of_upstream(exchange: Exchange) -> bytes:
    milliseconds = exchange.upstream_seconds * 1000
    if exchange.upstream_status:
        return _ANSWERED % (milliseconds, exchange.upstream_status)
    return _FAILED % milliseconds if milliseconds else b""


def _told(fields: bytes) -> bytes:
    """What a client's fields tell: the span that the request is part of, and what the client calls itself.

    They are looked for here, not where a head is read: they are for the log alone.
    """
    lines = b"\n" + fields
    agent = _find_agent(lines)
    more = b"" if agent is None else _of_agent(agent[1])
    if b"arent:" in lines or b"ARENT:" in lines:  # most heads are done with this
        values = _find_traces(lines)
        trace = _match_trace(values[0].rstrip(b"\t ")) if len(values) == 1 else None  # two are no trace
        if trace is not None:
            more += b',"trace_id":"%b","span_id":"%b"' % trace.groups()
    return more


@lru_cache(maxsize=1024)  # the same few come again and again
def _of_agent(agent: bytes) -> bytes:
    return b',"user_agent.original":"%b"' % _escaped(agent[:LONGEST_AGENT].rstrip(b"\t "))


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
