"""Heads of answers, as they are sent to a client."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from switchgear.gateway.http1.fields import join_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


def connection_field(keep_alive: bool, http10: bool) -> bytes:
    """What the client has to be told about its connection: only what differs from its version's habit."""
    if not keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if http10 else b""


def write_head(status: int, reason: bytes, fields: bytes, more: bytes) -> bytes:
    """A head; `fields` and `more` are complete lines."""
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, reason or _REASONS.get(status, b""), fields, more)


def write_answer(
    status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, connection: bytes, to_head: bool
) -> bytes:
    """A whole answer, its body left out for HEAD and for the statuses that have none."""
    empty = status in {204, 304}
    length = b"" if empty else b"Content-Length: %d\r\n" % len(body)
    head = write_head(status, b"", join_fields(headers), length + connection)
    return head if empty or to_head else head + body


def date_field() -> tuple[bytes, bytes]:
    """`Date`, which answers of the gateway's own carry: it is their origin."""
    return (b"date", _date(int(time.time())))


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
