"""Python files: functions and policies in a configuration."""

# A text and the whole line that tells of it stand side by side.
# ruff: noqa: E501, ISC004

from __future__ import annotations

import pytest

from switchgear.gateway.config import load_config
from tests.gateway.config.snippets import config_of, lines

HEAD = """\
from dataclasses import dataclass
from datetime import timedelta

@dataclass
class Key:
    name: str = "key"
    priority: int = 20

    async def __call__(self, request, call_next):
        return await call_next(request)

def is_bad(response):
    return response.status == 418

key = Key()
services = {"s": {"url": "http://h"}}
"""


def gateway(method: str, http: str = "") -> str:
    return f'{HEAD}\nconfig = {{"http": {{{http} "routes": {{"/a": {{"GET": {{"services": services, {method}}}}}}}}}}}\n'


def test_functions_and_policies(tmp_path):
    text = gateway(
        '"circuitBreaker": {"failure_if": is_bad, "ignore": is_bad, "retryAfterFrom": is_bad, '
        '"window": timedelta(minutes=1), "failureOn": {500, 501}}, "policies": (Key("other"),)',
        '"policies": [key],',
    )
    (route,) = config_of(tmp_path, text, "g.py").routes
    assert [policy.name for policy in route.policies] == ["key", "other"]
    assert route.circuit is not None
    policy = route.circuit.policy
    assert policy.failure_if is policy.ignore is policy.retry_after_from
    assert policy.failure_if(type("Response", (), {"status": 418}))
    assert (policy.window, policy.failure_statuses) == (60.0, frozenset({500, 501}))


@pytest.mark.parametrize(
    ("method", "http", "message"),
    [
        ('"policies": [key, key]', "", "policies[1]: the policy key is on the route twice"),
        ('"policies": [Key()]', '"policies": [key],', "policies[0]: the policy key is on the route twice"),
        ('"policies": [Key]', "", "policies[0]: not a policy; found an object of type type; allowed an object with name, "
         "priority and async __call__(request, call_next)"),
        ('"policies": [is_bad]', "", "policies[0]: not a policy; found an object of type function; allowed an object with "
         "name, priority and async __call__(request, call_next)"),
        ('"policies": [Key("timeout")]', "", "policies[0]: timeout is the name of one of the gateway's own policies; "
         "found an object of type Key; allowed an object with name, priority and async __call__(request, call_next)"),
        ('"policies": [key, Key("circuit-breaker")]', "", "policies[1]: circuit-breaker is the name of one of the gateway's "
         "own policies; found an object of type Key; allowed an object with name, priority and "
         "async __call__(request, call_next)"),
        ('"policies": key', "", "policies: wrong type; found an object of type Key; allowed a list of policy objects"),
        ('"circuitBreaker": {"failure_if": 5}', "", "circuitBreaker.failure_if: wrong type; found 5; allowed a callable"),
        ('"circuitBreaker": {"maxErrors": 10**5000}', "",
         "circuitBreaker.maxErrors: out of range; found a huge integer; allowed an integer of at least 1"),
        ('"circuitBreaker": {"window": 5}', "", "circuitBreaker.window: a duration without a unit; found 5; "
         "allowed a duration over 0 such as 250ms, 30s, 5m"),
        ('"circuitBreaker": {"window": timedelta(0)}', "", "circuitBreaker.window: a duration has to be over 0; "
         "found 0:00:00; allowed a duration over 0 such as 250ms, 30s, 5m"),
        ('"circuitBreaker": {"errorBody": {"a": key}}', "",
         "circuitBreaker.errorBody.a: not a value of JSON; found an object of type Key; allowed anything that JSON can say"),
    ],
)  # fmt: skip
def test_mistakes_have_no_place(tmp_path, method, http, message):
    assert lines(tmp_path, gateway(method, http), "g.py") == [f"g.py: http.routes./a.GET.{message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "g.py: the file does not define config"),
        ("\n1/0", "g.py: ZeroDivisionError: division by zero (line 2)"),
        (
            "import no_such_module_at_all",
            "g.py: ModuleNotFoundError: No module named 'no_such_module_at_all' (line 1)",
        ),
        ("raise SystemExit(3)", "g.py: SystemExit: 3 (line 1)"),
        ("class E(BaseException): pass\nraise E('x')", "g.py: E: x (line 2)"),
        ("raise KeyboardInterrupt", "g.py: KeyboardInterrupt (line 1)"),
        ("raise ValueError('a\\nb')", "g.py: ValueError: a b (line 1)"),
        ("def f(): f()\nf()", "g.py: RecursionError: maximum recursion depth exceeded (line 1)"),
        ("exec('a b')", "g.py: SyntaxError: invalid syntax (<string>, line 1)"),
        ("class E(Exception):\n def __str__(self): 1/0\nraise E", "g.py: E (line 3)"),
        ("def f(:\n pass", "g.py:1:7: not legal Python: invalid syntax"),
    ],
)
def test_whatever_a_file_raises_is_one_line(tmp_path, text, message):
    assert lines(tmp_path, text, "g.py") == [message]


def test_a_mapping_that_raises(tmp_path):
    text = "class M(dict):\n def items(self): raise KeyError('x')\nconfig = M()"
    assert lines(tmp_path, text, "g.py") == ["g.py: config cannot be read: KeyError: 'x'"]


def test_what_a_file_prints_does_not_mix_with_mistakes(tmp_path, capfd):
    config_of(tmp_path, "print('hello')\n" + gateway('"timeout": 5'), "g.py")
    assert capfd.readouterr().out == ""


STORE = """
class Store:
    async def get_state(self, key): ...
    async def record_success(self, key): ...
    async def record_failure(self, key): ...
    async def transition(self, key, to): ...
    async def reset(self, key): ...

config = {"state": Store(), "http": {"routes": {"/a": {"GET": {"services": {"s": {"url": "http://h"}}}}}}}
"""


def test_a_python_file_may_bring_a_store_of_its_own(tmp_path):
    path = tmp_path / "g.py"
    path.write_text(STORE)
    loaded = load_config(path, {})
    assert not loaded.mistakes
    assert loaded.config.state.type == "own"
    assert type(loaded.config.state.store).__name__ == "Store"


def test_a_store_of_ones_own_has_all_five_methods(tmp_path):
    path = tmp_path / "g.py"
    path.write_text(STORE.replace("    async def reset(self, key): ...\n", ""))
    (mistake,) = load_config(path, {}).mistakes
    assert "state: Store is no store: it lacks the method reset" in mistake.text()
