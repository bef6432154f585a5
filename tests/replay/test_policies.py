"""Files with a policy: one for all keys, or a gateway's with one for each circuit."""

from __future__ import annotations

import pytest

from switchgear import CircuitBreakerPolicy
from switchgear.replay.policies import Policies, load_policies

POLICY = CircuitBreakerPolicy(failure_rate=0.5, window=10, reset_timeout=5)
GATEWAY = """\
services:
  users: {url: "http://h:81", circuitBreaker: {failureRate: 20%}}
  inbox: {url: ["http://a:1", "http://b:1"], perEndpoint: true, circuitBreaker: {maxErrors: 3, duration: 1s}}
http:
  circuitBreaker: {failureThreshold: "${MOST:-4}"}
  routes:
    /users/{id}: {GET: {services: {u: {use: users}}}}
    /any: {ALL: {services: {u: {use: users}}}}
    /inbox: {GET: {circuitBreaker: {name: post, failureThreshold: 9}, services: {inbox: {use: inbox}}}}
"""


@pytest.fixture
def load(tmp_path):
    def load(text, name="p.yaml", **environ):
        path = tmp_path / name
        path.write_text(text)
        return load_policies(path, environ)

    return load


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "{failureRate: 50%, window: 10s, resetTimeout: 5s}"),
        ("p.yaml", "{failure_rate: 0.5, window: 10s, reset_timeout: 5s, errorStatus: 500}"),
        ("p.yaml", "circuitBreaker: {failureRate: 50%, window: 10s, resetTimeout: 5s}"),
        ("p.json", '{"failureRate": 0.5, "window": "10s", "resetTimeout": "5s"}'),
        ("p.toml", 'failureRate = "50%"\nwindow = "10s"\nresetTimeout = "5s"'),
        ("p.yaml", "{failureRate: 50%, window: '${WINDOW}', resetTimeout: 5s}"),
        ("p.py", "config = {'failureRate': 0.5, 'window': '10s', 'resetTimeout': '5s'}"),
    ],
)
def test_one_policy_for_every_key(load, name, text):
    policies = load(text, name, WINDOW="10s")
    assert isinstance(policies, Policies)
    assert (policies.of("a"), policies.of("b")) == (POLICY, POLICY)


def test_every_mistake_at_once_with_its_place(load, tmp_path):
    mistakes = load("failureRatte: 50%\nwindow: 10\nslowCallRate: 2\n")
    place = f"{tmp_path}/p.yaml"
    first, *others = [mistake.text() for mistake in mistakes]
    assert first.startswith(f"{place}:1:1: failureRatte: unknown key; allowed failureThreshold, ")
    assert first.endswith("did you mean failureRate?")
    duration, share = (
        "a duration over 0 such as 250ms, 30s, 5m",
        "a share over 0 and at most 1, such as 0.5 or 50%",
    )
    assert others == [
        f"{place}:2:9: window: a duration without a unit; found 10; allowed {duration}",
        f"{place}:3:15: slowCallRate: out of range; found 2; allowed {share}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "p.yaml:1:1: the top level is no mapping"),
        ("", "p.yaml: the file is empty"),
        ("circuitBreaker: 5", "circuitBreaker: wrong type"),
        ("circuitBreaker: {}\nwindow: 5s", "window: unknown key; allowed circuitBreaker"),
        ("window: ${NOWHERE}", "the environment variable NOWHERE is not set"),
        ("http: {}", "http.routes: missing"),
    ],
)
def test_what_is_no_policy(load, text, message):
    mistakes = load(text)
    assert any(message in mistake.text() for mistake in mistakes), [each.text() for each in mistakes]


def test_a_missing_file(tmp_path):
    (mistake,) = load_policies(tmp_path / "no.yaml", {})
    assert mistake.text() == f"{tmp_path}/no.yaml: no such file"


@pytest.mark.parametrize(
    ("key", "threshold"),
    [
        ("route:GET /users/{id}", 4),
        ("GET /users/{id}", 4),
        ("HEAD /users/{id}", 4),
        ("POST /any", 4),
        ("post", 9),
        ("GET /inbox", 9),
        ("inbox", 3),
        ("service:inbox@http://a:1,http://b:1", 3),
        ("http://a:1", 3),
        ("endpoint:inbox@http://b:1", 3),
        ("service:users@http://h:81", None),
        ("u", None),
    ],
)
def test_each_circuit_of_a_gateway_has_its_own(load, key, threshold):
    policy = load(GATEWAY).of(key)
    assert policy is not None
    assert policy.failure_threshold == threshold


def test_what_the_gateway_does_not_guard_has_none(load):
    policies = load(GATEWAY)
    assert [policies.of(key) for key in ("POST /users/{id}", "other", "")] == [None] * 3
