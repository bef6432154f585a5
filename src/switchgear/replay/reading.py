"""From a file, a pipe or a gzip stream to blocks of whole lines, and the kind of log that they are."""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from io import BufferedReader

BLOCK: Final = 1 << 18
LONGEST_LINE: Final = 1 << 20
"""Bytes; what is longer is no line of a log, and is cut there."""

_GZIP: Final = b"\x1f\x8b"


class LogError(Exception):
    """A log that can't be read, in words."""


class Source:
    """A log's bytes. `position` of `size` is how far it is read; `size` is 0 when nobody knows (a pipe)."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self._file = file
        self.size = _size(file)
        self.position = 0

    def blocks(self) -> Iterator[bytes]:
        """Whole lines, with `\\n` at their ends. Raises `LogError`."""
        rest = b""
        try:
            for data in self._pieces():
                cut = data.rfind(b"\n") + 1
                if cut:
                    yield rest + data[:cut]
                    rest = data[cut:]
                else:
                    rest += data
                if len(rest) > LONGEST_LINE:
                    yield rest + b"\n"
                    rest = b""
        except (OSError, EOFError, zlib.error) as error:
            if rest:
                yield rest
            raise LogError(f"{self.name}: cannot be read to its end: {_reason(error)}") from None
        if rest:
            yield rest

    def _pieces(self) -> Iterator[bytes]:
        first = True
        stream = self._stream()
        while data := stream(BLOCK):
            self.position = self._tell()
            if first:
                first, data = False, data.removeprefix(b"\xef\xbb\xbf")
            yield data.replace(b"\r\n", b"\n") if b"\r" in data else data

    def _stream(self) -> Callable[[int], bytes]:
        file = cast("BufferedReader", self._file)
        if file.peek(2)[:2] == _GZIP:
            return gzip.GzipFile(fileobj=file).read1
        return file.read1

    def _tell(self) -> int:
        return self._file.tell() if self.size else 0


@contextmanager
def opened(name: str) -> Generator[Source]:
    """The log of that name; `-` is standard input. Raises `LogError`."""
    if name == "-":
        yield Source("standard input", sys.stdin.buffer)
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below, where its errors are not ours
    except (OSError, ValueError) as error:
        raise LogError(f"{name}: {_reason(error)}") from None
    with file:
        yield Source(name, file)


def _size(file: BinaryIO) -> int:
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
