"""Connections to Redis, by redis-py, which is imported only here and only when a store is made."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

from switchgear.stores.shared import OPERATION_SECONDS

SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster")


def checked_client(client_or_url: object) -> str:
    """The URL, or empty for a usable client; otherwise `ValueError`, `TypeError` or `ImportError`."""
    redis = _redis()
    if isinstance(client_or_url, str):
        scheme = urlsplit(client_or_url).scheme
        if scheme not in SCHEMES:
            raise ValueError(f"Redis URL with scheme {scheme!r}: allowed are {', '.join(SCHEMES)}")
        return client_or_url
    if not isinstance(client_or_url, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        raise TypeError(
            "a Redis store takes a URL or a client of redis.asyncio (Redis or RedisCluster), "
            f"got {type(client_or_url).__module__}.{type(client_or_url).__qualname__}"
        )
    return ""


def _redis() -> Any:
    try:
        import redis.asyncio  # pyright: ignore[reportUnusedImport] - loads the submodule
    except ImportError as error:
        raise ImportError("a Redis store needs redis-py: pip install 'switchgear[redis]'") from error
    return redis


class Connection:
    """A client for one event loop, and the gate that keeps it within its connections."""

    def __init__(self, client: Any, limit: int) -> None:
        self.client = client
        self.gate = asyncio.Semaphore(limit)


def connect(url: str, max_connections: int) -> Connection:
    """A client that will connect when it is used.

    Its waits are bounded, and it sends again once after a reset.
    """
    redis = _redis()
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {
        "socket_timeout": OPERATION_SECONDS,
        "socket_connect_timeout": OPERATION_SECONDS,
        # A connection that a restarted server has closed is noticed when it is used; operations may be sent
        # twice.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        "max_connections": max_connections,
    }
    scheme, _, rest = url.partition("://")
    if scheme.endswith("+cluster"):
        client = redis.asyncio.RedisCluster.from_url(f"{scheme.removesuffix('+cluster')}://{rest}", **options)
    else:
        client = redis.asyncio.Redis.from_url(url, **options)
    return Connection(client, max_connections)


async def disconnect(connection: Connection) -> None:
    await connection.client.aclose()


async def leave_open(_: Connection) -> None:
    """A client of the user's own is closed by its user."""


async def subscriber(client: Any) -> Any:
    """A client of its own for a subscription, which occupies its connection for good.

    Of a cluster any node will do: a message reaches the subscribers of every node.
    """
    redis = _redis()
    if isinstance(client, redis.asyncio.RedisCluster):
        await client.initialize()
        source = client.get_default_node()
    else:
        source = client.connection_pool
    options = {**source.connection_kwargs, "decode_responses": False}
    pool = redis.asyncio.ConnectionPool(
        connection_class=source.connection_class, max_connections=1, **options
    )
    return redis.asyncio.Redis.from_pool(pool)
