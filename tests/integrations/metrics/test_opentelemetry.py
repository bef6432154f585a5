"""OpenTelemetry: what its SDK is given by us, who only know its API."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from switchgear import CircuitBreaker, CircuitOpenError, Switchgear
from switchgear.integrations.opentelemetry import (
    NAMES,
    SwitchgearInstrumentor,
    full_name,
    trace_labels,
)
from switchgear.metrics.families import FAMILIES
from switchgear.metrics.histogram import BOUNDS
from switchgear.testing import ManualClock


class Boom(Exception):  # noqa: N818  # it stands in every test
    """The failure of a guarded service."""


def boom() -> None:
    raise Boom


class Meters:
    """A provider whose metrics are read by hand."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def read(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
        return {metric.name: metric for metric in metrics}

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """The points of an instrument by the values of their attributes."""
        metric = self.read().get(f"switchgear.{name}")
        points = [] if metric is None else metric.data.data_points
        return {tuple(point.attributes.values()): point for point in points}

    def values(self, name: str) -> dict[tuple[Any, ...], float]:
        return {labels: point.value for labels, point in self.points(name).items() if point.value}


@pytest.fixture
def meters() -> Any:
    meters = Meters()
    yield meters
    meters.provider.shutdown()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_circuit_opens_rejects_probes_and_closes(meters, clock):
    sg = Switchgear(clock=clock, failure_threshold=1)
    SwitchgearInstrumentor(sg, meter_provider=meters.provider)
    breaker = sg.breaker("payments")
    breaker.call(int)
    with pytest.raises(Boom):
        breaker.call(boom)
    with pytest.raises(CircuitOpenError):
        breaker.call(int)
    assert meters.values("circuit.calls") == {
        ("payments", "success"): 1,
        ("payments", "failure"): 1,
        ("payments", "rejected"): 1,
    }
    assert meters.values("circuit.state") == {("payments", "open"): 1}
    assert meters.values("circuit.retry_after") == {("payments",): 30}
    clock.advance(30)
    breaker.call(int)
    assert meters.values("circuit.state") == {("payments", "closed"): 1}
    assert meters.values("circuit.transitions") == {
        ("payments", "closed", "open", "consecutive"): 1,
        ("payments", "open", "half-open", "timer"): 1,
        ("payments", "half-open", "closed", "probes_ok"): 1,
    }


def test_all_five_states_are_told(meters):
    SwitchgearInstrumentor(CircuitBreaker("a"), meter_provider=meters.provider)
    assert len(meters.points("circuit.state")) == 5


def test_attributes_have_the_names_of_their_subject(meters):
    SwitchgearInstrumentor(CircuitBreaker("a"), meter_provider=meters.provider)
    metric = meters.read()["switchgear.circuit.state"]
    assert set(metric.data.data_points[0].attributes) == {
        "switchgear.circuit.name",
        "switchgear.circuit.state",
    }


def test_durations_are_a_histogram_with_the_buckets_of_the_conventions(meters, clock):
    breaker = CircuitBreaker("a", clock=clock)
    SwitchgearInstrumentor(breaker, meter_provider=meters.provider)
    permit = breaker.acquire()
    clock.advance(0.2)
    permit.success()
    metric = meters.read()["switchgear.circuit.call.duration"]
    assert metric.unit == "s"
    (point,) = metric.data.data_points
    assert point.explicit_bounds == BOUNDS
    assert point.sum == pytest.approx(0.2)
    assert dict(point.attributes) == {
        "switchgear.circuit.name": "a",
        "switchgear.circuit.outcome": "success",
    }


def test_the_words_are_those_of_prometheus():
    for family in NAMES:
        words = full_name(family).replace(".", "_") + ("_seconds" if FAMILIES[family].unit else "")
        assert words == f"switchgear_{family}"


def test_circuits_by_key_are_one_series(meters):
    sg = Switchgear()
    SwitchgearInstrumentor(sg, meter_provider=meters.provider, separate=["host:b"])
    hosts = sg.breakers("host:{}", limit=10)
    for number in range(1000):
        hosts[str(number)].call(int)
    hosts["b"].call(int)
    assert meters.values("circuit.calls") == {("host:*", "success"): 1000, ("host:b", "success"): 1}
    assert meters.values("registry.circuits") == {("host:{}",): 10}


def test_two_readers_get_the_same(clock):
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    provider = MeterProvider(readers)
    breaker = CircuitBreaker("a", clock=clock)
    SwitchgearInstrumentor(breaker, meter_provider=provider)
    breaker.call(int)
    seen = []
    for reader in readers:
        data = reader.get_metrics_data()
        assert data is not None
        seen.append(
            {
                metric.name: len(metric.data.data_points)
                for metric in data.resource_metrics[0].scope_metrics[0].metrics
            }
        )
    provider.shutdown()
    assert seen[0] == seen[1]


def test_closing_ends_it(meters):
    breaker = CircuitBreaker("a")
    instrumentor = SwitchgearInstrumentor(breaker, meter_provider=meters.provider)
    breaker.call(int)
    instrumentor.close()
    breaker.call(int)
    assert meters.points("circuit.state") == {}


@pytest.fixture
def tracing() -> Any:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_spans_tell_of_calls_and_of_rejections(meters, tracing, clock):
    provider, exporter = tracing
    breaker = CircuitBreaker("a", failure_threshold=1, clock=clock)
    SwitchgearInstrumentor(breaker, meter_provider=meters.provider, tracer_provider=provider, spans=True)
    with provider.get_tracer("test").start_as_current_span("request"):
        permit = breaker.acquire()
        clock.advance(0.5)
        permit.success()
        with pytest.raises(Boom):
            breaker.call(boom)
        with pytest.raises(CircuitOpenError):
            breaker.call(int)
    success, failure, rejection, request = exporter.get_finished_spans()
    assert {span.name for span in (success, failure, rejection)} == {"circuit a"}
    assert {span.kind for span in (success, failure, rejection)} == {SpanKind.INTERNAL}
    assert {span.parent.span_id for span in (success, failure, rejection)} == {request.context.span_id}
    assert success.end_time - success.start_time == 500_000_000
    assert success.status.status_code is StatusCode.UNSET
    assert failure.status.status_code is StatusCode.ERROR
    assert rejection.status.status_code is StatusCode.ERROR
    assert "circuit 'a' is open" in rejection.status.description
    assert rejection.attributes == {
        "switchgear.circuit.name": "a",
        "switchgear.circuit.outcome": "rejected",
        "switchgear.circuit.state": "open",
        "switchgear.circuit.retry_after": 30.0,
        "error.type": "switchgear.errors.CircuitOpenError",
    }


def test_no_spans_unless_wanted(meters, tracing):
    provider, exporter = tracing
    breaker = CircuitBreaker("a")
    SwitchgearInstrumentor(breaker, meter_provider=meters.provider, tracer_provider=provider)
    breaker.call(int)
    assert exporter.get_finished_spans() == ()


def test_the_labels_of_an_exemplar_are_those_of_the_current_span(tracing):
    provider, _ = tracing
    assert trace_labels() is None
    with provider.get_tracer("test").start_as_current_span("request") as span:
        labels = trace_labels()
    assert labels is not None
    assert int(labels["trace_id"], 16) == span.get_span_context().trace_id
    assert int(labels["span_id"], 16) == span.get_span_context().span_id


def test_the_sdk_is_never_imported():
    code = (
        "import sys, switchgear.integrations.opentelemetry as m; from switchgear import CircuitBreaker;"
        "b = CircuitBreaker('a'); m.SwitchgearInstrumentor(b, spans=True); b.call(int);"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
