"""Three small HTTP services that misbehave on a schedule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CYCLE: Final = 15.0
"""Seconds after which every schedule begins again."""
SLOW: Final = 0.6
"""Seconds that a slow answer takes."""
_SOUND: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
_BROKEN: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Mood(StrEnum):
    """How a service treats requests; the text completes the sentence "now it ..."."""

    SOUND = "answers well"
    FAILING = "answers 500"
    SLOW = "takes too long"
    DROPPING = "hangs up without an answer"


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its bad time within each cycle, in seconds."""

    name: str
    mood: Mood
    begin: float
    end: float

    def mood_at(self, elapsed: float) -> Mood:
        """The mood `elapsed` seconds after the start."""
        return self.mood if self.begin <= elapsed % CYCLE < self.end else Mood.SOUND


SERVICES: Final = (
    Service("catalog", Mood.FAILING, 2, 5),
    Service("search", Mood.SLOW, 6, 9),
    Service("payments", Mood.DROPPING, 10, 12),
)


@contextlib.asynccontextmanager
async def running(service: Service, elapsed: Callable[[], float]) -> AsyncGenerator[int, None]:
    """Runs a service on a free port, and gives that."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _converse(reader, writer, lambda: service.mood_at(elapsed()))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mood: Callable[[], Mood]
) -> None:
    """Answers requests without a body, one after another, until a bad mood ends the connection."""
    while await reader.readuntil(b"\r\n\r\n"):
        match mood():
            case Mood.DROPPING:
                return
            case Mood.FAILING:
                writer.write(_BROKEN)
            case Mood.SLOW:
                await asyncio.sleep(SLOW)
                writer.write(_SOUND)
            case Mood.SOUND:
                writer.write(_SOUND)
        await writer.drain()
