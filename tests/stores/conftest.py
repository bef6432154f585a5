"""Stores on real servers, the same tests for both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
from switchgear.stores.redis.store import RedisCircuitBreakerStore
from tests.servers.patience import PATIENCE, allow
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

AnyStore = RedisCircuitBreakerStore | PostgresCircuitBreakerStore


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(PATIENCE, monkeypatch)


@dataclass
class Backend:
    """A server, and stores on it that share circuits with each other and with no other test."""

    server: RedisServer | PostgresServer
    namespace: str

    @property
    def url(self) -> str:
        return self.server.url if isinstance(self.server, RedisServer) else self.server.dsn

    def store(self, **options: Any) -> AnyStore:
        options.setdefault("namespace", self.namespace)
        options.setdefault("staleness", PATIENCE)  # a subscription whose server is slower ends
        if isinstance(self.server, RedisServer):
            return RedisCircuitBreakerStore(self.url, **options)
        return PostgresCircuitBreakerStore(self.url, **options)


@pytest.fixture(params=["redis", "postgres"])
def backend(request: pytest.FixtureRequest) -> Backend:
    server = request.getfixturevalue(f"{request.param}_server")
    return Backend(server, secrets.token_hex(4))


@pytest.fixture(params=[RedisServer, PostgresServer], ids=["redis", "postgres"])
def own_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A server of its own, for tests that disturb it."""
    with request.param() as server:
        yield Backend(server, "own")
