"""What a protected call costs while somebody observes its breaker, beside one that nobody observes."""

from __future__ import annotations

from opentelemetry.metrics import get_meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks import calls
from benchmarks.subjects import Bare, Minimum, Ours, Subject
from switchgear.breaker.observed import CallObserver
from switchgear.integrations.opentelemetry import CallRecorder, durations_of
from switchgear.metrics.tally import CallTally


def _recorder() -> CallObserver:
    provider = MeterProvider([InMemoryMetricReader()])
    return CallRecorder("bench", durations_of(get_meter("benchmarks", meter_provider=provider)), None)


def run() -> None:
    """Measure and print."""
    subjects: list[Subject] = [
        Bare(),
        Minimum(),
        Ours("not observed"),
        Ours("observed for Prometheus", CallTally),
        Ours("observed for OpenTelemetry, with its SDK", _recorder),
    ]
    calls.run(subjects)
