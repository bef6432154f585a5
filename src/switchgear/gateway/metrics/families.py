"""The names under which counts are published, and how the counts of several processes become one.

Every label has values from the configuration or from a closed list. Nothing that a client sends is one: ten
thousand random paths must not become ten thousand series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from switchgear import CircuitState

Value = float | list[float]
"""A number; of a histogram the counts of its buckets, and last the sum."""
Sample = tuple[str, Sequence[str], Value]
"""A family's name, the values of its labels, and the count. As JSON too: workers send them."""
Merged = dict[str, dict[tuple[str, ...], Value]]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper ends of the buckets of durations, in seconds: those that OpenTelemetry uses for HTTP."""

SEVERITY: Final = tuple(
    CircuitState(state) for state in ("closed", "disabled", "half-open", "open", "forced-open")
)
"""Where processes see one circuit differently for a moment, the later of these is told."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. `merge` makes one number of those of several processes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    doc: str
    labels: tuple[str, ...] = ()
    merge: Callable[[Iterable[float]], float] = sum


def _counter(name: str, doc: str, *labels: str) -> Family:
    return Family(name, "counter", doc, labels)


def _gauge(name: str, doc: str, *labels: str, merge: Callable[[Iterable[float]], float] = max) -> Family:
    return Family(name, "gauge", doc, labels, merge)


def _histogram(name: str, doc: str, *labels: str) -> Family:
    return Family(name, "histogram", doc, labels)


_ALL: Final = (
    _counter(
        "http_requests", "Requests by route (never the path), method and status.", "route", "method", "code"
    ),
    _histogram(
        "http_request_duration_seconds", "Head of the request to end of the answer.", "route", "method"
    ),
    _histogram(
        "http_time_to_first_byte_seconds", "Head of the request to head of the answer.", "route", "method"
    ),
    _counter("http_responses_by_origin", "Who decided what the client got.", "route", "origin"),
    _counter("http_request_bytes", "Bytes of requests' bodies.", "route"),
    _counter("http_response_bytes", "Bytes of answers.", "route"),
    _counter("http_bad_requests", "Requests that were refused unread, by what is wrong.", "reason"),
    _gauge("http_requests_in_flight", "Requests under way.", "listener", merge=sum),
    _gauge("http_connections", "Connections of clients.", "listener", merge=sum),
    _counter("upstream_requests", "Attempts by their end.", "service", "endpoint", "code", "error"),
    _histogram("upstream_request_duration_seconds", "Attempts, until the head of the answer.", "service"),
    _gauge("upstream_connections", "Connections to an origin.", "endpoint", "state", merge=sum),
    _counter("upstream_retries", "Attempts that were made again.", "service"),
    _counter("upstream_retry_budget_exhausted", "Retries that the budget did not allow.", "service"),
    _gauge(
        "upstream_endpoint_up",
        "0 for an endpoint that takes no connection, or whose own circuit rejects.",
        "service",
        "endpoint",
        merge=min,
    ),
    _counter("merge_parts", "Parts of merged answers.", "route", "service", "result"),
    _gauge("circuit_state", "1 for the state that a circuit is in.", "circuit"),
    _counter("circuit_calls", "Calls by their outcome; rejected ones were not made.", "circuit", "outcome"),
    _counter("circuit_transitions", "Changes of state, and the rule.", "circuit", "from", "to", "reason"),
    _gauge("circuit_transition_timestamp_seconds", "The last change of state.", "circuit"),
    _gauge("circuit_window_failures", "Failures that count now.", "circuit"),
    _gauge("circuit_retry_after_seconds", "Time to the next possible probe.", "circuit"),
    _gauge("circuit_override", "1 while an operator overrides a circuit.", "circuit", "override"),
    _counter("circuit_shadow_rejections", "Calls that enforcing would have rejected.", "circuit", "outcome"),
    _gauge("store_up", "0 while circuits go on by local evidence alone.", "store", merge=min),
    _gauge("store_staleness_seconds", "The oldest view of a shared circuit.", "store"),
    _counter("access_log_lines_dropped", "Lines of the access log that found no room."),
    _counter("config_reloads", "Reloads of the configuration.", "result"),
    _gauge("config_last_reload_successful", "Whether the last reload was taken.", merge=min),
    _gauge("config_last_reload_success_timestamp_seconds", "When a configuration was last taken."),
    _gauge("config_info", "The configuration in force.", "hash"),
    _gauge("worker_up", "1 for a worker that serves.", "worker"),
    _counter("process_cpu_seconds", "Processor time of a worker.", "worker"),
    _gauge("process_resident_memory_bytes", "Memory of a worker.", "worker"),
    _gauge("process_open_fds", "Open descriptors of a worker.", "worker"),
    _counter("admin_requests", "Requests to the operator's listener.", "path", "code"),
    _gauge("build_info", "What runs.", "version", "python"),
)
FAMILIES: Final = {family.name: family for family in _ALL}


def merged(pictures: Iterable[Iterable[Sample]]) -> Merged:
    """The samples of all processes as those of one."""
    gathered: dict[str, dict[tuple[str, ...], list[Value]]] = {}
    for picture in pictures:
        for name, labels, value in picture:
            gathered.setdefault(name, {}).setdefault(tuple(labels), []).append(value)
    return {
        name: {labels: _one(FAMILIES[name], values) for labels, values in series.items()}
        for name, series in gathered.items()
    }


def _one(family: Family, values: Sequence[Value]) -> Value:
    numbers = [value for value in values if not isinstance(value, list)]
    if numbers:
        return family.merge(numbers)
    return [sum(column) for column in zip(*(v for v in values if isinstance(v, list)), strict=True)]


def counts_only(samples: Iterable[Sample]) -> list[Sample]:
    """What of a process's samples stays true when it is gone."""
    return [sample for sample in samples if FAMILIES[sample[0]].kind != "gauge"]
