"""From what was read to the model: references, defaults, and what no field can tell by itself."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from switchgear.gateway.config.addresses import is_loopback
from switchgear.gateway.config.guards import Circuits
from switchgear.gateway.config.model import (
    Address,
    Admin,
    GatewayConfig,
    Limits,
    LogConfig,
    Network,
    State,
    StateType,
    Tls,
)
from switchgear.gateway.config.reader import Found, Values
from switchgear.gateway.config.routes import RouteBuilder
from switchgear.gateway.config.services import ServiceBuilder, named_services

_SCHEMES: Final[dict[str, StateType]] = {
    "memory": "memory",
    "redis": "redis",
    "rediss": "redis",
    "redis+cluster": "redis",
    "postgres": "postgres",
    "postgresql": "postgres",
}
_PORTS: Final[dict[StateType, int | None]] = {"memory": None, "redis": 6379, "postgres": 5432}
_STATE_URL: Final = "a URL that starts with memory://, redis://, rediss://, redis+cluster:// or postgresql://"
_NOT_WITH: Final = {
    "memory": {"url", "host", "port", "user", "password", "database", "tls", "prefix", "table"},
    "redis": {"table"},
    "postgres": {"prefix"},
}
_IN_URL: Final = {"host", "port", "user", "password", "database", "tls"}


def resolve(top: Values) -> GatewayConfig:
    """The configuration. What is wrong is told, and missing in what comes back."""
    state = _state(top.found.get("state"))
    circuits = Circuits(shared=state.type != "memory")
    services = ServiceBuilder(named_services(top.get("services", ())), circuits)
    routes = RouteBuilder(services, circuits)
    http = top.get("http")
    return GatewayConfig(
        routes=tuple(routes.build(http)) if http else (),
        listen=top.get("listen", Address()),
        state=state,
        limits=_limits(top.get("limits")),
        log=LogConfig(**top.get("log").pick()) if "log" in top else LogConfig(),
        admin=_admin(top.found.get("admin")),
        tls=_tls(top.found.get("tls")),
        trusted_proxies=_trusted_proxies(http),
    )


def _state(found: Found | None) -> State:
    if found is None:
        return State()
    if isinstance(found.value, Values):
        return _state_of_mapping(found.value)
    if not isinstance(found.value, str):
        return State("own", store=found.value)
    if found.value in _PORTS:
        return usual_state(found.value)
    return _state_of_url(found, found.value)


def usual_state(type_: StateType) -> State:
    """A store of a type, where it usually is."""
    return State(type_, port=_PORTS[type_])


def _state_of_url(found: Found, url: str, **others: Any) -> State:
    type_ = _scheme(url)
    if type_ is None:
        found.place.wrong("not a store's URL", allowed=_STATE_URL, show=False)
        return State()
    return State(type=type_, url=None if type_ == "memory" else url, port=_PORTS[type_], **others)


def _scheme(url: str) -> StateType | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is none
    except ValueError:
        return None
    return _SCHEMES.get(parts.scheme) if "://" in url else None


def _state_of_mapping(values: Values) -> State:
    if "url" in values:
        return _state_with_url(values)
    if "url" in values.wrong:
        return State()
    type_ = values.get("type")
    if type_ is None:
        if "type" not in values.wrong:
            values.place.missing("type", "memory, redis, postgres, or a url")
        return State()
    _refuse(values, _NOT_WITH[type_], f"not possible with type {type_}")
    fields: dict[str, Any] = {"port": _PORTS[type_], **values.pick()}
    return State(**fields)


def _state_with_url(values: Values) -> State:
    url = values.found["url"]
    state = _state_of_url(url, url.value, **values.pick("prefix", "table", "namespace"))
    _refuse(values, _IN_URL, "not possible with url, which says it")
    if values.get("type", state.type) != state.type:
        values.found["type"].place.wrong("url is of another type")
    _refuse(values, _NOT_WITH[state.type] - _IN_URL - {"url"}, f"not possible with type {state.type}")
    return state


def _refuse(values: Values, slots: set[str], message: str) -> None:
    for slot in values.found.keys() & slots:
        values.found[slot].place.wrong_key(message)


def _trusted_proxies(http: Values | None) -> tuple[Network, ...] | None:
    if http is None or "trusted_proxies" not in http:
        return None
    return tuple(network for item in http.get("trusted_proxies") for network in item.value)


def _limits(values: Values | None) -> Limits:
    if values is None:
        return Limits()
    if "queue" in values and "in_flight" not in values and "in_flight" not in values.wrong:
        values.found["queue"].place.warn("has no effect without inFlight")
    return Limits(**values.pick())


def _admin(found: Found | None) -> Admin | None:
    if found is None:
        return None
    if isinstance(found.value, Address):
        admin, given = Admin(found.value), set[str]()
    else:
        values: Values = found.value
        if "token" in values and "token_file" in values:
            values.found["token_file"].place.wrong_key("not possible with token")
        hosts = tuple(item.value for item in values.get("hosts", ()))
        admin = Admin(hosts=hosts, **values.pick("listen", "token", "token_file", "health"))
        given = values.found.keys() | values.wrong
    if not given & {"token", "token_file"} and not is_loopback(admin.listen.host):
        found.place.missing("token", f"a token or tokenFile: other machines can reach {admin.listen}")
    return admin


def _tls(found: Found | None) -> Tls | None:
    if found is None:
        return None
    values: Values = found.value
    # With clientCa alone the listener would speak plainly to everybody, who thought only some may come.
    for other, ones in (("key", ("cert",)), ("cert", ("key", "client_ca"))):
        needing = next((values.found[one] for one in ones if one in values), None)
        if needing is not None and other not in values and other not in values.wrong:
            values.place.missing(other, f"a file's name: {needing.field.name} needs it")
    return Tls(**values.pick())
