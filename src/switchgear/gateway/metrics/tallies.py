"""What is counted while requests run: places are there beforehand, and a request adds to a few numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from math import inf
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
"""Requests, or attempts, that are worked off at once."""

_OUTCOMES: Final = ("success", "failure", "inconclusive")
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

    def extend(self, seconds: Iterable[float]) -> None:
        """Adds several at once, which costs a fraction of what they cost one by one."""
        ordered = sorted(seconds)
        self.total += sum(ordered)
        counted = 0
        for place, bound in enumerate((*BOUNDS, inf)):
            upto = bisect_right(ordered, bound)
            self.buckets[place] += upto - counted
            counted = upto
            if counted == len(ordered):
                break

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


class Cell:
    """Requests to a route that had one method, status and origin."""

    __slots__ = ("_early", "_streamed", "bytes_in", "bytes_out", "durations")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.bytes_in = self.bytes_out = 0
        self._streamed: Histogram | None = None
        self._early: Histogram | None = None

    def count(self, replies: Sequence[Reply]) -> None:
        """Requests are over: many at once, which costs a fraction of what they cost one by one."""
        self.durations.extend([reply.ended - reply.started for reply in replies])
        self.bytes_out += sum([reply.bytes_out for reply in replies])
        self.bytes_in += sum([reply.bytes_in for reply in replies])
        for reply in [reply for reply in replies if reply.head_at]:
            self._began(reply.head_at - reply.started, reply.ended - reply.started)

    def _began(self, to_head: float, seconds: float) -> None:
        """An answer that took `seconds` was sent piece by piece, the first after `to_head`."""
        if self._streamed is None or self._early is None:
            self._streamed, self._early = Histogram(), Histogram()
        self._streamed.extend((seconds,))
        self._early.extend((to_head,))

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
        self._cells = defaultdict[tuple[bytes, int, bytes], Cell](Cell)

    def cell(self, method: bytes, status: int, origin: bytes) -> Cell:
        """Where such requests are counted."""
        return self._cells[method, status, origin]

    def refused(self, status: int) -> None:
        """A request that could not be read."""
        self._cells[_OTHER, status, b"error"].durations.extend((0.0,))

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


class UpstreamTally:
    """Attempts at a service, by the endpoint's origin."""

    __slots__ = ("_answers", "_durations", "_failures", "lasted", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._durations = Histogram()
        self.lasted = defaultdict[tuple[str, int], list[float]](list)
        """Durations of attempts that were answered, by origin and status, which are not counted yet: whoever
        adds the last of a `BATCH` calls `settle`."""
        self._answers: Counter[tuple[str, int]] = Counter()
        self._failures: dict[tuple[str, str], int] = {}

    def settle(self) -> None:
        """Works off what waits."""
        for place, lasted in self.lasted.items():
            self._answers[place] += len(lasted)
            self._durations.extend(lasted)
            lasted.clear()

    def failed(self, origin: str, failure: UpstreamFailure) -> None:
        """An attempt came to nothing."""
        place = (origin, failure.kind)
        self._failures[place] = self._failures.get(place, 0) + 1

    def samples(self) -> Iterator[Sample]:
        self.settle()
        for (origin, status), count in self._answers.items():
            yield "upstream_requests", (self.name, origin, str(status), "none"), count
        for (origin, kind), count in self._failures.items():
            yield "upstream_requests", (self.name, origin, "", kind), count
        yield "upstream_request_duration_seconds", (self.name,), self._durations.value


class CircuitTally:
    """Calls of one circuit, whichever places it guards."""

    __slots__ = ("_durations", "failures", "inconclusive", "lasted", "name", "rejected", "successes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.successes = self.failures = self.inconclusive = self.rejected = 0
        self.lasted: list[float] = []
        """Of successes, not in the histogram yet: whoever adds the last of a `BATCH` calls `settle`."""
        self._durations = (Histogram(), Histogram(), Histogram())

    def settle(self) -> None:
        """Works off what waits."""
        self._durations[0].extend(self.lasted)
        self.lasted.clear()

    def failed(self, seconds: float) -> None:
        """`seconds`: 0 for a call that nobody has measured."""
        self.failures += 1
        if seconds:
            self._durations[1].extend((seconds,))

    def ended(self, seconds: float) -> None:
        """A call ended that says nothing of the service."""
        self.inconclusive += 1
        if seconds:
            self._durations[2].extend((seconds,))

    def samples(self) -> Iterator[Sample]:
        self.settle()
        counts = (self.successes, self.failures, self.inconclusive)
        for outcome, count, durations in zip(_OUTCOMES, counts, self._durations, strict=True):
            yield "circuit_calls", (self.name, outcome), count
            yield "circuit_call_duration_seconds", (self.name, outcome), durations.value
        yield "circuit_calls", (self.name, "rejected"), self.rejected


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
