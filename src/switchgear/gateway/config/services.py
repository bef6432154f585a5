"""From a service in a file to a service as a route uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.config.guards import Circuits, Guard, endpoint_key, guard_of, service_key
from switchgear.gateway.config.header_rules import headers_of
from switchgear.gateway.config.model import Endpoint, Fallback, Retry, Service
from switchgear.gateway.config.paths import PathTemplate, Wildcard, join, strip_slash
from switchgear.gateway.config.reader import Found, Item, Place, Values, closest
from switchgear.gateway.config.tables.gateway import BESIDE_USE

_SETS = ("statuses", "methods")
_PART = ("timeout", "stage", "merge", "merge_field", "optional")
_OWN = ("timeout", "preserve_host", "balance", "per_endpoint", "max_ejected")


@dataclass(frozen=True, slots=True)
class Named:
    """A service of the top level. `service` is `None` if something is wrong with it."""

    service: Service | None
    guards: _Guards


@dataclass(frozen=True, slots=True)
class _Guards:
    """What guards a service, and what guards each of its URLs."""

    service: Guard | None
    endpoint: Guard | None


def named_services(items: tuple[Item, ...]) -> dict[str, Named]:
    """The services of the top level."""
    return {item.key: Named(_plain_service(item), _guards_of(item.value)) for item in items}


def _guards_of(values: Values) -> _Guards:
    guard = guard_of(values.found.get("circuit_breaker"))
    if not values.get("per_endpoint"):
        return _Guards(guard, None)
    if guard is None:
        return _Guards(None, Guard(CircuitBreakerPolicy(), values.found["per_endpoint"].place, None, {}))
    if _one_url_is_enough(guard.policy, len(values.get("urls", ()))):
        guard.place.warn("a single URL that is slow can open the circuit of all; set a higher slowCallRate")
    return _Guards(guard, replace(guard, name=None))  # a name is one circuit, and here is one for each URL


def _plain_service(item: Item) -> Service | None:
    values: Values = item.value
    if "urls" not in values:
        return None
    if "max_ejected" in values and not values.get("per_endpoint") and "per_endpoint" not in values.wrong:
        values.found["max_ejected"].place.warn("has no effect without perEndpoint")
    endpoints = tuple(url.value for url in values.get("urls"))
    return Service(
        item.key,
        endpoints,
        retry=retry_of(values.found.get("retry")),
        headers=headers_of(values.found.get("headers")),
        **values.pick(*_OWN),
    )


def _one_url_is_enough(policy: CircuitBreakerPolicy, count: int) -> bool:
    """Whether one of `count` URLs is slow often enough to open the circuit of the service.

    Failures of a single URL are held back from it, but the slowness of a call that succeeds is not.
    """
    return count > 1 and policy.slow_call_rate is not None and policy.slow_call_rate * count <= 1.0


@dataclass(frozen=True, slots=True)
class ServiceBuilder:
    """Builds the services of routes."""

    named: Mapping[str, Named]
    circuits: Circuits

    def build(self, item: Item, path: PathTemplate | None) -> Service | None:
        """The service at `item` on the route `path`, or `None` after what is wrong was told.

        Without a path, which was told to be wrong, its parameters are taken to be right.
        """
        values: Values = item.value
        fallback = _fallback(values)
        service = self._used(item) if "use" in values else self._inline(item)
        if service is None:
            return None
        if path is not None:
            _check_parameters(values, service, path)
        return replace(service, fallback=fallback, **values.pick(*_PART))

    def _inline(self, item: Item) -> Service | None:
        values: Values = item.value
        if "path" in values:
            values.found["path"].place.wrong_key("possible only with use")
        guards = _guards_of(values)
        service = _plain_service(item)
        if service is None:
            _tell_missing_url(values)
            return None
        return self._guarded(service, guards, item.key)

    def _used(self, item: Item) -> Service | None:
        values: Values = item.value
        for slot, found in values.found.items():
            if slot not in BESIDE_USE:
                found.place.wrong_key("not possible with use; it belongs to the service under services")
        name: str = values.get("use")
        named = self.named.get(name)
        if named is None:
            self._tell_unknown(values.found["use"].place, name)
            return None
        if named.service is None:
            return None
        endpoints = tuple(_below(endpoint, values.get("path")) for endpoint in named.service.endpoints)
        return self._guarded(replace(named.service, name=item.key, endpoints=endpoints), named.guards, name)

    def _guarded(self, service: Service, guards: _Guards, name: str) -> Service:
        """With its circuits, whose keys have `name`."""
        circuit = self.circuits.circuit(guards.service, service_key(name, service.endpoints))
        endpoints = tuple(
            replace(endpoint, circuit=self.circuits.circuit(guards.endpoint, endpoint_key(name, endpoint)))
            for endpoint in service.endpoints
        )
        return replace(service, endpoints=endpoints, circuit=circuit)

    def _tell_unknown(self, place: Place, name: str) -> None:
        names = tuple(self.named)
        allowed = ", ".join(names[:20]) or "a service under services (there are none)"
        place.wrong("no such service", allowed=allowed, hint=closest(name, names))


def _tell_missing_url(values: Values) -> None:
    if not values.wrong & {"urls", "use"}:
        values.place.missing("url", "an http or https URL, or use with a service's name")


def _below(endpoint: Endpoint, path: PathTemplate | None) -> Endpoint:
    """An endpoint of the top level as a route uses it: the route's `path`, or the request's, appended."""
    if path is not None:
        return replace(endpoint, path=join(endpoint.path, path), append_request_path=False)
    base = strip_slash(endpoint.path) if endpoint.path else None
    return replace(endpoint, path=base if base and base.segments else None, append_request_path=True)


def _check_parameters(values: Values, service: Service, path: PathTemplate) -> None:
    """Tells the parameters of URLs that the route's path does not have."""
    has_wildcard = any(isinstance(segment, Wildcard) for segment in path.segments)
    known = {*path.parameters, *(("*",) if has_wildcard else ())}
    for endpoint, place in zip(service.endpoints, _url_places(values, len(service.endpoints)), strict=True):
        unknown = [name for name in (endpoint.path.parameters if endpoint.path else ()) if name not in known]
        if unknown:
            _tell_parameters(place, unknown, path)


