"""One replay: a log, its kind, and the policies that its calls run through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from switchgear.replay.formats.columns import CsvReader
from switchgear.replay.formats.combined import KEYS as COMBINED_KEYS
from switchgear.replay.formats.combined import CombinedReader, looks_combined
from switchgear.replay.formats.gateway import GatewayReader
from switchgear.replay.formats.reader import LogReader
from switchgear.replay.lanes import REORDER, Lanes
from switchgear.replay.policies import Policies
from switchgear.replay.reading import LogError, Source

_LINES_TO_TELL: Final = 20


class KeyNameError(Exception):
    """A key that this kind of log can't have, in words."""


def replay(
    source: Source,
    policies: Sequence[Policies],
    *,
    format_: str | None = None,
    key: str | None = None,
    from_start: bool = False,
    reorder: float = REORDER,
    timelines: bool = False,
    progress: Callable[[Source, LogReader], object] = lambda _source, _reader: None,
) -> tuple[LogReader, Lanes, LogError | None]:
    """Reads all of `source`. A log that breaks off is replayed up to there, and the error comes back.

    Raises `KeyNameError`, `HeaderError`, and `LogError` for a log of which nothing can be read.
    """
    blocks = source.blocks()
    first = next(blocks, b"")
    reader = _reader(format_ or tell_format(first), key, from_start)
    lanes = Lanes(
        [each.of for each in policies], reorder=reorder, tolerance=reader.resolution, timelines=timelines
    )
    failed = _read(chain((first,), blocks), reader, lanes, lambda: progress(source, reader))
    lanes.finish()
    return reader, lanes, failed


def _read(
    blocks: Iterator[bytes], reader: LogReader, lanes: Lanes, progress: Callable[[], object]
) -> LogError | None:
    line = 1
    failed = None
    while True:
        try:
            block = next(blocks, b"")
        except LogError as error:
            failed, block = error, b""
        except KeyboardInterrupt:  # while it waits for more: what is there is replayed
            failed, block = LogError("interrupted"), b""
        if not block:
            reader.lines = line - 1
            return failed
        line += reader.read(block, line)
        lanes.add(*reader.take())
        progress()


def tell_format(block: bytes) -> str:
    """The kind of a log, by its first lines."""
    lines = [line for line in block.split(b"\n", _LINES_TO_TELL)[:_LINES_TO_TELL] if line.strip()]
    if any(map(_is_object, lines)):
        return "json"
    if any(looks_combined(line.decode("utf-8", "replace")) for line in lines):
        return "combined"
    return "csv"


def _is_object(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _reader(format_: str, key: str | None, from_start: bool) -> LogReader:
    match format_:
        case "json":
            return GatewayReader(key or "circuit", from_start=from_start)
        case "combined":
            if key is not None and key not in COMBINED_KEYS:
                raise KeyNameError(f"--key: found {key!r}; allowed with this log {', '.join(COMBINED_KEYS)}")
            return CombinedReader(key or "all", from_start=from_start)
        case _:
            return CsvReader(key or "", from_start=from_start)
