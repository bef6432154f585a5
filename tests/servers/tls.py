"""TLS in front of a server that has none: the servers that pip brings are built without."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""What a PostgreSQL client asks with, in the clear, whether it may begin TLS."""


class TlsFront:
    """Takes TLS on a port of its own, by the certificate of its own authority, and passes all bytes on."""

    def __init__(self, port: int, directory: Path, *, postgres: bool = False) -> None:
        self._behind = port
        self._postgres = postgres
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.foreign_ca = directory / "foreign.pem"
        authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.foreign_ca)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        self.connections = 0
        """That came as far as TLS."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-front")

    def __enter__(self) -> Self:
        self._thread.start()
        at_once = None if self._postgres else self._context
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=at_once))
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Of a connection whose handshake goes on, or wrong, no task knows; and sockets are closed a turn of
        # the loop after their transports. What is left at the end is the loop's own.
        watched = self._loop._selector.get_map()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            while len(watched) > 1:  # noqa: ASYNC110 - sockets set no event
                await asyncio.sleep(0.002)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if self._postgres:
                    if await near.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                        return
                    back.write(b"S")
                    await back.start_tls(self._context)
                self.connections += 1
                await self._pass_on(near, back)
        finally:
            back.transport.abort()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = [asyncio.create_task(self._carry(*way)) for way in ((near, forth), (far, back))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.transport.abort()

    @staticmethod
    async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
