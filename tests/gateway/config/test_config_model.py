"""What a right configuration comes to."""

from __future__ import annotations

import pytest

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.config.model import (
    Address,
    Endpoint,
    Fallback,
    Limits,
    LogConfig,
    State,
)
from switchgear.gateway.config.paths import parse_target
from tests.gateway.config.snippets import MINIMAL, config_of, guarded, load, routed

WHOLE = """\
listen: 127.0.0.1:8080
state: {type: redis, host: myredishost, port: 6379}
services:
  users: {url: "http://localhost:6666", timeout: 800ms, circuitBreaker: {failureRate: 50%}}
http:
  circuitBreaker: {maxErrors: 3, duration: 150}
  routes:
    /users/{id}:
      GET:
        services:
          users: {use: users, path: "/users/{id}"}
          inbox: {type: http, url: "http://localhost:6667/messages/{id}", mergeField: inbox, optional: true,
                  fallback: {stale: 10m, else: []}}
"""


def test_the_whole_of_an_example(tmp_path):
    loaded = load(tmp_path, WHOLE)
    config = loaded.config
    assert config is not None
    (route,) = config.routes
    users, inbox = route.services
    assert config.state == State("redis", host="myredishost", port=6379)
    assert (str(route), route.streamed, route.deadline, route.timeout) == (
        "GET /users/{id}",
        False,
        30.0,
        None,
    )
    assert route.circuit is not None
    assert route.circuit.key == "route:GET /users/{id}"
    assert route.circuit.policy == CircuitBreakerPolicy(
        failure_threshold=3, window=0.15, reset_timeout=0.15, failure_statuses=frozenset(range(500, 600))
    )
    assert users.circuit is not None
    assert users.circuit.key == "service:users@http://localhost:6666"
    assert users.circuit.policy == CircuitBreakerPolicy(failure_rate=0.5)
    assert users.timeout == 0.8
    assert users.endpoints == (
        Endpoint("http", "localhost", 6666, parse_target("/users/{id}"), append_request_path=False),
    )
    assert inbox.circuit is None
    assert (inbox.merge_field, inbox.optional, inbox.fallback) == ("inbox", True, Fallback(600.0, b"[]"))
    (warning,) = loaded.warnings
    assert (warning.line, warning.column, warning.path) == (6, 3, "http.circuitBreaker")
    assert "failure_rate" in warning.text()


PRISM = """\
{"http": {
  "circuitBreaker": {"maxErrors": 3, "duration": 150, "errorStatus": 504, "errorBody": "Busy."},
  "routes": {
    "/users/:id": {"GET": {"services": {
      "user": {"type": "http", "url": "http://localhost:6666/users/:id", "timeout": 500},
      "messages": {"type": "http", "url": ["http://a:1/m/:id", "http://b:2/m/:id"], "stage": 0}
    }}},
    "/": {"ALL": {"circuitBreaker": {"maxErrors": 1, "duration": 1000}, "services": {"x": {"url": "http://h:7"}}}}
  }}}
"""


def test_a_camel_case_file_of_prism_in_json(tmp_path):
    config = config_of(tmp_path, PRISM, "g.json")
    users, everything = config.routes
    assert users.circuit is not None
    assert users.circuit.key == "route:GET /users/{id}"
    assert (users.circuit.error_status, users.circuit.error_body) == (504, "Busy.")
    assert users.services[0].timeout == 0.5
    assert [endpoint.origin for endpoint in users.services[1].endpoints] == ["http://a:1", "http://b:2"]
    assert users.services[1].stage == 0
    assert everything.circuit is not None
    assert everything.circuit.key == "route:ALL /"
    assert everything.circuit.policy.reset_timeout == 1.0
    assert everything.circuit.error_status == 503
    assert everything.streamed
    assert everything.deadline is None


def test_the_fields_of_stoma_in_any_spelling(tmp_path):
    camel = "{failureThreshold: 5, resetTimeoutMs: 30000, halfOpenMax: 2, failureOn: [502, 503]}"
    camel = camel.replace("}", ", openStatusCode: 502}")
    snake = """{failure_threshold: 5, reset_timeout_ms: 30s, half_open_max: 2, failure_on: [503, 502],
                open_status_code: 502}"""
    one = config_of(tmp_path, guarded(camel)).routes[0].circuit
    assert one is not None
    assert one == config_of(tmp_path, guarded(snake)).routes[0].circuit
    assert one.policy == CircuitBreakerPolicy(
        failure_threshold=5, reset_timeout=30, half_open_max=2, failure_statuses=frozenset({502, 503})
    )
    assert one.error_status == 502


def policy_of(folder, breaker):
    circuit = config_of(folder, guarded(breaker)).routes[0].circuit
    assert circuit is not None
    return circuit.policy


