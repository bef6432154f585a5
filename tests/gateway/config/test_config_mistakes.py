"""Every mistake that a field can have, by the text that tells it."""

# A text and the whole line that tells of it stand side by side.
# ruff: noqa: E501, ISC004

from __future__ import annotations

import pytest

from tests.gateway.config.snippets import MINIMAL, guarded, lines, routed

DURATION = "allowed a duration over 0 such as 250ms, 30s, 5m"
COUNT = "allowed an integer of at least 1"
BREAKER = [
    ("{maxErrors: true}", "maxErrors: wrong type; found true; " + COUNT, 36),
    ("{maxErrors: 2.5}", "maxErrors: not an integer; found 2.5; " + COUNT, 36),
    ("{maxErrors: 0}", "maxErrors: out of range; found 0; " + COUNT, 36),
    ("{maxErrors: '3'}", 'maxErrors: wrong type; found "3"; ' + COUNT, 36),
    ("{maxErrors: [3]}", "maxErrors: wrong type; found a list; " + COUNT, 36),
    ("{maxErrors: 3, duration: 0}", f"duration: a duration has to be over 0; found 0; {DURATION}, or a number of milliseconds", 49),
    ("{maxErrors: 3, duration: .nan}", f"duration: not a number; found .nan; {DURATION}, or a number of milliseconds", 49),
    ("{resetTimeoutMs: -5}", f"resetTimeoutMs: a duration has to be over 0; found -5; {DURATION}, or a number of milliseconds", 41),
    ("{window: 5}", f"window: a duration without a unit; found 5; {DURATION}", 33),
    ("{window: -5s}", f'window: a duration has to be over 0; found "-5s"; {DURATION}', 33),
    ("{window: 0ms}", f'window: a duration has to be over 0; found "0ms"; {DURATION}', 33),
    ("{window: 400d}", f'window: out of range; found "400d"; {DURATION}', 33),
    ("{window: 5 parsecs}", f'window: not a duration; found "5 parsecs"; {DURATION}', 33),
    ("{window: 1:30}", f'window: not a duration; found "1:30"; {DURATION}', 33),
    ("{window: true}", f"window: wrong type; found true; {DURATION}", 33),
    ("{failureRate: .nan}", "failureRate: not a number; found .nan; allowed a share over 0 and at most 1, such as 0.5 or 50%", 38),
    ("{failureRate: 0}", "failureRate: out of range; found 0; allowed a share over 0 and at most 1, such as 0.5 or 50%", 38),
    ("{failureRate: 101%}", 'failureRate: out of range; found "101%"; allowed a share over 0 and at most 1, such as 0.5 or 50%', 38),
    ("{failureRate: true}", "failureRate: wrong type; found true; allowed a share over 0 and at most 1, such as 0.5 or 50%", 38),
    ("{jitter: 1}", "jitter: out of range; found 1; allowed a number in [0, 1)", 33),
    ("{jitter: .inf}", "jitter: out of range; found .inf; allowed a number in [0, 1)", 33),
    ("{jitter: .nan}", "jitter: not a number; found .nan; allowed a number in [0, 1)", 33),
    ("{resetTimeoutFactor: 0.5}", "resetTimeoutFactor: out of range; found 0.5; allowed a number of at least 1", 45),
    ("{halfOpenMax: 0}", "halfOpenMax: out of range; found 0; " + COUNT, 38),
    ("{mode: shadw}", 'mode: unknown; found "shadw"; allowed enforce, shadow; did you mean shadow?', 31),
    ("{mode: fast}", 'mode: unknown; found "fast"; allowed enforce, shadow', 31),
    ("{failureOn: [500, 600]}", "failureOn[1]: out of range; found 600; allowed an integer in 100-599", 42),
    ("{failureOn: 500}", "failureOn: wrong type; found 500; allowed a list of statuses in 100-599", 36),
    ("{errorStatus: 200}", "errorStatus: out of range; found 200; allowed an integer in 400-599", 38),
    ("{openStatusCode: 600}", "openStatusCode: out of range; found 600; allowed an integer in 400-599", 41),
    ("{errorBody: 5}", "errorBody: wrong type; found 5; allowed a text or a mapping", 36),
    ("{errorBody: {a: .inf}}", "errorBody.a: not a value of JSON; found .inf; allowed anything that JSON can say", 40),
    ("{ignore: x}", "ignore: possible only in a Python file", 25),
    ("{failure_if: x}", "failure_if: possible only in a Python file", 25),
    ("{retryAfterFrom: x}", "retryAfterFrom: possible only in a Python file", 25),
    ("{name: ''}", 'name: not a circuit\'s name; found ""; allowed a text of at most 1024 bytes of UTF-8, without NUL', 31),
    ("{maxErrors: 3, failureThreshold: 4}", "failureThreshold: another spelling of maxErrors at 1:25, which is there already", 39),
    ("{maxErrors: 3, max_errors: 3}", "max_errors: another spelling of maxErrors at 1:25, which is there already", 39),
    ("{window: 3s, duration: 3}", "duration: another spelling of window at 1:25, which is there already", 37),
    ("{failureOn: [500], failure_statuses: [500]}", "failure_statuses: another spelling of failureOn at 1:25, which is there already", 43),
    ("{maxErrors: 3, maxErrors: 3}", "maxErrors: duplicate key; the first one is at 1:25", 39),
    ("{failureThreshold: null}", "failureThreshold: out of range; found null; allowed a number, or else failure_rate or slow_call_rate: no rule is left", 43),
    ("{slowCallRate: 0.5}", "slowCallDuration: missing; allowed a duration: slow_call_rate needs it", 8),
    ("{resetTimeoutFactor: 2, resetTimeout: 1m, resetTimeoutMax: 10s}", 'resetTimeoutMax: out of range; found "10s"; allowed at least reset_timeout (60 s) when reset_timeout_factor is over 1', 83),
]  # fmt: skip


