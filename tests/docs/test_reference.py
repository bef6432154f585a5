"""The tables of README and docs say what the code says: every field, its default, its range."""

import inspect
import re
from pathlib import Path

import pytest

import switchgear_pytest
from switchgear import CircuitBreakerPolicy
from switchgear.breaker.machine import TABLE
from switchgear.breaker.policy import FIELDS, RANGES
from switchgear.gateway.config.model import PRIORITIES
from switchgear.gateway.config.sections import Field, Section
from switchgear.gateway.config.tables import gateway as tables
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER
from switchgear.gateway.metrics.families import FAMILIES
from switchgear.stores import PostgresCircuitBreakerStore, RedisCircuitBreakerStore
from switchgear.testing import CircuitBreakerStoreContract, SharedStoreContract
from tests.docs.blocks import ROOT, read_config

FALLBACK = next(field.kind for field in tables.ROUTE_SERVICE.fields if field.name == "fallback")
SECTIONS: dict[str, Section] = {
    "Top level": tables.TOP,
    "http": tables.HTTP,
    "Paths and methods": tables.METHOD,
    "Services": tables.ROUTE_SERVICE,
    "fallback": FALLBACK,  # type: ignore[dict-item]  # it is one
    "circuitBreaker": CIRCUIT_BREAKER,
    "retry": tables.RETRY,
    "headers": tables.HEADERS,
    "limits": tables.LIMITS,
    "log": tables.LOG,
    "state": tables.STATE,
    "admin": tables.ADMIN,
    "tls": tables.TLS,
}


def rows(document: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = (ROOT / document).read_text()
    below = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def test_the_readme_has_every_field_of_a_policy():
    table = rows("README.md", "Every field of a policy")
    assert [codes(row[0]) for row in table] == [[name] for name in FIELDS]
    assert [row[2] for row in table] == [RANGES[name].allowed for name in FIELDS]


def test_the_readme_has_every_default_of_a_policy():
    for name, default, *_ in rows("README.md", "Every field of a policy"):
        policies = (CircuitBreakerPolicy(), CircuitBreakerPolicy(failure_rate=0.5))
        assert codes(default), name
        for written, policy in zip(codes(default), policies, strict=False):
            assert eval(written) == getattr(policy, codes(name)[0])


def allowed(field: Field) -> str:
    text = field.kind.allowed
    if field.nullable and "null" not in text:
        text += ", or null"
    return f"{text}; Python files only" if field.python_only else text


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_reference_has_every_key_and_what_it_allows(heading):
    expected = [(field.name, allowed(field)) for field in SECTIONS[heading].fields]
    assert [(codes(row[0])[0], row[2]) for row in rows("docs/gateway.md", heading)] == expected


def written(heading: str, key: str, value: str) -> str:
    """A configuration that has a key of a section."""
    entry = f"{key}: {value}" if key else ""
    where = {
        "Top level": f"{entry}\nROUTE",
        "http": f"http: {{{entry}, ROUTES}}",
        "Services": f"http: {{routes: {{/x: {{GET: {{services: {{s: {{url: 'http://h', {entry}}}}}}}}}}}}}",
        "circuitBreaker": f"http: {{circuitBreaker: {{{entry}}}, ROUTES}}",
        "retry": f"http: {{retry: {{{entry}}}, ROUTES}}",
    }
    text = where.get(heading, f"{heading}: {{{entry}}}\nROUTE")
    routes = "routes: {/x: {GET: {services: {s: {url: 'http://h'}}}}}"
    return text.replace("ROUTES", routes).replace("ROUTE", f"http: {{{routes}}}").replace(", }", "}")


def defaults() -> list[tuple[str, str, str]]:
    """Every default that the reference writes as a value."""
    return [
        (heading, codes(row[0])[0], row[1].strip("`"))
        for heading in SECTIONS
        for row in rows("docs/gateway.md", heading)
        if re.fullmatch(r"`[^`]*`", row[1]) and "limits." not in row[1]
    ]


@pytest.mark.parametrize(("heading", "key", "default"), defaults())
def test_a_default_of_the_reference_changes_nothing(tmp_path: Path, heading: str, key: str, default: str):
    given = read_config(tmp_path / "g.yaml", written(heading, key, default))
    assert given == read_config(tmp_path / "g.yaml", written(heading, "", ""))


def test_the_reference_writes_its_defaults():
    assert len(defaults()) > 40


def test_the_table_of_transitions_is_that_of_the_machine():
    everywhere = set.intersection(*(set(events) for events in TABLE.values()))
    machine = {
        (before.value, event.value, after.value)
        for before, events in TABLE.items()
        for event, after in events.items()
        if event not in everywhere
    }
    assert {tuple(row) for row in rows("docs/design.md", "The state machine")} == machine


def test_the_order_of_policies_is_told():
    told = [int(number) for number, _ in rows("docs/policies.md", "The order")]
    assert told == sorted(PRIORITIES.values())


def test_every_metric_is_told():
    told = [
        (codes(name)[0], kind, tuple(codes(labels)), doc)
        for name, kind, labels, doc in rows("docs/operation.md", "Metrics")
    ]
    assert told == [(f.name, f.kind, f.labels, f.doc) for f in FAMILIES.values()]


# ---- stores and tests of them


@pytest.mark.parametrize(
    ("heading", "store"),
    [("Redis", RedisCircuitBreakerStore), ("PostgreSQL", PostgresCircuitBreakerStore)],
)
def test_every_option_of_a_store_is_told(heading: str, store: type):
    (_, *options) = inspect.signature(store).parameters.values()
    own = [(codes(row[0])[0], eval(row[1].strip("`"))) for row in rows("docs/stores.md", heading)]
    shared = [
        (codes(row[0])[0], eval(row[1].strip("`"))) for row in rows("docs/stores.md", "Options of both")
    ]
    assert sorted(own + shared) == sorted((option.name, option.default) for option in options)


def promises(contract: type) -> set[str]:
    tests = (getattr(contract, name) for name in dir(contract) if name.startswith("test_"))
    return {test.promise for test in tests}


def test_every_promise_of_a_store_is_told():
    told = [codes(row[0])[0] for row in rows("docs/testing.md", "A store of your own")]
    assert sorted(told) == sorted(promises(CircuitBreakerStoreContract))
    text = (ROOT / "docs" / "testing.md").read_text()
    said = re.search(r"Its promises are (.*?)\.\n", text, re.DOTALL)
    assert said is not None
    assert set(codes(said[1])) == promises(SharedStoreContract)


def test_the_documents_have_every_fixture_of_the_plugin():
    fixtures = [
        name
        for name, value in vars(switchgear_pytest).items()
        if type(value) is type(switchgear_pytest.manual_clock)
    ]
    assert [codes(row[0])[0] for row in rows("docs/testing.md", "With pytest")] == fixtures
