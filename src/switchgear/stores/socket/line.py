"""One connection to a `CircuitServer`: questions go out at once, answers come in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, Final

from switchgear.stores.socket.frames import FrameError, pack_message, read_message

ANSWER_SECONDS: Final = 0.5
"""A server on the same machine that takes longer hangs: the connection is given up, and so is all that waits
on it."""
MOST_WAITING: Final = 1024


class Line:
    """Connects when it is used, and again after a loss. For one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[dict[str, Any]]] = deque()

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer. Raises `OSError` (`TimeoutError` too) when there is none: then it may still have been
        done."""
        frame = pack_message(message)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                try:
                    answer = await self._send(await self._connected(), frame)
                except ConnectionResetError:
                    # A server that was started anew is noticed only now. Operations may be sent twice.
                    answer = await self._send(await self._connected(), frame)
        except TimeoutError:
            self._drop()
            raise TimeoutError(f"the supervisor did not answer within {ANSWER_SECONDS:g} s") from None
        if "error" in answer:
            raise ConnectionError(f"the supervisor: {answer['error']}")
        return answer

    async def aclose(self) -> None:
        """Safe to call twice."""
        reading = self._reading
        self._drop()
        if reading is not None:
            await asyncio.wait({reading})

    def _send(self, writer: asyncio.StreamWriter, frame: bytes) -> asyncio.Future[dict[str, Any]]:
        if len(self._waiting) >= MOST_WAITING:
            raise ConnectionError(f"{MOST_WAITING} questions wait for the supervisor")
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Who stops waiting leaves its place in the line: the answer will come all the same.
        self._waiting.append(answer)
        writer.write(frame)
        return answer

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await read_message(reader)
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(message)
        except (OSError, asyncio.IncompleteReadError, FrameError, IndexError):
            pass  # IndexError: an answer that nobody asked for
        finally:
            if self._writer is writer:
                self._drop()

    def _drop(self) -> None:
        """End the connection; who waits on it hears so."""
        writer, self._writer = self._writer, None
        reading, self._reading = self._reading, None
        waiting, self._waiting = self._waiting, deque()
        if writer is not None:
            writer.transport.abort()
        if reading is not None:
            reading.cancel()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(ConnectionResetError("the connection to the supervisor is lost"))