@pytest.mark.parametrize(("breaker", "message", "column"), BREAKER)
def test_a_circuit_breaker(tmp_path, breaker, message, column):
    assert lines(tmp_path, guarded(breaker)) == [f"g.yaml:1:{column}: http.circuitBreaker.{message}"]


def test_an_unknown_key_is_told_with_what_is_near_and_what_is_allowed(tmp_path):
    (line,) = lines(tmp_path, guarded("{maxErors: 3}"))
    assert line.startswith(
        "g.yaml:1:25: http.circuitBreaker.maxErors: unknown key; allowed failureThreshold, maxErrors, "
    )
    assert line.endswith("; did you mean maxErrors?")


@pytest.mark.parametrize("value", ["true", "3", "off"])
def test_a_circuit_breaker_is_a_mapping_or_false(tmp_path, value):
    (line,) = lines(tmp_path, guarded(value))
    assert line.startswith("g.yaml:1:24: http.circuitBreaker: wrong type; found ")
    assert line.endswith("; allowed a mapping, or false")


URL = "allowed an http or https URL such as http://localhost:8080/users/{id}"
SERVICE = [
    ("{}", 's.url: missing; allowed an http or https URL, or use with a service\'s name', (1, 50)),
    ("{url: []}", f"s.url: an empty list; {URL}", (2, 7)),
    ("{url: 5}", f"s.url: wrong type; found 5; {URL}", (2, 7)),
    ("{url: ['http://h', localhost]}", f's.url[1]: not a URL; found "localhost"; {URL}', (2, 20)),
    ("{url: ftp://h}", f's.url: the scheme is not supported; found "ftp://h"; {URL}', (2, 7)),
    ("{url: 'http://'}", f's.url: no host; found "http://"; {URL}', (2, 7)),
    ("{url: 'http:///a'}", f's.url: no host; found "http:///a"; {URL}', (2, 7)),
    ("{url: 'http://h:65536'}", f's.url: the port is over 65535; found "http://h:65536"; {URL}', (2, 7)),
    ("{url: 'http://h:0'}", f's.url: the port is out of range; found "http://h:0"; {URL}', (2, 7)),
    ("{url: 'http://h:a'}", f's.url: the port is not a number; found "http://h:a"; {URL}', (2, 7)),
    ("{url: 'http://h h'}", f's.url: the host is not a legal name; found "http://h h"; {URL}', (2, 7)),
    ("{url: 'http://[::g]'}", f's.url: the host is not a legal IPv6 address; found "http://[::g]"; {URL}', (2, 7)),
    ("{url: 'http://me:secret@h'}", f's.url: a service\'s URL names no user; found "http://***@h"; {URL}', (2, 7)),
    ("{url: 'http://h/a#b'}", f's.url: a service\'s URL has no fragment; found "http://h/a#b"; {URL}', (2, 7)),
    ("{url: 'http://h/?a={id}'}", f's.url: a URL\'s query has to be legal, and no place for parameters; found "http://h/?a={{id}}"; {URL}', (2, 7)),
    ("{url: 'http://h/{id'}", f's.url: a {{ is not closed; found "http://h/{{id"; {URL}', (2, 7)),
    ("{url: 'http://h/{idd}'}", 's.url: the parameter {idd} is not in the route\'s path; found "http://h/{idd}"; allowed id; did you mean id?', (2, 7)),
    ("{url: 'http://h/*'}", 's.url: the parameter * is not in the route\'s path; found "http://h/*"; allowed id', (2, 7)),
    ("{url: 'http://h/:a/:b'}", 's.url: the parameter {a}, {b} is not in the route\'s path; found "http://h/:a/:b"; allowed id', (2, 7)),
    ("{type: redis, url: 'http://h'}", 's.type: not supported; found "redis"; allowed http', (2, 8)),
    ("{use: other}", 's.use: no such service; found "other"; allowed a service under services (there are none)', (2, 7)),
    ("{url: 'http://h', path: /a}", "s.path: possible only with use", (2, 19)),
    ("{url: 'http://h', merge: yes}", 's.merge: wrong type; found "yes"; allowed true or false', (2, 26)),
    ("{url: 'http://h', optional: 1}", "s.optional: wrong type; found 1; allowed true or false", (2, 29)),
    ("{url: 'http://h', stage: 1.0}", "s.stage: not an integer; found 1.0; allowed an integer in -1000-1000", (2, 26)),
    ("{url: 'http://h', mergeField: ''}", 's.mergeField: empty; found ""; allowed a text', (2, 31)),
    (
        "{url: 'http://h', fallback: {else: []}}",
        "s.fallback.else: only a mapping can be merged without a mergeField; found a list; "
        "allowed a mapping, or a mergeField beside it",
        (2, 36),
    ),
    ("{url: 'http://h', fallback: {}}", "s.fallback: empty; allowed stale, else or both", (2, 19)),
    ("{url: 'http://h', fallback: {stale: 5}}", f"s.fallback.stale: a duration without a unit; found 5; {DURATION}", (2, 37)),
    ("{url: 'http://h', timeout: 0}", f"s.timeout: a duration has to be over 0; found 0; {DURATION}, or a number of milliseconds", (2, 28)),
    ("{url: 'http://h', balance: random}", 's.balance: unknown; found "random"; allowed round-robin, least-requests', (2, 28)),
    ("{url: 'http://h', maxEjected: 0%}", 's.maxEjected: out of range; found "0%"; allowed a share over 0 and at most 1, such as 0.5 or 50%', (2, 31)),
    ("{url: 'http://h', retry: true}", "s.retry: wrong type; found true; allowed a mapping, or false", (2, 26)),
    ("{url: 'http://h', retry: {methods: [GIT]}}", 's.retry.methods[0]: unknown; found "GIT"; allowed GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS', (2, 37)),
]  # fmt: skip


