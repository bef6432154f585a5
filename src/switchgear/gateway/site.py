"""All routes of a configuration, ready to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from switchgear.gateway.breakers import Breakers
from switchgear.gateway.pipeline import Planner
from switchgear.gateway.routing import RouteTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear import CircuitBreaker, Switchgear
    from switchgear.gateway.answers import Answer
    from switchgear.gateway.config.model import GatewayConfig
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.pipeline import Plan
    from switchgear.gateway.routing import Match


class Site:
    """Finds the plan of a request.

    A reload makes another one, with connections, stale answers and breakers taken over from `before`;
    requests under way end on the plans that they began with. Raises `ValueError` for what can't be put
    together; then nothing has changed.
    """

    def __init__(
        self, config: GatewayConfig, owner: Switchgear, board: Board, before: Site | None = None
    ) -> None:
        self.config = config
        self._board = board
        self._breakers = Breakers(owner, board)
        try:
            earlier = None if before is None else before.planner
            self.planner: Planner = Planner(config, self._breakers, board, earlier)
            self._plans = [self.planner.plan(route) for route in config.routes]
            self.find: Callable[[bytes, bytes], Match[Plan] | Answer] = RouteTable(self._plans).match
            """The plan for a request by method and path, or the answer of the gateway's own."""
        except BaseException:
            self.withdraw()
            raise

    @property
    def timed(self) -> bool:
        """Whether a request has a deadline."""
        return any(plan.deadline is not None for plan in self._plans)

    @property
    def new_breakers(self) -> list[CircuitBreaker]:
        return self._breakers.made

    def adopt(self, before: Site | None) -> None:
        """Requests come here from now on."""
        self._breakers.adopt()
        self._board.keep(self.config)
        if before is not None:
            before.planner.retire(self.planner)

    def withdraw(self) -> None:
        """It will not be used after all."""
        self._breakers.withdraw()

    def samples(self) -> list[Sample]:
        return self.planner.samples()

    async def close(self) -> None:
        """Drops all connections to upstreams."""
        await self.planner.close()
