"""The names under which counts are published, and how the counts of several processes become one.

Every label has values from the configuration or from a closed list. Nothing that a client sends is one: ten
thousand random paths must not become ten thousand series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from switchgear import CircuitState
from switchgear.metrics.families import FAMILIES as LIBRARY
from switchgear.metrics.families import Family as LibraryFamily
from switchgear.metrics.families import Sample, Value

Merged = dict[str, dict[tuple[str, ...], Value]]

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


_SUMMED: Final = frozenset(("circuit_probes_in_flight", "store_queue_depth"))
_ELSEWHERE: Final = frozenset(
    # A gateway's circuits are those of its file: there are no families of circuits that grow by keys.
    ("registry_circuits", "registry_overflow")
)


def _of_processes(family: LibraryFamily) -> Family:
    """What the library publishes of one process: shared circuits look the same to all of them."""
    merge: Callable[[Iterable[float]], float] = sum
    if family.kind == "gauge" and family.name not in _SUMMED:
        merge = min if family.name == "store_up" else max
    return Family(family.name, family.kind, family.doc, family.labels, merge)


_FROM_LIBRARY: Final = tuple(
    _of_processes(family) for family in LIBRARY.values() if family.name not in _ELSEWHERE
)
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
    *_FROM_LIBRARY,
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


__all__ = ["FAMILIES", "SEVERITY", "Family", "Merged", "Sample", "Value", "counts_only", "merged"]
