"""A gateway's configuration as its runtime wants it: typed, frozen, nothing left to default or to look up.

Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.config.paths import PathTemplate
from switchgear.stores.protocol import CircuitBreakerStore

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ALL"]
StateType = Literal["memory", "redis", "postgres", "own"]
Network = IPv4Network | IPv6Network
Balance = Literal["round-robin", "least-requests"]
LogLevel = Literal["debug", "info", "warning", "error"]
TlsVersion = Literal["1.2", "1.3"]

MERGE_DEADLINE: Final = 30.0
"""How long a whole request on a merged route may take when nothing else is said."""

PRIORITIES: Final[Mapping[str, int]] = {"circuit-breaker": 30, "timeout": 85, "retry": 90}
"""The gateway's own policies of a route by name; one of lower priority is further outside."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds. An IPv6 host stands without its brackets. Port 0: the system chooses."""

    host: str = "127.0.0.1"
    port: int = 8080

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that guards a route or a service. An equal key is one circuit, and has an equal policy.

    `policy.failure_statuses` are the statuses that are failures; network errors and timeouts always are.
    """

    key: str
    policy: CircuitBreakerPolicy
    error_status: int = 503
    error_body: str | Mapping[str, object] | None = None
    """What a rejection says: a text as `text/plain`, a mapping as JSON, `None` as a problem document."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL of a service.

    The target at the upstream is `path` filled with the request's parameters, then the request's own path if
    `append_request_path`, then `query` and the request's query joined.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: PathTemplate | None = None
    append_request_path: bool = True
    query: str = ""
    """The URL's own query, without the question mark."""
    circuit: Circuit | None = None
    """Guards attempts at this URL alone."""

    @property
    def origin(self) -> str:
        """`scheme://host:port`, the port always written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fallback:
    """What stands in for a part that failed: first an earlier good answer, then a fixed value."""

    stale: float | None = None
    """Greatest age of the last good answer; `None`: not used."""
    otherwise: bytes | None = None
    """JSON; `None`: no value."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt is made again."""

    attempts: int = 2
    statuses: frozenset[int] = frozenset({502, 503, 504})
    methods: frozenset[str] = frozenset({"GET", "HEAD", "OPTIONS"})
    backoff: float = 0.025
    max_backoff: float = 1.0
    budget: float = 0.2
    """Retries as a share of a service's requests."""


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What becomes of a message's fields: those of `set` replace all of their names, `remove` leaves some
    out."""

    set: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.set or self.remove)

    def within(self, outer: HeaderRules) -> HeaderRules:
        """These rules after those of `outer`, as one set; for a field that both have, this one holds."""
        own = {name.lower() for name in (*self.remove, *(name for name, _ in self.set))}
        kept = tuple(pair for pair in outer.set if pair[0].lower() not in own)
        removed = tuple(name for name in outer.remove if name.lower() not in own)
        return HeaderRules((*kept, *self.set), (*removed, *self.remove))


@dataclass(frozen=True, slots=True)
class Headers:
    """Rules for requests to services, and for answers."""

    request: HeaderRules = HeaderRules()
    response: HeaderRules = HeaderRules()

    def __bool__(self) -> bool:
        return bool(self.request or self.response)

    def within(self, outer: Headers) -> Headers:
        return Headers(self.request.within(outer.request), self.response.within(outer.response))


@dataclass(frozen=True, slots=True)
class Service:
    """A service as one route uses it."""

    name: str
    """The name inside the route, which merged answers and `Switchgear-Parts` use."""
    endpoints: tuple[Endpoint, ...]
    timeout: float | None = None
    """For one attempt, until the answer is there as far as the circuit waits for it."""
    circuit: Circuit | None = None
    """Guards each attempt."""
    retry: Retry | None = None
    preserve_host: bool = False
    balance: Balance = "round-robin"
    per_endpoint: bool = False
    max_ejected: float = 0.5
    headers: Headers = Headers()
    """For requests to it and answers of it alone."""
    stage: int | None = None
    """Stages run in ascending order, those without one last."""
    merge: bool = True
    merge_field: str | None = None
    optional: bool = False
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A path and a method, and the services that answer it."""

    path: PathTemplate
    method: Method
    services: tuple[Service, ...]
    """In declared order."""
    circuit: Circuit | None = None
    """Guards the final status."""
    timeout: float | None = None
    """For all attempts together."""
    deadline: float | None = None
    """For the whole request."""
    retry: Retry | None = None
    headers: Headers = Headers()
    """For requests to all of its services, and for its answers."""
    policies: tuple[object, ...] = ()
    """The user's own policies, in declared order."""

    @property
    def streamed(self) -> bool:
        """Whether bodies pass through as they come, instead of being merged."""
        return is_streamed(self.services)

    def __str__(self) -> str:
        return f"{self.method} {self.path.canonical}"


def is_streamed(services: tuple[Service, ...]) -> bool:
    """Exactly one service whose answer needs nothing done to it is streamed."""
    if len(services) != 1:
        return False
    only = services[0]
    return only.merge_field is None and not only.optional and only.fallback is None


@dataclass(frozen=True, slots=True)
class State:
    """Where circuits are kept. Either `url` or the other fields say where that is."""

    type: StateType = "memory"
    url: str | None = field(default=None, repr=False)
    host: str = "localhost"
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    tls: bool = False
    prefix: str | None = None
    table: str | None = None
    namespace: str | None = None
    store: CircuitBreakerStore | None = field(default=None, repr=False)
    """The user's own, of a Python file; `type` is then `own`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client or an upstream may ask of the gateway, and how long it may take."""

    head: int = 64 * 1024
    fields: int = 200
    target: int = 16 * 1024
    buffered_part: int = 1024 * 1024
    buffered_request: int = 8 * 1024 * 1024
    connections: int = 10_000
    in_flight: int | None = None
    queue: int = 0
    connect: float = 2.0
    first_byte: float = 30.0
    idle: float = 60.0
    client_head: float = 10.0
    keep_alive: float = 75.0
    drain: float = 8.0


@dataclass(frozen=True, slots=True)
class LogConfig:
    """`access`: `True` for standard output, `False` for none, or a file's name."""

    access: bool | str = True
    level: LogLevel = "info"


@dataclass(frozen=True, slots=True)
class Admin:
    """The operator's own listener."""

    listen: Address = Address("127.0.0.1", 9901)
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    hosts: tuple[str, ...] = ()
    health: bool = False


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of the listener and of the upstreams."""

    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    client_ca: str | None = None
    min_version: TlsVersion = "1.2"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything a gateway needs to start."""

    routes: tuple[Route, ...]
    listen: Address = Address()
    state: State = State()
    limits: Limits = Limits()
    log: LogConfig = LogConfig()
    admin: Admin | None = None
    tls: Tls | None = None
    trusted_proxies: tuple[Network, ...] | None = None
    """Who is believed what he says of the client before him; `None`: nothing is said of that."""
