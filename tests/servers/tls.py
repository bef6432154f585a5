"""TLS in front of a server that has none: the servers that pip brings are built without."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import ssl
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""What a PostgreSQL client asks with, in the clear, whether it may begin TLS."""
STARTING = 60.0


class TlsFront:
    """Takes TLS on a port of its own, by the certificate of its own authority, and passes all bytes on.

    A process of its own: with it ends every connection, in whatever part of a handshake it may be.
    """

    def __init__(self, port: int, directory: Path, *, postgres: bool = False) -> None:
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.foreign_ca = directory / "foreign.pem"
        authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.foreign_ca)
        certificate = directory / "front.pem"
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            certificate
        )
        context = multiprocessing.get_context("spawn")
        self._connections = context.Value("i", 0)
        self._news, theirs = context.Pipe(duplex=False)
        front = _Front(port, certificate, postgres)
        self._process = context.Process(
            target=_serve, args=(front, theirs, self._connections), name="tls-front", daemon=True
        )

    @property
    def connections(self) -> int:
        """That came as far as TLS."""
        return int(self._connections.value)

    def __enter__(self) -> Self:
        self._process.start()
        if not self._news.poll(STARTING):
            raise TimeoutError("the TLS front does not start")
        self.port: int = self._news.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._news.close()


class _Front:
    """What its process does."""

    def __init__(self, behind: int, certificate: Path, postgres: bool) -> None:
        self._behind = behind
        self._certificate = certificate
        self._postgres = postgres

    async def serve(self, tell: Connection, connections: Any) -> None:
        self._connections = connections
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self._certificate)
        at_once = None if self._postgres else self._context
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=at_once)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    async def _meet(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if self._postgres:
                    if await near.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                        return
                    back.write(b"S")
                    await back.start_tls(self._context)
                self._connections.value += 1
                await self._pass_on(near, back)
        finally:
            back.transport.abort()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = [asyncio.create_task(self._carry(*way)) for way in ((near, forth), (far, back))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        forth.transport.abort()

    @staticmethod
    async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


def _serve(front: _Front, tell: Connection, connections: Any) -> None:
    asyncio.run(front.serve(tell, connections))
