"""The schema: its text, its names, and how it comes into a database."""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

from switchgear.errors import SwitchgearError

VERSION: Final = "v1"
LONGEST_NAME: Final = 40  # PostgreSQL cuts names at 63 bytes, and ours get a suffix
PARTS: Final = ("schema.sql", "operations.sql")

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")


class SchemaMissingError(SwitchgearError):
    """The database lacks the store's table or functions, and the store could not or was not to make them."""


class Schema:
    """The objects of one `table` (`name` or `schema.name`, lower case).

    The table's name has the layout's version. Those of the functions also have a digest of their text: a
    process finds exactly the functions that it was written for, or makes them, and the ones of another
    release stay as they are.
    """

    def __init__(self, table: str) -> None:
        parts = table.split(".")
        if not _NAME.fullmatch(table) or max(map(len, parts)) > LONGEST_NAME:
            raise ValueError(
                "table must be a lower-case SQL name or schema.name, "
                f"each of at most {LONGEST_NAME} characters, got {table!r}"
            )
        self._table = table
        self._index = parts[-1]
        self.channel = f"{table}_{VERSION}"

    @cached_property
    def _code(self) -> str:
        return f"{VERSION}_{hashlib.sha256(self._source.encode()).hexdigest()[:8]}"

    @cached_property
    def _source(self) -> str:
        folder = files("switchgear.stores.postgres")
        return "\n".join((folder / part).read_text(encoding="utf-8") for part in PARTS)

    def function(self, name: str) -> str:
        """The full name of one of the functions."""
        return f"{self._table}_{name}_{self._code}"

    @cached_property
    def text(self) -> str:
        """The SQL that makes everything, and changes nothing where it is there."""
        names = {"table": self._table, "index": self._index, "channel": self.channel, "code": self._code}
        return re.sub(r"\{(table|index|channel|code)\}", lambda found: names[found[1]], self._source)

    async def create(self, connection: Any) -> None:
        """Run it.

        Two processes that start at once would collide in the catalogue, so one waits for the other.
        """
        number = int.from_bytes(hashlib.sha256(self._table.encode()).digest()[:8], signed=True)
        async with connection.transaction():
            await connection.execute(f"select pg_advisory_xact_lock({number})")
            made = await connection.execute(
                "select to_regprocedure(%s)", (f"{self.function('batch')}(jsonb)",)
            )
            if (await made.fetchone())[
                0
            ] is None:  # making it again would lock the table under those who use it
                await connection.execute(self.text, prepare=False)
