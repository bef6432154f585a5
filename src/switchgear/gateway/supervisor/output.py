"""The workers' standard output, passed on by whole lines."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final

PIECE: Final = 256 * 1024
LONGEST_LINE: Final = 1024 * 1024


class Output:
    """Writes to a file descriptor in a thread of its own.

    A daemon thread: nobody may read what we write, and then it never ends. Workers wait meanwhile; their logs
    have bounds of their own.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: SimpleQueue[tuple[bytes, Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, name="switchgear-output", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Returns when all is written, or can't be: then it is lost."""
        written: Future[None] = Future()
        self._queue.put((data, written))
        await asyncio.wrap_future(written)

    def _run(self) -> None:
        while True:
            data, written = self._queue.get()
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                pass  # whoever read it is gone; requests are still served
            written.set_result(None)


async def relay(source: asyncio.StreamReader, output: Output) -> None:
    """Pass lines on until the end. Written by each worker itself, long ones would be torn in a pipe."""
    rest = b""
    while piece := await source.read(PIECE):
        lines, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            await output.write(lines + newline)
        if len(rest) > LONGEST_LINE:
            await output.write(rest)
            rest = b""
    if rest:  # of one that was killed in the middle of a line
        await output.write(rest + b"\n")
