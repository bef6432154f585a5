"""Every query of the rules and of the board finds what it asks for in what a running gateway publishes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import VectorSelector

from tests.gateway.reload.test_reload_processes import ask_at
from tests.gateway.upstreams import OK, PATIENCE, answering, get
from tests.gateway.workers.processes import serving

pytestmark = pytest.mark.anyio

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
BOARD = json.loads((MONITORING / "board.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
# What Grafana puts in.
VARIABLES = {"$circuit": ".*", "$route": ".*", "$__rate_interval": "5m"}
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
PART = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'


def queries() -> Iterator[tuple[str, str, list[str]]]:
    """Where a query stands, the query, and the labels that its text shows."""
    for rule in RULES:
        shown = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
        yield rule["alert"], rule["expr"], shown
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield panel["title"], query, re.findall(r"{{(\w+)}}", target["legendFormat"])
    for annotation in BOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], []


QUERIES = list(queries())


def file_text(store: str, up: int, down: int, part: int) -> str:
    window = "{failureThreshold: 2, window: 60s, resetTimeout: 300s}"
    return f"""\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
state: {{url: "{store}", prefix: "board:"}}
log: {{access: false}}
services:
  up: {{url: "http://127.0.0.1:{up}", circuitBreaker: {window}}}
  down: {{url: "http://127.0.0.1:{down}", circuitBreaker: {window}, retry: {{attempts: 2, statuses: [500]}}}}
http:
  routes:
    /up: {{GET: {{services: {{up: {{use: up}}}}}}}}
    /down: {{GET: {{services: {{down: {{use: down}}}}}}}}
    /merged:
      GET:
        services:
          one: {{url: "http://127.0.0.1:{part}"}}
          two: {{url: "http://127.0.0.1:{part}", optional: true}}
"""


@pytest.fixture(scope="module")
def published(redis_server, tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    """The labels of all series of a gateway of two workers, by name, after something of everything."""
    return asyncio.run(publish(redis_server.url, tmp_path_factory.mktemp("monitoring")))


async def publish(store: str, folder: Path) -> dict[str, list[dict[str, str]]]:
    async with answering(OK) as up, answering(BROKEN) as down, answering(PART) as part:
        text = file_text(store, up.port, down.port, part.port)
        async with serving(folder, text) as running:
            assert (await running.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 400
            for path in ("/up", "/down", "/down", "/down", "/merged"):
                await running.ask(get(path))
            wanted = {selector.name for _, query, _ in QUERIES for selector in selectors(promql.parse(query))}
            seen = await series_of(running.admin)
            end = time.monotonic() + PATIENCE
            while wanted - seen.keys() and time.monotonic() < end:  # the store and listeners take a while
                await asyncio.sleep(0.05)
                seen = await series_of(running.admin)
            return seen


async def series_of(admin: int) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families((await ask_at(admin, "/metrics")).body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def selectors(node: object) -> Iterator[VectorSelector]:
    """All of a query, wherever they stand in it."""
    if isinstance(node, VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "args", "param", "vector_selector"):
        inner = getattr(node, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


def grouped(node: object) -> set[str] | None:
    """The labels that a query's result has left; `None`: nothing is aggregated."""
    if isinstance(node, promql.AggregateExpr):
        return set(node.modifier.labels) if node.modifier else set()
    for name in ("lhs", "expr", "args"):
        inner = getattr(node, name, None)
        for each in reversed(inner if isinstance(inner, list) else [inner]):
            if each is not None and (labels := grouped(each)) is not None:
                return labels
    return None


def matches(labels: dict[str, str], selector: VectorSelector) -> bool:
    return all(
        re.fullmatch(matcher.value, labels.get(matcher.name, ""))
        if "Re" in str(matcher.op)
        else labels.get(matcher.name) == matcher.value
        for matcher in selector.matchers.matchers
    )


@pytest.mark.parametrize(
    ("query", "shown"), [query[1:] for query in QUERIES], ids=[f"{n} {q[0]}" for n, q in enumerate(QUERIES)]
)
def test_a_query_finds_series_with_the_labels_that_it_names(published, query: str, shown: list[str]):
    tree = promql.parse(query)
    found = list(selectors(tree))
    assert found
    for selector in found:
        series = [labels for labels in published.get(selector.name, []) if matches(labels, selector)]
        assert series, selector
        kept = grouped(tree)
        assert kept is None or all(kept - {"le"} <= set(labels) for labels in series)
        assert kept is None or set(shown) <= kept
        assert all(set(shown) <= set(labels) for labels in series)


def test_rules_tell_what_is_wrong_and_how_bad_it_is():
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 8
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_board_is_whole():
    assert len(PANELS) > 20
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {
        "datasource",
        "circuit",
        "route",
    }
    assert not any("$" in query for _, query, _ in QUERIES)  # every other variable has a value


def test_what_the_variables_list_is_published(published):
    for variable in BOARD["templating"]["list"]:
        listed = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        if listed:
            assert all(listed[2] in labels for labels in published[listed[1]])
