"""The record that a store keeps of one shared circuit, and how it changes.

*Evidence* (the run, the window, the counts per process) belongs to one closed period, its *era*: what is
tagged with an older one does not count. So closing a circuit forgets all evidence by one increment, and what
opened it can be read while it is open. *Leases* outlive every change of state until they are settled or
expire: their calls are in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from switchgear.stores.operations import MAX_BUCKETS, MAX_ORDERS, MAX_REPORTERS, Known, Move, Window
from switchgear.stores.reporters import Counts, Era, Reporter, remember

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
FORCED_OPEN, DISABLED = "forced-open", "disabled"

RING: Final = MAX_BUCKETS + 1
"""Slots of a window's ring. One size for all: windows of the same bucket size share their slots."""

CLOCK_SLACK_MS: Final = 1000
TIDY_MS: Final = 1000


class Slot(NamedTuple):
    """One bucket of a window: its era, its number in time (server ms // bucket_ms) and its counts."""

    era: int
    bucket: int
    counts: Counts


class Held(NamedTuple):
    """A lease: when it expires, and the generation it was granted in."""

    expires: int
    generation: int


@dataclass(slots=True)
class Record:
    """What a store keeps of one circuit. The fields that `View` has too mean the same."""

    generation: int = 1
    change: str = ""
    state: str = CLOSED
    since: int = 0
    until: int = 0
    open_ms: int = 0
    rounds: int = 0
    why: str = ""
    override: str = ""
    override_until: int = 0
    override_author: str = ""
    override_reason: str = ""
    policy: str = ""
    run: int = 0
    successes: int = 0
    last_failure_at: int = 0
    last_failure: str = ""
    bucket_ms: int = 0
    buckets: int = 0
    era: int = 0
    runs: int = 0
    """Runs of failures that a success has ended: the number of the present one."""
    orders: str = ""
    """Tokens of the last unconditional changes, the newest last."""
    written: int = 0
    """Server time of the last change: a clock that is behind it has gone back."""
    slots: dict[tuple[int, int], Slot] = field(default_factory=dict[tuple[int, int], Slot])
    leases: dict[str, Held] = field(default_factory=dict[str, Held])
    reporters: dict[str, Reporter] = field(default_factory=dict[str, Reporter])

    # ---- reading ----

    def copy(self) -> Record:
        return replace(self, slots=dict(self.slots), leases=dict(self.leases), reporters=dict(self.reporters))

    @property
    def window(self) -> Window:
        """The window of the policy that was announced last."""
        return Window(self.bucket_ms, self.buckets)

    def era_of(self, window: Window) -> Era:
        return Era(self.era, self.runs, window.span_ms)

    def alive(self, now: int) -> list[int]:
        """The ends of the leases that are alive."""
        return [held.expires for held in self.leases.values() if held.expires > now]

    def counted(self, window: Window, now: int) -> Counts:
        """The totals of the window that ends now."""
        if not window.buckets:
            return Counts()
        newest = now // window.bucket_ms
        total = Counts()
        for (width, _), slot in self.slots.items():
            recent = newest - window.buckets < slot.bucket <= newest
            if width == window.bucket_ms and recent and slot.era == self.era:
                total = total.plus(slot.counts)
        return total

    # ---- changing ----

    def add(self, width: int, bucket: int, counts: Counts) -> None:
        """Count into a bucket; one whose slot a newer bucket has taken is too old to matter."""
        place = width, bucket % RING
        slot = self.slots.get(place)
        if slot is None or slot.era != self.era or slot.bucket < bucket:
            slot = Slot(self.era, bucket, Counts())
        if slot.bucket == bucket:
            self.slots[place] = slot._replace(counts=slot.counts.plus(counts))

    def report(self, reporter: str, now: int) -> None:
        """A process is there."""
        self.reporters[reporter] = self.reporters.get(reporter, Reporter()).seen(now)

    def fail(self, text: str, now: int) -> None:
        self.last_failure_at, self.last_failure = now, text

    def move(self, move: Move, now: int) -> None:
        """Change the state; the generation grows even if the state is the same."""
        self.generation += 1
        self.change, self.state, self.why = move.token, move.to, move.why
        self.since, self.until, self.successes = now, 0, 0
        if move.open_ms is not None:
            self.open_ms = move.open_ms
            self.until = now + move.open_ms if move.to == OPEN else 0
        if move.rounds is not None:
            self.rounds = move.rounds
        if move.to == CLOSED:
            self.run = 0
            self.era += 1

    def obeyed(self, token: str) -> bool:
        """Whether this unconditional change was made before; it is remembered from now on.

        Nothing fences it by generation, so a retry whose reply was lost would undo what others did meanwhile.
        """
        orders = self.orders.split()
        if token in orders:
            return True
        self.orders = " ".join([*orders, token][-MAX_ORDERS:])
        return False

    def put_override(
        self, to: str, now: int, expires_ms: int | None = None, author: str = "", reason: str = ""
    ) -> None:
        self.override, self.override_author, self.override_reason = to, author, reason
        self.override_until = 0 if expires_ms is None else now + expires_ms

    def lift(self, token: str, why: str, now: int) -> None:
        """End the override. After a forced-open a probe goes first, not all traffic at once."""
        to = OPEN if self.override == FORCED_OPEN else CLOSED
        self.put_override("", now)
        self.move(Move(to=to, token=token, why=why, open_ms=0, rounds=0), now)

    def restore(self, known: Known, now: int) -> None:
        """Take over what a process knows of a newer generation than this one."""
        self.generation = known.generation - 1
        self.move(
            Move(
                to=known.state,
                token=known.change,
                why=known.why,
                open_ms=known.remaining_ms,
                rounds=known.rounds,
            ),
            now,
        )
        self.open_ms = known.open_ms
        self.put_override(
            known.override, now, known.override_ms, known.override_author, known.override_reason
        )

    def repair_clock(self, now: int) -> None:
        """Shift every deadline by what the server's clock has gone back.

        Evidence is forgotten: in which bucket it lies, nobody knows any more.
        """
        shift = now - self.written
        if not self.written or shift >= -CLOCK_SLACK_MS:
            return
        for name in ("since", "until", "override_until", "last_failure_at"):
            if value := getattr(self, name):
                setattr(self, name, value + shift)
        self.leases = {
            token: held._replace(expires=held.expires + shift) for token, held in self.leases.items()
        }
        self.reporters = {
            name: reporter._replace(active=reporter.active + shift)
            for name, reporter in self.reporters.items()
        }
        self.era += 1

    def tidy(self, window: Window, now: int) -> None:
        """What is written anyway is rid, about once a second, of what nobody can need any more."""
        due = now // TIDY_MS != self.written // TIDY_MS or len(self.reporters) > MAX_REPORTERS
        self.written = now
        if not due:
            return
        self.leases = {token: held for token, held in self.leases.items() if held.expires > now}
        self.slots = {
            (width, place): slot
            for (width, place), slot in self.slots.items()
            if (slot.bucket + RING) * width > now
        }
        self.reporters = remember(self.reporters, now, window.span_ms)
