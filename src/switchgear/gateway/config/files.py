"""From a file to a tree, whatever the file holds."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.formats import json, python, toml, yaml
from switchgear.gateway.config.mistakes import Mark, Report, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from switchgear.gateway.config.nodes import Node

LARGEST: Final = 4 * 1024 * 1024

_FORMATS: Final[dict[str, Callable[[str, Report], Node | None]]] = {
    ".yaml": yaml.parse,
    ".yml": yaml.parse,
    ".json": json.parse,
    ".toml": toml.parse,
    ".py": python.parse,
}


def read_tree(path: Path, report: Report) -> Node | None:
    """The tree of a file, or `None` after the reason was told to the report."""
    try:
        text = _text(path)
        tree = _format_of(path)(text, report)
        if tree is None and not report.mistakes:
            raise UnreadableError("the file is empty")
    except UnreadableError as error:
        report.add(error.message, error.mark)
        return None
    return tree


def _format_of(path: Path) -> Callable[[str, Report], Node | None]:
    parse = _FORMATS.get(path.suffix.lower())
    if parse is None:
        raise UnreadableError(f"unknown kind of file; allowed a name that ends in {', '.join(_FORMATS)}")
    return parse


def _text(path: Path) -> str:
    data = _bytes(path)
    if b"\0" in data:
        raise UnreadableError("a binary file: it has NUL bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError("not legal UTF-8", _mark_in_bytes(error)) from None


def _bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading from a pipe would wait for whoever writes to it
            raise UnreadableError("a directory, not a file" if stat.S_ISDIR(mode) else "not a regular file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise UnreadableError("no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"cannot be read: {reason}") from None
    if len(data) > LARGEST:
        raise UnreadableError(f"larger than {LARGEST // 1024 // 1024} MiB")
    return data


def _mark_in_bytes(error: UnicodeDecodeError) -> Mark:
    before = error.object[: error.start]
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode()) + 1
    return Mark(before.count(b"\n") + 1, column)
