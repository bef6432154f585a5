"""The collector for Prometheus: names, labels, and that no key of a client's makes a series."""

from __future__ import annotations

import gc
import time
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from switchgear import CircuitBreaker, CircuitOpenError, CircuitState, Switchgear
from switchgear.integrations.prometheus import SwitchgearCollector
from switchgear.metrics.families import FAMILIES
from switchgear.metrics.histogram import BOUNDS
from switchgear.stores import RedisCircuitBreakerStore
from switchgear.testing import ManualClock


class Boom(Exception):  # noqa: N818  # it stands in every test
    """The failure of a guarded service."""


def boom() -> None:
    raise Boom


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


class Picture:
    """What a registry tells, as a scraper reads it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.text = generate_latest(registry).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        for sample in self.samples:
            if (sample.name, sample.labels) == (f"switchgear_{name}", labels):
                return float(sample.value)
        return None

    def states(self, circuit: str) -> dict[str, float]:
        found = [s for s in self.samples if s.name == "switchgear_circuit_state"]
        return {s.labels["state"]: s.value for s in found if s.labels["circuit"] == circuit}

    def circuits(self) -> set[str]:
        return {sample.labels["circuit"] for sample in self.samples if "circuit" in sample.labels}


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Boom):
            breaker.call(boom)


def test_a_circuit_opens_rejects_probes_and_closes(clock, registry):
    sg = Switchgear(clock=clock, failure_threshold=2)
    SwitchgearCollector(sg, registry=registry)
    breaker = sg.breaker("payments")
    breaker.call(int)
    fail(breaker, 2)
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            breaker.call(int)
    clock.advance(10)
    now = Picture(registry)
    assert now.states("payments") == {
        "closed": 0,
        "open": 1,
        "half-open": 0,
        "forced-open": 0,
        "disabled": 0,
    }
    assert now.value("circuit_calls_total", circuit="payments", outcome="success") == 1
    assert now.value("circuit_calls_total", circuit="payments", outcome="failure") == 2
    assert now.value("circuit_calls_total", circuit="payments", outcome="rejected") == 3
    assert now.value("circuit_retry_after_seconds", circuit="payments") == 20
    assert now.value("circuit_window_failures", circuit="payments") == 2
    assert now.value("circuit_transition_timestamp_seconds", circuit="payments") == clock.time() - 10

    clock.advance(20)
    probe = breaker.acquire()
    now = Picture(registry)
    assert now.states("payments")["half-open"] == 1
    assert now.value("circuit_probes_in_flight", circuit="payments") == 1
    assert now.value("circuit_probe_leases_total", circuit="payments", result="granted") == 1
    probe.success()
    now = Picture(registry)
    assert now.states("payments")["closed"] == 1
    for move in (("closed", "open", "consecutive"), ("open", "half-open", "timer")):
        labels = dict(zip(("from", "to", "reason"), move, strict=True))
        assert now.value("circuit_transitions_total", circuit="payments", **labels) == 1


def test_every_name_is_published(clock, registry, redis_server):
    sg = Switchgear(clock=clock)
    SwitchgearCollector(sg, registry=registry)
    sg.breakers("host:{}")["a"].call(int)
    with sg.open(RedisCircuitBreakerStore(redis_server.url, prefix="prometheus:")):
        sg.breaker("shared").ready(5)
        now = Picture(registry)
        sampled = {name for name, family in now.families.items() if family.samples}
    missing = {f"switchgear_{name}" for name in FAMILIES} - sampled
    assert missing == {"switchgear_circuit_transitions"}  # there was none


def test_durations_are_a_histogram_in_the_usual_buckets(clock, registry):
    sg = Switchgear(clock=clock, slow_call_duration=1)
    SwitchgearCollector(sg, registry=registry)
    permit = sg.breaker("a").acquire()
    clock.advance(2)
    permit.success()
    now = Picture(registry)
    of = {"circuit": "a", "outcome": "success"}
    assert now.value("circuit_call_duration_seconds_bucket", le="1.0", **of) == 0
    assert now.value("circuit_call_duration_seconds_bucket", le="2.5", **of) == 1
    assert now.value("circuit_call_duration_seconds_bucket", le="+Inf", **of) == 1
    assert now.value("circuit_call_duration_seconds_sum", **of) == 2
    assert now.value("circuit_slow_calls_total", **of) == 1
    bounds = [s.labels["le"] for s in now.samples if s.name.endswith("duration_seconds_bucket")][:15]
    assert [float(bound) for bound in bounds] == [*BOUNDS, float("inf")]


def test_shadow_mode_tells_how_would_be_rejections_ended(clock, registry):
    breaker = CircuitBreaker("s", failure_threshold=1, mode="shadow", clock=clock)
    SwitchgearCollector(breaker, registry=registry)
    fail(breaker, 2)
    breaker.call(int)
    now = Picture(registry)
    assert now.value("circuit_shadow_rejections_total", circuit="s", outcome="failure") == 1
    assert now.value("circuit_shadow_rejections_total", circuit="s", outcome="success") == 1


def test_overrides_show_as_such(registry):
    breaker = CircuitBreaker("a")
    SwitchgearCollector(breaker, registry=registry)
    breaker.force_open()
    now = Picture(registry)
    assert now.value("circuit_override", circuit="a", override="forced-open") == 1
    assert now.value("circuit_override", circuit="a", override="disabled") == 0
    assert now.value("circuit_retry_after_seconds", circuit="a") is None  # nobody knows


def test_circuits_by_key_are_summed_under_their_template(clock, registry):
    sg = Switchgear(clock=clock, failure_threshold=1)
    SwitchgearCollector(sg, registry=registry, separate={"host:api.example.com"})
    hosts = sg.breakers("host:{}")
    assert Picture(registry).states("host:*") == dict.fromkeys(CircuitState, 0)
    for host in ("a", "b", "c", "api.example.com"):
        hosts[host].call(int)
    fail(hosts["b"])
    now = Picture(registry)
    assert now.circuits() == {"host:*", "host:api.example.com"}
    assert now.states("host:*") == {
        "closed": 2,
        "open": 1,
        "half-open": 0,
        "forced-open": 0,
        "disabled": 0,
    }
    assert now.value("circuit_calls_total", circuit="host:*", outcome="success") == 3
    assert now.value("circuit_calls_total", circuit="host:api.example.com", outcome="success") == 1
    assert now.value("registry_circuits", registry="host:{}") == 4


def test_ten_thousand_keys_make_no_series(clock, registry):
    sg = Switchgear(clock=clock, failure_threshold=1)
    SwitchgearCollector(sg, registry=registry)
    hosts = sg.breakers("host:{}", limit=20)
    sg.breaker("payments").call(int)
    hosts["first"].call(int)
    before = None
    for number in range(10_000):
        hosts[f"{number * 7919:x}.example.com"].call(int)
        if number == 0:
            before = len(Picture(registry).samples)
    assert len(Picture(registry).samples) == before
    for number in range(100):
        fail(hosts[f"bad{number}"])
    now = Picture(registry)
    assert now.circuits() == {"payments", "host:*", "host:_other"}
    overflowed = now.value("registry_overflow_total", registry="host:{}")
    assert overflowed
    assert now.value("circuit_calls_total", circuit="host:_other", outcome="failure") == overflowed
    assert now.value("circuit_calls_total", circuit="host:*", outcome="success") == 10_001


def test_counts_do_not_go_back_when_a_family_forgets_circuits(clock, registry):
    sg = Switchgear(clock=clock)
    SwitchgearCollector(sg, registry=registry)
    hosts = sg.breakers("host:{}", limit=2)
    for number in range(10):
        hosts[str(number)].call(int)
    gc.collect()
    assert Picture(registry).value("circuit_calls_total", circuit="host:*", outcome="success") == 10


def test_labels_of_forgotten_circuits_go(registry):
    sg = Switchgear()
    SwitchgearCollector(sg, registry=registry)
    sg.breaker("gone").call(int)
    sg.breaker("stays").call(int)
    assert Picture(registry).circuits() == {"gone", "stays"}
    sg.discard("gone")
    assert Picture(registry).circuits() == {"stays"}
    sg.breaker("gone").call(int)
    assert Picture(registry).value("circuit_calls_total", circuit="gone", outcome="success") == 1


def test_a_store_that_dies_shows(registry, redis_server_to_kill):
    sg = Switchgear()
    SwitchgearCollector(sg, registry=registry)
    server = redis_server_to_kill
    with sg.open(RedisCircuitBreakerStore(server.url, staleness=0.1)):
        breaker = sg.breaker("shared")
        wait_for(lambda: breaker.ready(30))
        store = "RedisCircuitBreakerStore"
        now = Picture(registry)
        assert now.value("store_up", store=store) == 1
        asked = now.value("store_operations_total", store=store, operation="ask", result="ok")
        assert asked == 1
        of = {"store": store, "operation": "ask", "result": "ok"}
        assert now.value("store_operation_duration_seconds_count", **of) == 1
        server.kill()
        wait_for(lambda: Picture(registry).value("store_up", store=store) == 0, breaker)
        now = Picture(registry)
        errors = [
            s for s in now.samples if s.name.endswith("operations_total") and s.labels["result"] == "error"
        ]
        assert errors
        assert errors[0].value >= 1
        fail(breaker)
        assert Picture(registry).value("store_queue_depth", store=store) == 1
        server.restart()
        wait_for(lambda: Picture(registry).value("store_up", store=store) == 1, breaker)


def wait_for(condition: Any, breaker: CircuitBreaker | None = None) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if breaker is not None:
            breaker.call(int)
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def redis_server_to_kill() -> Iterator[Any]:
    from tests.servers.redis import RedisServer

    with RedisServer() as server:
        yield server


def test_what_another_process_decided_is_counted_there(registry, redis_server):
    mine, theirs = (RedisCircuitBreakerStore(redis_server.url, prefix="decided:") for _ in range(2))
    here, there = Switchgear(), Switchgear()
    SwitchgearCollector(here, registry=registry)
    with here.open(mine), there.open(theirs):
        breaker = here.breaker("a")
        wait_for(lambda: breaker.ready(30))
        there.breaker("a").force_open("maintenance")
        wait_for(lambda: breaker.state == "forced-open")
        told = "circuit_transition_timestamp_seconds"  # by the listeners' thread, in its own time
        wait_for(lambda: Picture(registry).value(told, circuit="a"))
        now = Picture(registry)
    assert not [s for s in now.samples if s.name == "switchgear_circuit_transitions_total"]


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_the_window_is_told_in_two_counts(registry, redis_server, shared):
    sg = Switchgear(failure_rate=0.9)
    SwitchgearCollector(sg, registry=registry)
    store = RedisCircuitBreakerStore(redis_server.url, prefix="window:")
    with sg.open(store) if shared else nullcontext():
        breaker = sg.breaker("a")
        wait_for(lambda: breaker.ready(30))
        breaker.call(int)
        fail(breaker, 2)
        now = Picture(registry)
    assert now.value("circuit_window_calls", circuit="a") == 3
    assert now.value("circuit_window_failures", circuit="a") == 2


def test_exemplars_lead_from_a_bucket_to_a_trace(clock, registry):
    breaker = CircuitBreaker("a", clock=clock)
    traces = iter([{"trace_id": "abc"}, None, {"trace_id": "def"}])
    SwitchgearCollector(breaker, registry=registry, exemplar=lambda: next(traces))
    for _ in range(2):
        breaker.call(int)
    permit = breaker.acquire()
    clock.advance(0.2)
    permit.success()
    found = {s.labels["le"]: s.exemplar for s in Picture(registry).samples if s.exemplar}
    assert {le: exemplar.labels for le, exemplar in found.items()} == {
        "0.005": {"trace_id": "abc"},
        "0.25": {"trace_id": "def"},
    }
    assert found["0.25"].value == pytest.approx(0.2)


def test_a_scraper_gets_it_over_http(registry):
    breaker = CircuitBreaker("a")
    SwitchgearCollector(breaker, registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert 'switchgear_circuit_state{circuit="a",state="closed"} 1.0' in text


def test_closing_leaves_registry_and_breakers(clock, registry):
    sg = Switchgear(clock=clock)
    collector = SwitchgearCollector(sg, registry=registry)
    bare = sg.breaker("a").circuit
    collector.close()
    collector.close()
    assert sg.breaker("a").circuit is not bare
    assert not Picture(registry).samples
    SwitchgearCollector(sg, registry=registry)  # again


def test_circuits_of_one_name_are_one_label(registry):
    one, two = Switchgear("one"), Switchgear("two")
    SwitchgearCollector(one, two, registry=registry)
    one.breaker("a").call(int)
    two.breaker("a").call(int)
    now = Picture(registry)
    assert now.value("circuit_calls_total", circuit="a", outcome="success") == 2
    assert now.states("a")["closed"] == 2


def test_nothing_is_registered_without_a_registry():
    before = {family.name for family in REGISTRY.collect()}
    SwitchgearCollector(Switchgear())
    assert {family.name for family in REGISTRY.collect()} == before


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="is a Switchgear or a CircuitBreaker, got 'payments'"):
        SwitchgearCollector("payments")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="collection of circuits' names, got the text 'payments'"):
        SwitchgearCollector(Switchgear(), separate="payments")
