"""What a shared store answers, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from switchgear.errors import SwitchgearError
from switchgear.stores.operations import Operation


class Result(StrEnum):
    """What became of the operation itself; the rest of the view is the same for all."""

    NONE = ""
    COUNTED = "counted"
    DUPLICATE = "duplicate"  # a flush that was applied before
    LATE = "late"  # evidence or a probe's outcome of another generation: seen, not counted
    WON = "won"
    LOST = "lost"  # another process was first
    GRANTED = "granted"
    PASS = "pass"  # no probe is needed: the circuit is closed
    REFUSED = "refused"
    SETTLED = "settled"


class Change(StrEnum):
    """What an operation changed that others must hear of."""

    NONE = ""
    TRANSITION = "transition"
    RESTORED = "restored"  # the store had lost what a process still knew
    OVERRIDE = "override"
    OVERRIDE_EXPIRED = "override-expired"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A circuit as the store sees it at `now`."""

    now: int
    generation: int = 1
    change: str = ""
    """Token of the change that made this generation: the two together identify it."""
    state: str = "closed"
    since: int = 0
    """When the state changed, 0 for never."""
    until: int = 0
    """When the open time ends; 0 while open: nobody has set one."""
    open_ms: int = 0
    rounds: int = 0
    why: str = ""
    override: str = ""
    override_until: int = 0
    """0: no end."""
    override_author: str = ""
    override_reason: str = ""
    policy: str = ""
    """Fingerprint of the policy that was announced last."""
    run: int = 0
    """Consecutive failures; kept while open, to be read."""
    successes: int = 0
    """Since the state changed: in half-open those of the probes."""
    last_failure_at: int = 0
    last_failure: str = ""
    bucket_ms: int = 0
    buckets: int = 0
    """The window that the counts below are made with."""
    calls: int = 0
    failures: int = 0
    slow: int = 0
    leases: int = 0
    next_lease_end: int = 0
    """When the first lease expires, 0 for none."""
    live: int = 0
    """Reporters that said hello or reported a call within the last minute and have not said goodbye."""
    overlays: int = 0
    """How many of them hold their own circuit open."""
    rest_calls: int = 0
    rest_failures: int = 0
    """What the live reporters counted, without that eighth of them (rounded up) that has most failures."""
    rest_slow_calls: int = 0
    rest_slow: int = 0
    """The same without the eighth that has most slow calls."""
    peak: int = 0
    """After a flush: the longest run that it was part of, even if a success ended that."""
    result: str = Result.NONE
    changed: str = Change.NONE


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a point that only the store understands; `gap`: some of it is not known any more."""

    views: tuple[tuple[str, View], ...]
    since: object
    gap: bool


class PushUnavailableError(SwitchgearError):
    """Changes can't be pushed on this connection: they must be polled."""


class Listener(NamedTuple):
    """Who hears of changes; see `SharedCircuitStore.watch`."""

    view: Callable[[str, View], None]
    gap: Callable[[], None]
    alive: Callable[[], None]


class SharedCircuitStore(Protocol):
    """A store that shares circuits between processes: mechanism only, no threshold is ever compared in it."""

    async def batch(self, operations: Sequence[tuple[str, Operation]]) -> list[View]:
        """Apply the operations (key and what to do), each atomically, those of one key in their order.

        Raises what the driver raises: then any of them may have been applied, and the same batch may be sent
        again.
        """
        ...

    async def watch(
        self, on_view: Callable[[str, View], None], on_gap: Callable[[], None], on_alive: Callable[[], None]
    ) -> None:
        """Report every change as it happens, until cancelled.

        `on_gap` says that changes may have been missed (also once at the start: those before the
        subscription); `on_alive` that the subscription has answered a ping. Raises when it did not, or can't
        be had.
        """
        ...

    async def changes(self, since: object | None) -> Changes:
        """Everything that changed after the last answer's `since`; `None` only asks where the feed stands."""
        ...
