"""Addresses to listen at, and URLs of services. What is wrong raises `ValueError`, without the value."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address, ip_address, ip_network
from typing import Final, Literal

from switchgear.gateway.config.model import Address, Endpoint, Network
from switchgear.gateway.config.paths import parse_target

_PORTS: Final = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_URL = re.compile(r"(?s)([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(.*))?", re.DOTALL)
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")


MASK: Final = "***"
"""Stands for a secret."""

PRIVATE_NETWORKS: Final[tuple[Network, ...]] = tuple(
    map(
        ip_network,
        (
            *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
            *("::1/128", "fc00::/7", "fe80::/10"),
        ),
    )
)
"""Addresses of a machine itself, of private networks, and of one link."""


def mask_url(url: str) -> str:
    """A URL without what may be a secret: user and password, values of the query."""
    address, mark, query = re.sub(r"(?s)(?<=//).*@", f"{MASK}@", url).partition("?")
    return address + mark + mask_query(query)


def mask_query(query: str) -> str:
    """A query's names. No list of names tells the harmless values: a signature may be called `v`."""
    return "&".join(
        name + (equals and f"{equals}{MASK}")
        for name, equals, _ in (part.partition("=") for part in query.split("&"))
    )


def parse_listen(text: str) -> Address:
    """`HOST:PORT`; port 0 lets the system choose."""
    host, port = _authority(text)
    if port is None:
        raise ValueError("no port")
    return Address(host, port)


def is_loopback(host: str) -> bool:
    """Whether only the machine itself reaches a listener there. Any name but `localhost` may be anywhere."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def parse_url(text: str) -> Endpoint:
    """A service's URL; its path may hold parameters."""
    parts = _URL.fullmatch(text)
    if not parts:
        raise ValueError("not a URL")
    scheme, authority, path, query, fragment = parts.groups()
    if fragment:
        raise ValueError("a service's URL has no fragment")
    if not _QUERY.fullmatch(query or ""):
        raise ValueError("a URL's query has to be legal, and no place for parameters")
    return _endpoint(_scheme(scheme), authority, path, query or "")


def parse_network(text: str) -> Network:
    """`ADDRESS` or `ADDRESS/BITS`."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError("not an address or a network") from None
    raise ValueError("the address has bits outside of its network")


def _endpoint(scheme: Literal["http", "https"], authority: str, path: str, query: str) -> Endpoint:
    if "@" in authority:
        raise ValueError("a service's URL names no user")
    host, port = _authority(authority)
    if port == 0:
        raise ValueError("the port is out of range")
    target = parse_target(path) if path else None
    return Endpoint(scheme, host, port or _PORTS[scheme], target, append_request_path=not path, query=query)


def _scheme(text: str) -> Literal["http", "https"]:
    match text.lower():
        case "http":
            return "http"
        case "https":
            return "https"
        case _:
            raise ValueError("the scheme is not supported")


def _authority(text: str) -> tuple[str, int | None]:
    parts = _AUTHORITY.fullmatch(text)
    if not parts:
        raise ValueError("not an address")
    return _host(parts[1]), _port(parts[2])


def _host(text: str) -> str:
    if not text:
        raise ValueError("no host")
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if not _HOST.fullmatch(text):
        raise ValueError("the host is not a legal name")
    return text.lower()


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise ValueError("the host is not a legal IPv6 address") from None


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError("the port is not a number")
    if len(text) > 5 or int(text) > 65535:
        raise ValueError("the port is over 65535")
    return int(text)
