"""What is counted while requests run: places are there beforehand, and a request adds to a few numbers."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from switchgear.gateway.parts import Source
from switchgear.metrics.histogram import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from switchgear.gateway.exchange import UpstreamFailure
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.parts import Result

UNMATCHED: Final = "_unmatched"
"""The route of requests that no route takes."""
_OTHER: Final = b"_OTHER"
_METHODS: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE".split())

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

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def value(self) -> list[float]:
        return [*self.buckets, self.total]


class _Method:
    """Requests to a route with one method."""

    __slots__ = ("_early", "_streamed", "durations", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations = Histogram()
        self._streamed: Histogram | None = None
        self._early: Histogram | None = None

    def began(self, to_head: float, seconds: float) -> None:
        """An answer that took `seconds` was sent piece by piece, the first after `to_head`."""
        if self._streamed is None or self._early is None:
            self._streamed, self._early = Histogram(), Histogram()
        self._streamed.add(seconds)
        self._early.add(to_head)

    @property
    def to_first_byte(self) -> list[float]:
        """Of all answers: most are sent whole, and begin when they end, so that nothing is counted twice."""
        if self._streamed is None or self._early is None:
            return self.durations.value
        columns = (self.durations.value, self._streamed.value, self._early.value)
        return [all_of - streamed + early for all_of, streamed, early in zip(*columns, strict=True)]


class RouteTally:
    """Requests to the routes of one path."""

    __slots__ = ("_bytes_in", "_bytes_out", "_methods", "_origins", "_parts", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: dict[tuple[str, str], int] = {}
        self._methods: dict[bytes, _Method] = {}
        self._origins: dict[str, int] = {}
        self._bytes_in = self._bytes_out = 0

    def count(
        self, method: bytes, status: int, seconds: float, origin: str, bytes_in: int, bytes_out: int
    ) -> None:
        """A request is over. `status`: 499 for a client that left before."""
        tally = self._methods.get(method) or self._method(method)
        statuses, origins = tally.statuses, self._origins
        statuses[status] = statuses.get(status, 0) + 1
        origins[origin] = origins.get(origin, 0) + 1
        durations = tally.durations  # `Histogram.add`, without the call
        durations.buckets[bisect_left(BOUNDS, seconds)] += 1
        durations.total += seconds
        self._bytes_in += bytes_in
        self._bytes_out += bytes_out

    def count_streamed(self, method: bytes, to_head: float, seconds: float) -> None:
        """The answer of a request that was counted came in pieces, its head `to_head` seconds after the
        request's."""
        (self._methods.get(method) or self._method(method)).began(to_head, seconds)

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
        for method, tally in self._methods.items():
            for status, count in tally.statuses.items():
                yield "http_requests", (self.name, method.decode(), str(status)), count
            place = (self.name, method.decode())
            yield "http_request_duration_seconds", place, tally.durations.value
            yield "http_time_to_first_byte_seconds", place, tally.to_first_byte
        for origin, count in self._origins.items():
            yield "http_responses_by_origin", (self.name, origin), count
        yield "http_request_bytes", (self.name,), self._bytes_in
        yield "http_response_bytes", (self.name,), self._bytes_out

    def _method(self, method: bytes) -> _Method:
        return self._methods.setdefault(method if method in _METHODS else _OTHER, _Method())


class UpstreamTally:
    """Attempts at a service, by the endpoint's origin."""

    __slots__ = ("_answers", "_clock", "_durations", "_failures", "name")

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self._clock = clock
        self._durations = Histogram()
        self._answers: dict[tuple[str, int], int] = {}
        self._failures: dict[tuple[str, str], int] = {}

    def answered(self, origin: str, status: int, started: float) -> float:
        """An attempt that began at `started` was answered; returns how long it took."""
        seconds = self._clock() - started
        place = (origin, status)
        self._answers[place] = self._answers.get(place, 0) + 1
        self._durations.add(seconds)
        return seconds

    def failed(self, origin: str, failure: UpstreamFailure) -> None:
        """An attempt came to nothing."""
        place = (origin, failure.kind)
        self._failures[place] = self._failures.get(place, 0) + 1

    def samples(self) -> Iterator[Sample]:
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
