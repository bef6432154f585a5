"""Eight processes and two servers for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.patience import PATIENCE, allow
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.shared.backends import Backend, PostgresBackend, RedisBackend
from tests.shared.fleet import Fleet


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(PATIENCE, monkeypatch)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


@pytest.fixture(params=["redis", "postgres"])
def backend(request: pytest.FixtureRequest) -> Backend:
    server = request.getfixturevalue(f"{request.param}_server")
    return RedisBackend(server) if isinstance(server, RedisServer) else PostgresBackend(server)


@pytest.fixture(params=["redis", "postgres"])
def own_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A server of its own, for tests that disturb it."""
    if request.param == "redis":
        with RedisServer() as redis:
            yield RedisBackend(redis)
    else:
        with PostgresServer() as postgres:
            yield PostgresBackend(postgres)
