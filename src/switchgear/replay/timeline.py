"""Calls over time, in a bounded number of bins that grow with the log."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from switchgear.replay.calls import Call

if TYPE_CHECKING:
    from switchgear.replay.track import Batch

BINS: Final = 240

_code = itemgetter(2)


class Timeline:
    """Calls by code in bins of equal width; when they do not suffice, two become one."""

    def __init__(self) -> None:
        self.origin = 0.0
        self.width = 0.125
        self.bins: list[Counter[int]] = []

    def add(self, batch: Batch) -> None:
        """Counts the calls that ended, which come in the order of their ends."""
        ended = batch.ended
        if not ended:
            return
        if not self.bins:
            self.origin = math.floor(ended[0][0])
        place = 0
        while place < len(ended):
            bin_ = self._bin(ended[place][0])
            # To the end of that bin, at once.
            after = bisect_left(ended, self.origin + (bin_ + 1) * self.width, lo=place, key=_end)
            after = max(after, place + 1)
            self.bins[bin_].update(map(_code, ended[place:after]))
            place = after

    def _bin(self, moment: float) -> int:
        while (bin_ := int((moment - self.origin) / self.width)) >= BINS:
            self._halve()
        bin_ = max(0, bin_)
        while len(self.bins) <= bin_:
            self.bins.append(Counter())
        return bin_

    def _halve(self) -> None:
        self.width *= 2
        bins = self.bins
        for kept, gone in zip(bins[::2], bins[1::2], strict=False):  # the last may stand alone
            kept.update(gone)
        self.bins = bins[::2]


def _end(call: Call) -> float:
    return call[0]
