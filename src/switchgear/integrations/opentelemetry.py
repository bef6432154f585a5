"""Circuits as OpenTelemetry metrics, and their calls as spans if wanted.

    from switchgear.integrations.opentelemetry import SwitchgearInstrumentor

    SwitchgearInstrumentor(sg)

Only OpenTelemetry's API is used: without an SDK nothing is measured. Needs the extra `otel`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation, get_meter
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer,
)

from switchgear import __version__
from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.machine import FAILURE, Outcome
from switchgear.breaker.owner import Switchgear
from switchgear.errors import CircuitOpenError
from switchgear.metrics.census import Census
from switchgear.metrics.families import FAMILIES, Family, Sample
from switchgear.metrics.histogram import BOUNDS
from switchgear.metrics.tally import CallTally

__all__ = ["SwitchgearInstrumentor", "trace_labels"]

SCOPE: Final = "switchgear"
NAMES: Final[Mapping[str, str]] = {
    "circuit_state": "circuit.state",
    "circuit_calls": "circuit.calls",
    "circuit_slow_calls": "circuit.slow_calls",
    "circuit_call_duration_seconds": "circuit.call.duration",
    "circuit_transitions": "circuit.transitions",
    "circuit_transition_timestamp_seconds": "circuit.transition.timestamp",
    "circuit_window_calls": "circuit.window.calls",
    "circuit_window_failures": "circuit.window.failures",
    "circuit_retry_after_seconds": "circuit.retry_after",
    "circuit_probes_in_flight": "circuit.probes.in_flight",
    "circuit_probe_leases": "circuit.probe.leases",
    "circuit_shadow_rejections": "circuit.shadow.rejections",
    "circuit_override": "circuit.override",
    "circuit_late_results": "circuit.late_results",
    "store_up": "store.up",
    "store_operations": "store.operations",
    "store_staleness_seconds": "store.staleness",
    "store_queue_depth": "store.queue.depth",
    "store_outcomes_dropped": "store.outcomes.dropped",
    "registry_circuits": "registry.circuits",
    "registry_overflow": "registry.overflow",
}
"""What a family is called here, below `switchgear.`. A version is a resource's, and of stores' round trips
only the number is told: an instrument can't be given a histogram that is counted already."""
_DURATION: Final = "circuit_call_duration_seconds"


class SwitchgearInstrumentor:
    """All breakers of `sources` (owners, and single breakers), present and future, observed from now on.

    Labels and sums are as in `switchgear.integrations.prometheus`: circuits by key are one series for each
    template, but for those that `separate` names. Without a provider the global one is used.

    `spans=True`: an internal span for each call, and a short one with an error for each rejection. A call's
    span is made when the call ends, with the time at which it began: spans made inside it are its siblings.
    """

    def __init__(
        self,
        *sources: Switchgear | CircuitBreaker,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        spans: bool = False,
        separate: Collection[str] = (),
    ) -> None:
        meter = get_meter(SCOPE, __version__, meter_provider)
        durations = durations_of(meter)
        tracer = get_tracer(SCOPE, __version__, tracer_provider) if spans else None
        self._census = Census(sources, lambda label: CallRecorder(label, durations, tracer), separate)
        self._picture = _Picture(self._census.samples)
        for name in NAMES:
            if name != _DURATION:
                _observe(meter, FAMILIES[name], self._picture)

    def close(self) -> None:
        """Observe no more. The instruments stay, and are silent: OpenTelemetry can't take them back."""
        self._census.close()
        self._picture.close()


def trace_labels() -> Mapping[str, str] | None:
    """The sampled span that is current, as the labels of an exemplar (`exemplar=` of the collector for
    Prometheus); `None` without one.
    """
    context = get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def full_name(family: str) -> str:
    """The instrument of a family."""
    return f"{SCOPE}.{NAMES[family]}"


def attribute(family: Family, label: str) -> str:
    """A label as an attribute."""
    subject = family.name.partition("_")[0]
    return f"{SCOPE}.{subject}.{'name' if label == subject else label}"


def durations_of(meter: Meter) -> Histogram:
    """The instrument for the durations of calls."""
    return meter.create_histogram(
        full_name(_DURATION),
        unit="s",
        description=FAMILIES[_DURATION].doc,
        explicit_bucket_boundaries_advisory=BOUNDS,
    )


class CallRecorder(CallTally):
    """Counts as the base does, and hands on what can't be observed afterwards."""

    def __init__(self, label: str, durations: Histogram, tracer: Tracer | None) -> None:
        super().__init__()
        self._label = label
        self._durations = durations
        self._tracer = tracer
        self._attributes = {
            outcome: {f"{SCOPE}.circuit.name": label, f"{SCOPE}.circuit.outcome": outcome.value}
            for outcome in Outcome
        }

    def ended(self, outcome: Outcome, seconds: float, slow: bool, late: bool) -> None:
        super().ended(outcome, seconds, slow, late)
        attributes = self._attributes[outcome]
        self._durations.record(seconds, attributes)
        if self._tracer is not None:
            now = time.time_ns()
            started = now - round(max(0.0, seconds) * 1e9)
            span = self._tracer.start_span(
                f"circuit {self._label}", kind=SpanKind.INTERNAL, attributes=attributes, start_time=started
            )
            if outcome is FAILURE:
                span.set_status(StatusCode.ERROR)
            span.end(now)

    def rejected(self, error: CircuitOpenError) -> None:
        super().rejected(error)
        if self._tracer is not None:
            attributes: dict[str, str | float] = {
                f"{SCOPE}.circuit.name": self._label,
                f"{SCOPE}.circuit.outcome": "rejected",
                f"{SCOPE}.circuit.state": error.state.value,
                "error.type": f"{type(error).__module__}.{type(error).__qualname__}",
            }
            if error.retry_after is not None:
                attributes[f"{SCOPE}.circuit.retry_after"] = error.retry_after
            span = self._tracer.start_span(
                f"circuit {self._label}", kind=SpanKind.INTERNAL, attributes=attributes
            )
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()


class _Picture:
    """One look at all circuits, for all instruments of a collection: each takes its part of it once."""

    def __init__(self, look: Callable[[], list[Sample]]) -> None:
        self._look: Callable[[], list[Sample]] | None = look
        self._lock = threading.Lock()
        self._parts: dict[str, list[Sample]] = {}
        self._taken: set[str] = set(NAMES)

    def close(self) -> None:
        with self._lock:
            self._look = None

    def part(self, family: str) -> list[Sample]:
        """The samples of a family; a second question means that another collection has begun."""
        with self._lock:
            if self._look is None:
                return []
            if family in self._taken:
                self._taken, self._parts = set(), {}
                for sample in self._look():
                    self._parts.setdefault(sample[0], []).append(sample)
            self._taken.add(family)
            return self._parts.get(family, [])


def _observe(meter: Meter, family: Family, picture: _Picture) -> None:
    names = [attribute(family, label) for label in family.labels]

    def observations(_: CallbackOptions) -> Iterable[Observation]:
        for _name, labels, value in picture.part(family.name):
            assert not isinstance(value, list), "one number"
            yield Observation(value, dict(zip(names, labels, strict=True)))

    create = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
    create(
        full_name(family.name),
        callbacks=[observations],
        unit="s" if family.unit else "",
        description=family.doc,
    )
