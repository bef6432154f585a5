"""Samples in Prometheus' text format, or in OpenMetrics where a scraper asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from switchgear.gateway.metrics.families import FAMILIES, SEVERITY, Family, Merged, Value
from switchgear.metrics.histogram import BOUNDS

PREFIX: Final = "switchgear_"
_LIMITS: Final = (*(str(bound) for bound in BOUNDS), "+Inf")
_STATE: Final = "circuit_state"

Series = Mapping[tuple[str, ...], Value]


def render(samples: Merged, accept: str) -> tuple[str, bytes]:
    """Content type and body, in the format that `accept` prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(samples))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Collector(Collector):
    def __init__(self, samples: Merged) -> None:
        build: Merged = {"build_info": {(version("switchgear"), python_version()): 1.0}}
        self._samples = {**samples, **build}

    def collect(self) -> Iterator[Metric]:
        for name, family in FAMILIES.items():
            series = self._samples.get(name)
            if series:
                yield _states(family, series) if name == _STATE else _metric(family, series)


def _metric(family: Family, series: Series) -> Metric:
    name = PREFIX + family.name
    histogram = HistogramMetricFamily(name, family.doc, labels=family.labels)
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(name, family.doc, labels=family.labels)
    for labels, value in series.items():
        if isinstance(value, list):
            *counts, total = value
            histogram.add_metric(labels, list(zip(_LIMITS, accumulate(counts), strict=True)), total)
        else:
            metric.add_metric(labels, value)
    return histogram if family.kind == "histogram" else metric


def _states(family: Family, series: Series) -> Metric:
    """Every state of every circuit has a series, so that a query for one never comes back empty."""
    metric = GaugeMetricFamily(PREFIX + family.name, family.doc, labels=family.labels)
    for labels, severity in series.items():
        for rank, state in enumerate(SEVERITY):
            metric.add_metric((*labels, state.value), float(rank == severity))
    return metric
