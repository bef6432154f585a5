"""`perEndpoint`: the circuits that it makes."""

import pytest

from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.config.effective import effective
from tests.gateway.config.snippets import config_of, lines, load, routed

TWO = 'url: ["http://a:1/x", "http://b:2"]'


def service_of(tmp_path, text: str):
    return config_of(tmp_path, text).routes[0].services[0]


def keys(service) -> list[str | None]:
    return [endpoint.circuit.key if endpoint.circuit else None for endpoint in service.endpoints]


def test_each_url_has_a_circuit_under_the_name_of_its_service(tmp_path):
    text = f"services: {{users: {{{TWO}, perEndpoint: true}}}}\n" + routed("{use: users}")
    service = service_of(tmp_path, text)
    assert keys(service) == ["endpoint:users@http://a:1", "endpoint:users@http://b:2"]
    assert service.circuit is None
    assert service.endpoints[0].circuit.policy == CircuitBreakerPolicy()


def test_its_policy_is_that_of_the_service_and_its_name_is_not(tmp_path):
    text = routed(f"{{{TWO}, perEndpoint: true, circuitBreaker: {{name: all, failureThreshold: 7}}}}")
    service = service_of(tmp_path, text)
    assert service.circuit.key == "all"
    assert keys(service) == ["endpoint:s@http://a:1", "endpoint:s@http://b:2"]
    assert {endpoint.circuit.policy for endpoint in service.endpoints} == {service.circuit.policy}


@pytest.mark.parametrize("said", ["", "perEndpoint: false"])
def test_without_it_there_are_none(tmp_path, said: str):
    assert keys(service_of(tmp_path, routed(f"{{{TWO}, {said}}}"))) == [None, None]


def test_one_url_with_two_policies_is_a_mistake(tmp_path):
    services = "{a: {url: 'http://a', perEndpoint: true, circuitBreaker: {failureThreshold: %d}}}"
    routes = ", ".join(f"/{n}: {{GET: {{services: {services % n}}}}}" for n in (1, 2))
    text = f"http: {{routes: {{{routes}}}}}"
    (line, *_) = lines(tmp_path, text)
    assert "the circuit has another policy at" in line


def test_they_are_explained(tmp_path):
    circuits = effective(config_of(tmp_path, routed(f"{{{TWO}, perEndpoint: true}}"))).circuits
    assert [circuit.key for circuit in circuits] == ["endpoint:s@http://a:1", "endpoint:s@http://b:2"]
    assert circuits[0].guards[0].place == "GET /users/{id} > s > http://a:1/x"


@pytest.mark.parametrize(
    ("breaker", "warned"),
    [
        ("{failureThreshold: 3}", False),
        ("{maxErrors: 3, duration: 100}", False),
        ("{failureRate: 10%, failureThreshold: 5}", False),
        ("{slowCallRate: 50%, slowCallDuration: 1s}", True),
        ("{slowCallRate: 51%, slowCallDuration: 1s}", False),
    ],
)
def test_a_circuit_that_a_single_slow_url_can_open_is_warned_of(tmp_path, breaker: str, warned: bool):
    text = routed(f"{{{TWO}, perEndpoint: true, circuitBreaker: {breaker}}}")
    assert bool(load(tmp_path, text).warnings) is warned
    one = routed(f"{{url: 'http://a', perEndpoint: true, circuitBreaker: {breaker}}}")
    assert load(tmp_path, one).warnings == []
