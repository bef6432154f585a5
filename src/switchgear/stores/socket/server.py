"""The circuits of this process, for others on the same machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from pathlib import Path
from typing import Any, Final

from switchgear.stores.socket.frames import FrameError, pack_message, read_message
from switchgear.stores.view import SharedCircuitStore, View
from switchgear.stores.wire import decode, encode_view

logger = logging.getLogger("switchgear")

ANSWER_SECONDS: Final = 5.0
"""A process that does not take its answer by then is given up."""
BACKLOG: Final = 1024 * 1024
"""Bytes of changes that may wait for a subscriber. One that falls behind is dropped: it comes back, and looks
itself."""


class CircuitServer:
    """Serves `store` at the Unix socket `path`, to whoever may open that file.

    server = CircuitServer(store, path)
    await server.start()       # OSError when the socket can't be made
    await server.aclose()
    """

    def __init__(self, store: SharedCircuitStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._closed = False
        # Where a feed stands means nothing to another server at this path: it would skip changes in silence.
        self._era = secrets.token_hex(4)

    async def start(self) -> None:
        """Listen. A socket that a predecessor has left at the path is replaced."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def aclose(self) -> None:
        """End all connections and remove the socket. Safe to call twice."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for connection, writer in self._connections.items():
            connection.cancel()
            writer.transport.abort()  # here: a task that is cancelled before its first step never runs
        if self._connections:
            await asyncio.wait(self._connections)
        self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: the connection has to be known in the same step, or `aclose` would miss it.
        if self._closed:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._connected(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # The end of the other side, in any form, is the normal end; cancelled is what `aclose` does.
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, FrameError, asyncio.CancelledError
            ):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            if message.get("do") == "watch":
                await self._push(reader, writer)
                return
            writer.write(pack_message(await self._answer(message)))
            async with asyncio.timeout(ANSWER_SECONDS):
                await writer.drain()

    # ---- questions ----

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            match message:
                case {"do": "batch", "operations": operations}:
                    return await self._batch(operations)
                case {"do": "changes", "since": since}:
                    return await self._changes(since)
                case _:
                    raise ValueError(f"unknown question {message.get('do')!r}")
        except Exception as error:
            logger.exception("a worker's question about circuits failed")
            return {"error": f"{type(error).__name__}: {error}"}

    async def _batch(self, operations: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        views = await self._store.batch([(key, decode(operation)) for key, operation in operations])
        return {"views": [encode_view(view) for view in views]}

    async def _changes(self, since: tuple[str, object] | None) -> dict[str, Any]:
        era, point = since or (self._era, None)
        foreign = era != self._era
        found = await self._store.changes(None if foreign else point)
        views = [(key, encode_view(view)) for key, view in found.views]
        return {"views": views, "since": (self._era, found.since), "gap": found.gap or foreign}

    # ---- changes as they happen ----

    async def _push(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Report changes until the subscriber leaves or falls behind."""

        def push(message: dict[str, Any]) -> None:
            if writer.transport.get_write_buffer_size() > BACKLOG:
                writer.transport.abort()
            else:
                writer.write(pack_message(message))

        def view(key: str, seen: View) -> None:
            push({"key": key, "view": encode_view(seen)})

        watching = asyncio.ensure_future(
            self._store.watch(view, lambda: push({"gap": True}), lambda: push({}))
        )
        # A subscriber has nothing to say: one that talks is given up like one that leaves.
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({watching, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            leaving.cancel()
            await asyncio.gather(watching, leaving, return_exceptions=True)
