"""Retries of a service's requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from switchgear.gateway.metrics.families import Sample


class RetryTally:
    """Counted where they are decided, whichever routes ask."""

    __slots__ = ("exhausted", "name", "retries")

    def __init__(self, name: str) -> None:
        self.name = name
        self.retries = 0
        self.exhausted = 0
        """Retries that the budget did not allow."""

    def samples(self) -> Iterator[Sample]:
        yield "upstream_retries", (self.name,), self.retries
        yield "upstream_retry_budget_exhausted", (self.name,), self.exhausted
