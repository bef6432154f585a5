"""From `http` to routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from switchgear.gateway.config.guards import Circuits, Guard, guard_of, route_key
from switchgear.gateway.config.header_rules import headers_of
from switchgear.gateway.config.model import MERGE_DEADLINE, Headers, Method, Retry, Route, is_streamed
from switchgear.gateway.config.paths import PathTemplate, parse_path
from switchgear.gateway.config.reader import Item, Values
from switchgear.gateway.config.services import ServiceBuilder, retry_of
from switchgear.gateway.config.tables.gateway import METHODS


@dataclass(frozen=True, slots=True)
class _Common:
    """What `http` says for every route."""

    guard: Guard | None
    timeout: float | None
    retry: Retry | None
    headers: Headers
    policies: tuple[Item, ...]


@dataclass(slots=True)
class RouteBuilder:
    """Builds all routes."""

    services: ServiceBuilder
    circuits: Circuits
    shapes: dict[tuple[object, ...], Item] = field(default_factory=dict[tuple[object, ...], Item])

    def build(self, http: Values) -> Iterator[Route]:
        """The routes that are right; what is wrong with the others is told."""
        common = _Common(
            guard_of(http.found.get("circuit_breaker")),
            http.get("timeout"),
            retry_of(http.found.get("retry")),
            headers_of(http.found.get("headers")),
            http.get("policies", ()),
        )
        for item in http.get("routes", ()):
            yield from self._methods(item.value, self._path(item), common)

    def _path(self, item: Item) -> PathTemplate | None:
        try:
            path = parse_path(item.key)
        except ValueError:
            return None  # told where the key was read
        first = self.shapes.setdefault(path.shape, item)
        if first is not item:
            item.place.wrong_key(f"matches the same requests as {first.key} at {first.place.where}")
        return path

    def _methods(self, methods: Values, path: PathTemplate | None, common: _Common) -> Iterator[Route]:
        if methods.is_empty:
            methods.place.wrong_key("empty", allowed=f"at least one of {', '.join(METHODS)}")
        for found in methods.found.values():
            method: Method = found.field.name  # type: ignore[assignment]  # the names of the table are the methods
            route = self._route(found.value, path, method, common)
            if route is not None:
                yield route

    def _route(
        self, values: Values, path: PathTemplate | None, method: Method, common: _Common
    ) -> Route | None:
        # An inner one replaces the outer one as a whole; `false` reads as None and leaves nothing.
        own_guard = values.found.get("circuit_breaker")
        guard = guard_of(own_guard) if own_guard else common.guard
        own_retry = values.found.get("retry")
        headers = headers_of(values.found.get("headers")).within(common.headers)
        built = [self.services.build(item, path) for item in values.get("services", ())]
        services = tuple(service for service in built if service is not None)
        policies = (*common.policies, *values.get("policies", ()))
        _check_policies(policies)
        if path is None:  # all else that is wrong is told by now
            return None
        return Route(
            path,
            method,
            services,
            circuit=self.circuits.circuit(guard, route_key(method, path)),
            timeout=values.get("timeout", common.timeout),
            deadline=values.get("deadline", None if is_streamed(services) else MERGE_DEADLINE),
            retry=retry_of(own_retry) if own_retry else common.retry,
            headers=headers,
            policies=tuple(item.value for item in policies),
        )


def _check_policies(policies: tuple[Item, ...]) -> None:
    """By name, as a route's pipeline tells them apart."""
    seen: set[str] = set()
    for item in policies:
        if item.value.name in seen:
            item.place.wrong(f"the policy {item.value.name} is on the route twice", show=False)
        seen.add(item.value.name)
