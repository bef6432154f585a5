"""A store in another process of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from switchgear.stores.loops import PerLoop
from switchgear.stores.operations import Operation
from switchgear.stores.shared import OPERATION_SECONDS, SharedStore
from switchgear.stores.socket.frames import pack_message, read_message
from switchgear.stores.socket.line import Line
from switchgear.stores.view import Changes, View
from switchgear.stores.wire import decode_view, encode

SILENCE: Final = 2.0
"""Seconds without a sign of life after which a subscription is dead."""


class SocketCircuitStore(SharedStore):
    """Circuits in the process that runs a `CircuitServer` at `path`.

    No I/O before it is used; it connects again whenever the server is back. The methods raise `OSError`.
    """

    store_name = "of the supervisor"

    def __init__(
        self,
        path: Path,
        *,
        staleness: float | timedelta = 1.0,
        lease_timeout: float | timedelta = 0.25,
    ) -> None:
        # The server keeps circuits as long as it lives: nothing here says when an idle one goes.
        super().__init__(None, staleness, lease_timeout, idle_ttl=timedelta(days=1), max_connections=1)
        self._path = path
        self._lines: PerLoop[Line] = PerLoop(lambda: Line(path), Line.aclose)

    async def aclose(self) -> None:
        """Close the connections; safe to call twice."""
        await self._lines.aclose()

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations; see `SharedCircuitStore`."""
        encoded = [(key, encode(operation)) for key, operation in operations]
        answer = await self._lines.get().ask({"do": "batch", "operations": encoded})
        return [decode_view(view) for view in answer["views"]]

    async def changes(self, since: object | None) -> Changes:
        """Everything that changed after `since`; see `SharedCircuitStore`."""
        answer = await self._lines.get().ask({"do": "changes", "since": since})
        views = tuple((key, decode_view(view)) for key, view in answer["views"])
        return Changes(views, answer["since"], answer["gap"])

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        """Report every change as it happens; see `SharedCircuitStore`."""
        async with self._subscription() as reader:
            while True:
                async with asyncio.timeout(SILENCE):
                    message = await read_message(reader)
                match message:
                    case {"key": key, "view": view}:
                        on_view(key, decode_view(view))
                    case {"gap": _}:
                        on_gap()
                    case _:
                        on_alive()

    @asynccontextmanager
    async def _subscription(self) -> AsyncGenerator[asyncio.StreamReader]:
        # A connection of its own: a burst of changes holds up no answer.
        async with asyncio.timeout(OPERATION_SECONDS):
            reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(pack_message({"do": "watch"}))
            yield reader
        finally:
            writer.transport.abort()
