"""Which policy a key gets: from a file with one policy, or a gateway's file with one for each circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.config.files import read_tree
from switchgear.gateway.config.guards import policy_of
from switchgear.gateway.config.interpolation import replace_variables
from switchgear.gateway.config.loading import load_config
from switchgear.gateway.config.mistakes import Mistake, Report
from switchgear.gateway.config.model import Circuit, GatewayConfig
from switchgear.gateway.config.nodes import MapNode
from switchgear.gateway.config.reader import INVALID, Place, read
from switchgear.gateway.config.sections import Field, Section
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER
from switchgear.gateway.config.tables.gateway import TOP

_WRAPPED: Final = Section(
    "policy", (Field("circuitBreaker", CIRCUIT_BREAKER, "The policy.", required=True),), models=()
)

_OF_ANSWERS: Final = ("ignore", "failure_if", "retry_after_from")


@dataclass(frozen=True, slots=True)
class Policies:
    """What a file says. `name` is the file's."""

    name: str
    one: CircuitBreakerPolicy | None = None
    """For every key."""
    by_key: Mapping[str, CircuitBreakerPolicy] | None = None
    """Of a gateway's circuits, by their keys, their routes' (`GET /users/{id}`) and their services' names."""

    @property
    def blind(self) -> list[str]:
        """Fields that are functions of an answer, which a log does not hold."""
        policies = (self.one,) if self.one is not None else (self.by_key or {}).values()
        return [name for name in _OF_ANSWERS if any(callable(getattr(policy, name)) for policy in policies)]

    def of(self, key: str) -> CircuitBreakerPolicy | None:
        """The policy of a key; `None` when the gateway guards nothing of that name."""
        known = self.by_key
        if known is None:
            return self.one
        method, _, path = key.partition(" ")  # of a route, which may be declared for several methods
        others = (f"GET {path}",) if method == "HEAD" else ()
        return next((known[name] for name in (key, *others, f"ALL {path}") if name in known), None)


def load_policies(path: Path, environ: Mapping[str, str]) -> Policies | list[Mistake]:
    """The policies of a file, or all that is wrong with it. A Python file is run."""
    report = Report(str(path))
    tree = read_tree(path, report)
    if isinstance(tree, MapNode) and any(TOP.find(entry.key) for entry in tree.entries):
        loaded = load_config(path, environ)
        return (
            loaded.mistakes if loaded.config is None else Policies(str(path), by_key=_by_key(loaded.config))
        )
    policy: CircuitBreakerPolicy | None = None
    if tree is not None:
        place = Place(report, (), tree, in_python=path.suffix.lower() == ".py")
        policy = _single(place, tree, environ)
    mistakes = report.ordered()
    return mistakes or Policies(str(path), one=policy)


def _single(place: Place, tree: object, environ: Mapping[str, str]) -> CircuitBreakerPolicy | None:
    if not isinstance(tree, MapNode):
        place.wrong(
            "the top level is no mapping",
            allowed=f"a mapping of {', '.join(CIRCUIT_BREAKER.names)}, or a gateway's file",
        )
        return None
    replace_variables(tree, environ, place.report)
    wrapped = any(_WRAPPED.find(entry.key) for entry in tree.entries)
    values = read(_WRAPPED if wrapped else CIRCUIT_BREAKER, place)
    if wrapped and values is not INVALID:
        values = values.get("circuit_breaker", INVALID)
    return None if values is INVALID else policy_of(values)


def _by_key(config: GatewayConfig) -> dict[str, CircuitBreakerPolicy]:
    found: dict[str, CircuitBreakerPolicy] = {}

    def add(circuit: Circuit | None, name: str) -> None:
        if circuit is not None:
            for key in (circuit.key, name):
                found.setdefault(key, circuit.policy)

    for route in config.routes:
        add(route.circuit, str(route))
        for service in route.services:
            add(service.circuit, service.name)
            for endpoint in service.endpoints:
                add(endpoint.circuit, endpoint.origin)
    return found
