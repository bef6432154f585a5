"""The access log: one JSON object a line and request, written in the background.

Lines do not go through `logging`, which would cost more than the rest of a request. They are gathered and
written by a thread, so that a slow disk or a full pipe never holds up the loop; what does not fit into the
bound is counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_INTERVAL: Final = 0.2  # seconds
MAX_WAITING: Final = 4 * 1024 * 1024  # bytes


class AccessLog:
    """Writes lines to `stream`; `wall_clock` gives seconds since the epoch."""

    def __init__(self, stream: BinaryIO, wall_clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._second = -1
        self._date = ""

    def write(
        self,
        method: bytes,
        target: bytes,
        status: int,
        seconds: float,
        bytes_out: int,
        origin: str,
        client: str,
        route_fields: str,
    ) -> None:
        """Adds a line, without the target's query, which may carry what is secret."""
        path = target.partition(b"?")[0].decode("latin-1")
        line = (
            f'{{"time":"{self._time()}","http.request.method":"{method.decode()}","url.path":{_quoted(path)},'
            f'"http.response.status_code":{status},"duration_ms":{seconds * 1000:.3f},'
            f'"bytes_out":{bytes_out},"origin":"{origin or "upstream"}","client.address":"{client}"'
            f"{route_fields}}}\n"
        )
        if self._size > MAX_WAITING:
            self._dropped += 1
            return
        self._size += len(line)
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL, self._flush)

    async def close(self) -> None:
        """Writes what is left, and closes a file (not standard output)."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        await asyncio.to_thread(self._put, self._take())
        if self._stream is not sys.stdout.buffer:
            self._stream.close()

    def _flush(self) -> None:
        if self._writing is None or self._writing.done():
            self._timer = None
            self._writing = self._loop.run_in_executor(None, self._put, self._take())
        else:  # the stream is slow: lines gather up to the bound
            self._timer = self._loop.call_later(FLUSH_INTERVAL, self._flush)

    def _take(self) -> list[str]:
        lines, self._lines, self._size = self._lines, [], 0
        if self._dropped:
            lost = {"time": self._time(), "msg": "lines lost", "lines": self._dropped}
            lines.append(json.dumps(lost) + "\n")
            self._dropped = 0
        return lines

    def _put(self, lines: list[str]) -> None:
        self._stream.write("".join(lines).encode())
        self._stream.flush()

    def _time(self) -> str:
        now = self._wall_clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._date}.{int((now - second) * 1000):03d}Z"


def _quoted(text: str) -> str:
    """As a JSON string. Most of what is logged has nothing to escape, which is quickly seen."""
    return json.dumps(text) if '"' in text or "\\" in text or not text.isprintable() else f'"{text}"'
