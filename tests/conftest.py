"""What all tests share."""

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a program that is not here: it can't be had with pip."""
    if shutil.which("pgbouncer"):
        return
    without = [item for item in items if item.get_closest_marker("pgbouncer")]
    items[:] = [item for item in items if item not in without]
    config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not shutil.which("pgbouncer"):
        terminalreporter.write_line(
            "left out: tests marked `pgbouncer`, which is not installed (Debian: apt-get install pgbouncer)"
        )


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
