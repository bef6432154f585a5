"""A gRPC server that fails on command, without generated code: requests and answers are bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SERVICE = "shop.Payments"


class Payments:
    """`fails` with a status, `after` so many messages of a stream; `lasts` as long as it is told to."""

    def __init__(self) -> None:
        self.fails: grpc.StatusCode | None = None
        self.after = 0
        self.lasts = False
        self.calls = 0
        self.ended = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8))
        handlers = {kind: self._handler(kind) for kind in KINDS}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Payments:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait(10)

    def _handler(self, kind: str) -> grpc.RpcMethodHandler:
        behaviour = self._stream if kind.endswith("_stream") else self._one
        return getattr(grpc, f"{kind}_rpc_method_handler")(behaviour)  # type: ignore[no-any-return]

    def _one(self, request: object, context: grpc.ServicerContext) -> bytes:
        self._enter(request, context)
        self._fail(context)
        return b"0"

    def _stream(self, request: object, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._enter(request, context)
        for number in range(self.after if self.fails else 3):
            yield b"%d" % number
        self._fail(context)
        while self.lasts and context.is_active():
            yield b"more"
            self.ended.wait(0.01)

    def _enter(self, request: object, context: grpc.ServicerContext) -> None:
        # To the end: who fails while the other side sends leaves it to chance which error that side gets.
        if not isinstance(request, bytes):
            list(cast("Iterator[bytes]", request))
        self.calls += 1
        self.ended.clear()
        context.add_callback(self.ended.set)

    def _fail(self, context: grpc.ServicerContext) -> None:
        if self.fails is not None:
            context.abort(self.fails, "as told")
