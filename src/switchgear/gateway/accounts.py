"""Where a request that is over belongs: one look-up gives all that others like it have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from switchgear.gateway.access_line import RouteLine
    from switchgear.gateway.metrics.tallies import Cell, RouteTally

Place: TypeAlias = "tuple[bytes, int, bytes, str]"
"""Method, status, origin, and the state that the circuit was in."""


class Account:
    """Requests to a route that had one `Place`."""

    __slots__ = ("cell", "ordinary", "state")

    def __init__(self, cell: Cell, ordinary: bytes, state: str) -> None:
        self.cell = cell
        """Where they are counted."""
        self.ordinary = ordinary
        """The template of the line of each about which there is no more to tell; empty: there always is."""
        self.state = state


class Accounts(dict[Place, Account]):
    """Of one route. They are opened as they are needed: few of all combinations ever occur."""

    __slots__ = ("_line", "_tally")

    def __init__(self, tally: RouteTally, line: RouteLine | None = None) -> None:
        """`line`: `None` where no route took the requests."""
        super().__init__()
        self._tally = tally
        self._line = line

    def __missing__(self, place: Place) -> Account:
        method, status, origin, state = place
        ordinary = b"" if self._line is None or origin else self._line.ordinary(method, status, state)
        account = self[place] = Account(self._tally.cell(method, status, origin), ordinary, state)
        return account