@pytest.mark.parametrize(("service", "message", "place"), SERVICE)
def test_a_service_of_a_route(tmp_path, service, message, place):
    line, column = place
    path = "http.routes./users/{id}.GET.services"
    assert lines(tmp_path, routed(service)) == [f"g.yaml:{line}:{column}: {path}.{message}"]


REFUSED_IN_ROUTES = ["onRequest", "onResponse", "mergeResponses", "rateLimit", "cache", "useStream", "genericErrors",
                     "serviceTracking", "on_error", "authentication"]  # fmt: skip
REFUSED_IN_SERVICES = ["mapping", "contentType", "contentEncoding", "awaitResponse", "getUrl", "rollback",
                       "requestChannel", "response_channel", "onRequest", "onError"]  # fmt: skip


@pytest.mark.parametrize("key", REFUSED_IN_ROUTES)
def test_options_that_are_not_supported_on_a_route(tmp_path, key):
    text = MINIMAL.replace("        services:", f"        {key}: true\n        services:")
    (line,) = lines(tmp_path, text)
    assert line.startswith(f"g.yaml:5:9: http.routes./users/{{id}}.GET.{key}: not supported: ")


@pytest.mark.parametrize("key", REFUSED_IN_SERVICES)
def test_options_that_are_not_supported_on_a_service(tmp_path, key):
    (line,) = lines(tmp_path, routed(f"{{url: 'http://h', {key}: true}}"))
    assert line.startswith(f"g.yaml:2:19: http.routes./users/{{id}}.GET.services.s.{key}: not supported: ")


