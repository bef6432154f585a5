"""What is done for a route, put together once, when the gateway starts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from switchgear.gateway.access_line import RouteLine
from switchgear.gateway.accounts import Accounts
from switchgear.gateway.aggregate import Aggregator
from switchgear.gateway.buffered import BufferedFetch
from switchgear.gateway.circuits import Guard, guard_for
from switchgear.gateway.http1.rules import compiled
from switchgear.gateway.policies import Policy
from switchgear.gateway.policies.circuit_breaker import CircuitBreakerLayer
from switchgear.gateway.policies.retry import RetryLayer
from switchgear.gateway.policies.timeout import TimeoutLayer
from switchgear.gateway.policies.user import UserLayer
from switchgear.gateway.proxy import Exchange
from switchgear.gateway.ruled import AnswerRules, RuledExchange
from switchgear.gateway.stale import StaleStore
from switchgear.gateway.timeouts import TimeoutQueue
from switchgear.gateway.upstream.service import Upstreams

if TYPE_CHECKING:
    from collections.abc import Iterable

    from switchgear.gateway.breakers import Breakers
    from switchgear.gateway.config.model import GatewayConfig, Limits, Route
    from switchgear.gateway.config.paths import PathTemplate
    from switchgear.gateway.metrics.board import Board
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.metrics.tallies import RouteTally
    from switchgear.gateway.policies import Layer
    from switchgear.gateway.upstream.service import Upstream


@dataclass(frozen=True, slots=True)
class Plan:
    """A route, ready to be run: its layers from the outside inwards, and what is inside of them."""

    name: str
    path: PathTemplate
    method: str
    layers: tuple[Layer, ...]
    guards: tuple[Guard, ...]
    """The route's own circuits, which hear of an answer that is cut off after its head."""
    limits: Limits
    upstream: Upstream
    """The service of a streamed route (of a merged one: the first)."""
    line: RouteLine
    """What the access log says of its requests."""
    tally: RouteTally
    accounts: Accounts
    aggregator: Aggregator | None = None
    deadline: TimeoutQueue[Exchange] | None = None
    circuit: str = ""
    """The key of the circuit that the access log tells of."""
    answer_rules: AnswerRules | None = None
    exchange: type[Exchange] = Exchange
    """What a request becomes."""

    def __str__(self) -> str:
        return self.name


class Planner:
    """Makes the plans of a gateway's routes, and owns what they share."""

    def __init__(
        self, config: GatewayConfig, breakers: Breakers, board: Board, before: Planner | None = None
    ) -> None:
        """Stale answers and connections go on from `before`."""
        self._limits = config.limits
        self._breakers = breakers
        self._board = board
        measured = config.admin is not None or config.log.access is not False
        tally = board.upstream if measured else _unmeasured
        earlier = None if before is None else before.upstreams
        self.upstreams: Upstreams = Upstreams(
            breakers, config.limits, config.tls, tally, earlier, board.retries
        )
        self.stale: StaleStore = StaleStore() if before is None else before.stale
        self._loop = asyncio.get_running_loop()

    def plan(self, route: Route) -> Plan:
        """The plan of a route. Raises `ValueError` for unfit policies and unusable certificates."""
        guard = guard_for(route.circuit, self._breakers)
        upstreams = {
            service.name: self.upstreams.make(service, route.retry, route.headers.request)
            for service in route.services
        }
        first = next(iter(upstreams.values()))
        rules = AnswerRules(first.answer_rules if route.streamed else None, compiled(route.headers.response))
        ruled = any(part is not None for part in rules)
        line = _line(route, alone=route.streamed and first.balancer is None)
        tally = self._board.route(route.path.canonical)
        return Plan(
            str(route),
            route.path,
            route.method,
            self._layers(route, guard, first),
            () if guard is None else (guard,),
            self._limits,
            first,
            line,
            tally,
            Accounts(tally, line),
            None if route.streamed else self._aggregator(route, upstreams),
            self._deadline(route),
            _circuit_key(route),
            rules if ruled else None,
            RuledExchange if ruled else Exchange,
        )

    def retire(self, successor: Planner) -> None:
        """Leaves what the successor has not taken over."""
        self.upstreams.retire(successor.upstreams)

    def samples(self) -> list[Sample]:
        return list(self.upstreams.samples(self._board.log.rejecting))

    async def close(self) -> None:
        """Drops all connections to upstreams."""
        await self.upstreams.close()

    def _layers(self, route: Route, guard: Guard | None, upstream: Upstream) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        if guard is not None:
            layers.append(CircuitBreakerLayer(guard))
        if (
            route.streamed
        ):  # where answers are merged, the aggregator keeps time, and each part has its retries
            if route.timeout is not None:
                layers.append(TimeoutLayer(self._loop, route.timeout))
            if upstream.retry is not None:
                layers.append(RetryLayer(self._loop, upstream.retry))
        layers += (UserLayer(_checked(policy, route)) for policy in route.policies)
        return in_order(layers, route)

    def _aggregator(self, route: Route, upstreams: dict[str, Upstream]) -> Aggregator:
        fetch = BufferedFetch(upstreams, self._limits.buffered_part)
        return Aggregator(route, fetch, self.stale, self._loop.time)

    def _deadline(self, route: Route) -> TimeoutQueue[Exchange] | None:
        if route.deadline is None or not route.streamed:
            return None
        return TimeoutQueue(self._loop, route.deadline, _expire)


def in_order(layers: Iterable[Layer], route: object) -> tuple[Layer, ...]:
    """Lower priority outside; equal ones as declared. Raises `ValueError` for two of one name."""
    ordered = tuple(sorted(layers, key=lambda layer: layer.priority))
    names = [layer.name for layer in ordered]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{route}: policy {twice!r} is there twice")
    return ordered


def _checked(policy: object, route: Route) -> Policy:
    if not isinstance(policy, Policy):
        raise ValueError(  # noqa: TRY004 - it is a mistake in the configuration like the others
            f"{route}: {policy!r} is no policy: "
            "it needs name, priority and an async __call__(request, call_next)"
        )
    return policy


def _expire(exchange: Exchange) -> None:
    exchange.expire()


def _line(route: Route, *, alone: bool) -> RouteLine:
    members: dict[str, object] = {"http.route": route.path.canonical}
    members["service"] = ",".join(service.name for service in route.services)
    if key := _circuit_key(route):
        members["circuit"] = key
    return RouteLine(members, alone=alone)


def _circuit_key(route: Route) -> str:
    circuit = route.circuit or next((s.circuit for s in route.services if s.circuit), None)
    return "" if circuit is None else circuit.key


def _unmeasured(_: str) -> None:
    """Nobody wants to know how long a service takes."""
