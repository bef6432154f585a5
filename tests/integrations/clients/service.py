"""A real HTTP server that behaves as it is told, for tests of clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PATIENCE = 60.0  # seconds; only a broken test takes so long

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request, answered as the service is told at that moment."""

    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        self.server.service.paths.append(self.path)
        self.server.service.behaviour(self)

    do_GET = do_HEAD = do_POST = handle_any  # names of the library's  # noqa: N815  # names of the library's

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def head(self, status: int, fields: dict[str, str]) -> None:
        if "Date" in fields:
            self.send_response_only(status)
        else:
            self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()


def answering(status: int = 200, body: bytes = b"ok", **fields: str) -> Behaviour:
    """A whole answer. Names of fields are written with `_` for `-`."""

    def behave(handler: Handler) -> None:
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        handler.head(status, {"Content-Length": str(len(body)), **given})
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return behave


def drop(handler: Handler) -> None:
    """The connection ends before an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_length(handler: Handler) -> None:
    """A body of a hundred bytes that ends after five."""
    handler.head(200, {"Content-Length": "100"})
    handler.wfile.write(b"first")
    drop(handler)


def break_chunks(handler: Handler) -> None:
    """A chunked body without its end."""
    handler.head(200, {"Transfer-Encoding": "chunked"})
    handler.wfile.write(b"5\r\nfirst\r\n")
    drop(handler)


def hang(handler: Handler) -> None:
    """No answer until the service is told to go on."""
    handler.server.service.arrived.set()
    handler.server.service.go_on.wait(PATIENCE)
    drop(handler)


def hang_in_body(handler: Handler) -> None:
    """The first piece of a body, and no more until the service is told to go on."""
    handler.head(200, {"Content-Length": "11"})
    handler.wfile.write(b"first")
    handler.server.service.arrived.set()
    handler.server.service.go_on.wait(PATIENCE)
    handler.wfile.write(b"second")


def no_http(handler: Handler) -> None:
    """Bytes that are no answer."""
    handler.wfile.write(b"what?\r\n\r\n")
    drop(handler)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    service: Service

    def handle_error(self, *args: object) -> None:
        """A client that is gone is none of the server's trouble."""


class Service:
    """`behaviour` answers each request, on 127.0.0.1; `paths` are those that came."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = answering()
        self.paths: list[str] = []
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/x"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)
