"""What is kept of a request that is over: counts, and a line of the access log.

A request is only put aside. Many are worked off at once, which takes half of the time: between two requests
the processor has forgotten what it needs for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Final

from switchgear.gateway.access_line import line_of_refused, lines_of
from switchgear.gateway.accounts import Accounts
from switchgear.gateway.metrics.tallies import BATCH
from switchgear.gateway.proxy import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from switchgear.gateway.access_log import AccessLog
    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.metrics.tallies import Cell
    from switchgear.gateway.reply import Reply

LONGEST_WAIT: Final = 0.05
"""Seconds until a request is worked off that is not followed by enough others."""
GONE: Final = 499
"""The status of a client that left before its answer began."""


class Books:
    """Takes the requests of a listener. `log`: `None` for no lines; `counts`: whether anybody reads them."""

    def __init__(
        self, board: Board, log: AccessLog | None, counts: bool, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.log = log
        self._counts = counts
        self._board = board
        self._state_of = board.log.states.get
        self._unmatched = Accounts(board.unmatched)
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._over: list[Reply] = []
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
        reply.ended = monotonic()
        if not reply.status:
            reply.status, reply.origin = GONE, reply.origin or b"client_gone"
        if isinstance(reply, Exchange):
            plan = reply.plan
            # Now: it may be another one later.
            state = self._state_of(plan.circuit, "closed") if plan.circuit else ""
            accounts = plan.accounts
        else:
            state, accounts = "", self._unmatched
        reply.account = accounts[reply.request.method, reply.status, reply.origin, state]
        over = self._over
        over.append(reply)
        if len(over) >= BATCH:
            self.settle()
        elif self._timer is None:
            self._timer = self._loop.call_later(LONGEST_WAIT, self._in_time)

    def refused(self, client: ClientConnection, error: FramingError) -> None:
        """A request that could not be read."""
        self._board.refused(error)
        if self.log is not None:
            self.settle()  # lines are in the order of the ends
            line = line_of_refused(self._wall_clock(), client.request_line, error.status, client.address)
            self.log.add(line, 1)

    def settle(self) -> None:
        """Works off all requests that are over."""
        over, self._over = self._over, []
        if not over:
            return
        if self._counts:
            for cell, replies in _by_cell(over):
                cell.count(replies)
        if self.log is not None:
            self.log.add(lines_of(over, self._wall_clock() - monotonic()), len(over))

    def close(self) -> None:
        """Works off what is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.settle()

    def _in_time(self) -> None:
        self._timer = None
        self.settle()


def _by_cell(replies: Iterable[Reply]) -> Iterable[tuple[Cell, list[Reply]]]:
    found: defaultdict[Cell, list[Reply]] = defaultdict(list)
    for reply in replies:
        found[reply.account.cell].append(reply)
    return found.items()
