"""The names under which circuits are published, with what they mean.

Labels have values from the program or from a closed list: nothing that a client chooses makes a new series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Value = float | list[float]
"""A number; of a histogram what `Histogram.value` gives."""
Sample = tuple[str, Sequence[str], Value]
"""A family's name, the values of its labels, and the value."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. Its name has no prefix, and a counter's no `_total`: who publishes it adds what is usual."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """`seconds`, or nothing for what is counted."""
        return "seconds" if self.name.endswith("_seconds") else ""


def _counter(name: str, doc: str, *labels: str) -> Family:
    return Family(name, "counter", doc, labels)


def _gauge(name: str, doc: str, *labels: str) -> Family:
    return Family(name, "gauge", doc, labels)


_ALL: Final = (
    _gauge("circuit_state", "1 for the state that a circuit is in, 0 for the others.", "circuit", "state"),
    _counter("circuit_calls", "Calls by outcome; rejected ones were not made.", "circuit", "outcome"),
    _counter("circuit_slow_calls", "Calls over slow_call_duration.", "circuit", "outcome"),
    Family(
        "circuit_call_duration_seconds",
        "histogram",
        "How long calls took that were made.",
        ("circuit", "outcome"),
    ),
    _counter(
        "circuit_transitions",
        "Changes of state that this process decided, and the rule.",
        "circuit",
        "from",
        "to",
        "reason",
    ),
    _gauge("circuit_transition_timestamp_seconds", "The last change of state.", "circuit"),
    _gauge("circuit_window_calls", "Calls in the window; 0 without one.", "circuit"),
    _gauge("circuit_window_failures", "Failures that count now.", "circuit"),
    _gauge(
        "circuit_retry_after_seconds", "Time to the next possible probe, 0 when none is needed.", "circuit"
    ),
    _gauge("circuit_probes_in_flight", "Probes of this process that are under way.", "circuit"),
    _counter(
        "circuit_probe_leases",
        "Probes that were granted, denied since all places were taken, out of time, and too late.",
        "circuit",
        "result",
    ),
    _counter(
        "circuit_shadow_rejections",
        "Calls that enforcing would have rejected, by how they ended.",
        "circuit",
        "outcome",
    ),
    _gauge("circuit_override", "1 while an operator overrides a circuit.", "circuit", "override"),
    _counter(
        "circuit_late_results", "Results of calls that were admitted before the last change.", "circuit"
    ),
    _gauge("store_up", "0 while circuits go on by local evidence alone.", "store"),
    _counter("store_operations", "Round trips to the store, by their end.", "store", "operation", "result"),
    Family(
        "store_operation_duration_seconds",
        "histogram",
        "How long round trips to the store took.",
        ("store", "operation", "result"),
    ),
    _gauge("store_staleness_seconds", "Age of the oldest view of a circuit.", "store"),
    _gauge("store_queue_depth", "Circuits with something to send.", "store"),
    _counter("store_outcomes_dropped", "Outcomes that no store could be told of in time.", "store"),
    _gauge("registry_circuits", "Circuits of a family.", "registry"),
    _counter("registry_overflow", "Calls for a key that found its family full.", "registry"),
    _gauge("build_info", "What runs.", "version", "python"),
)
FAMILIES: Final = {family.name: family for family in _ALL}
