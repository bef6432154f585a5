"""Several JSON answers as one, without touching a value.

Objects are merged member by member, one level deep, in declared order; of two members of one name the later
one stays. A value is never parsed into a number or a text: what a service wrote (`1.10`, 23 digits, `1e400`,
`\\u00e9`) is spliced in byte for byte. Names of members are compared as texts, so they may come out spelled
with other escapes.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from collections.abc import Iterable

Members = dict[str, Raw]

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_VALUE: Final = msgspec.json.Decoder(Raw)
_BOM: Final = b"\xef\xbb\xbf"

# Half a surrogate pair, `"\ud83d"`, is grammatical JSON, and common where a text was cut by UTF-16 units; the
# decoder refuses it. It is hidden behind a word that no service can guess, and put back afterwards.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_HIDDEN: Final = secrets.token_hex(16)


class UnmergeableError(ValueError):
    """A part can't be merged; the text says why in words for the client."""


class _NotJsonError(UnmergeableError):
    """The decoder refuses the text as such, whatever was expected."""


def read_members(body: bytes, merge_field: str | None = None) -> Members:
    """What a part adds to the merged object: its own members, or itself under `merge_field`.

    An empty body adds nothing. Raises `UnmergeableError` for anything but JSON in UTF-8, and without
    `merge_field` for anything but an object.
    """
    body = body.removeprefix(_BOM)
    if not body.strip(b" \t\r\n"):
        return {}
    _check_utf8(body)
    try:
        return _read(body, merge_field)
    except _NotJsonError:
        masked = _ESCAPE.sub(_hide_lone_surrogate, body)
        if masked == body:
            raise
        return _unmasked(_read(masked, merge_field))


def merge(parts: Iterable[Members]) -> bytes:
    """The merged object; `parts` in declared order."""
    merged: Members = {}
    for members in parts:
        merged.update(members)
    return msgspec.json.encode(merged)


def merged_status(statuses: Iterable[int]) -> int:
    """The status of an answer merged of successes: the one that all agree on, otherwise 200."""
    distinct = set(statuses)
    return distinct.pop() if len(distinct) == 1 else 200


def _check_utf8(body: bytes) -> None:
    """The decoder looks at a value's structure only, and would pass on bytes that are no text."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError:
        raise UnmergeableError("is not UTF-8") from None


def _read(body: bytes, merge_field: str | None) -> Members:
    try:
        return _OBJECT.decode(body) if merge_field is None else {merge_field: _VALUE.decode(body)}
    except msgspec.ValidationError:
        raise UnmergeableError("is no JSON object and needs a mergeField") from None
    except msgspec.DecodeError:
        raise _NotJsonError("is not JSON") from None
    except RecursionError:
        raise UnmergeableError("is nested too deeply") from None


def _hide_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    lone = escape[1]
    return _HIDDEN.encode() + lone if lone else escape[0]


def _unmasked(members: Members) -> Members:
    if any(_HIDDEN in name for name in members):
        raise UnmergeableError("has a member whose name is no text")
    return {name: Raw(bytes(value).replace(_HIDDEN.encode(), b"\\u")) for name, value in members.items()}
