"""The access log: one line a request, written in the background.

Lines do not go through `logging`, which would cost more than the rest of a request. They are gathered and
written by a thread, so that a slow disk or a full pipe never holds up the loop; what does not fit into the
bound is counted.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from switchgear.gateway.access_line import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("switchgear")

FLUSH_INTERVAL: Final = 0.2  # seconds
MAX_WAITING: Final = 4 * 1024 * 1024  # bytes


class Stream(Protocol):
    """Where lines go."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...
    def close(self) -> object: ...


def open_log(access: bool | str) -> AccessLog | None:
    """By the configuration: `True` for standard output, `False` for none, or a file's name.

    Raises `OSError` when the file can't be opened.
    """
    if access is False:
        return None
    if access is True:
        return AccessLog(lambda: sys.stdout.buffer)
    # Unbuffered: several processes append to the file, each a whole number of lines at once.
    return AccessLog(lambda: Path(access).open("ab", buffering=0))


class AccessLog:
    """Writes lines to what `open_stream` gives; `wall_clock` gives seconds since the epoch."""

    def __init__(
        self, open_stream: Callable[[], Stream], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.dropped = 0
        """Lines that found no room, or could not be written."""
        self._open_stream = open_stream
        self._stream = open_stream()
        self._reopening = False
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._lines = self._size = 0
        self._unreported = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def add(self, lines: bytes, count: int) -> None:
        """Adds `count` whole lines.

        In one piece: thousands that wait in pieces of their own would push all else out of the caches.
        """
        if self._size > MAX_WAITING:
            self._lose(count)
            return
        self._size += len(lines)
        self._lines += count
        self._waiting.append(lines)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL, self._flush)

    def reopen(self) -> None:
        """Writes to a stream that is opened anew: the file was moved away."""
        self._reopening = True
        if self._timer is None:
            self._timer = self._loop.call_later(0, self._flush)

    async def close(self) -> None:
        """Writes what is left, and closes a file (not standard output)."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        await asyncio.to_thread(self._put, *self._take())
        if self._stream is not sys.stdout.buffer:
            self._stream.close()

    def _lose(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines

    def _flush(self) -> None:
        if self._writing is None or self._writing.done():
            self._timer = None
            self._writing = self._loop.run_in_executor(None, self._put, *self._take())
        else:  # the stream is slow: lines gather up to the bound
            self._timer = self._loop.call_later(FLUSH_INTERVAL, self._flush)

    def _take(self) -> tuple[list[bytes], int]:
        waiting, lines = self._waiting, self._lines
        self._waiting, self._lines, self._size = [], 0, 0
        if self._unreported:
            now = text_of(int(self._wall_clock() * 1000))
            waiting.append(b'{"time":"%b","msg":"lines lost","lines":%d}\n' % (now, self._unreported))
            lines += 1
            self._unreported = 0
        return waiting, lines

    def _put(self, waiting: list[bytes], lines: int) -> None:
        try:
            if self._reopening:
                self._renew()
            self._stream.write(b"".join(waiting))
            self._stream.flush()
        except OSError as error:  # a full disk, a reader that is gone: requests are still served
            logger.error("the access log can't be written: %s; %d lines are lost", error, lines)  # noqa: TRY400 - the reason is all there is to tell
            self._loop.call_soon_threadsafe(self._lose, lines)

    def _renew(self) -> None:
        self._reopening = False
        if self._stream is not sys.stdout.buffer:
            before, self._stream = self._stream, self._open_stream()
            before.close()
