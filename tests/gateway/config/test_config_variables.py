"""Environment variables in values."""

from __future__ import annotations

import pytest

from tests.gateway.config.snippets import MINIMAL, config_of, guarded, lines, load, routed

ALLOWED = "allowed ${NAME} or ${NAME:-default}; $${ for ${ itself"


@pytest.mark.parametrize(
    ("written", "environ", "body"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("<${A}-${B}>", {"A": "1", "B": "2"}, "<1-2>"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-}", {}, ""),
        ("${A}", {"A": ""}, ""),
        ("${A:-a:-b}", {}, "a:-b"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A $$ $", {"A": "x"}, "$A $$ $"),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("${A}", {"A": "x: {y: 1}\nz: 2"}, "x: {y: 1}\nz: 2"),
    ],
)
def test_variables_are_put_into_texts(tmp_path, written, environ, body):
    config = config_of(tmp_path, guarded(f"{{errorBody: '{written}'}}"), environ=environ)
    assert config.routes[0].circuit is not None
    assert config.routes[0].circuit.error_body == body


TYPED_TOML = """\
[limits]
connections = "${N}"
head = "${S}"
drain = "${D}"
[log]
access = "${B}"
[http.routes."/a".GET.services.s]
url = "http://h"
"""
TYPED_YAML = "limits: {connections: '${N}', head: '${S}', drain: '${D}'}\nlog:\n  access: ${B}\n"


@pytest.mark.parametrize(("name", "text"), [("g.yaml", TYPED_YAML + MINIMAL), ("g.toml", TYPED_TOML)])
def test_the_field_says_what_the_text_means(tmp_path, name, text):
    config = config_of(tmp_path, text, name, {"N": "12", "S": "2KiB", "D": "3s", "B": "false"})
    assert (config.limits.connections, config.limits.head, config.limits.drain) == (12, 2048, 3.0)
    assert config.log.access is False


def test_a_text_stays_a_text(tmp_path):
    text = "state:\n  type: redis\n  password: ${P}\n" + MINIMAL
    assert config_of(tmp_path, text, environ={"P": "12345"}).state.password == "12345"


def test_two_that_look_like_numbers_are_still_read_by_the_field(tmp_path):
    text = guarded("{maxErrors: '${A}${B}', duration: '${D}'}")
    policy = config_of(tmp_path, text, environ={"A": "1", "B": "2", "D": "150"}).routes[0].circuit
    assert policy is not None
    assert (policy.policy.failure_threshold, policy.policy.window) == (12, 0.15)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("${A}", "the environment variable A is not set and has no default"),
        ("x${A", "a ${ is not closed"),
        ("${A:-x", "a ${ is not closed"),
        ("${}", "${} does not hold the name of a variable"),
        ("${1A}", "${} does not hold the name of a variable"),
        ("${A-x}", "${} does not hold the name of a variable"),
        ("${A:?x}", "${} does not hold the name of a variable"),
    ],
)
def test_what_cannot_be_put_in(tmp_path, written, message):
    assert lines(tmp_path, guarded(f"{{errorBody: '{written}'}}")) == [
        f"g.yaml:1:36: http.circuitBreaker.errorBody: {message}; {ALLOWED}"
    ]


def test_each_is_told_once(tmp_path):
    text = f"listen: ${{A}}\nlimits: {{connections: '${{B}}'}}\nlog: {{level: '${{C}}'}}\n{MINIMAL}"
    told = lines(tmp_path, text)
    assert [line.split(":")[1] for line in told] == ["1", "2", "3"]


def test_shared_values_are_replaced_once(tmp_path):
    shared = "services:\n  a: {url: 'http://h', timeout: &t '${T}'}\n  b: {url: 'http://h', timeout: *t}\n"
    text = shared + MINIMAL
    assert config_of(tmp_path, text, environ={"T": "5s"})


def test_an_escape_that_is_shared_is_undone_once(tmp_path):
    text = f"{guarded('{errorBody: &b ' + chr(39) + '$${A}' + chr(39) + ', name: *b}')}"
    circuit = config_of(tmp_path, text).routes[0].circuit
    assert circuit is not None
    assert (circuit.key, circuit.error_body) == ("${A}", "${A}")


def test_keys_are_left_as_they_are(tmp_path):
    (line,) = lines(tmp_path, "'${A}': 1\n" + MINIMAL, environ={"A": "listen"})
    assert line.startswith("g.yaml:1:1: ${A}: unknown key; ")


def test_yaml_says_where_quotes_are_needed(tmp_path):
    (line,) = lines(tmp_path, guarded("{errorBody: ${A}}"), environ={"A": "x"})
    assert line.startswith("g.yaml:1:37: not legal YAML: ")
    assert line.endswith(" (inside { } and [ ], ${NAME} needs quotes)")


SECRET = "s3cret-{x}-99999"
LEAKS = [
    "state: {type: redis, password: ['${S}']}\n" + MINIMAL,
    "state: '${S}'\n" + MINIMAL,
    "state: 'redis://me:${S}@h:99999999'\n" + MINIMAL,
    "state: {url: 'mysql://:${S}@h'}\n" + MINIMAL,
    "listen: '${S}'\n" + MINIMAL,
    "listen: 'h:${S}'\n" + MINIMAL,
    "limits: {connections: '${S}', drain: '${S}', head: '${S}'}\n" + MINIMAL,
    "log: {level: '${S}'}\n" + MINIMAL,
    "${S}: 1\n" + MINIMAL,
    guarded("{mode: '${S}', failureRate: '${S}', maxErrors: '${S}', name: '${S}\\0'}"),
    guarded("{name: '${S}', maxErrors: 0}"),
    routed("{use: '${S}'}"),
    "services: {s: {url: 'http://${T}', circuitBreaker: {maxErrors: 1}}}\n"
    + guarded("{name: 'service:s@http://${T}:80'}").replace("url: 'http://h'", "use: s"),
    guarded("{name: '${S}'}")
    .replace("GET: {", "GET: {circuitBreaker: {name: '${S}', maxErrors: 1},")
    .replace("/a:", "/b: {GET: {services: {s: {url: 'http://h'}}}}, /a:"),
    routed("{url: '${S}'}"),
    routed("{url: 'http://${S}'}"),
    routed("{url: 'http://h/{${S}}'}"),
    routed("{url: 'http://h/${S}'}"),
    routed("{url: 'http://h/{${T}}'}"),
    routed("{url: 'http://h/{${T}}/{${T}}'}"),
    routed("{type: '${S}', url: 'http://h?${S} '}"),
    routed("{url: 'http://h', retry: {methods: ['${S}']}}"),
    routed("{url: 'http://h', fallback: {stale: '${S}'}}"),
]


@pytest.mark.parametrize("text", LEAKS)
def test_no_message_holds_a_variables_value(tmp_path, text):
    environ = {"S": SECRET, "T": "s3cret"}
    loaded = load(tmp_path, text, environ=environ)
    assert loaded.mistakes
    told = " ".join(mistake.text() + str(mistake.as_dict()) for mistake in loaded.mistakes)
    assert "s3cret" not in told


def test_no_object_shows_a_secret_when_it_is_printed(tmp_path):
    text = "state: {type: redis, password: '${S}'}\nadmin: {token: '${S}'}\n" + MINIMAL
    assert SECRET not in repr(config_of(tmp_path, text, environ={"S": SECRET}))
    text = "state: 'redis://:${S}@h'\n" + MINIMAL
    assert SECRET not in repr(config_of(tmp_path, text, environ={"S": SECRET}))
