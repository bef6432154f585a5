"""The circuits of all workers, in the memory of the supervisor."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from switchgear.stores.coordinator import Coordinator
from switchgear.stores.socket.server import CircuitServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from switchgear.gateway.config.model import State

LONGEST_DIRECTORY: Final = 60
"""Bytes; the path of a Unix socket has room for about a hundred."""
SHORT_DIRECTORY: Final = "/tmp"  # a directory of our own is made in it


@asynccontextmanager
async def shared_circuits(state: State) -> AsyncGenerator[Path | None]:
    """The socket at which workers find them; `None` when a server outside keeps them."""
    if state.type != "memory":
        yield None
        return
    with _private_directory() as directory:
        path = directory / "circuits"
        server = CircuitServer(Coordinator(_clock()), path)
        await server.start()
        try:
            yield path
        finally:
            await server.aclose()


@contextmanager
def _private_directory() -> Generator[Path]:
    """Only this user can enter it: who opens the socket may open and close circuits."""
    too_long = len(os.fsencode(tempfile.gettempdir())) > LONGEST_DIRECTORY
    with tempfile.TemporaryDirectory(prefix="switchgear-", dir=SHORT_DIRECTORY if too_long else None) as name:
        yield Path(name)


def _clock() -> Callable[[], int]:
    """Milliseconds since the epoch that never go back: open times must not jump when the host's clock is
    set."""
    offset = time.time() - time.monotonic()
    return lambda: round((offset + time.monotonic()) * 1000)
