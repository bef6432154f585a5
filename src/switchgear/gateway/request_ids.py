"""`X-Request-Id`: one name for a request in the logs of all who take part in it."""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELD: Final = b"x-request-id"
_match_id = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}").fullmatch


def request_ids() -> Callable[[], bytes]:
    """A source of ids. Each process has one of its own; a number after a random part costs less than chance
    for each request."""
    prefix = secrets.token_hex(8).encode()
    numbers = count(1)
    return lambda: b"%b-%x" % (prefix, next(numbers))


def fit_id(values: Sequence[bytes]) -> bytes:
    """The id that a client sent, or nothing: two of them, or one that could break a log, are replaced."""
    return values[0] if len(values) == 1 and _match_id(values[0]) else b""


def id_line(request_id: bytes) -> bytes:
    return b"X-Request-Id: %b\r\n" % request_id


def lacks_id(lines: bytes) -> bool:
    """Whether the field is not in these lines, of which something may stand before the first one."""
    return b"\nx-request-id:" not in b"\n" + lines.lower()
