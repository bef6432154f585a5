"""Circuits as Prometheus metrics: a collector for a registry of yours.

    from prometheus_client import REGISTRY
    from switchgear.integrations.prometheus import SwitchgearCollector

    SwitchgearCollector(sg, registry=REGISTRY)

Importing this registers nothing. Needs the extra `prometheus`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.owner import Switchgear
from switchgear.metrics.census import Census
from switchgear.metrics.families import FAMILIES, Family, Sample
from switchgear.metrics.histogram import BOUNDS
from switchgear.metrics.tally import OUTCOMES, CallTally

__all__ = ["SwitchgearCollector"]

PREFIX: Final = "switchgear_"
_BOUNDS: Final = (*(f"{bound:g}" if bound % 1 else f"{bound:.1f}" for bound in BOUNDS), "+Inf")

Exemplars = Mapping[tuple[str, ...], Mapping[int, Exemplar]]
"""By the labels of a histogram and the number of the bucket."""
_Bucket = tuple[str, float] | tuple[str, float, Exemplar]
_Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class SwitchgearCollector(Collector):
    """All breakers of `sources` (owners, and single breakers), present and future, observed from now on.

    A circuit's label is its name. Circuits by key are summed under their template (`host:*`), so that keys
    from data make no series; `separate` names those that get a series of their own. Circuits of one name in
    several sources are summed. With `registry` the collector registers itself there. `exemplar()` gives the
    labels of the call that is ending, such as its trace's id (in the OpenMetrics format only). Raises
    `TypeError` for what is no source.
    """

    def __init__(
        self,
        *sources: Switchgear | CircuitBreaker,
        registry: CollectorRegistry | None = None,
        separate: Collection[str] = (),
        exemplar: Callable[[], Mapping[str, str] | None] | None = None,
    ) -> None:
        self._census = Census(sources, lambda label: CallTally(exemplar), separate)
        self._registry = registry
        if registry is not None:
            registry.register(self)

    def close(self) -> None:
        """Observe no more, and leave the registry."""
        self._census.close()
        registry, self._registry = self._registry, None
        if registry is not None:
            registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing has to be collected to register this."""
        return [_metric(family) for family in FAMILIES.values()]

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now."""
        samples = self._census.samples()
        return list(_rendered(samples, self._exemplars()))

    def _exemplars(self) -> Exemplars:
        return {
            (label, outcome.value): {
                place: Exemplar(dict(one.labels), one.seconds, one.at)
                for place, one in tally.exemplars(outcome).items()
            }
            for label, tally in self._census.tallies()
            for outcome in OUTCOMES
        }


def _rendered(samples: Iterable[Sample], exemplars: Exemplars) -> Iterator[Metric]:
    by_family: dict[str, list[Sample]] = {}
    for sample in samples:
        by_family.setdefault(sample[0], []).append(sample)
    for name, family in FAMILIES.items():
        metric = _metric(family)
        for _, labels, value in by_family.get(name, ()):
            if isinstance(metric, HistogramMetricFamily):
                assert isinstance(value, list), "a histogram's value"
                calls = exemplars.get(tuple(labels))
                metric.add_metric(labels, _buckets(value[:-1], calls or {}), sum_value=value[-1])
            else:
                assert not isinstance(value, list), "one number"
                metric.add_metric(labels, float(value))
        yield metric


def _buckets(counts: list[float], exemplars: Mapping[int, Exemplar]) -> list[_Bucket]:
    out: list[_Bucket] = []
    for place, (bound, count) in enumerate(zip(_BOUNDS, accumulate(map(float, counts)), strict=True)):
        exemplar = exemplars.get(place)
        out.append((bound, count) if exemplar is None else (bound, count, exemplar))
    return out


def _metric(family: Family) -> _Metric:
    name, doc = PREFIX + family.name, family.doc
    match family.kind:
        case "counter":
            return CounterMetricFamily(name, doc, labels=family.labels)
        case "gauge":
            return GaugeMetricFamily(name, doc, labels=family.labels)
        case "histogram":
            return HistogramMetricFamily(name, doc, labels=family.labels)
