"""`switchgear check`, as a command and as a function."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from switchgear.cli import main

RIGHT = """\
services:
  users: {url: "http://localhost:6666", timeout: 800ms, circuitBreaker: {failureRate: 50%}}
http:
  circuitBreaker: {maxErrors: 3, duration: 150}
  routes:
    /users/:id:
      GET: {services: {users: {use: users, path: "/users/{id}"}}, timeout: 5s}
    /all/*: {ALL: {circuitBreaker: false, services: {one: {url: "http://h/v?x=1"}, two: {url: "http://h"}}}}
"""
WRONG = "lisen: 1\nhttp:\n  routes:\n    /a: {GET: {services: {s: {url: 'ftp://h'}}}}\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="g.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_right_file_says_nothing_and_gives_0(file, capsys):
    assert main(["check", file(RIGHT)]) == 0
    assert capsys.readouterr() == ("", "")


def test_mistakes_are_lines_on_standard_output_and_give_2(file, capsys):
    path = file(WRONG)
    assert main(["check", path]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    first, second = out.splitlines()
    allowed = "listen, state, services, http, admin, limits, log, tls"
    assert first == f"{path}:1:1: lisen: unknown key; allowed {allowed}; did you mean listen?"
    place = f"{path}:4:36: http.routes./a.GET.services.s.url"
    assert second.startswith(
        f'{place}: the scheme is not supported; found "ftp://h"; allowed an http or https URL'
    )


def test_mistakes_as_json(file, capsys):
    path = file(WRONG)
    assert main(["check", "--format", "json", path]) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "file": path,
        "line": 1,
        "column": 1,
        "path": "lisen",
        "message": "unknown key",
        "found": None,
        "allowed": "listen, state, services, http, admin, limits, log, tls",
        "hint": "listen",
    }
    assert (second["line"], second["column"], second["found"]) == (4, 36, '"ftp://h"')


def test_no_mistakes_as_json(file, capsys):
    assert main(["check", "--format", "json", file(RIGHT)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_mistake_without_a_place_as_json(tmp_path, capsys):
    assert main(["check", "--format=json", str(tmp_path / "none.yaml")]) == 2
    (mistake,) = json.loads(capsys.readouterr().out)
    assert (mistake["line"], mistake["column"], mistake["message"]) == (None, None, "no such file")


def test_a_warning_is_told_and_is_no_mistake(file, capsys):
    path = file("state: redis\n" + RIGHT)
    warning = f"{path}:5:3: http.circuitBreaker: warning: "
    assert main(["check", path]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith(warning)
    assert "failure_rate" in out
    assert main(["check", "--format", "json", path]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err.startswith(warning)


EXPLAINED = """\
listen                   127.0.0.1:8080 (default)
state                    memory (default)
admin                    none (default)
tls                      none (default)
limits
  head                   1KiB
  (default)              fields 200; target 16KiB; bufferedPart 1MiB; bufferedRequest 8MiB;
                         connections 10000; inFlight none; queue 0; connect 2s; firstByte 30s;
                         idle 1m; clientHead 10s; keepAlive 75s; drain 8s
log
  (default)              access true; level info
trustedProxies           none (default)

route GET /users/{id} (streamed)
  timeout                5s
  (default)              deadline none; headers none
  policies, from the outside inwards
      30 circuit-breaker route:GET /users/{id}
      85 timeout         5s
  service users
    url                  http://localhost:6666/users/{id}
    circuit              service:users@http://localhost:6666
    timeout              800ms
    (default)            retry none; perEndpoint false; maxEjected 50%; balance round-robin;
                         preserveHost false; headers none; stage none; merge true; mergeField none;
                         optional false; fallback none

route ALL /all/* (merged)
  (default)              timeout none; deadline 30s; headers none
  service one
    url                  http://h:80/v?x=***
    circuit              none
    (default)            timeout none; retry none; perEndpoint false; maxEjected 50%;
                         balance round-robin; preserveHost false; headers none; stage none;
                         merge true; mergeField none; optional false; fallback none
  service two
    url                  http://h:80 + the request's path
    circuit              none
    (default)            timeout none; retry none; perEndpoint false; maxEjected 50%;
                         balance round-robin; preserveHost false; headers none; stage none;
                         merge true; mergeField none; optional false; fallback none

circuit route:GET /users/{id}
  guards                 GET /users/{id}; rejects with 503 and a problem document (default)
  failureThreshold       3
  window                 150ms
  resetTimeout           150ms
  failureOn              500-599
  (default)              failureRate none; slowCallRate none; minimumCalls 20;
                         slowCallDuration none; resetTimeoutFactor 1; resetTimeoutMax 5m; jitter 0;
                         halfOpenMax 1; successThreshold 1; probeTimeout 1m; mode enforce

circuit service:users@http://localhost:6666
  guards                 GET /users/{id} > users; rejects with 503 and a problem document (default)
  failureRate            50%
  (default)              failureThreshold none; window 30s; slowCallRate none; minimumCalls 20;
                         slowCallDuration none; resetTimeout 30s; resetTimeoutFactor 1;
                         resetTimeoutMax 5m; jitter 0; halfOpenMax 1; successThreshold 1;
                         probeTimeout 1m; failureOn 500, 502-504; mode enforce
"""


def test_explain_tells_everything_that_a_file_comes_to(file, capsys):
    assert main(["check", "--explain", file("limits: {head: 1KiB}\n" + RIGHT)]) == 0
    assert capsys.readouterr().out == EXPLAINED


POLICIES = """
class RequireKey:
    name, priority = "require-key", 20
    async def __call__(self, request, call_next): ...

class Late:
    name, priority = "late", 99
    async def __call__(self, request, call_next): ...

def is_bad(response): ...

breaker = {"name": "shared", "failure_if": is_bad, "failureOn": None}
config = {
    "state": {"type": "redis", "password": "hunter2", "host": "store"},
    "admin": {"token": "hunter2"},
    "http": {"retry": {"attempts": 3}, "routes": {"/a": {"GET": {
        "policies": [Late(), RequireKey()],
        "timeout": 2500,
        "circuitBreaker": {**breaker, "errorStatus": 504, "errorBody": {"busy": True}},
        "services": {
            "s": {"url": ["http://h", "http://i?key=hunter2"], "circuitBreaker": breaker,
                  "fallback": {"stale": "10m", "else": []}, "mergeField": "s", "retry": {"budget": 0.1}},
        },
    }}}},
}
"""


RETRY = (
    "attempts 3, statuses 502-504 (default), methods GET, HEAD, OPTIONS (default), backoff 25ms (default), "
    "maxBackoff 1s (default), budget 20% (default)"
)


def lines_of(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_explain_orders_policies_and_tells_all_that_share_a_circuit(file, capsys):
    assert main(["check", "--explain", file(POLICIES, "g.py")]) == 0
    told = lines_of(capsys)
    place = told.index("policies, from the outside inwards")
    assert told[place + 1 : place + 6] == [
        "20 require-key RequireKey",
        "30 circuit-breaker shared",
        "85 timeout 2500ms",
        f"90 retry {RETRY}",
        "99 late Late",
    ]
    assert told.count("circuit shared") == 2  # where it is, and that of the service
    assert 'guards GET /a; rejects with errorStatus 504, errorBody {"busy": true}' in told
    assert "guards GET /a > s; rejects with 503 and a problem document (default)" in told
    assert "fallback stale 10m, else []" in told
    assert "failureOn none" in told
    assert "failureIf is_bad" in told


def test_explain_shows_no_secret(file, capsys):
    path = file(POLICIES, "g.py")
    for arguments in (["--format", "text"], ["--format", "json"]):
        assert main(["check", "--explain", *arguments, path]) == 0
        told = capsys.readouterr().out
        assert "***" in told
        assert "http://i:80?key=***" in told
        assert "hunter2" not in told


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("memory", ["state memory (default)"]),
        ("{type: memory, namespace: n}", ["state", "type memory", "namespace n"]),
        ("redis", ["state", "type redis", "(default) host localhost; port 6379; tls false"]),
        (
            "{type: postgres, port: 5433, user: me, password: p}",
            [
                *("state", "type postgres", "port 5433", "user me", "password ***"),
                "(default) host localhost; tls false",
            ],
        ),
        ("rediss://me:p@h/1?x=y", ["state", "type redis", "url rediss://***@h/1?x=***"]),
    ],
)  # fmt: skip
def test_explain_tells_where_circuits_are_kept(file, capsys, state, told):
    text = RIGHT.replace("circuitBreaker: {maxErrors: 3, duration: 150}", "timeout: 5s")
    assert main(["check", "--explain", file(f"state: {state}\n{text}")]) == 0
    lines = lines_of(capsys)
    assert lines[1 : lines.index("admin none (default)")] == told


def test_explain_as_json(file, capsys):
    assert main(["check", "--explain", "--format", "json", file(RIGHT)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["listen"] == {"value": "127.0.0.1:8080", "default": True}
    assert told["limits"]["value"]["head"] == {"value": "64KiB", "default": True}
    users, everything = told["routes"]
    assert (users["method"], users["path"], users["streamed"]) == ("GET", "/users/{id}", True)
    assert users["timeout"] == {"value": "5s", "default": False}
    assert users["policies"] == [
        {"priority": 30, "name": "circuit-breaker", "says": "route:GET /users/{id}"},
        {"priority": 85, "name": "timeout", "says": "5s"},
    ]
    assert users["services"][0]["urls"] == ["http://localhost:6666/users/{id}"]
    assert users["services"][0]["circuit"] == "service:users@http://localhost:6666"
    assert [service["appendsRequestPath"] for service in everything["services"]] == [False, True]
    of_route, of_service = told["circuits"]
    assert of_route["guards"] == [
        {
            "place": "GET /users/{id}",
            "errorStatus": {"value": 503, "default": True},
            "errorBody": {"value": None, "default": True},
        }
    ]
    assert of_route["policy"]["failureThreshold"] == {"value": 3, "default": False}
    assert of_route["policy"]["failureOn"]["value"] == list(range(500, 600))
    assert of_service["policy"]["window"] == {"value": "30s", "default": True}


def test_explain_of_a_wrong_file_tells_its_mistakes(file, capsys):
    assert main(["check", "--explain", file(WRONG)]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["check", "--explain", "--format", "json", file(WRONG)]) == 2
    assert len(json.loads(capsys.readouterr().out)) == 2


def run(*args, **environ):
    return subprocess.run(
        [sys.executable, "-m", "switchgear", *args],
        capture_output=True,
        timeout=60,
        env={"PATH": "/usr/bin", **environ},
        check=False,
    )


def test_the_command_itself_in_a_terminal_of_ascii(file):
    path = file("é: 1\n" + RIGHT)
    done = run("check", path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (done.returncode, done.stderr) == (2, b"")
    assert done.stdout.startswith(f"{path}:1:1: \\xe9: unknown key".encode())


def test_a_file_that_raises_ends_in_no_traceback(file):
    done = run("check", file("import sys\nprint('x')\nsys.exit(7)", "g.py"))
    assert done.returncode == 2
    assert done.stdout.endswith(b"g.py: SystemExit: 7 (line 3)\n")
    assert done.stderr == b"x\n"


def test_a_reader_that_leaves_ends_in_no_traceback(file):
    text = "".join(f"k{number}: 1\n" for number in range(3000))
    with subprocess.Popen(
        [sys.executable, "-m", "switchgear", "check", file(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"switchgear ")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["chek", "g.yaml"],
        ["check"],
        ["check", "g.yaml", "--format", "xml"],
        ["serve", "g.yaml", "--port", "65536"],
        ["serve", "g.yaml", "--port", "-1"],
        ["serve", "g.yaml", "--workers", "0"],
        ["serve", "g.yaml", "--wor", "2"],
        ["store"],
    ],
)
def test_wrong_usage_gives_2(args, capsys):
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == 2
    assert "usage: switchgear" in capsys.readouterr().err


def test_version_and_usage_load_nothing_of_the_gateway():
    code = (
        "import sys, switchgear.cli as c\n"
        "try: c.main(['--version'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('yaml', 'asyncio') or 'gateway' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.splitlines()[1] == b"[]"
