"""The gateway's own log: a JSON object a line."""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

import msgspec

from switchgear.replay.calls import CODES, FAILURE, GONE, INCONCLUSIVE, REJECTED
from switchgear.replay.formats.reader import ALL, LogReader, count_lines, nth_line
from switchgear.replay.formats.times import Moments

KEYS: Final = {
    "circuit": "circuit",
    "route": "http.route",
    "service": "service",
    "host": "server.address",
    "path": "url.path",
    "client": "client.address",
}
"""Names for `--key`; any other name is that of a member."""


RETRY_BUDGET: Final = "retry_budget"
"""The origin of what a service answered, or did not, when there was no retry left for it."""

# A line may be nested more deeply than anything that is read can be.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Line(Protocol):
    """What is looked at; the other members are skipped unread."""

    time: str
    status: int
    duration: float
    upstream: float
    answered: int
    attempts: int
    origin: str
    key: str
    method: str
    lines: int


_FIELDS: Final[list[tuple[str, type, Any]]] = [
    ("time", str, ""),
    ("status", int, 0),
    ("duration", float, -1.0),
    ("upstream", float, -1.0),
    ("answered", int, 0),
    ("attempts", int, 1),
    ("origin", str, "upstream"),
    ("key", str, ""),
    ("lines", int, 0),
]
_NAMES: Final = {
    "status": "http.response.status_code",
    "duration": "duration_ms",
    "upstream": "upstream_ms",
    "answered": "upstream_status",
    "method": "http.request.method",
}


def _decoder(member: str) -> msgspec.json.Decoder[Any]:
    by_route = member == KEYS["route"]
    fields = [*_FIELDS, ("method", str, "")] if by_route else _FIELDS
    line = msgspec.defstruct("Line", fields, rename={**_NAMES, "key": member}, gc=False)
    return msgspec.json.Decoder(line)


class GatewayReader(LogReader):
    """`key`: one of `KEYS`, or the name of a member; `all` makes one key of everything."""

    name = "json"
    # Times are cut to milliseconds, and lines are made a little after the circuit has heard of the end.
    resolution = 0.01

    def __init__(self, key: str = "circuit", *, from_start: bool = False) -> None:
        super().__init__(from_start=from_start)
        self._of_route = key == "route"
        self._one_key = key if key == ALL else ""
        self._decoder = _decoder(KEYS.get(key, key))
        self._moments = Moments()

    def read(self, block: bytes, line: int) -> int:
        count = count_lines(block)
        try:
            decoded = cast("list[_Line]", self._decoder.decode_lines(block))
        except _UNREADABLE:
            decoded = []
        if len(decoded) == count:
            self._take(decoded, line, block)
        else:  # some line is empty or broken
            self._read_singly(block, line)
        return count

    def _read_singly(self, block: bytes, first: int) -> None:
        for number, text in enumerate(block.split(b"\n"), first):
            if text.strip():
                try:
                    line = cast("_Line", self._decoder.decode(text))
                except _UNREADABLE as error:
                    self.broken.add(number, str(error), text)
                else:
                    self._take([line], number, text)

    def _take(self, lines: list[_Line], first: int, block: bytes) -> None:
        read_time, keep = self._moments.read, self.keep
        one_key, of_route = self._one_key, self._of_route
        for number, line in enumerate(lines, first):
            code, origin, key = line.status, line.origin, one_key or line.key
            try:
                if not 100 <= code < CODES:
                    self._odd(line)
                    continue
                if origin != "upstream" and not (origin == RETRY_BUDGET and line.answered):
                    code = _code_of(origin, code)
                if of_route and key:
                    key = f"{line.method} {key}"
                after = 0.0 if line.attempts != 1 or line.upstream < 0 else line.duration - line.upstream
                keep(key, read_time(line.time), line.duration / 1000, code, after / 1000)
            except ValueError as error:
                self.broken.add(number, str(error), nth_line(block, number - first))

    def _odd(self, line: _Line) -> None:
        """A line of the log about itself, or none of a request."""
        if not line.lines:
            raise ValueError("no http.response.status_code in 100-599")
        self.lost += line.lines


def _code_of(origin: str, status: int) -> int:
    """Of an answer that no service gave."""
    if origin == "breaker":
        return REJECTED
    if origin == "client_gone":
        return GONE
    # By cause, whatever statuses the policy counts; what the gateway says of its own accord is no evidence.
    return FAILURE if origin in ("timeout", "error", RETRY_BUDGET) and status in (502, 504) else INCONCLUSIVE
