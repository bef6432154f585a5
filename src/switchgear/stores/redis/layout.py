"""Where things are in Redis: layout 1.

A circuit and the log of the changes to it lie in one slot, so that one script writes both, also in a cluster.
The slot comes from one of sixteen partitions and not from the key: a key may contain any character, and to
read all changes takes sixteen commands, however many circuits there are. Sixteen is part of the layout and
can never be a setting.
"""

from __future__ import annotations

import re
import zlib
from importlib.resources import files
from typing import Final

VERSION: Final = 1
PARTITIONS: Final = 16
SCRIPT_PARTS: Final = ("record.lua", "operations.lua", "answer.lua")


def script() -> str:
    """The script that applies one operation."""
    folder = files("switchgear.stores.redis")
    return "\n".join((folder / part).read_text(encoding="utf-8") for part in SCRIPT_PARTS)


class Layout:
    """The names of keys and channels below a prefix."""

    def __init__(self, prefix: str, head: str) -> None:
        if re.search(r"[{}\0]", prefix):
            raise ValueError(
                f"prefix must not contain braces (they choose a cluster's slot) or NUL, got {prefix!r}"
            )
        self._root = f"{prefix}{VERSION}:"
        self._head = head
        self.channel = f"{self._root}events"
        self.logs = tuple(self._log(partition) for partition in range(PARTITIONS))
        self._circuit = re.compile(
            re.escape(self._root) + r"\{(\d+)\}:c:" + re.escape(head) + "(.*)", re.DOTALL
        )

    def _log(self, partition: int) -> str:
        return f"{self._root}{{{partition}}}:log"

    def names(self, key: str) -> tuple[str, str]:
        """The circuit's hash, and the log of its partition."""
        full = self._head + key
        partition = zlib.crc32(full.encode()) % PARTITIONS
        return f"{self._root}{{{partition}}}:c:{full}", self.logs[partition]

    def circuit(self, name: str) -> tuple[int, str] | None:
        """Partition and key of a circuit's hash; `None` for another namespace's."""
        found = self._circuit.fullmatch(name)
        return (int(found[1]), found[2]) if found else None
