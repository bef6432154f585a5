"""A way to a store that loses answers: the server has done what was asked, and nobody learns of it."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

VIEW = b'"now"'
"""What every answer to an operation contains, with either server, and the server's greetings do not."""


class LossyWay:
    """Passes all bytes on, but instead of a `share` of answers both ends see the connection break."""

    def __init__(self, url: str, share: float = 0.2, seed: int = 1) -> None:
        self._parts = urlsplit(url)
        self._share = share
        self._chance = Random(seed)
        self.answers = 0
        self.lost = 0
        self._doomed = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lossy-way")

    @property
    def url(self) -> str:
        """The store's, by this way."""
        user = f"{self._parts.username}@" if self._parts.username else ""
        return self._parts._replace(netloc=f"{user}127.0.0.1:{self._port}").geturl()

    def lose_next(self, answers: int) -> None:
        """Lose that many for certain."""
        self._doomed = answers

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.02)  # sockets are closed a turn of the loop after their transports

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(near, back)
        finally:
            back.transport.abort()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        assert self._parts.hostname is not None
        far, forth = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        ways = [
            asyncio.create_task(self._carry(near, forth, loses=False)),
            asyncio.create_task(self._carry(far, back, loses=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.transport.abort()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, loses: bool
    ) -> None:
        while data := await source.read(65536):
            if loses and VIEW in data:
                self.answers += 1
                if self._doomed or self._chance.random() < self._share:
                    self._doomed = max(0, self._doomed - 1)
                    self.lost += 1
                    return
            target.write(data)
            await target.drain()
