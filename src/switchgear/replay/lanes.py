"""Calls by key, brought into the order of time.

A log is written at the ends of calls, so their beginnings are out of order by as much as calls last, and ends
by as much as writers wait. Nothing is decided about a moment before the log is read `reorder` seconds beyond
it. What comes later than that is left out and counted; a call that lasted longer counts as having begun at
the moment up to which all is decided. `MOST_WAITING` bounds the memory where a log is dense.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.replay.calls import Call
from switchgear.replay.timeline import Timeline
from switchgear.replay.track import Batch, Track

REORDER: Final = 60.0
"""Seconds."""
MOST_WAITING: Final = 200_000
"""Calls that are held in memory at once; beyond it the bound on time shrinks."""
MOST_KEYS: Final = 10_000
"""Keys that are followed; calls of others are counted."""
LONGEST_KEY: Final = 1024
"""Characters."""
MOST_PLOTTED: Final = 100
STEP: Final = 50_000
"""Calls after which the tracks go on."""

_by_end = itemgetter(0)
_code = itemgetter(2)

Fresh = defaultdict[str, list[Call]]
"""Calls that were just read, by key."""

PolicyOf = Callable[[str], CircuitBreakerPolicy | None]
"""The policy of a key; `None`: it has none, and is not followed."""


class Lane:
    """One key: its calls that wait, and a track for each policy."""

    def __init__(self, tracks: Sequence[Track], timeline: Timeline | None) -> None:
        self.tracks = tracks
        self.codes: Counter[int] = Counter()
        """Calls by code."""
        self.timeline = timeline
        self.waiting: list[Call] = []
        self.late = self.long = 0

    def add(self, calls: list[Call], decided: float) -> None:
        if decided == -math.inf:
            self.waiting += calls
            return
        for call in calls:
            end, start, code = call
            if start > decided:
                self.waiting.append(call)
            elif end > decided:
                self.long += 1
                self.waiting.append((end, (decided + end) / 2, code))
            else:
                self.late += 1

    def advance(self, decided: float, horizon: float) -> None:
        self.waiting.sort()  # nearly sorted, which costs little; of two ends at once the older call is first
        cut = bisect_right(self.waiting, horizon, key=_by_end)
        ended, self.waiting = self.waiting[:cut], self.waiting[cut:]
        self.codes.update(map(_code, ended))
        batch = Batch(ended, self.waiting, decided, horizon)
        for track in self.tracks:
            track.run(batch)
        if self.timeline is not None:
            self.timeline.add(batch)


class Lanes:
    """All keys of a log."""

    def __init__(
        self,
        policies: Sequence[PolicyOf],
        *,
        reorder: float = REORDER,
        tolerance: float = 0.0,
        timelines: bool = False,
    ) -> None:
        """`timelines`: keep the first keys' calls over time too, for plots."""
        self.by_key: dict[str, Lane] = {}
        self.without_policy: Counter[str] = Counter()
        """Calls by key of which no policy knows."""
        self.beyond = 0
        """Calls of keys beyond the bounds."""
        self.first = math.inf
        """The earliest end of the first calls: about the beginning of the log."""
        self.last = -math.inf
        self.shortest_reorder = reorder
        """The bound on time that held all the way."""
        self._policies = policies
        self._plotted = MOST_PLOTTED if timelines else 0
        self._reorder = reorder
        self._tolerance = tolerance
        self._decided = -math.inf
        self._unread = 0

    def add(self, fresh: Mapping[str, list[Call]], newest: float) -> None:
        """Take calls. `newest`: the latest end among them."""
        for key, calls in fresh.items():
            lane = self.by_key.get(key) or self._open(key)
            if lane is None:
                self._leave_out(key, len(calls))
                continue
            lane.add(calls, self._decided)
            self._unread += len(calls)
        self.last = max(self.last, newest)
        if self.first == math.inf and fresh:
            self.first = min(call[0] for calls in fresh.values() for call in calls)
        if self._unread >= STEP:
            self._advance(self.last - self._reorder)
            self._bound()

    def finish(self) -> None:
        """The log is over: all that waits is decided."""
        self._advance(math.inf)

    def _open(self, key: str) -> Lane | None:
        found = [policy_of(key) for policy_of in self._policies]
        known = [policy for policy in found if policy is not None]
        if len(known) < len(found) or len(self.by_key) >= MOST_KEYS or len(key) > LONGEST_KEY:
            return None
        timeline = Timeline() if len(self.by_key) < self._plotted else None
        lane = self.by_key[key] = Lane([Track(policy, self._tolerance) for policy in known], timeline)
        return lane

    def _leave_out(self, key: str, calls: int) -> None:
        if len(self.by_key) < MOST_KEYS and len(self.without_policy) < MOST_KEYS and len(key) <= LONGEST_KEY:
            self.without_policy[key] += calls
        else:
            self.beyond += calls

    def _advance(self, horizon: float) -> None:
        if horizon <= self._decided:
            return
        self._unread = 0
        for lane in self.by_key.values():
            if lane.waiting:
                lane.advance(self._decided, horizon)
        self._decided = horizon

    def _bound(self) -> None:
        """Decides earlier than wanted when too much waits."""
        waiting = sum(len(lane.waiting) for lane in self.by_key.values())
        if waiting <= MOST_WAITING:
            return
        ends = sorted(call[0] for lane in self.by_key.values() for call in lane.waiting)
        horizon = ends[-MOST_WAITING // 2]
        self.shortest_reorder = min(self.shortest_reorder, self.last - horizon)
        self._advance(horizon)
