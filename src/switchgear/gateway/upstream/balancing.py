"""Which endpoint of a service an attempt goes to, and where it goes when there is no connection to that one.

An endpoint whose own circuit is open is *ejected*: passed over, as long as no more than a share of the
endpoints is. Beyond the share an open circuit is used all the same: when most of a service is broken, to send
everything to the rest would break that too, and to send nothing helps nobody.
"""

from __future__ import annotations

import math
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Final

from switchgear import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from switchgear import Permit
    from switchgear.gateway.circuits import Guard, Head
    from switchgear.gateway.config.model import Balance
    from switchgear.gateway.exchange import UpstreamFailure
    from switchgear.gateway.upstream.endpoint import UpstreamEndpoint

_ROUNDING: Final = 1e-9  # 0.29 * 100 is a little less than 29


def most_ejected(count: int, share: float) -> int:
    """How many of `count` endpoints may be passed over: `share` of them at most, and never all."""
    return min(count - 1, math.floor(count * share + _ROUNDING))


class Balancer:
    """Spreads the attempts at a service over its endpoints."""

    __slots__ = ("_balance", "_endpoints", "_most_ejected", "_next", "_random")

    def __init__(
        self,
        endpoints: Sequence[UpstreamEndpoint],
        balance: Balance,
        max_ejected: float,
        random: Random | None = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._balance = balance
        self._most_ejected = most_ejected(len(endpoints), max_ejected)
        self._next = 0
        self._random = random or Random()

    def turn(self, tried: UpstreamEndpoint | None = None) -> Turn:
        """The way of one attempt. `tried`: where the request was sent before; it comes last now."""
        order = self._in_turn() if self._balance == "round-robin" else self._less_busy()
        if tried in order:
            order.remove(tried)
            order.append(tried)
        return Turn(self, order, self._most_ejected)

    def passed_over(self) -> None:
        """An endpoint lost its turn: the next request must not meet the one that stepped in for it again."""
        self._next = (self._next + 1) % len(self._endpoints)

    def _in_turn(self) -> list[UpstreamEndpoint]:
        at = self._next
        self._next = (at + 1) % len(self._endpoints)
        return [*self._endpoints[at:], *self._endpoints[:at]]

    def _less_busy(self) -> list[UpstreamEndpoint]:
        """The less busy of two at random, then the other one, then the rest.

        The least busy of all would be better for one process alone; several of them, each of which knows only
        its own requests, would choose the same one.
        """
        order = self._random.sample(self._endpoints, len(self._endpoints))
        if len(order) > 1 and order[1].pool.busy < order[0].pool.busy:
            order[:2] = order[1], order[0]
        return order


class Turn:
    """The way of one attempt through the endpoints of its service, and the permit of the one it is at."""

    __slots__ = ("_answered", "_balancer", "_may_eject", "_order", "_permit", "_since", "endpoint", "failure")
    endpoint: UpstreamEndpoint
    failure: UpstreamFailure  # of the endpoint before this one

    def __init__(self, balancer: Balancer, order: list[UpstreamEndpoint], may_eject: int) -> None:
        self._balancer = balancer
        self._order = order
        self._may_eject = may_eject
        self._permit: Permit | None = None
        self._since = 0.0
        self._answered = False

    def next(self) -> Guard | bool:
        """Goes on to the next endpoint that may be asked: `True`, and it is `endpoint`.

        `False`: there is none left. A guard: a store has to be asked for a probe of its circuit, by `ask`.
        """
        while self._order:
            self.endpoint = self._order.pop(0)
            guard = self.endpoint.guard
            if guard is None:
                return True
            self._since = monotonic()
            try:
                self._permit = guard.try_enter()
            except CircuitOpenError:
                guard.rejected()
                if self._eject():
                    continue
                return True
            return guard if self._permit is None else True
        return False

    async def ask(self, guard: Guard) -> bool:
        """Waits for a permit of `guard`; whether `endpoint` may be asked."""
        try:
            self._permit = await guard.enter()
        except CircuitOpenError:
            guard.rejected()
            return not self._eject()
        self._since = monotonic()
        return True

    def answered(self, head: Head) -> None:
        """The endpoint answered."""
        self._answered = True
        permit, guard = self._take()
        if permit is not None and guard is not None:
            guard.answered(permit, head, monotonic() - self._since)

    def failed(self, failure: UpstreamFailure) -> None:
        """The endpoint gave no usable answer, or cut it off."""
        self.failure = failure
        permit, guard = self._take()
        if guard is None:
            return
        if permit is not None:
            guard.failed(permit, failure, monotonic() - self._since)
        elif self._answered:
            guard.cut_off(failure)

    def cancel(self) -> None:
        """The attempt is given up, without evidence."""
        permit, guard = self._take()
        if permit is not None and guard is not None:
            guard.cancelled(permit, monotonic() - self._since)

    def _take(self) -> tuple[Permit | None, Guard | None]:
        permit, self._permit = self._permit, None
        return permit, self.endpoint.guard

    def _eject(self) -> bool:
        if not self._may_eject:
            return False
        self._may_eject -= 1
        self._balancer.passed_over()
        return True
