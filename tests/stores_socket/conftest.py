"""A coordinator behind a real Unix socket."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from switchgear.stores.coordinator import Coordinator
from switchgear.stores.socket.server import CircuitServer
from switchgear.stores.socket.store import SocketCircuitStore
from tests.servers.patience import PATIENCE, allow


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(PATIENCE, monkeypatch)


class Served:
    """A server at a path, which can be stopped and started again with nothing in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ms = 1_000_000
        self.coordinator = Coordinator(self._tick)
        self._server = CircuitServer(self.coordinator, path)

    def _tick(self) -> int:
        # Of a push and a reply that come out of order, the later one counts, which their times tell. Here
        # everything happens within the same millisecond, and a clock that stood still would tell nothing.
        self.now_ms += 1
        return self.now_ms

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.aclose()

    async def restart_empty(self) -> None:
        await self.stop()
        self.coordinator = Coordinator(self._tick)
        self._server = CircuitServer(self.coordinator, self.path)
        await self.start()


@pytest.fixture
def path() -> Iterator[Path]:
    # pytest's own directories may be too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="sg-") as directory:
        yield Path(directory) / "circuits"


@pytest.fixture
async def served(path: Path) -> AsyncIterator[Served]:
    running = Served(path)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def store(served: Served) -> AsyncIterator[SocketCircuitStore]:
    async with SocketCircuitStore(served.path) as made:
        yield made
