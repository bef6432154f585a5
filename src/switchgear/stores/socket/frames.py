"""Frames on a stream: a length, then that many bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any, Final, cast

from switchgear.errors import SwitchgearError

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a frame: many times what the largest batch comes to."""
FRAME_SECONDS: Final = 5.0
"""A frame that has begun has to be there by then."""

_LENGTH: Final = struct.Struct("!I")


class FrameError(SwitchgearError):
    """What came is no frame of ours, or is larger than one may be. The stream is of no use any more."""


def pack(body: bytes) -> bytes:
    """`body` as a frame. Raises `FrameError` when it is too large."""
    if len(body) > LARGEST:
        raise FrameError(f"a frame has at most {LARGEST} bytes, got {len(body)}")
    return _LENGTH.pack(len(body)) + body


def pack_message(message: dict[str, Any]) -> bytes:
    """A message as a frame of JSON."""
    return pack(json.dumps(message, separators=(",", ":")).encode())


async def read(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body, waiting for its beginning without end.

    Raises `asyncio.IncompleteReadError` at the stream's end, `FrameError`, and `TimeoutError` for half a
    frame.
    """
    head = await reader.readexactly(_LENGTH.size)
    (length,) = _LENGTH.unpack(head)
    if length > LARGEST:
        raise FrameError(f"a frame has at most {LARGEST} bytes, {length} are announced")
    async with asyncio.timeout(FRAME_SECONDS):
        return await reader.readexactly(length)


async def read_message(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next frame as a message; raises what `read` does."""
    body = await read(reader)
    try:
        message = json.loads(body)
    except ValueError:
        raise FrameError("a frame that is no JSON") from None
    if not isinstance(message, dict):
        raise FrameError("a message is a mapping")
    return cast("dict[str, Any]", message)


def receive(connection: socket.socket) -> bytes:
    """The next frame's body, from a blocking socket. Raises `FrameError` when the stream ends before."""
    head = _exactly(connection, _LENGTH.size)
    return _exactly(connection, *_LENGTH.unpack(head))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = connection.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise FrameError("the stream ended inside a frame")
    return data
