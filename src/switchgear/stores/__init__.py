"""Where circuits are kept when more than one breaker, or more than one process, is to see them.

The stores that need a driver, and asyncio with it, are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from switchgear.stores.memory import InMemoryCircuitBreakerStore
from switchgear.stores.protocol import CircuitBreakerStore
from switchgear.stores.url import store_from_url

if TYPE_CHECKING:
    from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
    from switchgear.stores.redis.store import RedisCircuitBreakerStore

__all__ = [
    "CircuitBreakerStore",
    "InMemoryCircuitBreakerStore",
    "PostgresCircuitBreakerStore",
    "RedisCircuitBreakerStore",
    "store_from_url",
]

_LATE = {
    "PostgresCircuitBreakerStore": "switchgear.stores.postgres.store",
    "RedisCircuitBreakerStore": "switchgear.stores.redis.store",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
