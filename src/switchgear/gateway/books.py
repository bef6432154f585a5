"""What is kept of a request that is over: counts, and a line of the access log.

A request only leaves a note. Notes are worked off many at once, which takes half of the time: between two
requests the processor has forgotten what it needs for it.
"""

from __future__ import annotations

import asyncio
import time
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from switchgear.gateway.access_line import line_of_refused, lines_of
from switchgear.gateway.metrics.tallies import BATCH
from switchgear.gateway.proxy import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.access_log import AccessLog
    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.reply import Reply

LONGEST_WAIT: Final = 0.05
"""Seconds until a note is worked off that is not followed by enough others."""
GONE: Final = 499
"""The status of a client that left before its answer began."""

Note: TypeAlias = "tuple[Reply, Exchange | None, float, str]"
"""A request that is over, the same again if a route took it, its end, and the state of its circuit then."""


class Books:
    """Takes the notes of a listener. `log`: `None` for no lines; `counts`: whether anybody reads them."""

    def __init__(
        self, board: Board, log: AccessLog | None, counts: bool, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.log = log
        self._counts = counts
        self._board = board
        self._states = board.log.states
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._notes: list[Note] = []
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, log: AccessLog | None, counts: bool) -> AccessLog | None:
        """Other ones from now on; returns the log before `log`, which has all lines up to now."""
        self.settle()
        before, self.log, self._counts = self.log, log, counts
        return before

    @property
    def wanted(self) -> bool:
        """Whether there is anything to keep."""
        return self._counts or self.log is not None

    def enter(self, reply: Reply) -> None:
        """A request is over."""
        exchange, state = None, ""
        if isinstance(reply, Exchange):
            exchange = reply
            circuit = reply.plan.circuit
            if circuit:
                state = self._states.get(circuit, "closed")  # it may be another one later
        notes = self._notes
        notes.append((reply, exchange, monotonic(), state))
        if len(notes) >= BATCH:
            self.settle()
        elif self._timer is None:
            self._timer = self._loop.call_later(LONGEST_WAIT, self._in_time)

    def refused(self, client: ClientConnection, error: FramingError) -> None:
        """A request that could not be read."""
        self._board.refused(error)
        if self.log is not None:
            self.settle()  # lines are in the order of the ends
            self.log.add(
                [line_of_refused(self._wall_clock(), client.request_line, error.status, client.address)]
            )

    def settle(self) -> None:
        """Works off all notes."""
        notes, self._notes = self._notes, []
        if not notes:
            return
        for reply, _, _, _ in notes:
            if not reply.status:
                reply.status, reply.origin = GONE, reply.origin or b"client_gone"
        if self._counts:
            self._count(notes)
        if self.log is not None:
            self.log.add(lines_of(notes, self._wall_clock() - monotonic()))

    def close(self) -> None:
        """Works off what is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.settle()

    def _in_time(self) -> None:
        self._timer = None
        self.settle()

    def _count(self, notes: list[Note]) -> None:
        unmatched = self._board.unmatched
        for reply, exchange, ended, _ in notes:
            tally = unmatched if exchange is None else exchange.plan.tally
            tally.count(reply, ended - reply.started)
