"""Heads of an upstream's answers. One that can be read in two ways is refused, and its connection with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from switchgear.gateway.http1.fields import (
    CHUNKED,
    HOP_BY_HOP,
    UNTIL_CLOSE,
    Fields,
    FramingError,
    body_length,
    connection_options,
)
from switchgear.gateway.http1.grammar import FIELD_LINE, VALUE, find_stray, match_fields_end

MAX_RESPONSE_HEAD: Final = 65536
MAX_RESPONSE_FIELDS: Final = 500  # more than for requests: an answer may set many cookies


class ResponseHead(NamedTuple):
    """An answer's head, checked. `fields` are the lines that go on, `Content-Length` among them."""

    status: int
    reason: bytes
    fields: bytes
    length: int  # of the body; CHUNKED, UNTIL_CLOSE
    keep_alive: bool


@dataclass(slots=True)
class WholeAnswer:
    """An ordinary answer that came in one piece, without anything for this hop: it goes on as it is."""

    status: int
    head: bytes  # status line and fields
    rest: bytes  # the empty line, and the body

    @property
    def fields(self) -> bytes:
        """The lines of the head's fields."""
        return self.head[self.head.index(b"\n") + 1 :]

    @property
    def body(self) -> bytes:
        return self.rest[2:]


_KEEP_ALIVE = rb"(?:[Cc]onnection: ?[Kk]eep-[Aa]live\r\n)?+"
_NOT_FOR_US = (
    rb"(?![CcTtUuKkPp](?i:onnection:|ontent-length:|e:|ransfer-encoding:|railers?:|pgrade:|eep-alive:|roxy-))"
)
_FIELDS = rb"(?:" + _NOT_FOR_US + FIELD_LINE + rb")*+"
_match_ordinary = re.compile(
    rb"(HTTP/1\.1 (?!204|205|304)([2345][0-9][0-9]) " + VALUE + rb"\r\n" + _FIELDS
    + rb"[Cc]ontent-[Ll]ength: ?([0-9]{1,7}+)\r\n" + _FIELDS + rb")"
    + _KEEP_ALIVE + rb"(" + _FIELDS + rb")\r\n"
).match  # fmt: skip
_match_line = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + VALUE + rb"))?+\r\n").match
_OURS = HOP_BY_HOP | {b"content-length"}
_STATUSES: Final = {b"%d" % status: status for status in range(200, 600)}
_SHORT_HEAD: Final = 4 * MAX_RESPONSE_FIELDS
"""A field takes at least four bytes: so short a head is within all limits."""


def whole_answer(data: bytes) -> WholeAnswer | None:
    """Reads data that is exactly one ordinary answer with all of its body; `None` for anything else."""
    match = _match_ordinary(data)
    if match is None:
        return None
    head, status, length, more = match.groups()
    end = match.end()
    if end > _SHORT_HEAD or len(data) != end + int(length):
        return None
    return WholeAnswer(_STATUSES[status], head + more, data[end - 2 :])


def response_head_end(buffer: bytes | bytearray, searched: int) -> int:
    """Where the head in `buffer` ends, -1 if it is not complete.

    Raises `FramingError` for what no further byte can make good.
    """
    end = buffer.find(b"\r\n\r\n", max(0, searched - 3))
    seen = end + 4 if end >= 0 else len(buffer)
    if seen > MAX_RESPONSE_HEAD:
        raise FramingError("head too large")
    if find_stray(buffer, max(0, searched - 1), seen):
        raise FramingError("a line end other than CRLF, or a control character")
    return end + 4 if end >= 0 else -1


def parse_response(head: bytes, to_head: bool) -> ResponseHead:
    """Checks and cuts a complete head; `to_head`: it answers HEAD, and no body follows.

    Raises `FramingError`.
    """
    line = _match_line(head)
    if not line:
        raise FramingError("malformed status line")
    http10, status, reason = line[1] == b"0", int(line[2]), line[3] or b""
    fields_end = match_fields_end(head, line.end())
    if not fields_end or fields_end.end() != len(head):
        raise FramingError("malformed field")
    fields = Fields(head, line.end(), _OURS)
    if len(fields) > MAX_RESPONSE_FIELDS:
        raise FramingError("too many fields")
    options = connection_options(fields)
    declared = body_length(fields.own, http10)
    length = _body_length(status, declared, to_head)
    if declared is not None and declared >= 0 and status >= 200 and status != 204:
        fields.kept.append(b"Content-Length: %d\r\n" % declared)
    keep = b"close" not in options and (not http10 or b"keep-alive" in options) and length != UNTIL_CLOSE
    return ResponseHead(status, reason, b"".join(fields.kept), length, keep)


def _body_length(status: int, declared: int | None, to_head: bool) -> int:
    if status < 200 or status == 204:
        if declared:
            raise FramingError("a body where the status allows none")
        return 0
    if to_head or status == 304:
        return 0
    return UNTIL_CLOSE if declared is None else declared


__all__ = [
    "CHUNKED",
    "MAX_RESPONSE_FIELDS",
    "MAX_RESPONSE_HEAD",
    "UNTIL_CLOSE",
    "ResponseHead",
    "WholeAnswer",
    "parse_response",
    "response_head_end",
    "whole_answer",
]
