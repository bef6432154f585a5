"""What a configuration comes to, in the words of a file: defaults filled in and marked, secrets masked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from switchgear.breaker.policy import DEFAULT_RATE_WINDOW, FIELDS, CircuitBreakerPolicy
from switchgear.gateway.config.addresses import mask_query
from switchgear.gateway.config.model import (
    MERGE_DEADLINE,
    PRIORITIES,
    Address,
    Circuit,
    Endpoint,
    GatewayConfig,
    Limits,
    LogConfig,
    Retry,
    Route,
    Service,
    State,
)
from switchgear.gateway.config.quantities import write_duration
from switchgear.gateway.config.resolve import usual_state
from switchgear.gateway.config.sections import Section
from switchgear.gateway.config.settings import Setting, settings, written
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER
from switchgear.gateway.config.tables.gateway import (
    ADMIN,
    HEADERS,
    LIMITS,
    LOG,
    RETRY,
    ROUTE_SERVICE,
    STATE,
    TLS,
)

_ADDRESS_OF_STATE = ("host", "port", "user", "password", "database", "tls")


@dataclass(frozen=True, slots=True)
class Layer:
    """A policy of a route: where it stands, and what it is told."""

    priority: int
    name: str
    says: str | tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class EffectiveService:
    """A service as a route uses it. `circuit` is a key."""

    name: str
    urls: tuple[str, ...]
    appends_path: bool
    """Whether the path of the request is appended to the URLs."""
    circuit: str | None
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class EffectiveRoute:
    """A route; `layers` from the outside inwards, `services` in the order in which they are merged."""

    method: str
    path: str
    streamed: bool
    settings: tuple[Setting, ...]
    layers: tuple[Layer, ...]
    services: tuple[EffectiveService, ...]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A place that a circuit guards, and how a rejection looks there."""

    place: str
    rejection: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class EffectiveCircuit:
    """A circuit, and everything that shares it."""

    key: str
    policy: tuple[Setting, ...]
    guards: list[Guarded] = field(default_factory=list[Guarded])


@dataclass(frozen=True, slots=True)
class Effective:
    """The whole gateway; `sections` are the parts of the top level that are no routes."""

    sections: tuple[Setting, ...]
    routes: tuple[EffectiveRoute, ...]
    circuits: tuple[EffectiveCircuit, ...]


def effective(config: GatewayConfig) -> Effective:
    """What `config` comes to."""
    return Effective(
        tuple(_sections(config)), tuple(map(_route, config.routes)), tuple(_circuits(config.routes))
    )


def _sections(config: GatewayConfig) -> Iterator[Setting]:
    yield Setting("listen", str(config.listen), config.listen == Address())
    yield Setting("state", _state(config.state), config.state == State())
    yield _section(ADMIN, config.admin, None)
    yield _section(TLS, config.tls, None)
    yield _section(LIMITS, config.limits, Limits())
    yield _section(LOG, config.log, LogConfig())
    yield _trusted_proxies(config)


def _trusted_proxies(config: GatewayConfig) -> Setting:
    trusted = config.trusted_proxies
    said = None if trusted is None else [str(network) for network in trusted] or "nobody"
    return Setting("trustedProxies", said, trusted is None)


def _section(section: Section, value: object, standard: object) -> Setting:
    said = None if value is None else settings(section, value, section.models[0])
    return Setting(section.name, said, value == standard)


def _state(state: State) -> str | tuple[Setting, ...]:
    """Only what says something: a URL says all of the address, memory has none."""
    if state.type == "memory" and state.namespace is None:
        return "memory"
    if state.store is not None:
        return type(state.store).__name__
    shown = settings(STATE, state, usual_state(state.type))
    hidden = {"url"} if state.url is None else {*_ADDRESS_OF_STATE}
    if state.type == "memory":
        hidden.update(_ADDRESS_OF_STATE)
    kept = (s for s in shown if s.name not in hidden and not (s.is_default and s.value is None))
    return tuple(Setting(s.name, s.value, s.is_default and s.name != "type") for s in kept)


def _route(route: Route) -> EffectiveRoute:
    usual_deadline = None if route.streamed else MERGE_DEADLINE
    return EffectiveRoute(
        route.method,
        route.path.canonical,
        route.streamed,
        (
            Setting("timeout", _duration(route.timeout), route.timeout is None),
            Setting("deadline", _duration(route.deadline), route.deadline == usual_deadline),
            Setting("headers", written(HEADERS, route.headers), not route.headers),
        ),
        tuple(sorted(_layers(route), key=lambda layer: layer.priority)),
        tuple(map(_service, route.services)),
    )


def _layers(route: Route) -> Iterator[Layer]:
    if route.circuit is not None:
        yield _built_in("circuit-breaker", route.circuit.key)
    if route.timeout is not None:
        yield _built_in("timeout", write_duration(route.timeout))
    if route.retry is not None:
        yield _built_in("retry", settings(RETRY, route.retry, Retry()))
    policies: tuple[Any, ...] = route.policies  # whose form the checker has seen to
    for policy in policies:
        yield Layer(policy.priority, policy.name, type(policy).__qualname__)


def _built_in(name: str, says: str | tuple[Setting, ...]) -> Layer:
    return Layer(PRIORITIES[name], name, says)


def _service(service: Service) -> EffectiveService:
    return EffectiveService(
        service.name,
        tuple(map(_url, service.endpoints)),
        any(endpoint.append_request_path for endpoint in service.endpoints),
        service.circuit.key if service.circuit else None,
        settings(ROUTE_SERVICE, service, Service("", ())),
    )


def _url(endpoint: Endpoint) -> str:
    path = endpoint.path.canonical if endpoint.path else ""
    query = f"?{mask_query(endpoint.query)}" if endpoint.query else ""
    return f"{endpoint.origin}{path}{query}"


def _circuits(routes: tuple[Route, ...]) -> Iterator[EffectiveCircuit]:
    circuits: dict[str, EffectiveCircuit] = {}
    for place, circuit in _guarded(routes):
        known = circuits.get(circuit.key)
        if known is None:
            policy = settings(CIRCUIT_BREAKER, circuit.policy, _standard(circuit.policy))
            known = circuits[circuit.key] = EffectiveCircuit(circuit.key, policy)
        usual = Circuit("", circuit.policy)
        known.guards.append(Guarded(place, settings(CIRCUIT_BREAKER, circuit, usual)))
    yield from circuits.values()


def _guarded(routes: tuple[Route, ...]) -> Iterator[tuple[str, Circuit]]:
    for route in routes:
        if route.circuit is not None:
            yield str(route), route.circuit
        for service in route.services:
            if service.circuit is not None:
                yield f"{route} > {service.name}", service.circuit
            for endpoint in service.endpoints:
                if endpoint.circuit is not None:
                    yield f"{route} > {service.name} > {_url(endpoint)}", endpoint.circuit


def _standard(policy: CircuitBreakerPolicy) -> object:
    """What holds when nothing is said; beside a rate, another threshold and another window."""
    usual = CircuitBreakerPolicy()
    if not policy.has_rate:
        return usual
    beside_rate = {"failure_threshold": None, "window": DEFAULT_RATE_WINDOW}
    return SimpleNamespace(**{name: getattr(usual, name) for name in FIELDS} | beside_rate)


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else write_duration(seconds)
