"""A line on a terminal that tells how far a log is read. Elsewhere nothing is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from switchgear.replay.formats.reader import LogReader
    from switchgear.replay.reading import Source

_EVERY: Final = 0.1  # seconds
_WIDTH: Final = 30
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """A `with` block, at whose end the line is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._began = time.monotonic()
        self._next = self._began + _EVERY

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write(_CLEAR)

    def show(self, source: Source, reader: LogReader) -> None:
        """Tells what is done, at most ten times a second."""
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        self._next = now + _EVERY
        rate = f"{reader.calls:,} calls, {reader.calls / (now - self._began):,.0f}/s"
        if source.size:
            share = min(1.0, source.position / source.size)
            bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
            rate = f"[{bar}] {share:4.0%}  {rate}"
        self._write(f"{_CLEAR}{rate}")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
