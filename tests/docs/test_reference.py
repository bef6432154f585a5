"""The tables of README and docs say what the code says: every field, its default, its range."""

import re
from pathlib import Path

import pytest

from switchgear import CircuitBreakerPolicy
from switchgear.breaker.machine import TABLE
from switchgear.breaker.policy import FIELDS, RANGES
from switchgear.gateway.config import unavailable
from switchgear.gateway.config.sections import Field, Section
from switchgear.gateway.config.tables import gateway as tables
from switchgear.gateway.config.tables.circuit_breaker import CIRCUIT_BREAKER
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


# ---- what is not there yet

EVERYTHING = """
state: STATE
admin: 127.0.0.1:9901
tls: {cert: c.pem, key: k.pem}
limits: {inFlight: 10}
http:
  retry: {attempts: 2}
  routes:
    /x: {GET: {services: {s: {url: ["http://h", "http://i"], perEndpoint: true, balance: least-requests}}}}
"""


def test_the_reference_names_what_is_not_there_yet(tmp_path: Path):
    missing = {
        name
        for state in ("redis", "postgres")
        for name in unavailable(
            read_config(tmp_path / "g.yaml", EVERYTHING.replace("STATE", state)), workers=2, watch=True
        )
    }
    text = (ROOT / "docs" / "gateway.md").read_text()
    said = re.search(r"^\*\*Not there yet\*\*.*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert {
        code.replace("--workers", "--workers over 1") for code in codes(said[0] if said else "")
    } == missing


def test_the_table_of_transitions_is_that_of_the_machine():
    everywhere = set.intersection(*(set(events) for events in TABLE.values()))
    machine = {
        (before.value, event.value, after.value)
        for before, events in TABLE.items()
        for event, after in events.items()
        if event not in everywhere
    }
    assert {tuple(row) for row in rows("docs/design.md", "The state machine")} == machine
