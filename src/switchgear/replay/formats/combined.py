"""Common and combined log format, with a duration behind it: `$request_time` of nginx, `%D` of Apache."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from switchgear.replay.calls import CODES, GONE
from switchgear.replay.formats.reader import ALL, LogReader, count_lines
from switchgear.replay.formats.times import SECONDS_KEPT, duration, moment

_QUOTED: Final = r'[^"\\]*(?:\\.[^"\\]*)*'  # unrolled: an alternation for each character takes twice the time
_LINE: Final = re.compile(
    r"(?:(?P<host>[^\s:]+):\d+ )?(?P<client>\S+) \S+ \S+(?: [^\[\s]+)* \[(?P<time>[^\]]+)\] "
    rf'"(?P<request>{_QUOTED})" (?P<status>\d{{3}}) \S+(?: "{_QUOTED}" "{_QUOTED}")?(?P<rest>.*)'
)
# nginx writes seconds with a point, Apache's %D microseconds without one; others say the unit or a name.
_NAMED: Final = re.compile(r'(?:^|\s)(?:rt|request_time|duration)="?(?P<value>[\d.]+(?:[mun]?s)?)"?')
_BARE: Final = re.compile(r'\s"?(?P<value>\d+(?:\.\d+)?(?:[mun]?s)?)"?')
_APACHE_TIME: Final = "%d/%b/%Y:%H:%M:%S %z"
_NOTHING_SENT: Final = 499
"""nginx's word for a client that left."""

KEYS: Final = (ALL, "path", "route", "host", "client")


def looks_combined(line: str) -> bool:
    return _LINE.match(line) is not None


class CombinedReader(LogReader):
    """`key`: one of `KEYS`; all of a server's log is one key by default, `route` is method and path."""

    name = "combined"

    def __init__(self, key: str = ALL, *, from_start: bool = False) -> None:
        super().__init__(from_start=from_start)
        self._key = key
        self._times: dict[str, float] = {}

    def read(self, block: bytes, line: int) -> int:
        for number, text in enumerate(block.decode("utf-8", "surrogateescape").split("\n"), line):
            if text:
                try:
                    self._take(text)
                except ValueError as error:
                    self.broken.add(number, str(error), text.encode("utf-8", "surrogateescape"))
        return count_lines(block)

    def _take(self, text: str) -> None:
        found = _LINE.match(text)
        if found is None:
            raise ValueError("not in common or combined log format")
        host, client, time, request, status, rest = found.groups()
        code = int(status)
        if not 100 <= code < CODES:
            raise ValueError("no status in 100-599")
        at = self._times.get(time)
        self.keep(
            ALL if self._key == ALL else self._key_of(host, client, request),
            self._moment(time) if at is None else at,
            self._lasted(rest),
            GONE if code == _NOTHING_SENT else code,
        )

    def _key_of(self, host: str | None, client: str, request: str) -> str:
        match self._key:
            case "path" | "route" as key:
                method, _, target = request.partition(" ")
                path = target.partition(" ")[0].partition("?")[0]
                return path if key == "path" else f"{method} {path}"
            case "host":
                return host or ""
            case _:
                return client

    def _lasted(self, rest: str) -> float:
        found = _BARE.fullmatch(rest) or _NAMED.search(rest) or _BARE.match(rest)
        if found is None:
            self.without_duration += 1
            return 0.0
        value = found["value"]
        if value.isdigit():
            return int(value) / 1e6
        try:
            return float(value)
        except ValueError:
            return duration(value)

    def _moment(self, text: str) -> float:
        try:
            at = datetime.strptime(text, _APACHE_TIME).timestamp()
        except ValueError:
            at = moment(text)
        if len(self._times) >= SECONDS_KEPT:
            self._times.clear()
        self._times[text] = at
        return at