def _tell_parameters(place: Place, unknown: list[str], path: PathTemplate) -> None:
    written = ", ".join("*" if name == "*" else f"{{{name}}}" for name in unknown)
    from_environment = getattr(place.node, "replaced", None) is not None
    message = "a parameter" if from_environment else f"the parameter {written}"
    allowed = ", ".join(path.parameters) or "none"
    place.wrong(
        f"{message} is not in the route's path", allowed=allowed, hint=closest(unknown[0], path.parameters)
    )


def _url_places(values: Values, count: int) -> list[Place]:
    if "urls" in values and "use" not in values:
        return [item.place for item in values.get("urls")]
    return [values.found["path" if "path" in values else "use"].place] * count


def _fallback(part: Values) -> Fallback | None:
    found = part.found.get("fallback")
    if found is None:
        return None
    values: Values = found.value
    if values.is_empty:
        values.place.wrong_key("empty", allowed="stale, else or both")
        return None
    if "otherwise" not in values:
        return Fallback(values.get("stale"))
    otherwise = values.get("otherwise")
    if "merge_field" not in part and not isinstance(otherwise, dict):
        place = values.found["otherwise"].place
        place.wrong(
            "only a mapping can be merged without a mergeField",
            allowed="a mapping, or a mergeField beside it",
        )
    return Fallback(values.get("stale"), json.dumps(otherwise).encode())


def retry_of(found: Found | None) -> Retry | None:
    """The retry policy at a `retry`, or `None`: there is none, or it is switched off."""
    if found is None or found.value is None:
        return None
    values: Values = found.value
    sets: dict[str, Any] = {
        slot: frozenset(item.value for item in values.get(slot)) for slot in _SETS if slot in values
    }
    return Retry(**{**values.pick(), **sets})
