"""What is wrong with a configuration, and where: collected, so that all of it is told at once."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 1000
"""Mistakes that are kept; whoever has more than this wants to see the first ones."""

Key = str | int
KeyPath = tuple[Key, ...]

_PLAIN_KEY = re.compile(r"[^\s.\"\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file, 1-based."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, or one warning. What does not apply is `None` (the path: empty)."""

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    path: str = ""
    found: str | None = None
    allowed: str | None = None
    hint: str | None = None

    def text(self) -> str:
        """`FILE:LINE:COL: PATH: message; found F; allowed A; did you mean K?`, the parts that apply."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line is not None else self.file
        path = f"{self.path}: " if self.path else ""
        parts = [
            self.message,
            f"found {self.found}" if self.found is not None else "",
            f"allowed {self.allowed}" if self.allowed is not None else "",
            f"did you mean {self.hint}?" if self.hint is not None else "",
        ]
        return f"{place}: {path}{'; '.join(part for part in parts if part)}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The same as a JSON object."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "found": self.found,
            "allowed": self.allowed,
            "hint": self.hint,
        }


class UnreadableError(Exception):
    """A file from which no tree can be made; `mark` is `None` where no place would help."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark


@dataclass(slots=True)
class Report:
    """Collects the mistakes of one file."""

    file: str
    mistakes: list[Mistake] = field(default_factory=list[Mistake])
    warnings: list[Mistake] = field(default_factory=list[Mistake])

    @property
    def full(self) -> bool:
        return len(self.mistakes) >= MOST

    def add(
        self,
        message: str,
        mark: Mark | None = None,
        path: KeyPath = (),
        *,
        found: str | None = None,
        allowed: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keeps a mistake."""
        if not self.full:
            self.mistakes.append(self._mistake(message, mark, path, found, allowed, hint))

    def warn(self, message: str, mark: Mark | None, path: KeyPath) -> None:
        """Keeps what is worth a word and no mistake."""
        self.warnings.append(self._mistake(message, mark, path, None, None, None))

    def _mistake(
        self,
        message: str,
        mark: Mark | None,
        path: KeyPath,
        found: str | None,
        allowed: str | None,
        hint: str | None,
    ) -> Mistake:
        line, column = (mark.line, mark.column) if mark else (None, None)
        return Mistake(self.file, message, line, column, written_path(path), found, allowed, hint)

    def ordered(self) -> list[Mistake]:
        """The mistakes from the top of the file to its end."""
        found = sorted(self.mistakes, key=by_place)
        if self.full:
            found.append(Mistake(self.file, f"more than {MOST} mistakes, the others are not shown"))
        return found


def by_place(mistake: Mistake) -> tuple[int, int]:
    """Sorts from the top of the file to its end."""
    return mistake.line or 0, mistake.column or 0


def written_path(path: KeyPath) -> str:
    """`http.routes./users/{id}.GET.services.users.url[0]`; keys that would be ambiguous are quoted."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _PLAIN_KEY.fullmatch(key) else json.dumps(key))
    return text
