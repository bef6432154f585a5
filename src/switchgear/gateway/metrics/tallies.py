"""What is counted while requests run: places are there beforehand, and a request adds to a few numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

from switchgear.gateway.parts import Source
from switchgear.metrics.histogram import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from switchgear.gateway.exchange import UpstreamFailure
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.parts import Result
    from switchgear.gateway.reply import Reply

UNMATCHED: Final = "_unmatched"
"""The route of requests that no route takes."""
_OTHER: Final = b"_OTHER"
BATCH: Final = 64
"""Notes that are worked off at once."""

_PART: Final = {
    Source.OK: "ok",
    Source.STALE: "fallback_stale",
    Source.ELSE: "fallback_static",
    Source.OMITTED: "omitted",
    Source.FAILED: "error",
}


class Histogram:
    """Durations in seconds."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: Sequence[float]) -> None:
        """Several at once."""
        buckets = self.buckets
        for each in seconds:
            buckets[bisect_left(BOUNDS, each)] += 1
        self.total += sum(seconds)

    def merge(self, other: Histogram) -> None:
        """Adds what another one has."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.total += other.total

    @property
    def count(self) -> int:
        return sum(self.buckets)

    @property
    def value(self) -> list[float]:
        return [*self.buckets, self.total]


class _Cell:
    """Requests to a route that had one method, status and origin."""

    __slots__ = ("_early", "_streamed", "bytes_in", "bytes_out", "durations")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.bytes_in = self.bytes_out = 0
        self._streamed: Histogram | None = None
        self._early: Histogram | None = None

    def began(self, to_head: float, seconds: float) -> None:
        """An answer that took `seconds` was sent piece by piece, the first after `to_head`."""
        if self._streamed is None or self._early is None:
            self._streamed, self._early = Histogram(), Histogram()
        self._streamed.add((seconds,))
        self._early.add((to_head,))

    @property
    def to_first_byte(self) -> list[float]:
        """Of all answers: most are sent whole, and begin when they end, so that nothing is counted twice."""
        if self._streamed is None or self._early is None:
            return self.durations.value
        columns = (self.durations.value, self._streamed.value, self._early.value)
        return [all_of - streamed + early for all_of, streamed, early in zip(*columns, strict=True)]


class RouteTally:
    """Requests to the routes of one path.

    A request adds to one cell; the counts that are published are sums of several.
    """

    __slots__ = ("_cells", "_parts", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: dict[tuple[str, str], int] = {}
        self._cells: dict[tuple[bytes, int, bytes], _Cell] = {}

    def count(self, reply: Reply, seconds: float) -> None:
        """A request is over."""
        place = (reply.request.method, reply.status, reply.origin)
        cell = self._cells.get(place) or self._cell(place)
        durations = cell.durations
        durations.buckets[bisect_left(BOUNDS, seconds)] += 1
        durations.total += seconds
        cell.bytes_in += reply.bytes_in
        cell.bytes_out += reply.bytes_out
        if reply.head_at:
            cell.began(reply.head_at - reply.started, seconds)

    def refused(self, status: int) -> None:
        """A request that could not be read."""
        self._cell((_OTHER, status, b"error")).durations.add((0.0,))

    def count_parts(self, results: Iterable[Result]) -> None:
        """A merged answer is composed."""
        for result in results:
            outcome = _PART[result.source]
            if result.source is Source.FAILED and result.failure is not None:
                outcome = result.failure.reason.value
            place = (result.name, outcome)
            self._parts[place] = self._parts.get(place, 0) + 1

    def samples(self) -> Iterator[Sample]:
        for (part, result), count in self._parts.items():
            yield "merge_parts", (self.name, part, result), count
        requests, origins = Counter[tuple[bytes, int]](), Counter[bytes]()
        durations: dict[bytes, Histogram] = {}
        first_bytes: dict[bytes, list[float]] = {}
        for (method, status, origin), cell in self._cells.items():
            requests[method, status] += cell.durations.count
            origins[origin or b"upstream"] += cell.durations.count
            durations.setdefault(method, Histogram()).merge(cell.durations)
            before, own = first_bytes.get(method), cell.to_first_byte
            first_bytes[method] = own if before is None else [a + b for a, b in zip(before, own, strict=True)]
        for (method, status), count in requests.items():
            yield "http_requests", (self.name, method.decode(), str(status)), count
        for method, histogram in durations.items():
            yield "http_request_duration_seconds", (self.name, method.decode()), histogram.value
            yield "http_time_to_first_byte_seconds", (self.name, method.decode()), first_bytes[method]
        for origin, count in origins.items():
            yield "http_responses_by_origin", (self.name, origin.decode()), count
        yield "http_request_bytes", (self.name,), sum(cell.bytes_in for cell in self._cells.values())
        yield "http_response_bytes", (self.name,), sum(cell.bytes_out for cell in self._cells.values())

    def _cell(self, place: tuple[bytes, int, bytes]) -> _Cell:
        return self._cells.setdefault(place, _Cell())


class UpstreamTally:
    """Attempts at a service, by the endpoint's origin.

    Like requests, they leave notes, here of how long they took, which are worked off many at once.
    """

    __slots__ = ("_answers", "_clock", "_durations", "_failures", "_notes", "name")

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self._clock = clock
        self._durations = Histogram()
        self._notes: dict[tuple[str, int], list[float]] = {}
        self._answers: Counter[tuple[str, int]] = Counter()
        self._failures: dict[tuple[str, str], int] = {}

    def answered(self, origin: str, status: int, started: float) -> float:
        """An attempt that began at `started` was answered; returns how long it took."""
        clock, place = self._clock, (origin, status)
        seconds = clock() - started
        notes = self._notes.get(place) or self._notes.setdefault(place, [])
        notes.append(seconds)
        if len(notes) >= BATCH:
            self._settle()
        return seconds

    def _settle(self) -> None:
        for place, notes in self._notes.items():
            self._answers[place] += len(notes)
            self._durations.add(notes)
            notes.clear()

    def failed(self, origin: str, failure: UpstreamFailure) -> None:
        """An attempt came to nothing."""
        place = (origin, failure.kind)
        self._failures[place] = self._failures.get(place, 0) + 1

    def samples(self) -> Iterator[Sample]:
        self._settle()
        for (origin, status), count in self._answers.items():
            yield "upstream_requests", (self.name, origin, str(status), "none"), count
        for (origin, kind), count in self._failures.items():
            yield "upstream_requests", (self.name, origin, "", kind), count
        yield "upstream_request_duration_seconds", (self.name,), self._durations.value


class CircuitTally:
    """Calls of one circuit, whichever places it guards."""

    __slots__ = ("failures", "inconclusive", "name", "rejected", "successes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.successes = self.failures = self.inconclusive = self.rejected = 0

    def samples(self) -> Iterator[Sample]:
        counts = zip(
            ("success", "failure", "inconclusive", "rejected"),
            (self.successes, self.failures, self.inconclusive, self.rejected),
            strict=True,
        )
        for outcome, count in counts:
            yield "circuit_calls", (self.name, outcome), count


class ReloadTally:
    """Configurations that were taken, and such that were refused."""

    __slots__ = ("_fingerprint", "_last_successful", "_now", "_refused", "_taken", "_taken_at")

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._now = now
        self._taken = self._refused = 0
        self._last_successful = True
        self._taken_at = now()
        self._fingerprint = ""

    def begin(self, fingerprint: str) -> None:
        """A configuration is in force; `fingerprint` tells it from others."""
        self._fingerprint = fingerprint
        self._taken_at = self._now()
        self._last_successful = True

    def taken(self, fingerprint: str) -> None:
        self._taken += 1
        self.begin(fingerprint)

    def refused(self) -> None:
        self._refused += 1
        self._last_successful = False

    def samples(self) -> Iterator[Sample]:
        yield "config_reloads", ("success",), self._taken
        yield "config_reloads", ("failure",), self._refused
        yield "config_last_reload_successful", (), float(self._last_successful)
        yield "config_last_reload_success_timestamp_seconds", (), self._taken_at
        yield "config_info", (self._fingerprint,), 1.0