def test_every_field_of_a_policy(tmp_path):
    breaker = """{failureThreshold: 1, window: 1m, failureRate: 0.1, slowCallRate: 20%, minimumCalls: 3,
      slowCallDuration: 1.5s, resetTimeout: 2s, resetTimeoutFactor: 2, resetTimeoutMax: 1h, jitter: 0.5,
      halfOpenMax: 4, successThreshold: 5, probeTimeout: 1d, failureStatuses: [501], mode: shadow}"""
    assert policy_of(tmp_path, breaker) == CircuitBreakerPolicy(
        failure_threshold=1,
        window=60,
        failure_rate=0.1,
        slow_call_rate=0.2,
        minimum_calls=3,
        slow_call_duration=1.5,
        reset_timeout=2,
        reset_timeout_factor=2,
        reset_timeout_max=3600,
        jitter=0.5,
        half_open_max=4,
        success_threshold=5,
        probe_timeout=86400,
        failure_statuses=frozenset({501}),
        mode="shadow",
    )


def test_null_switches_a_rule_off(tmp_path):
    policy = policy_of(tmp_path, "{failureThreshold: null, failureRate: 50%, failureOn: null}")
    assert (policy.failure_threshold, policy.failure_statuses) == (None, None)


def test_failures_of_max_errors_are_all_from_500_on_unless_told_otherwise(tmp_path):
    assert policy_of(tmp_path, "{maxErrors: 1}").failure_statuses == frozenset(range(500, 600))
    assert policy_of(tmp_path, "{maxErrors: 1, failureOn: [500]}").failure_statuses == frozenset({500})
    assert policy_of(tmp_path, "{failureThreshold: 1}").failure_statuses == frozenset({500, 502, 503, 504})


def test_duration_is_the_reset_timeout_where_none_is_given(tmp_path):
    assert policy_of(tmp_path, "{maxErrors: 1, duration: 2s}").reset_timeout == 2.0
    assert policy_of(tmp_path, "{maxErrors: 1, duration: 2s, resetTimeoutMs: 5}").reset_timeout == 0.005
    assert policy_of(tmp_path, "{maxErrors: 1, window: 2s}").reset_timeout == 30.0


def test_an_inner_circuit_breaker_replaces_the_outer_one_as_a_whole(tmp_path):
    text = """\
    http:
      circuitBreaker: {maxErrors: 3, duration: 150, errorStatus: 504}
      timeout: 5s
      retry: {attempts: 3}
      routes:
        /a: {GET: {services: &s {s: {url: "http://h"}}}}
        /b: {GET: {services: *s, circuitBreaker: {failureThreshold: 9}, timeout: 1s, retry: false}}
        /c: {GET: {services: *s, circuitBreaker: false, deadline: 2s}}
    """
    a, b, c = config_of(tmp_path, text).routes
    assert a.circuit is not None
    assert b.circuit is not None
    assert (a.circuit.error_status, a.timeout, a.retry is None) == (504, 5.0, False)
    assert b.circuit.policy == CircuitBreakerPolicy(failure_threshold=9)
    assert (b.circuit.error_status, b.timeout, b.retry) == (503, 1.0, None)
    assert (c.circuit, c.deadline) == (None, 2.0)


def test_a_name_is_the_whole_key_and_may_be_shared(tmp_path):
    text = """\
    services: {u: {url: "http://h", circuitBreaker: {name: shared}}}
    http:
      routes:
        /a: {GET: {services: {one: {use: u}}, circuitBreaker: {name: shared}}}
        /b/{x}: {ALL: {services: {two: {use: u}}}}
    """
    a, b = config_of(tmp_path, text).routes
    keys = [a.circuit, a.services[0].circuit, b.services[0].circuit]
    assert [circuit.key for circuit in keys if circuit] == ["shared"] * 3


def test_a_services_key_has_its_origins_sorted_and_the_name_of_the_top_level(tmp_path):
    text = """\
    services: {u: {url: ["https://b/x", "http://[::1]:99", "https://b/y"], circuitBreaker: {maxErrors: 1}}}
    http: {routes: {/a: {GET: {services: {other: {use: u}}}}}}
    """
    (service,) = config_of(tmp_path, text).routes[0].services
    assert service.name == "other"
    assert service.circuit is not None
    assert service.circuit.key == "service:u@http://[::1]:99,https://b:443"


@pytest.mark.parametrize(
    ("url", "written", "path", "appends", "query"),
    [
        ("http://h", "{url: 'URL'}", None, True, ""),
        ("http://h/", "{url: 'URL'}", "/", False, ""),
        ("http://h/a/:id?x=1", "{url: 'URL'}", "/a/{id}", False, "x=1"),
        ("http://h", "{use: u}", None, True, ""),
        ("http://h/", "{use: u}", None, True, ""),
        ("http://h/v1/?x=1", "{use: u}", "/v1", True, "x=1"),
        ("http://h/v1", "{use: u, path: '/p/{id}'}", "/v1/p/{id}", False, ""),
        ("http://h/{id}", "{use: u, path: /p}", "/{id}/p", False, ""),
        ("http://h", "{use: u, path: /}", "/", False, ""),
    ],
)
def test_targets(tmp_path, url, written, path, appends, query):
    text = f"services: {{u: {{url: '{url}'}}}}\n" + routed(written.replace("URL", url))
    (endpoint,) = config_of(tmp_path, text).routes[0].services[0].endpoints
    assert (endpoint.path.canonical if endpoint.path else None) == path
    assert (endpoint.append_request_path, endpoint.query) == (appends, query)


