"""`X-Request-Id`: one name for a request in the logs of all who take part in it."""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIELD: Final = b"x-request-id"
_NAME: Final = b"X-Request-Id: "
_LARGE_Q, _SMALL_Q = b"Qq"
_match_id = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}").fullmatch


def id_lines() -> Callable[[], bytes]:
    """A source of lines, each with an id of its own.

    Each process has a source of its own; a number after a random part costs less than chance for each
    request, and without a function of ours it costs half of that.
    """
    line = id_line(b"%b-%%x" % secrets.token_hex(8).encode())
    return map(line.__mod__, count(1)).__next__


def fit_id(values: Sequence[bytes]) -> bytes:
    """The id that a client sent, or nothing: two of them, or one that could break a log, are replaced."""
    return values[0] if len(values) == 1 and _match_id(values[0]) else b""


def id_line(request_id: bytes) -> bytes:
    return b"%b%b\r\n" % (_NAME, request_id)


def id_in(line: bytes) -> str:
    """The id of a line."""
    return line[len(_NAME) : -2].decode()


def lacks_id(lines: bytes) -> bool:
    """Whether the field is not in these lines, of which something may stand before the first one."""
    # Hardly any field has a letter q: most are done without a copy in lower case. (To look for a number is
    # quick; for bytes of length one, Python first tries whether they are a number.)
    return not ((_SMALL_Q in lines or _LARGE_Q in lines) and b"\nx-request-id:" in b"\n" + lines.lower())
