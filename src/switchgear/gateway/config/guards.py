"""From `circuitBreaker` to circuits: policies, keys, and that one circuit has one policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from switchgear.breaker.policy import FIELDS, RANGES, CircuitBreakerPolicy, find_problems
from switchgear.errors import PolicyProblem
from switchgear.gateway.config.kinds import LONGEST_KEY, OUT_OF_RANGE
from switchgear.gateway.config.mistakes import KeyPath
from switchgear.gateway.config.model import Circuit, Endpoint
from switchgear.gateway.config.nodes import describe
from switchgear.gateway.config.paths import PathTemplate
from switchgear.gateway.config.reader import Found, Place, Values
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER, in_file

SERVER_ERRORS: Final = frozenset(range(500, 600))
"""What `maxErrors` counts."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What `circuitBreaker` says, before it is known what it guards."""

    policy: CircuitBreakerPolicy
    place: Place
    name: Found | None
    rejection: Mapping[str, Any]
    """How a rejection looks, as far as it is said."""


def route_key(method: str, path: PathTemplate) -> str:
    """The key of the circuit that guards a route."""
    return f"route:{method} {path.canonical}"


def service_key(name: str, endpoints: Iterable[Endpoint]) -> str:
    """The key of the circuit that guards a service."""
    return f"service:{name}@{','.join(sorted({endpoint.origin for endpoint in endpoints}))}"


def endpoint_key(name: str, endpoint: Endpoint) -> str:
    """The key of the circuit that guards one URL of a service."""
    return f"endpoint:{name}@{endpoint.origin}"


def guard_of(found: Found | None) -> Guard | None:
    """The guard at a `circuitBreaker`; `None` if there is none, it is `false`, or was told to be wrong."""
    if found is None or found.value is None:
        return None
    values: Values = found.value
    policy = policy_of(values)
    if policy is None:
        return None
    return Guard(policy, found.place, values.found.get("name"), values.pick("error_status", "error_body"))


def policy_of(values: Values) -> CircuitBreakerPolicy | None:
    """The policy that the keys of a `circuitBreaker` come to, or `None` after what is wrong was told."""
    fields = _policy_fields(values)
    problems = find_problems(fields)
    if values.wrong:  # what a field asks of another says nothing while that other is wrong by itself
        problems = [problem for problem in problems if not RANGES[problem.field].holds(problem.found)]
    for problem in problems:
        _tell(values, problem)
    return None if problems or values.wrong else CircuitBreakerPolicy(**fields)


def _tell(values: Values, problem: PolicyProblem) -> None:
    found = values.found.get(problem.field)
    allowed = in_file(problem.allowed)
    if found is None:
        values.place.missing(CIRCUIT_BREAKER.canonical[problem.field].name, allowed)
    elif RANGES[problem.field].holds(problem.found):  # right by itself, and not beside the others
        found.place.wrong(OUT_OF_RANGE, allowed=allowed)
    else:
        found.place.wrong(OUT_OF_RANGE, allowed=found.field.kind.allowed)


def _policy_fields(values: Values) -> dict[str, Any]:
    fields = values.pick(*FIELDS)
    if fields.get("failure_statuses") is not None:
        fields["failure_statuses"] = frozenset(item.value for item in fields["failure_statuses"])
    if _spelling(values, "failure_threshold") == "maxErrors":
        fields.setdefault("failure_statuses", SERVER_ERRORS)
    if _spelling(values, "window") == "duration":
        fields.setdefault("reset_timeout", fields["window"])
    return fields


def _spelling(values: Values, slot: str) -> str | None:
    return values.found[slot].field.name if slot in values else None


@dataclass(slots=True)
class Circuits:
    """All circuits of a configuration, by key."""

    shared: bool
    """Whether the store is one that processes on several machines share."""
    known: dict[str, Guard] = field(default_factory=dict[str, Guard])
    told: set[KeyPath] = field(default_factory=set[KeyPath])

    def circuit(self, guard: Guard | None, key: str) -> Circuit | None:
        """The circuit of a guard, under `key` if it has no name of its own. Tells what is wrong with it."""
        if guard is None:
            return None
        key = guard.name.value if guard.name else key
        first = self.known.setdefault(key, guard)
        if first.policy != guard.policy:
            name = f" {describe(guard.name.place.node)}" if guard.name else ""
            self._tell(guard, f"the circuit{name} has another policy at {first.place.where}")
        elif len(key.encode()) > LONGEST_KEY:
            self._tell(guard, f"the circuit's key is over {LONGEST_KEY} bytes; give it a name")
        self._warn(guard)
        return Circuit(key, guard.policy, **guard.rejection)

    def _tell(self, guard: Guard, message: str) -> None:
        if guard.place.path not in self.told:
            self.told.add(guard.place.path)
            guard.place.wrong_key(message)

    def _warn(self, guard: Guard) -> None:
        policy = guard.policy
        by_number = policy.has_window and not policy.has_rate
        if self.shared and by_number and guard.place.path not in self.told:
            self.told.add(guard.place.path)
            guard.place.warn(
                "a large fleet reaches a number of failures in good health too; set failure_rate"
            )
