"""All keys but those of `circuitBreaker`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from switchgear.gateway.config.header_rules import FIELD_NAME, FIELD_VALUE, TOKEN, check_name
from switchgear.gateway.config.kinds import (
    ACCESS_LOG,
    ADDRESS,
    BOOLEAN,
    DATABASE,
    NETWORKS,
    PATH,
    POLICY,
    SERVICE_TYPE,
    STATE_PLACE,
    STATE_URL,
    SWITCHED_OFF,
    TLS_VERSION,
    URL,
    choice,
    integer,
    text,
)
from switchgear.gateway.config.model import (
    Admin,
    Fallback,
    GatewayConfig,
    HeaderRules,
    Headers,
    Limits,
    LogConfig,
    Retry,
    Service,
    State,
    Tls,
)
from switchgear.gateway.config.paths import PATTERN, parse_path
from switchgear.gateway.config.quantities import DURATION, MILLISECONDS, RATE, SIZE
from switchgear.gateway.config.sections import Either, Field, Json, ListOf, MapOf, Section
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER_OR_FALSE, STATUSES

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ALL")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_SERVICE_NAME_SCHEMA: Final = f"^{_SERVICE_NAME.pattern}$"
_PORT: Final = integer(1, 65535)


def check_service_name(name: str) -> None:
    """Raises `ValueError` for a name that could not stand in the field `Switchgear-Parts`."""
    if not _SERVICE_NAME.fullmatch(name):
        raise ValueError("a service's name has to be letters, digits and any of !#$%&'*+.^_`|~-")


def _refused(*names: str, instead: str) -> dict[str, str]:
    return dict.fromkeys(names, instead)


# What other gateways' files have and this one does not do: an option that is read over fails silently.
_HOOKS: Final = _refused(
    "onRequest",
    "onResponse",
    "onError",
    "mergeResponses",
    "rollback",
    "onRollbackRequest",
    "middlewares",
    instead="write a policy in a Python file",
)
_ELSEWHERE: Final = _refused(
    "auth", "authentication", "authorization", "cors", instead="the gateway leaves it to its ingress"
) | _refused("rateLimit", "rateLimiting", "cache", "caching", "clientTracking", instead="leave it out")
_ROUTE_REFUSED: Final = {
    **_HOOKS,
    **_ELSEWHERE,
    "useStream": "a single service without mergeField, optional or fallback is streamed by itself",
    "genericErrors": "the gateway's own errors never show details",
    "serviceTracking": "a circuit counts by itself, see circuitBreaker",
    "errorTrackingListLength": "a circuit counts by itself, see circuitBreaker",
    "errorTrackingListExpiry": "a circuit counts by itself, see circuitBreaker",
}
_SERVICE_REFUSED: Final = {
    **_HOOKS,
    **_ELSEWHERE,
    **_refused("mapping", "contentType", "contentEncoding", "encoding", instead="requests pass unchanged"),
    **_refused("requestChannel", "responseChannel", "responseChannels", instead="services are http"),
    "getUrl": "give url a list",
    "awaitResponse": "every answer is awaited; merge: false ignores one",
    "useStream": _ROUTE_REFUSED["useStream"],
    "agent": "connections are pooled by themselves",
}

RETRY: Final = Section(
    "retry",
    (
        Field("attempts", integer(1, 10), "Attempts in all."),
        Field("statuses", STATUSES, "Statuses that are tried again."),
        Field(
            "methods",
            ListOf(choice(*METHODS[:-1]), "a list of methods"),
            "Methods that are tried again.",
        ),
        Field("backoff", DURATION, "Longest wait before the second attempt; doubled for each further one."),
        Field("maxBackoff", DURATION, "Longest wait of all."),
        Field("budget", RATE, "Retries as a share of a service's requests."),
    ),
    models=(Retry(),),
)
_HEADER_RULES: Final = Section(
    "headerRules",
    (
        Field(
            "set",
            MapOf(FIELD_VALUE, "a mapping of fields to values", check_name, f"^{TOKEN}$", may_be_empty=True),
            "Fields and their values, in place of all of the same names.",
        ),
        Field("remove", ListOf(FIELD_NAME, "a list of names of fields"), "Fields that are left out."),
    ),
    allowed="a mapping with set, remove or both",
    models=(HeaderRules(),),
    needs=("set", "remove"),
)
HEADERS: Final = Section(
    "headers",
    (
        Field("request", _HEADER_RULES, "Rules for what goes to services."),
        Field("response", _HEADER_RULES, "Rules for what comes back."),
    ),
    allowed="a mapping with request, response or both",
    models=(Headers(),),
    needs=("request", "response"),
)
_RETRY_OR_FALSE: Final = Either(SWITCHED_OFF, RETRY, "a mapping, or false")
_POLICIES: Final = ListOf(POLICY, "a list of policy objects")


def _guards(default: str) -> tuple[Field, ...]:
    """What guards a route, and holds for all routes if `http` says it."""
    return (
        Field(
            "circuitBreaker",
            CIRCUIT_BREAKER_OR_FALSE,
            "The circuit of the route; it replaces an outer one, false switches it off.",
            default=default,
        ),
        Field("timeout", MILLISECONDS, "Timeout of all attempts together.", default=default),
        Field(
            "retry",
            _RETRY_OR_FALSE,
            "When an attempt is made again; false switches an outer one off.",
            default=default,
        ),
        Field(
            "headers",
            HEADERS,
            "Fields that are set or removed, on requests to services and on answers.",
            default=default,
        ),
        Field("policies", _POLICIES, "The user's own policies.", python_only=True),
    )


_SERVICE_GUARDS: Final = (
    Field("circuitBreaker", CIRCUIT_BREAKER_OR_FALSE, "The circuit that guards each attempt."),
    Field("timeout", MILLISECONDS, "Timeout of one attempt."),
    Field("retry", _RETRY_OR_FALSE, "When an attempt is made again."),
)
_SERVICE_FIELDS: Final = (
    Field("type", SERVICE_TYPE, "The protocol.", default="http"),
    Field("url", ListOf(URL, URL.allowed, single=True), "One URL, or a list to balance over.", slot="urls"),
    *_SERVICE_GUARDS,
    Field("perEndpoint", BOOLEAN, "Whether each URL has a circuit of its own."),
    Field("maxEjected", RATE, "Largest share of the URLs whose circuits may be open."),
    Field("balance", choice("round-robin", "least-requests"), "How a URL is chosen."),
    Field("preserveHost", BOOLEAN, "Whether the upstream gets the client's Host."),
    Field("headers", HEADERS, "Fields that are set or removed, on requests to it and on its answers."),
)
_FALLBACK: Final = Section(
    "fallback",
    (
        Field("stale", DURATION, "Greatest age of the last good answer that may stand in."),
        Field("else", Json(), "A value that stands in.", slot="otherwise"),
    ),
    allowed="a mapping with stale, else or both",
    models=(Fallback(),),
    needs=("stale", "else"),
)
_PART_FIELDS: Final = (
    Field("stage", integer(-1000, 1000), "Stages run in ascending order.", default="the last one"),
    Field("merge", BOOLEAN, "False: awaited for the order and never read."),
    Field(
        "mergeField",
        text(),
        "The field of the merged answer that the part goes under.",
        default="none, its own fields are merged",
    ),
    Field("optional", BOOLEAN, "Whether the answer may do without the part."),
    Field("fallback", _FALLBACK, "What stands in when the part fails."),
)

_SERVICE_MODEL: Final = Service("", ())
SERVICE: Final = Section(
    "service",
    tuple(replace(f, required=f.name == "url") for f in _SERVICE_FIELDS),
    _SERVICE_REFUSED,
    models=(_SERVICE_MODEL,),
)
ROUTE_SERVICE: Final = Section(
    "routeService",
    (
        Field(
            "use",
            text("the name of a service under services"),
            "A service of the top level, in place of url.",
        ),
        Field("path", PATH, "With use: what is appended to the service's URL.", default="the request's path"),
        *_SERVICE_FIELDS,
        *_PART_FIELDS,
    ),
    _SERVICE_REFUSED,
    models=(_SERVICE_MODEL,),
    needs=("url", "use"),
)
BESIDE_USE: Final = frozenset({"use", "path", "timeout", *(f.target for f in _PART_FIELDS)})
"""What a route may say about a service of the top level."""

METHOD: Final = Section(
    "method",
    (
        Field(
            "services",
            MapOf(
                ROUTE_SERVICE,
                "a mapping of at least one service",
                check_service_name,
                _SERVICE_NAME_SCHEMA,
            ),
            "The services that answer, in the order in which they are merged.",
            required=True,
        ),
        *_guards("that of http"),
        Field(
            "deadline",
            DURATION,
            "Longest time for the whole request.",
            default="30s where answers are merged, none where one is streamed",
        ),
    ),
    _ROUTE_REFUSED,
)
PATH_METHODS: Final = Section(
    "methods",
    tuple(
        Field(method, METHOD, f"Requests with {method}." if method != "ALL" else "Any method.")
        for method in METHODS
    ),
    allowed="a mapping of methods",
    needs=METHODS,
)
ROUTES: Final = MapOf(
    PATH_METHODS, "a mapping of at least one path such as /users/{id}", parse_path, f"^{PATTERN}$"
)
HTTP: Final = Section(
    "http",
    (
        Field("routes", ROUTES, "What is answered, by path and method.", required=True),
        *_guards("none"),
        Field(
            "trustedProxies",
            ListOf(NETWORKS, "a list of addresses and networks such as 10.0.0.0/8, or private"),
            "Proxies before the gateway, which are believed what they say of the client.",
            default="nothing is known of them",
        ),
    ),
    _ROUTE_REFUSED,
)

STATE: Final = Section(
    "state",
    (
        Field("type", choice("memory", "redis", "postgres"), "Where circuits are kept."),
        Field(
            "url",
            STATE_URL,
            "The server, in place of type, host and port.",
        ),
        Field("host", text(), "The server's host."),
        Field("port", _PORT, "The server's port.", default="6379 for redis, 5432 for postgres"),
        Field("user", text(), "The server's user."),
        Field("password", text(secret=True), "The user's password."),
        Field("database", DATABASE, "The server's database."),
        Field("tls", BOOLEAN, "Whether the connection is encrypted."),
        Field("prefix", text(), "What keys begin with (redis)."),
        Field("table", text(), "The table (postgres)."),
        Field("namespace", text(), "Keeps applications on one server apart."),
    ),
    models=(State(),),
    needs=("type", "url"),
)
LIMITS: Final = Section(
    "limits",
    (
        Field("head", SIZE, "Bytes of a message's head."),
        Field("fields", integer(1), "Fields of a message's head."),
        Field("target", SIZE, "Bytes of a request's target."),
        Field("bufferedPart", SIZE, "Bytes of a part of a merged answer."),
        Field("bufferedRequest", SIZE, "Bytes of the body of a request on a merged route."),
        Field("connections", integer(1), "Clients' connections."),
        Field("inFlight", integer(1), "Requests at once.", default="no limit"),
        Field("queue", integer(0), "Requests that wait while inFlight are there."),
        Field("connect", DURATION, "Wait for a connection to an upstream."),
        Field("firstByte", DURATION, "Wait for an upstream's answer to begin."),
        Field("idle", DURATION, "Wait between two pieces of a body."),
        Field("clientHead", DURATION, "Wait for a client's head."),
        Field("keepAlive", DURATION, "Wait for a client's next request."),
        Field("drain", DURATION, "Time for requests to end when the gateway stops."),
    ),
    models=(Limits(),),
)
LOG: Final = Section(
    "log",
    (
        Field("access", ACCESS_LOG, "Where a line for each request goes."),
        Field("level", choice("debug", "info", "warning", "error"), "What else is logged."),
    ),
    models=(LogConfig(),),
)
ADMIN: Final = Section(
    "admin",
    (
        Field("listen", ADDRESS, "The operator's own listener."),
        Field("token", text(secret=True), "The token that requests have to carry."),
        Field("tokenFile", text("a file's name"), "A file that holds the token."),
        Field("hosts", ListOf(text(), "a list of host names"), "Values of Host that are answered."),
        Field("health", BOOLEAN, "Whether the public listener answers /healthz and /readyz too."),
    ),
    models=(Admin(),),
)
TLS: Final = Section(
    "tls",
    (
        Field("cert", text("a file's name"), "The listener's certificate chain."),
        Field("key", text("a file's name"), "Its private key."),
        Field("ca", text("a file's name"), "Who signs upstreams' certificates."),
        Field("clientCa", text("a file's name"), "Who signs clients' certificates."),
        Field("minVersion", TLS_VERSION, "Oldest version."),
    ),
    models=(Tls(),),
)
TOP: Final = Section(
    "gateway",
    (
        Field("$schema", text(), "Where editors find the JSON Schema of this file."),
        Field("listen", ADDRESS, "Where the gateway listens."),
        Field(
            "state",
            Either(STATE_PLACE, STATE, "memory, redis, postgres, a URL or a mapping"),
            "Where circuits are kept: memory, redis, postgres, a URL or a mapping.",
            default="memory",
        ),
        Field(
            "services",
            MapOf(
                SERVICE, "a mapping of services", check_service_name, _SERVICE_NAME_SCHEMA, may_be_empty=True
            ),
            "Services that routes use by name.",
        ),
        Field("http", HTTP, "Routes, and what holds for all of them.", required=True),
        Field(
            "admin",
            Either(ADDRESS, ADMIN, f"{ADDRESS.allowed}, or a mapping"),
            "The operator's own listener.",
        ),
        Field("limits", LIMITS, "What a client or an upstream may ask.", default="that of each field"),
        Field("log", LOG, "What is logged.", default="that of each field"),
        Field("tls", TLS, "Certificates."),
    ),
    _ROUTE_REFUSED,
    models=(GatewayConfig(routes=()),),
)
