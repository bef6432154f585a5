"""A store from a URL: the scheme says which, the query holds its options by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

if TYPE_CHECKING:
    from switchgear.stores.memory import InMemoryCircuitBreakerStore
    from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
    from switchgear.stores.redis.store import RedisCircuitBreakerStore

    Store: TypeAlias = InMemoryCircuitBreakerStore | PostgresCircuitBreakerStore | RedisCircuitBreakerStore

_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"must be one of {', '.join(_TRUTH)}")
    return _TRUTH[text.lower()]


_SHARED: Final[dict[str, Callable[[str], Any]]] = {
    "namespace": str,
    "staleness": float,
    "lease_timeout": float,
    "idle_ttl": float,
    "listen": _truth,
    "max_connections": int,
}


class _Kind(NamedTuple):
    make: Callable[[str, dict[str, Any]], Store]
    options: Mapping[str, Callable[[str], Any]]
    driver: frozenset[str] = frozenset()
    """What stays in the URL, for the driver to read."""


def _memory(_: str, options: dict[str, Any]) -> Store:
    from switchgear.stores.memory import InMemoryCircuitBreakerStore

    return InMemoryCircuitBreakerStore(**options)


def _redis(url: str, options: dict[str, Any]) -> Store:
    from switchgear.stores.redis.store import RedisCircuitBreakerStore

    return RedisCircuitBreakerStore(url, **options)


def _postgres(url: str, options: dict[str, Any]) -> Store:
    from switchgear.stores.postgres.store import PostgresCircuitBreakerStore

    return PostgresCircuitBreakerStore(url, **options)


_MEMORY = _Kind(_memory, {"limit": int})
_REDIS = _Kind(
    _redis,
    {**_SHARED, "prefix": str},
    frozenset(
        {
            "db",
            "protocol",
            "ssl_ca_certs",
            "ssl_cert_reqs",
            "ssl_certfile",
            "ssl_check_hostname",
            "ssl_keyfile",
        }
    ),
)
_POSTGRES = _Kind(
    _postgres,
    {**_SHARED, "table": str, "create_schema": _truth, "listen_dsn": str},
    frozenset(
        {
            "application_name",
            "channel_binding",
            "connect_timeout",
            "dbname",
            "gssencmode",
            "host",
            "hostaddr",
            "keepalives",
            "keepalives_count",
            "keepalives_idle",
            "keepalives_interval",
            "options",
            "passfile",
            "password",
            "port",
            "service",
            "sslcert",
            "sslkey",
            "sslmode",
            "sslpassword",
            "sslrootcert",
            "target_session_attrs",
            "tcp_user_timeout",
            "user",
        }
    ),
)
_KINDS: Final = {
    "memory": _MEMORY,
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+cluster": _REDIS,
    "rediss+cluster": _REDIS,
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
}


def store_from_url(url: str) -> Store:
    """The store that `url` names, with the options of its constructor as query parameters. Opens no
    connection.

    `memory://`, `redis://`, `rediss://`, `redis+cluster://`, `postgresql://`. Raises `ValueError` for another
    scheme, an unknown option or a bad value, `ImportError` when the driver is not installed.
    """
    parts = urlsplit(url)
    kind = _KINDS.get(parts.scheme)
    if kind is None:
        raise ValueError(f"a store's URL with scheme {parts.scheme!r}: allowed are {', '.join(_KINDS)}")
    options, rest = _options(parts, kind)
    # Not by `geturl`, which loses the empty host of `postgresql:///name`; and libpq knows no + for a blank.
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return kind.make(url.partition("?")[0] + query, options)


def _options(parts: SplitResult, kind: _Kind) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    options: dict[str, Any] = {}
    rest: list[tuple[str, str]] = []
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name in kind.driver:
            rest.append((name, text))
        elif name not in kind.options:
            allowed = ", ".join(sorted({*kind.options, *kind.driver}))
            raise ValueError(f"unknown option {name!r} in a {parts.scheme}:// URL: allowed are {allowed}")
        elif name in options:
            raise ValueError(f"option {name!r} is given twice in a {parts.scheme}:// URL")
        else:
            options[name] = _value(name, text, kind.options[name])
    return options, rest


def _value(name: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"option {name}={text!r} of a store's URL: {error}") from None
