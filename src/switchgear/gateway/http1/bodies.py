"""Bodies, decoded as they come: `feed` gives the content in some bytes and what follows the body's end."""

from __future__ import annotations

import re
from typing import Final, Protocol

from switchgear.gateway.http1.fields import CHUNKED, HOP_BY_HOP, UNTIL_CLOSE, FramingError
from switchgear.gateway.http1.grammar import find_fields, find_stray, match_fields_end

MAX_SIZE_LINE: Final = 256
MAX_EXTENSIONS: Final = 16384
"""Bytes in one body: without a bound, a megabyte of them could come with every byte of content."""
MAX_TRAILERS: Final = 16384
LAST_CHUNK: Final = b"0\r\n"
_NOT_IN_TRAILERS: Final = HOP_BY_HOP | frozenset(
    b"authorization content-encoding content-length content-range content-type cookie expect host"
    b" set-cookie".split()
)


class Decoder(Protocol):
    """Takes the bytes of one body."""

    done: bool
    trailers: bytes

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Content in `data`, and the bytes after the body's end. Raises `FramingError`."""
        ...


class LengthDecoder:
    """A body of a declared length."""

    __slots__ = ("_left", "done")
    trailers = b""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data, b""
        self.done = True
        return (data, b"") if left == 0 else (data[:left], data[left:])


class UntilCloseDecoder:
    """A body that ends with its connection: only the connection knows when."""

    __slots__ = ()
    done = False
    trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


_SIZE = rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*+)?+\r\n"
_match_first = re.compile(_SIZE).match
_match_next = re.compile(rb"\r\n" + _SIZE).match
_PARTIAL = rb"(?:[0-9A-Fa-f]{1,15}(?:;[\t\x20-\x7e\x80-\xff]*+)?+\r?)?"
_match_partial_first = re.compile(_PARTIAL).fullmatch
_match_partial_next = re.compile(rb"\r?|\r\n" + _PARTIAL).fullmatch


class ChunkedDecoder:
    """A chunked body. Extensions are dropped, as every hop may; trailers are kept apart from the head."""

    __slots__ = ("_extensions", "_first", "_held", "_in_trailers", "_left", "done", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.trailers = b""
        self._left = 0
        self._held = b""
        self._first = True
        self._in_trailers = False
        self._extensions = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._held:
            data, self._held = self._held + data, b""
        content: list[bytes] = []
        at = 0
        while not self._in_trailers:
            if self._left:
                piece = data[at : at + self._left]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return b"".join(content), b""
            at, complete = self._read_size(data, at)
            if not complete:
                return b"".join(content), b""
        return b"".join(content), self._read_trailers(data, at)

    def _read_size(self, data: bytes, at: int) -> tuple[int, bool]:
        match = (_match_first if self._first else _match_next)(data, at)
        if match is None:
            partial = (_match_partial_first if self._first else _match_partial_next)(data, at)
            if not partial or len(data) - at > MAX_SIZE_LINE:
                raise FramingError("malformed chunk")
            self._held = data[at:]
            return at, False
        if match[2]:
            self._extensions += len(match[2])
            if self._extensions > MAX_EXTENSIONS or len(match[2]) > MAX_SIZE_LINE:
                raise FramingError("too many chunk extensions")
        self._first = False
        self._left = int(match[1], 16)
        self._in_trailers = self._left == 0
        return match.end(), True

    def _read_trailers(self, data: bytes, at: int) -> bytes:
        """Reads the trailer section if it is complete, and returns what follows the body."""
        match = match_fields_end(data, at)
        if match is None:
            if find_stray(data, at) or data.find(b"\r\n\r\n", at) >= 0 or len(data) - at > MAX_TRAILERS:
                raise FramingError("malformed trailers")
            self._held = data[at:]
            return b""
        if match.end() - at > MAX_TRAILERS:
            raise FramingError("trailers too large")
        trailers = data[at : match.end() - 2]
        if any(field[1].lower() in _NOT_IN_TRAILERS for field in find_fields(trailers)):
            raise FramingError("a field that can't be a trailer")
        self.trailers = trailers
        self.done = True
        return data[match.end() :]


def decoder_for(length: int) -> Decoder:
    """The decoder of a body whose head declared `length`."""
    if length == CHUNKED:
        return ChunkedDecoder()
    return UntilCloseDecoder() if length == UNTIL_CLOSE else LengthDecoder(length)


def encode_chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)
