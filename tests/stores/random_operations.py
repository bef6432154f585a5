"""Random sequences of operations on one circuit, and time that passes for its record."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from switchgear.stores.operations import (
    CONSECUTIVE,
    FAILED,
    MAX_ORDERS,
    SUCCEEDED,
    Delta,
    Flush,
    Get,
    Goodbye,
    Hello,
    Known,
    Lease,
    Move,
    Operation,
    Override,
    Reset,
    Run,
    Settle,
    Transition,
    Window,
)
from switchgear.stores.record import RING, Record

WINDOWS = (None, None, CONSECUTIVE, Window(1024, 10), Window(1024, 10), Window(2048, 15))
FULL = tuple(f"o{number}" for number in range(MAX_ORDERS))
"""As many orders as a record remembers."""
AGES = (700, 2048, 6144, 20480, 61440, 307200, -500, -4096, -3_600_000)


class Choice:
    """Draws operations that are likely to matter for the record as it is, near misses among them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.step = 0

    def operation(self, record: Record) -> Operation:
        self.step += 1
        draws = (
            (self.hello, 2),
            (self.goodbye, 1),
            (self.get, 1),
            (self.flush, 12),
            (self.transition, 4),
            (self.lease, 6),
            (self.settle, 5),
            (self.override, 0.9),
            (self.reset, 0.5),
        )
        draw = self.random.choices([draw for draw, _ in draws], [weight for _, weight in draws])[0]
        operation = draw(record)
        known = self.known(record) if self.random.random() < 0.1 else None
        return replace(operation, window=self.random.choice(WINDOWS), known=known)

    def reporter(self) -> str:
        return f"r{self.random.randrange(12):x}"

    def token(self, record: Record) -> str:
        return self.random.choice(
            [f"t{self.step}", f"t{self.step}", f"t{self.random.randrange(self.step)}", record.change]
        )

    def order(self, record: Record) -> str:
        """A token of an unconditional change: at times one that is remembered, or has just been forgotten."""
        return self.random.choice([f"t{self.step}", f"t{self.step}", *FULL, *record.orders.split()])

    def generation(self, record: Record) -> int:
        return max(1, record.generation - self.random.choice([0, 0, 0, 0, 1, 2]))

    def duration(self) -> int | None:
        return self.random.choice([None, 0, 500, 5000])

    def move(self, record: Record) -> Move:
        return Move(
            to=self.random.choice(["open", "open", "closed", "half-open"]),
            token=self.token(record),
            why=self.random.choice(["", "5 failures", 'ünïcode \u2028 \\ " \x01']),
            open_ms=self.duration(),
            rounds=self.random.choice([None, 0, 2]),
        )

    def known(self, record: Record) -> Known:
        return Known(
            generation=max(1, record.generation + self.random.randrange(-1, 3)),
            change=f"k{self.step}",
            state=self.random.choice(["closed", "open", "half-open"]),
            remaining_ms=self.duration(),
            open_ms=self.random.choice([0, 800]),
            rounds=self.random.randrange(2),
            why="as known",
            override=self.random.choice(["", "", "", "forced-open"]),
            override_ms=self.duration(),
            override_author=self.random.choice(["", "ann"]),
        )

    def hello(self, _: Record) -> Hello:
        return Hello(reporter=self.reporter(), policy=self.random.choice(["", "p1", "p2"]))

    def goodbye(self, _: Record) -> Goodbye:
        return Goodbye(reporter=self.reporter())

    def get(self, _: Record) -> Get:
        return Get()

    def flush(self, record: Record) -> Flush:
        reporter = self.reporter()
        last = record.reporters[reporter].number if reporter in record.reporters else 0
        deltas: list[Delta] = []
        run = Run()
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 4])):
            outcomes = self.random.choices([FAILED, SUCCEEDED], [3, 1], k=self.random.randrange(1, 6))
            for outcome in outcomes:
                run = run.then(outcome)
            slow = self.random.randrange(len(outcomes) + 1)
            age = self.random.choice([0, 0, 3, 1024, 2100, 12000, 40000])
            deltas.append(Delta(age, len(outcomes), outcomes.count(FAILED), slow))
        return Flush(
            reporter=reporter,
            number=max(1, last + self.random.choice([1, 1, 1, 1, 0, 7])),
            generation=self.random.choice([0, record.generation, self.generation(record)]),
            deltas=tuple(deltas),
            run=run,
            overlay=self.random.random() < 0.2,
            last_failure=self.random.choice(["", "TimeoutError: read"]),
            alarms=self.random.choice([(), (), (5,), (3, 6, 9)]),
        )

    def transition(self, record: Record) -> Transition:
        expected = self.random.choice([0, record.generation, record.generation, self.generation(record)])
        move = self.move(record)
        return Transition(
            expected=expected, move=move if expected else replace(move, token=self.order(record))
        )

    def lease(self, record: Record) -> Lease:
        return Lease(
            token=self.token(record),
            limit=self.random.choice([1, 2, 3]),
            ttl_ms=self.random.choice([300, 3000]),
            open_ms=self.random.choice([0, 0, 4000]),
        )

    def settle(self, record: Record) -> Settle:
        token = self.random.choice([*record.leases, self.token(record)])
        return Settle(
            reporter=self.reporter(),
            token=token,
            generation=self.generation(record),
            outcome=self.random.choice(["success", "failure", "inconclusive"]),
            last_failure="OSError: no route",
            then=self.move(record) if self.random.random() < 0.3 else None,
        )

    def override(self, record: Record) -> Override:
        return Override(
            to=self.random.choice(["forced-open", "disabled", ""]),
            token=self.order(record),
            expires_ms=self.duration(),
            author=self.random.choice(["", "ann"]),
            reason=self.random.choice(["", "maintenance"]),
            why="by hand",
        )

    def reset(self, record: Record) -> Reset:
        return Reset(token=self.order(record), why="by hand")


def older(record: Record, ms: int) -> Record:
    """The record as if written `ms` earlier (negative: as if the server's clock had gone back)."""

    def back(time: int) -> int:
        return time - ms if time else 0

    return replace(
        record,
        since=back(record.since),
        until=back(record.until),
        override_until=back(record.override_until),
        last_failure_at=back(record.last_failure_at),
        written=back(record.written),
        leases={token: held._replace(expires=held.expires - ms) for token, held in record.leases.items()},
        reporters={
            name: reporter._replace(
                active=reporter.active - ms,
                epoch=reporter.epoch - (ms // reporter.span_ms if reporter.span_ms else 0),
            )
            for name, reporter in record.reporters.items()
        },
        slots={
            (width, (slot.bucket - ms // width) % RING): slot._replace(bucket=slot.bucket - ms // width)
            for (width, _), slot in record.slots.items()
        },
    )
