"""Who is believed what he says of the client before him: `X-Forwarded-*`, `X-Request-Id`, `traceparent`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.model import HeaderRules
from switchgear.gateway.http1.grammar import fullmatch_host
from switchgear.gateway.http1.rules import FieldRules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from switchgear.gateway.config.model import Network
    from switchgear.gateway.http1.request import RequestHead

REMEMBERED: Final = 4096
"""Addresses and rows of addresses that need not be looked at again."""
_SCHEMES: Final = frozenset((b"http", b"https"))
_TRACE: Final = FieldRules(HeaderRules(remove=("traceparent", "tracestate")))


class Trust:
    """What of a request's head is believed, by who sends it.

    `proxies`: the networks of proxies before this gateway. `None`, nothing is known of them: rows of
    addresses, ids and traces go on, protocol and host are what the connection says.
    """

    __slots__ = ("_believes", "_client", "_proxies", "strict")

    def __init__(self, proxies: Sequence[Network] | None) -> None:
        self.strict: Final = proxies is not None
        """Whether it has to be asked of every request, not only of those that say something."""
        self._proxies = tuple(proxies or ())
        self._believes = lru_cache(REMEMBERED)(self._is_proxy)
        self._client = lru_cache(REMEMBERED)(self._first_stranger)

    def seen(self, peer: str, head: RequestHead) -> RequestHead:
        """The head as far as it is believed."""
        if not self.strict:
            return replace(head, claimed_proto=b"", claimed_host=b"")
        if not self._believes(peer):
            return replace(
                head,
                claimed_proto=b"",
                claimed_host=b"",
                forwarded_for=b"",
                request_id=b"",
                fields=_TRACE.lines(head.fields),
            )
        return replace(
            head,
            claimed_proto=head.claimed_proto if head.claimed_proto in _SCHEMES else b"",
            claimed_host=head.claimed_host if fullmatch_host(head.claimed_host) else b"",
            client=self._client(head.forwarded_for) if head.forwarded_for else "",
        )

    def _is_proxy(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._proxies)

    def _first_stranger(self, forwarded_for: bytes) -> str:
        """The nearest address in a row that is no proxy; what stands before it anybody may have written.

        Where all are proxies, the first; empty where the nearest is no address at all.
        """
        nearest = ""
        for part in reversed(forwarded_for.decode("latin-1").split(",")):
            parsed = _parsed(_without_port(part.strip()))
            if parsed is None:
                break
            nearest = str(parsed)
            if not self._believes(nearest):
                break
        return nearest


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # What a socket for both families says of an IPv4 peer.
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _without_port(address: str) -> str:
    """Some proxies write the port behind it."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