ADDRESS = "allowed an address such as 127.0.0.1:8080 or [::1]:8080"
STATE_URL = "allowed a URL that starts with memory://, redis://, rediss://, redis+cluster:// or postgresql://"
TOP = [
    ("listen: 8080", f"listen: wrong type; found 8080; {ADDRESS}", 9),
    ("listen: localhost", f'listen: no port; found "localhost"; {ADDRESS}', 9),
    ("listen: ':8080'", f'listen: no host; found ":8080"; {ADDRESS}', 9),
    ("listen: 'h:99999'", f'listen: the port is over 65535; found "h:99999"; {ADDRESS}', 9),
    ("listen: ::1:80", f'listen: no host; found "::1:80"; {ADDRESS}', 9),
    ("state: {type: rediss}", 'state.type: unknown; found "rediss"; allowed memory, redis, postgres; did you mean redis?', 15),
    ("state: {host: h}", "state.type: missing; allowed memory, redis, postgres, or a url", 1),
    ("state: {type: redis, port: 65536}", "state.port: out of range; found 65536; allowed an integer in 1-65535", 28),
    ("state: {type: redis, port: 0}", "state.port: out of range; found 0; allowed an integer in 1-65535", 28),
    ("state: {type: memory, host: h}", "state.host: not possible with type memory", 23),
    ("state: {type: redis, table: t}", "state.table: not possible with type redis", 22),
    ("state: {type: postgres, prefix: p}", "state.prefix: not possible with type postgres", 25),
    ("state: {url: 'redis://h', host: h}", "state.host: not possible with url, which says it", 27),
    ("state: {url: 'redis://h', type: postgres}", 'state.type: url is of another type; found "postgres"', 33),
    ("state: {url: 'mysql://h'}", f"state.url: not a store's URL; {STATE_URL}", 14),
    ("state: mysql://me:secret@h", f"state: not a store's URL; {STATE_URL}", 8),
    ("state: redis://h:99999", f"state: not a store's URL; {STATE_URL}", 8),
    ("state: [redis]", "state: wrong type; found a list; allowed memory, redis, postgres, a URL or a mapping", 8),
    ("state: {type: redis, password: 12345}", "state.password: wrong type; allowed a text", 32),
    ("services: [a]", "services: wrong type; found a list; allowed a mapping of services", 11),
    ("services: {a: {timeout: 1s}}", f"services.a.url: missing; {URL}", 12),
    ("services: {'a b': {url: 'http://h'}}", "services.\"a b\": a service's name has to be letters, digits and any of !#$%&'*+.^_`|~-", 12),
    ("services: {a: {url: 'http://h', optional: true}}", "services.a.optional: unknown key; allowed type, url, circuitBreaker, timeout, retry, perEndpoint, maxEjected, balance, preserveHost, headers", 33),
    ("admin: {token: a, tokenFile: b}", "admin.tokenFile: not possible with token", 19),
    ("admin: 0.0.0.0:9901", "admin.token: missing; allowed a token or tokenFile: other machines can reach 0.0.0.0:9901", 1),
    ("admin: {listen: 'gateway.example:1'}", "admin.token: missing; allowed a token or tokenFile: other machines can reach gateway.example:1", 1),
    ("admin: {listen: '[::]:1', token: ''}", "admin.token: empty; allowed a text", 34),
    ("state: {type: redis, database: -1}", "state.database: wrong type; found -1; allowed a text or a number", 32),
    ("state: {type: redis, database: true}", "state.database: wrong type; found true; allowed a text or a number", 32),
    ("tls: {clientCa: a}", "tls.cert: missing; allowed a file's name: clientCa needs it", 1),
    ("admin: 9901", f"admin: wrong type; found 9901; {ADDRESS}, or a mapping", 8),
    ("limits: {head: 64KB}", 'limits.head: not a size; found "64KB"; allowed a size such as 64KiB, 1MiB, or a number of bytes, at least 1', 16),
    ("limits: {head: 0}", "limits.head: out of range; found 0; allowed a size such as 64KiB, 1MiB, or a number of bytes, at least 1", 16),
    ("limits: {head: 1.5}", "limits.head: wrong type; found 1.5; allowed a size such as 64KiB, 1MiB, or a number of bytes, at least 1", 16),
    ("limits: {connections: 0}", "limits.connections: out of range; found 0; " + COUNT, 23),
    ("limits: {connect: 2}", f"limits.connect: a duration without a unit; found 2; {DURATION}", 19),
    ("limits: {drane: 2s}", "limits.drane: unknown key; allowed head, fields, target, bufferedPart, bufferedRequest, connections, inFlight, queue, connect, firstByte, idle, clientHead, keepAlive, drain; did you mean drain?", 10),
    ("log: {access: 5}", "log.access: wrong type; found 5; allowed true, false or a file's name", 15),
    ("log: {level: warn}", 'log.level: unknown; found "warn"; allowed debug, info, warning, error; did you mean warning?', 14),
    ("tls: {cert: a}", "tls.key: missing; allowed a file's name: cert needs it", 1),
    ("tls: {minVersion: 1.1}", "tls.minVersion: unknown; found 1.1; allowed 1.2 or 1.3", 19),
    ("lisen: 1", "lisen: unknown key; allowed listen, state, services, http, admin, limits, log, tls; did you mean listen?", 1),
    ("wholly_other: 1", "wholly_other: unknown key; allowed listen, state, services, http, admin, limits, log, tls", 1),
    ("? a\nb: 1", "a: unknown key; allowed listen, state, services, http, admin, limits, log, tls", 3),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message", "column"), TOP)
def test_the_top_level(tmp_path, line, message, column):
    assert lines(tmp_path, f"{line}\n{MINIMAL}")[0] == f"g.yaml:1:{column}: {message}"


METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, ALL"
SERVICES = "{services: {s: {url: 'http://h'}}}"
ROUTES = [
    ("{}", ["2:3: http.routes: empty; allowed a mapping of at least one path such as /users/{id}"]),
    (f"{{users: {{GET: {SERVICES}}}}}", ["2:12: http.routes.users: a path has to start with /"]),
    (f"{{'/a/{{x': {{GET: {SERVICES}}}}}", ["2:12: http.routes./a/{x: a { is not closed"]),
    (
        f"{{'/{{x}}/{{x}}': {{GET: {SERVICES}}}}}",
        ["2:12: http.routes./{x}/{x}: the parameter {x} is there twice"],
    ),
    (
        f"{{'/a/{{x}}': {{GET: {SERVICES}}}, '/a/:y': {{GET: {SERVICES}}}}}",
        ["2:65: http.routes./a/:y: matches the same requests as /a/{x} at 2:12"],
    ),
    (
        f"{{/x: {{GET: {SERVICES}}}, '/%78': {{GET: {SERVICES}}}}}",
        ["2:59: http.routes./%78: matches the same requests as /x at 2:12"],
    ),
    ("{/a: {}}", [f"2:12: http.routes./a: empty; allowed at least one of {METHODS}"]),
    (
        f"{{/a: {{get: {SERVICES}}}}}",
        [f"2:17: http.routes./a.get: unknown key; allowed {METHODS}; did you mean GET?"],
    ),
    (f"{{/a: {{TRACE: {SERVICES}}}}}", [f"2:17: http.routes./a.TRACE: unknown key; allowed {METHODS}"]),
    (
        "{/a: {GET: {}}}",
        ["2:17: http.routes./a.GET.services: missing; allowed a mapping of at least one service"],
    ),
    (
        "{/a: {GET: {services: {}}}}",
        ["2:23: http.routes./a.GET.services: empty; allowed a mapping of at least one service"],
    ),
    (
        "{/a: {GET: {services: null}}}",
        ["2:23: http.routes./a.GET.services: empty; allowed a mapping of at least one service"],
    ),
    ("{/a: {GET: 5}}", ["2:22: http.routes./a.GET: wrong type; found 5; allowed a mapping"]),
    (
        f"{{/a: {{GET: {SERVICES}}}, /a: {{GET: {SERVICES}}}}}",
        ["2:59: http.routes./a: duplicate key; the first one is at 2:12"],
    ),
    (
        "{/a: {GET: {deadline: 5, services: {s: {url: 'http://h'}}}}}",
        [f"2:33: http.routes./a.GET.deadline: a duration without a unit; found 5; {DURATION}"],
    ),
    (
        "{/a: {GET: {policies: [x], services: {s: {url: 'http://h'}}}}}",
        ["2:23: http.routes./a.GET.policies: possible only in a Python file"],
    ),
]


@pytest.mark.parametrize(("routes", "expected"), ROUTES)
def test_routes(tmp_path, routes, expected):
    assert lines(tmp_path, f"http:\n  routes: {routes}\n") == [f"g.yaml:{line}" for line in expected]


def test_a_gateway_without_routes_is_none(tmp_path):
    assert lines(tmp_path, "listen: h:1") == [
        "g.yaml:1:1: http: missing; allowed a mapping",
    ]
    assert lines(tmp_path, "http: {timeout: 5s}") == [
        "g.yaml:1:1: http.routes: missing; allowed a mapping of at least one path such as /users/{id}",
    ]


def test_one_circuit_with_two_policies(tmp_path):
    text = """\
    http:
      routes:
        /a: {GET: {circuitBreaker: {name: x, maxErrors: 3}, services: {s: {url: "http://h"}}}}
        /b: {GET: {circuitBreaker: {name: x, maxErrors: 3}, services: {s: {url: "http://h"}}}}
        /c: {GET: {circuitBreaker: {name: x, maxErrors: 4}, services: {s: {url: "http://h"}}}}
    """
    assert lines(tmp_path, text) == [
        'g.yaml:5:16: http.routes./c.GET.circuitBreaker: the circuit "x" has another policy at 3:16'
    ]


def test_one_service_inline_twice_with_two_policies(tmp_path):
    text = """\
    http:
      routes:
        /a: {GET: {services: {s: {url: "http://h/1", circuitBreaker: {maxErrors: 3}}}}}
        /b: {GET: {services: {s: {url: "http://h/2", circuitBreaker: {maxErrors: 4}}}}}
    """
    assert lines(tmp_path, text) == [
        "g.yaml:4:50: http.routes./b.GET.services.s.circuitBreaker: the circuit has another policy at 3:50"
    ]


def test_a_circuits_key_that_is_too_long(tmp_path):
    path = "/" + "a" * 1024
    (line,) = lines(tmp_path, guarded("{maxErrors: 3}").replace("/a:", f"? {path}\n  :"))
    assert line == "g.yaml:1:8: http.circuitBreaker: the circuit's key is over 1024 bytes; give it a name"


def test_what_belongs_to_the_service_is_refused_beside_use(tmp_path):
    text = """\
    services: {u: {url: "http://h/{id}"}}
    http:
      routes:
        /a: {GET: {services: {s: {use: u, circuitBreaker: {maxErrors: 3}, url: "http://h"}}}}
    """
    service = "http.routes./a.GET.services.s"
    assert lines(tmp_path, text) == [
        f'g.yaml:4:36: {service}.use: the parameter {{id}} is not in the route\'s path; found "u"; allowed none',
        f"g.yaml:4:39: {service}.circuitBreaker: not possible with use; it belongs to the service under services",
        f"g.yaml:4:71: {service}.url: not possible with use; it belongs to the service under services",
    ]


def test_a_mistyped_service_is_told_with_the_one_that_is_there(tmp_path):
    text = """\
    services: {users: {url: "http://h"}}
    http: {routes: {/a: {GET: {services: {s: {use: usrs}}}}}}
    """
    assert lines(tmp_path, text) == [
        'g.yaml:2:48: http.routes./a.GET.services.s.use: no such service; found "usrs"; allowed users; '
        "did you mean users?"
    ]


def test_what_follows_from_a_mistake_is_not_told(tmp_path):
    assert len(lines(tmp_path, guarded("{slowCallRate: 0.5, slowCallDuration: 5}"))) == 1
    assert len(lines(tmp_path, guarded("{failureThreshold: null, failureRate: 2}"))) == 1
    assert len(lines(tmp_path, "services: {u: {url: 5}}\n" + routed("{use: u}"))) == 1


def test_a_wrong_path_hides_nothing_inside_it(tmp_path):
    text = """\
    http:
      routes:
        a/{x}:
          GET:
            circuitBreaker: {failureRate: 2}
            services: {s: {timeout: -1, fallback: {}, circuitBreaker: {halfOpenMax: 0}}}
    """
    told = [line.split(": ")[1].removeprefix("http.routes.a/{x}") for line in lines(tmp_path, text)]
    assert told == [
        "",
        ".GET.circuitBreaker.failureRate",
        ".GET.services.s.url",
        ".GET.services.s.timeout",
        ".GET.services.s.fallback",
        ".GET.services.s.circuitBreaker.halfOpenMax",
    ]


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path):
    text = """\
    listen: 5
    http:
      circuitBreaker: {maxErrors: 0, duration: -1}
      routes:
        a: {GET: {services: {}}}
        /b: {GET: {services: {s: {url: 'ftp://h'}}}}
    limit: {}
    """
    told = lines(tmp_path, text)
    assert [line.split(": ")[0] for line in told] == [
        "g.yaml:1:9",
        "g.yaml:3:31",
        "g.yaml:3:44",
        "g.yaml:5:5",
        "g.yaml:5:15",
        "g.yaml:6:36",
        "g.yaml:7:1",
    ]


def test_mistakes_are_bounded(tmp_path):
    told = lines(tmp_path, "".join(f"k{number}: 1\n" for number in range(3000)))
    assert len(told) == 1001
    assert told[-1] == "g.yaml: more than 1000 mistakes, the others are not shown"


def test_a_found_value_is_one_short_line(tmp_path):
    (line,) = lines(tmp_path, guarded('{mode: "' + "x" * 500 + '\\n"}'))
    assert len(line) < 250
    (line,) = lines(tmp_path, guarded('{mode: "a\\nb\\u00e9"}'))
    assert 'found "a\\nb\\u00e9"' in line
