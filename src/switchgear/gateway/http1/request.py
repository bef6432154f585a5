"""Heads of requests: two ways in, one result. Both refuse what could be read in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from switchgear.gateway.http1.fields import (
    CHUNKED,
    HOP_BY_HOP,
    Fields,
    FramingError,
    body_length,
    connection_options,
)
from switchgear.gateway.http1.grammar import (
    FIELD_LINE,
    TARGET,
    TOKEN,
    find_stray,
    fullmatch_host,
    match_fields_end,
)
from switchgear.gateway.request_ids import FIELD, fit_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

METHODS: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS".split())
SAFE_METHODS: Final = frozenset(b"GET HEAD OPTIONS".split())

_WITH_BODY: Final = frozenset(b"POST PUT PATCH".split())


class HeadLimits(NamedTuple):
    """How large a head may be: bytes in all, fields, bytes of the target."""

    size: int = 65536
    fields: int = 200
    target: int = 16384


@dataclass(slots=True)
class RequestHead:
    """A request's head, checked; nobody changes it.

    `fields` are the lines that go on, ready to be sent, the framing of the body among them; `Host` and
    `X-Forwarded-For` are apart, since the gateway writes its own.
    """

    method: bytes
    target: bytes
    host: bytes
    fields: bytes
    length: int = 0  # of the body; CHUNKED
    keep_alive: bool = True
    http10: bool = False
    expects_continue: bool = False
    forwarded_for: bytes = b""
    upgrades: bool = False  # to WebSocket
    request_id: bytes = b""  # the client's, if it is fit to go on
    tells: bool = False  # whether it says anything of who asks: `X-Forwarded-*`, `X-Request-Id`
    claimed_proto: bytes = b""  # `X-Forwarded-Proto`
    claimed_host: bytes = b""  # `X-Forwarded-Host`
    client: str = ""  # who asked, if a trusted proxy says so

    @property
    def framing(self) -> bytes:
        """The line that frames the body, which is in `fields` too."""
        if self.length == 0 and self.method not in _WITH_BODY:
            return b""
        return _framing(self.length)


# ---- the ordinary request
# ------------------------------------------------------------------------------------------- One expression
# for what nearly every client sends: HTTP/1.1, Host first, no body, nothing for this hop but `Connection:
# keep-alive`. What it does not take is no error: the general way below decides.

_KEEP_ALIVE = rb"(?:[Cc]onnection: ?[Kk]eep-[Aa]live\r\n)?+"
_NOT_FOR_US = (
    rb"(?![CcHhTtUuEeKkPpXx](?i:onnection:|ontent[-_]length:|ost:|e:|ransfer[-_]encoding:|railers?:|pgrade:"
    rb"|xpect:|eep[-_]alive:|roxy[-_]|[-_]forwarded[-_](?:for|proto|host):|-request-id:))"
)
_match_ordinary = re.compile(
    rb"(GET|HEAD|DELETE|OPTIONS) (/" + TARGET[:-2] + rb"*+) HTTP/1\.1\r\n"
    rb"[Hh]ost: ?([A-Za-z0-9.\-]++(?::[0-9]{1,5}+)?+)\r\n"
    + _KEEP_ALIVE + rb"((?:" + _NOT_FOR_US + FIELD_LINE + rb")*+)" + _KEEP_ALIVE + rb"\r\n"
).fullmatch  # fmt: skip


def ordinary_request(limits: HeadLimits) -> Callable[[bytes], RequestHead | None]:
    """A reader of data that is exactly one ordinary request; `None` for anything else."""
    # A field takes at least four bytes: what is this short is within all limits, and need not be counted.
    size = min(limits.size, limits.target, 4 * limits.fields)

    def read(data: bytes) -> RequestHead | None:
        if len(data) > size:
            return None
        match = _match_ordinary(data)
        if match is None:
            return None
        method, target, host, fields = match.groups()
        return RequestHead(method, target, host, fields)

    return read


# ---- any request
# ----------------------------------------------------------------------------------------------------

_match_line = re.compile(rb"(" + TOKEN + rb") (" + TARGET + rb") HTTP/([0-9])\.([0-9])\r\n").match
_match_other_version = re.compile(rb"[^ \r\n]+ [^ \r\n]+ HTTP/(?!1\.[01]\r)[0-9](?:\.[0-9])?\r\n").match
_OURS = HOP_BY_HOP | frozenset(
    (b"host", b"content-length", b"expect", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
)
_READ = _OURS | {FIELD}
_TOLD: Final = frozenset((FIELD, b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
_match_absolute = re.compile(rb"(?i:http)://([^/?]++)(.*+)", re.DOTALL).fullmatch


def request_head_end(buffer: bytes | bytearray, searched: int, limits: HeadLimits) -> int:
    """Where the head in `buffer` ends, -1 if it is not complete. `searched` bytes were looked at before.

    Raises `FramingError` for what no further byte can make good.
    """
    end = buffer.find(b"\r\n\r\n", max(0, searched - 3))
    seen = end + 4 if end >= 0 else len(buffer)
    line = buffer.find(b"\r\n", 0, seen)
    if (line if line >= 0 else seen) > limits.target + 64:  # method and version around the target
        raise FramingError("target too long", 414)
    if seen > limits.size:
        raise FramingError("head too large", 431)
    if find_stray(buffer, max(0, searched - 1), seen):
        raise FramingError("a line end other than CRLF, or a control character")
    return end + 4 if end >= 0 else -1


def parse_request(head: bytes, limits: HeadLimits) -> RequestHead:
    """Checks and cuts a complete head (up to and with its empty line). Raises `FramingError`."""
    method, target, http10, start = _request_line(head, limits)
    fields = Fields(head, start, _READ)
    if len(fields) > limits.fields:
        raise FramingError("too many fields", 431)
    fields.refuse_lookalikes(_OURS)
    options = connection_options(fields)
    target, host = _authority(method, target, fields, http10)
    length = body_length(fields.own, http10)
    if length and b"upgrade" in fields.own:
        # What follows such a head is a body to one reader and the other protocol to the next.
        raise FramingError("an upgrade with a body")
    return RequestHead(
        method,
        target,
        host,
        b"".join(fields.kept) + _framing(length),
        length or 0,
        b"close" not in options and (not http10 or b"keep-alive" in options),
        http10,
        _expects_continue(fields, http10),
        b", ".join(fields.own.get(b"x-forwarded-for", ())),
        method == b"GET" and not http10 and _asks_for_websocket(fields, options),
        fit_id(fields.own.get(FIELD, ())),
        not _TOLD.isdisjoint(fields.own),
        _only(fields.own.get(b"x-forwarded-proto", ())),
        _only(fields.own.get(b"x-forwarded-host", ())),
    )


def _only(values: Sequence[bytes]) -> bytes:
    """A value that is said once; of several nobody knows which one was meant."""
    return values[0] if len(values) == 1 else b""


def _request_line(head: bytes, limits: HeadLimits) -> tuple[bytes, bytes, bool, int]:
    line = _match_line(head)
    if not line:
        other = _match_other_version(head)
        raise FramingError("malformed request line", 505 if other else 400)
    method, target, major, minor = line.groups()
    if major != b"1" or minor not in b"01":
        raise FramingError("HTTP version other than 1.0 and 1.1", 505)
    if method not in METHODS:
        raise FramingError("unknown method", 501)
    if len(target) > limits.target:
        raise FramingError("target too long", 414)
    fields_end = match_fields_end(head, line.end())
    if not fields_end or fields_end.end() != len(head):
        raise FramingError("malformed field")
    return method, target, minor == b"0", line.end()


def _authority(method: bytes, target: bytes, fields: Fields, http10: bool) -> tuple[bytes, bytes]:
    hosts = fields.own.get(b"host", [])
    if len(hosts) > 1 or (not hosts and not http10):
        raise FramingError("none or more than one Host")
    host = hosts[0] if hosts else b""
    if hosts and not fullmatch_host(host):
        raise FramingError("malformed Host")
    if target[:1] == b"/" or (target == b"*" and method == b"OPTIONS"):
        return target, host
    absolute = _match_absolute(target)
    if not absolute:
        raise FramingError("malformed target")
    authority, rest = absolute.groups()
    if not fullmatch_host(authority) or (hosts and authority.lower() != host.lower()):
        raise FramingError("target and Host disagree")
    return rest if rest[:1] == b"/" else b"/" + rest, authority


def _framing(length: int | None) -> bytes:
    if length is None:
        return b""
    return b"Transfer-Encoding: chunked\r\n" if length == CHUNKED else b"Content-Length: %d\r\n" % length


def _asks_for_websocket(fields: Fields, options: list[bytes]) -> bool:
    asked = fields.own.get(b"upgrade")
    return asked is not None and b"upgrade" in options and [name.lower() for name in asked] == [b"websocket"]


def _expects_continue(fields: Fields, http10: bool) -> bool:
    expectations = fields.own.get(b"expect")
    if not expectations or http10:  # RFC 9110: an expectation of HTTP/1.0 is ignored
        return False
    if len(expectations) > 1 or expectations[0].lower() != b"100-continue":
        raise FramingError("unknown expectation", 417)
    return True
