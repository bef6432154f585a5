"""The counts of all workers, of those too that are gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from switchgear.gateway.metrics.families import counts_only, merged
from switchgear.gateway.metrics.process import of_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.supervisor.child import Child


class Census:
    """Asks the workers.

    What one had counted when it was asked last stays in the sums when it is gone: a counter that falls would
    be taken for a new one, and all that it had counted be counted again.
    """

    def __init__(self) -> None:
        self._last: dict[Child, list[Sample]] = {}
        self._gone: list[Sample] = []

    async def take(self, children: Mapping[int, Child | None]) -> list[list[Sample]]:
        """The samples of each worker, by its place."""
        present = {child: str(place) for place, child in children.items() if child is not None}
        pictures = await asyncio.gather(*(child.picture() for child in present))
        # One that is busy is as it was: its share must not be missing either.
        seen = {
            child: list(of_worker(picture, present[child]))
            for child, picture in zip(present, pictures, strict=True)
            if picture
        }
        self._last = {**self._last, **seen}
        for child in [child for child in self._last if child not in present]:
            self._bury(child)
        up: list[Sample] = [
            ("worker_up", (str(place),), float(child in seen)) for place, child in children.items()
        ]
        known = [[one for one in last if one[0] != "worker_up"] for last in self._last.values()]
        return [up, self._gone, *known]

    def _bury(self, child: Child) -> None:
        together = merged([self._gone, counts_only(self._last.pop(child))])
        self._gone = [
            (name, labels, value) for name, series in together.items() for labels, value in series.items()
        ]
