"""The last good answers of services, for parts of merged routes that may be answered with them.

One client never gets what another was told. The key has the whole request in it, headers too, except the few
that are known to tell neither who asks nor for what: a field that nobody thought of (`X-Api-Key`, `X-Tenant`)
separates.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from switchgear.gateway.exchange import BufferedResponse

if TYPE_CHECKING:
    from switchgear.gateway.exchange import Request

# Addresses are in this list, since the field names every client: what a service says by address alone is not
# private.
_NOT_IDENTITY: Final = frozenset(
    (
        b"accept-encoding cache-control content-length date dnt if-modified-since if-none-match "
        b"if-range max-forwards origin-agent-cluster pragma priority range referer sec-fetch-dest "
        b"sec-fetch-mode sec-fetch-site sec-fetch-user sec-gpc te traceparent tracestate "
        b"upgrade-insecure-requests user-agent via x-amzn-trace-id x-b3-sampled x-b3-spanid "
        b"x-b3-traceid x-correlation-id x-forwarded-for x-forwarded-port x-real-ip x-request-id"
    ).split()
)
_ENTRY_COST: Final = 512  # bytes of what an entry is beside its body


def request_key(scope: str, request: Request) -> bytes:
    """Tells requests apart that may have different answers; `scope` names the route and its part."""
    digest = hashlib.blake2b(digest_size=16)
    who = sorted(field for field in request.headers if field[0] not in _NOT_IDENTITY)
    for text in (scope.encode(), request.target, request.host, *(text for field in who for text in field)):
        # With its length before it, no text can pass for the end of one and the start of another.
        digest.update(b"%d:" % len(text))
        digest.update(text)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class _Entry:
    response: BufferedResponse
    stored: float

    @property
    def size(self) -> int:
        return len(self.response.body) + _ENTRY_COST


class StaleStore:
    """Statuses and bodies, bounded by number and by bytes; what was stored longest ago goes first.

    Fields are not kept: cookies and dates of an earlier answer are not repeated. Bodies are kept as they
    came, since a parsed one may be thirty times as large.
    """

    __slots__ = ("_bytes", "_entries", "_max_bytes", "_max_entries")

    def __init__(self, max_entries: int = 4096, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._bytes

    def put(self, key: bytes, response: BufferedResponse, now: float) -> None:
        """Keeps an answer, unless it is larger than the whole store may be."""
        self.forget(key)
        entry = _Entry(BufferedResponse(response.status, [], response.body), now)
        if entry.size > self._max_bytes:
            return
        self._entries[key] = entry
        self._bytes += entry.size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self.forget(next(iter(self._entries)))

    def get(self, key: bytes, max_age: float, now: float) -> tuple[BufferedResponse, float] | None:
        """The answer and its age in seconds, when it is no older than `max_age`."""
        entry = self._entries.get(key)
        if entry is None or now - entry.stored > max_age:
            return None
        return entry.response, now - entry.stored

    def forget(self, key: bytes) -> None:
        """Removes an answer that does not hold any more, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
