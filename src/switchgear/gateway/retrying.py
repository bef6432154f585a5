"""Whether a request that failed is sent once more, and after which wait."""

from __future__ import annotations

import random
import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.http1.fields import cut_fields
from switchgear.gateway.metrics.retries import RetryTally

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.circuits import Head
    from switchgear.gateway.config.model import Retry

RESERVE: Final = 10.0
"""Retries that a budget has at its start, and at most: a service that is asked rarely has some too."""

_match_seconds = re.compile(rb"[0-9]{1,9}").fullmatch


class Last(Enum):
    """Why an outcome is the last one."""

    DONE = "there is no reason for another attempt, or there were enough"
    REFUSED = "the budget does not allow another attempt"


class RetryBudget:
    """Retries as a share of a service's requests.

    Without it, a service that is down or slow gets a multiple of its usual load just then. A bucket of
    tokens: a request adds `share` of one, a retry takes a whole one.
    """

    __slots__ = ("_share", "_tokens")

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = RESERVE

    def add_request(self) -> None:
        self._tokens = min(RESERVE, self._tokens + self._share)

    def take_retry(self) -> bool:
        """Whether a retry is allowed, which it then has to be."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RetryRule:
    """When requests to a service are sent again."""

    __slots__ = ("_budget", "_chance", "_methods", "_policy", "_tally")

    def __init__(
        self,
        policy: Retry,
        budget: RetryBudget,
        tally: RetryTally | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance`: a number in [0, 1) for each wait."""
        self._policy = policy
        self._budget = budget
        self._tally = tally or RetryTally("")
        self._chance = chance
        self._methods = frozenset(method.encode() for method in policy.methods)

    def begin(self) -> None:
        """A request begins."""
        self._budget.add_request()

    def wait(self, attempts: int, method: bytes, outcome: Head | UpstreamFailure) -> float | Last:
        """Seconds until the next attempt, after `attempts` of them, or why `outcome` is the last one."""
        if attempts >= self._policy.attempts or method not in self._methods or not self._failed(outcome):
            return Last.DONE
        if not self._budget.take_retry():
            self._tally.exhausted += 1
            return Last.REFUSED
        self._tally.retries += 1
        return max(self._backoff(attempts), self._asked_for(outcome))

    def _failed(self, outcome: Head | UpstreamFailure) -> bool:
        if isinstance(outcome, UpstreamFailure):
            return outcome.kind != "too_large"  # it would be no smaller
        return outcome.status in self._policy.statuses

    def _backoff(self, attempts: int) -> float:
        """Anything up to a bound that doubles (full jitter): clients that failed together come back apart."""
        bound = self._policy.backoff * 2.0 ** (attempts - 1)
        return self._chance() * min(bound, self._policy.max_backoff)

    def _asked_for(self, outcome: Head | UpstreamFailure) -> float:
        """What the upstream's `Retry-After` asks for, as far as the longest wait goes. A date is no wait: its
        clock is not ours."""
        if isinstance(outcome, UpstreamFailure):
            return 0.0
        values = [value for name, value in cut_fields(outcome.fields) if name == b"retry-after"]
        if len(values) != 1 or not _match_seconds(values[0]):
            return 0.0
        return min(float(values[0]), self._policy.max_backoff)
