"""Breakers by key from data, such as one per host: bounded, whatever keys come."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.policy import CircuitBreakerPolicy, is_count, seconds
from switchgear.breaker.state import CircuitState

logger = logging.getLogger("switchgear")

OVERFLOW: Final = "_other"


class BreakerFamily:
    """`hosts["example.com"]`: a breaker for each key.

    At most `limit` circuits that are closed, the least recently used goes first; one that is not closed
    stays, since it protects, until its open time has been over for `reset_timeout_max` without a call. Beyond
    twice the limit in all, new keys share one breaker that never opens: keys that an attacker can choose must
    neither fill the memory nor push out the circuits that protect.
    """

    def __init__(
        self,
        template: str,
        limit: int,
        policy: CircuitBreakerPolicy,
        make: Callable[[str], CircuitBreaker],
        make_overflow: Callable[[str], CircuitBreaker],
        now: Callable[[], float],
    ) -> None:
        if template.count("{}") != 1:
            raise ValueError(f"a family's template has exactly one {{}} for the key, got {template!r}")
        if not is_count(limit):
            raise ValueError(f"limit must be an integer of at least 1, got {limit!r}")
        self.template = template
        self.limit = limit
        self.policy = policy
        self.overflowed = 0
        """How many times a key had to share the overflow breaker."""
        self._make = make
        self._make_overflow = make_overflow
        self._overflow: CircuitBreaker | None = None
        self._now = now
        self._lock = ForkableLock()
        self._members: OrderedDict[str, tuple[CircuitBreaker, float]] = OrderedDict()  # with the last use
        self._longest_rest = seconds(policy.reset_timeout_max)

    def __getitem__(self, key: str) -> CircuitBreaker:
        """The breaker of `key`, made at its first use; beyond twice the limit, one that new keys share."""
        with self._lock:
            member = self._members.get(key)
            if member is not None:
                self._members[key] = (member[0], self._now())
                self._members.move_to_end(key)
                return member[0]
            self._make_room()
            if len(self._members) >= 2 * self.limit:
                return self._shared()
            breaker = self._make(self._name(key))
            self._members[key] = (breaker, self._now())
            return breaker

    def __len__(self) -> int:
        return len(self._members)

    @property
    def overflow(self) -> CircuitBreaker | None:
        """What keys beyond twice the limit share, once there were any."""
        return self._overflow

    def __iter__(self) -> Iterator[CircuitBreaker]:
        with self._lock:
            return iter([breaker for breaker, _ in self._members.values()])

    def _make_room(self) -> None:
        if len(self._members) < self.limit:
            return
        # One attribute read per member: tens of microseconds for a thousand, and only when a full family gets
        # a new key. Counting by transitions instead would make every breaker report to its family.
        passing = [key for key, (breaker, _) in self._members.items() if breaker.circuit.era is not None]
        if len(passing) >= self.limit:
            expendable = next((key for key in passing if self._state(key) is CircuitState.CLOSED), None)
        elif len(self._members) >= 2 * self.limit:
            expendable = next(filter(self._has_rested, self._members), None)
        else:
            return
        if expendable is not None:
            del self._members[expendable]

    def _name(self, key: object) -> str:
        if not isinstance(key, str):
            raise TypeError(f"a family's keys are text, got {key!r}")
        return self.template.replace("{}", key)

    def _state(self, key: str) -> CircuitState:
        return self._members[key][0].state

    def _has_rested(self, key: str) -> bool:
        """Whether an open one may go: a probe has been due for so long that dropping it changes nothing."""
        breaker, used = self._members[key]
        return self._now() - max(used, breaker.circuit.due_since()) > self._longest_rest

    def _shared(self) -> CircuitBreaker:
        self.overflowed += 1
        if self._overflow is None:
            name = self._name(OVERFLOW)
            self._overflow = self._make_overflow(name)
            logger.warning(
                "family %s is full (%d circuits): new keys share %s, which never opens",
                self.template,
                2 * self.limit,
                name,
                extra={"circuit": name},
            )
        return self._overflow
