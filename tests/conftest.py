"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests that do not disturb it; each uses keys or a prefix of its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for all tests that do not disturb it."""
    with PostgresServer() as server:
        yield server
