"""What a process asks of a shared circuit: plain data.

Every store that shares circuits speaks these operations, and whatever was asked, the reply is the circuit's
whole `View`. Each operation is atomic at the store and safe to send again: a flush has a number, a lease and
a change of state have a token of their own.

Times named `..._ms` are durations in milliseconds. No process compares a time of the server with a clock of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

MAX_BUCKETS: Final = 31
MAX_REPORTERS: Final = 256
MAX_ORDERS: Final = 8


# ---- parts of operations ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """The geometry of a rolling window: `buckets` of `bucket_ms` each.

    Zero buckets: failures in a row are counted.
    """

    bucket_ms: int = 0
    buckets: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.buckets <= MAX_BUCKETS or (self.buckets > 0) != (self.bucket_ms > 0):
            raise ValueError(
                f"a window has 1 to {MAX_BUCKETS} buckets of at least 1 ms, or none of none: got {self}"
            )

    @classmethod
    def of(cls, seconds: float) -> Window:
        """The window of this length: a power of two of milliseconds a bucket, at least ten buckets.

        Nearly equal windows thereby share their buckets at the store.
        """
        bucket_ms = 1
        while bucket_ms * 20 <= seconds * 1000:
            bucket_ms *= 2
        return cls(bucket_ms, max(1, -int(-seconds * 1000 // bucket_ms)))

    @property
    def span_ms(self) -> int:
        return self.bucket_ms * self.buckets


CONSECUTIVE: Final = Window()


@dataclass(frozen=True, slots=True)
class Delta:
    """Calls that ended `age_ms` before the operation was sent (failed and slow ones included)."""

    age_ms: int
    calls: int
    failures: int
    slow: int


@dataclass(frozen=True, slots=True)
class Run:
    """A sequence of outcomes as far as runs of failures go; merging two is exact, whatever was cut where."""

    head: int = 0
    """Failures before the first success."""
    best: int = 0
    """The longest run."""
    tail: int = 0
    """Failures after the last success."""
    success: bool = False
    """Whether there was a success at all."""

    def then(self, later: Run) -> Run:
        """The sequence that goes on with `later`."""
        return Run(
            self.head if self.success else self.head + later.head,
            max(self.best, later.best, self.tail + later.head),
            later.tail if later.success else self.tail + later.tail,
            self.success or later.success,
        )


FAILED: Final = Run(1, 1, 1)
SUCCEEDED: Final = Run(success=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the sender knows of the circuit: a store that has lost it (flushed, older replica) takes it."""

    generation: int
    change: str
    state: str
    remaining_ms: int | None = None
    """Of the open time; `None` when nobody has set one."""
    open_ms: int = 0
    rounds: int = 0
    why: str = ""
    override: str = ""
    override_ms: int | None = None
    """Remaining time of the override; `None` for no end."""
    override_author: str = ""
    override_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of state, as decided by a process."""

    to: str
    token: str
    why: str = ""
    open_ms: int | None = None
    """The open time; `None` leaves it to the policy of whoever asks for a probe."""
    rounds: int | None = None
    """Failed probe rounds; `None` keeps them."""


# ---- operations ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    name: ClassVar[str]

    window: Window | None = None
    """The sender's window; `None` when it has no policy: then the record's own holds."""
    known: Known | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(_Operation):
    """A process begins to use the circuit: no evidence, but it counts as a live reporter."""

    name = "hello"
    reporter: str
    policy: str = ""
    """A fingerprint, for others to see that theirs differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodbye(_Operation):
    """A process stops using the circuit: what it has counted stays, but it is no live reporter any more."""

    name = "goodbye"
    reporter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(_Operation):
    """Look. An unknown circuit is closed, and stays unknown."""

    name = "get"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush(_Operation):
    """Outcomes of one process, counted once per (`reporter`, `number`) and only in their own generation."""

    name = "flush"
    reporter: str
    number: int
    """Grows with every flush of this reporter; sending the same one again changes nothing."""
    generation: int
    """The generation of the calls; 0: whichever it is now."""
    deltas: tuple[Delta, ...] = ()
    run: Run = Run()
    overlay: bool = False
    """Whether this process holds its own circuit open by its own evidence."""
    last_failure: str = ""
    alarms: tuple[int, ...] = ()
    """Tell all subscribers when the count of failures reaches one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(_Operation):
    """Compare and set: won only if the generation is `expected` and no override holds.

    `expected` 0 is unconditional, once per token, and ends an override.
    """

    name = "transition"
    expected: int
    move: Move


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(_Operation):
    """Ask for a probe: granted to at most `limit` tokens at a time, each for `ttl_ms` unless settled before.

    An open circuit whose time is over becomes half-open here, so only one process can do it.
    """

    name = "lease"
    token: str
    limit: int
    ttl_ms: int
    open_ms: int = 0
    """The open time by the sender's policy, for a circuit that was opened without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(_Operation):
    """A probe has ended. Its slot is free in any case.

    The outcome (and `then`) counts only while the lease is alive, in its generation, in half-open.
    """

    name = "settle"
    reporter: str
    token: str
    generation: int
    outcome: str
    """`success`, `failure` or `inconclusive`."""
    last_failure: str = ""
    then: Move | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(_Operation):
    """An operator's will: `forced-open`, `disabled`, or empty to end it.

    It is obeyed once: sent again it changes nothing, also if something else came in between.
    """

    name = "override"
    to: str
    token: str
    expires_ms: int | None = None
    author: str = ""
    reason: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(_Operation):
    """Closed, every evidence and override forgotten, once. Leases stay: their calls are in flight."""

    name = "reset"
    token: str
    why: str = ""


Operation: TypeAlias = Hello | Goodbye | Get | Flush | Transition | Lease | Settle | Override | Reset