def test_a_wildcard_may_be_written_as_a_star_or_by_its_name(tmp_path):
    for url in ("http://h/*", "http://h/{rest}", "http://h/{rest:path}", "http://h/a/*/b"):
        assert config_of(tmp_path, routed(f"{{url: '{url}'}}", "/files/{rest:path}"))
    assert config_of(tmp_path, routed("{url: 'http://h/*'}", "/files/*"))


@pytest.mark.parametrize(
    ("service", "streamed"),
    [
        ("{url: 'http://h'}", True),
        ("{url: 'http://h', merge: false}", True),
        ("{url: 'http://h', mergeField: a}", False),
        ("{url: 'http://h', optional: true}", False),
        ("{url: 'http://h', optional: false}", True),
        ("{url: 'http://h', mergeField: s, fallback: {else: null}}", False),
    ],
)
def test_what_is_streamed_has_no_deadline(tmp_path, service, streamed):
    (route,) = config_of(tmp_path, routed(service)).routes
    assert route.streamed is streamed
    assert route.deadline == (None if streamed else 30.0)


def test_fallback_values_are_json(tmp_path):
    (service,) = (
        config_of(tmp_path, routed("{url: 'http://h', fallback: {else: {a: [1, 1.5, é, null]}}}"))
        .routes[0]
        .services
    )
    assert service.fallback == Fallback(None, b'{"a": [1, 1.5, "\\u00e9", null]}')


def test_defaults(tmp_path):
    config = config_of(tmp_path, MINIMAL)
    assert config.listen == Address("127.0.0.1", 8080)
    assert config.state == State("memory")
    assert config.log == LogConfig(access=True)
    assert (config.admin, config.tls, config.routes[0].circuit) == (None, None, None)
    assert config.limits == Limits(
        head=65536,
        fields=200,
        target=16384,
        buffered_part=1048576,
        buffered_request=8388608,
        connections=10_000,
        connect=2,
        first_byte=30,
        idle=60,
        client_head=10,
        keep_alive=75,
        drain=8,
    )


STATES = [
    ("memory", State("memory")),
    ("redis", State("redis", host="localhost", port=6379)),
    ("{type: redis}", State("redis", host="localhost", port=6379)),
    ("{type: redis, database: 3}", State("redis", port=6379, database="3")),
    ("postgres", State("postgres", host="localhost", port=5432)),
    ("memory://", State("memory")),
    ("rediss://h/1", State("redis", url="rediss://h/1", port=6379)),
    (
        "{url: 'postgresql://h/db', table: t}",
        State("postgres", url="postgresql://h/db", port=5432, table="t"),
    ),
    (
        "{type: postgres, host: h, port: 5, user: u, password: p, database: d, tls: true, namespace: n}",
        State("postgres", None, "h", 5, "u", "p", "d", tls=True, namespace="n"),
    ),
]


@pytest.mark.parametrize(("written", "state"), STATES)
def test_state(tmp_path, written, state):
    assert config_of(tmp_path, f"state: {written}\n{MINIMAL}").state == state


REST = """\
listen: "[::1]:0"
admin: {listen: "127.0.0.1:1", tokenFile: t, hosts: [a, b], health: true}
limits: {head: 1KiB, bufferedPart: 2MB, inFlight: 5, queue: 0, keepAlive: 1m}
log: {access: access.log, level: debug}
tls: {cert: c, key: k, clientCa: a, minVersion: 1.3}
"""


def test_the_rest_of_the_top_level(tmp_path):
    config = config_of(tmp_path, REST + MINIMAL)
    assert (config.listen, str(config.listen)) == (Address("::1", 0), "[::1]:0")
    assert config.admin is not None
    assert (config.admin.hosts, config.admin.health) == (("a", "b"), True)
    assert (config.limits.head, config.limits.buffered_part, config.limits.keep_alive) == (
        1024,
        2_000_000,
        60,
    )
    assert config.log == LogConfig("access.log", "debug")
    assert config.tls is not None
    assert config.tls.min_version == "1.3"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_an_admin_that_only_this_machine_reaches_needs_no_token(tmp_path, host):
    admin = config_of(tmp_path, f'admin: "{host}:9901"\n{MINIMAL}').admin
    assert admin is not None
    assert admin.token is None


def test_an_admin_that_others_reach_has_a_token(tmp_path):
    for token in ("token: t", "tokenFile: t"):
        assert (
            config_of(tmp_path, f'admin: {{listen: "10.0.0.1:9901", {token}}}\n{MINIMAL}').admin is not None
        )


def test_admin_may_be_an_address(tmp_path):
    admin = config_of(tmp_path, "admin: 127.0.0.1:9901\n" + MINIMAL).admin
    assert admin is not None
    assert admin.listen == Address("127.0.0.1", 9901)
