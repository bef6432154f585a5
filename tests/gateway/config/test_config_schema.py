"""The JSON Schema: true to the checker, and documented throughout.

That it accepts whatever the checker accepts is asserted wherever a test loads a right file: see `load`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from switchgear.breaker.policy import RANGES
from switchgear.gateway.config.addresses import mask_url
from switchgear.gateway.config.files import read_tree
from switchgear.gateway.config.kinds import Scalar
from switchgear.gateway.config.mistakes import Report
from switchgear.gateway.config.nodes import MapNode, ScalarNode
from switchgear.gateway.config.quantities import DURATION, RATE, SIZE
from switchgear.gateway.config.schema import json_schema
from switchgear.gateway.config.sections import Either, ListOf, MapOf, Section
from switchgear.gateway.config.tables.gateway import TOP
from tests.docs.blocks import DOCUMENTS, completed
from tests.gateway.config import test_config_mistakes as mistakes
from tests.gateway.config.editors import flags
from tests.gateway.config.snippets import MINIMAL, config_of, guarded, routed

ROOT = Path(__file__).parents[3]
SCHEMA = json_schema()


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


def sections(kind: Any = TOP) -> Iterator[Section]:
    """Every section below a kind."""
    match kind:
        case Section():
            yield kind
            for field in kind.fields:
                yield from sections(field.kind)
        case MapOf() | ListOf():
            yield from sections(kind.item)
        case Either():
            yield from sections(kind.mapping)


def bodies() -> Iterator[tuple[Section, dict[str, Any]]]:
    """Every section with its part of the schema."""
    known = {section.name: section for section in sections()}
    for name, section in known.items():
        yield section, SCHEMA if section is TOP else SCHEMA["$defs"][name]


def test_no_two_definitions_share_a_name():
    known: dict[str, Any] = {}
    for section in sections():
        assert known.setdefault(section.name, section) == section
        for field in section.fields:
            kinds = [field.kind, getattr(field.kind, "item", None), getattr(field.kind, "scalar", None)]
            for kind in kinds:
                if isinstance(kind, Scalar) and kind.name:
                    assert known.setdefault(kind.name, kind) == kind
    assert len(known) > 15


def test_every_field_has_a_description_and_its_default():
    for section, body in bodies():
        for name, field in (*body["properties"].items(), *body.get("patternProperties", {}).items()):
            told = field["description"]
            assert re.match(r"[A-Z`].+\.$", told), (section.name, name, told)
            is_required = name in body.get("required", ())
            assert is_required or ("default" in field) != ("Default: " in told), (section.name, name)


def test_every_key_is_there_in_both_spellings_but_those_of_python_files():
    for section, body in bodies():
        assert body["additionalProperties"] is False
        assert list(body["properties"]) == [f.name for f in section.fields if not f.python_only]
        snake = {
            re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)
            for name in body["properties"]
            if not name.isupper() and not name.islower()
        }
        assert set(body.get("patternProperties", ())) == {f"^{name}$" for name in snake}
        assert not section.refused.keys() & body["properties"].keys()


def test_defaults_are_right_values():
    definitions = {"$defs": SCHEMA["$defs"]}
    for _, body in bodies():
        for field in body["properties"].values():
            if "default" in field:
                Draft202012Validator({**field, **definitions}).validate(field["default"])


def test_some_defaults():
    limits = SCHEMA["$defs"]["limits"]["properties"]
    breaker = SCHEMA["$defs"]["circuitBreaker"]["properties"]
    assert (limits["head"]["default"], limits["clientHead"]["default"]) == ("64KiB", "10s")
    assert (breaker["resetTimeoutMax"]["default"], breaker["failureOn"]["default"]) == (
        "5m",
        [500, 502, 503, 504],
    )
    assert SCHEMA["properties"]["listen"]["default"] == "127.0.0.1:8080"
    assert breaker["window"]["description"].endswith(" Default: none, or 30s with a rate.")


def test_bounds_of_a_policy_are_the_policys():
    fields = SCHEMA["$defs"]["circuitBreaker"]["properties"]
    bounded = {
        field.name: RANGES[slot] for slot, field in breaker_fields() if "anyOf" in fields.get(field.name, ())
    }
    checked = 0
    for name, allowed in bounded.items():
        numbers = fields[name]["anyOf"][0]
        if "minimum" in numbers:
            checked += 1
            assert allowed.holds(numbers["minimum"])
            assert not allowed.holds(numbers["minimum"] - 1)
            assert "exclusiveMaximum" not in numbers or not allowed.holds(numbers["exclusiveMaximum"])
    assert checked == 6


def breaker_fields():
    section = next(section for section in sections() if section.name == "circuitBreaker")
    return [(slot, field) for slot, field in section.canonical.items() if slot in RANGES]


WRONG = [
    *(guarded(breaker) for breaker, *_ in mistakes.BREAKER),
    *(routed(service) for service, *_ in mistakes.SERVICE),
    *(f"{line}\n{MINIMAL}" for line, *_ in mistakes.TOP if not line.startswith("?")),
    *(f"http:\n  routes: {routes}\n" for routes, _ in mistakes.ROUTES),
]


def test_most_of_what_the_checker_refuses_is_flagged(tmp_path):
    path = tmp_path / "g.yaml"

    def is_flagged(text):
        path.write_text(text, encoding="utf-8")
        return bool(flags(path))

    flagged = [text for text in WRONG if is_flagged(text)]
    assert len(WRONG) > 120
    assert len(flagged) / len(WRONG) > 0.7


@pytest.mark.parametrize(
    "text",
    [
        guarded("{maxErors: 3}"),
        guarded("{failureThreshold: '3'}"),
        guarded("{ignore: x}"),
        guarded("{window: 30}"),
        guarded("{window: 0s}"),
        guarded("{failureRate: 101%}"),
        guarded("{resetTimeoutMs: null}"),
        guarded("true"),
        routed("{timeout: 5s}"),
        routed("{url: localhost}"),
        routed("{url: []}"),
        routed("{url: 'http://h', fallback: {}}"),
        routed("{url: 'http://h', mapping: x}"),
        "http: {routes: {/a: {}}}",
        "http: {routes: {a: {GET: {services: {s: {url: 'http://h'}}}}}}",
        "limits: {head: 64KB}\n" + MINIMAL,
        "state: {host: h}\n" + MINIMAL,
        "state: rediss\n" + MINIMAL,
        "listen: localhost\n" + MINIMAL,
        "log: {level: warn}\n" + MINIMAL,
        "listen: h:1\n",
    ],
)
def test_what_an_editor_has_to_flag(tmp_path, text):
    path = tmp_path / "g.yaml"
    path.write_text(text, encoding="utf-8")
    assert flags(path)


# Each is loaded, hence compared with the schema.
@pytest.mark.parametrize(
    "text",
    [
        guarded(
            "{failure_threshold: '${N:-3}', reset_timeout_ms: 5, failure_on: null, error_body: {a: [1]}}"
        ),
        guarded(
            "{maxErrors: 3, duration: 1.5m, failureRate: 0100.0%, slow_call_rate: 1, slowCallDuration: 1ms}"
        ),
        guarded("{name: '${X:-x}', open_status_code: 502, errorBody: ''}"),
        guarded("{errorBody: '$${x}'}").replace("circuitBreaker", "circuit_breaker"),
        guarded("'${OFF:-false}'"),
        routed(
            "{url: ['HTTPS://[::1]:99/{id}?x=1', '${U:-http://h}'], per_endpoint: true, max_ejected: 0.5}"
        ),
        routed("{url: 'http://h_1.x', merge_field: a, fallback: {else: null, stale: '${S:-5}s'}}"),
        "services:\n" + MINIMAL,
        "$schema: ../docs/gateway.schema.json\n" + MINIMAL,
        "state: ${STORE:-memory}\nlisten: '[::1]:0'\nadmin: {}\n" + MINIMAL,
        "tls: {minVersion: 1.3, cert: c, key: k, client_ca: x}\nlog: {access: '${LOG:-true}'}\n" + MINIMAL,
    ],
)
def test_what_no_editor_may_flag(tmp_path, text):
    assert config_of(tmp_path, text)


def test_a_file_may_name_its_schema_in_any_format(tmp_path):
    for name, text in (
        ("g.json", '{"$schema": "s.json", "http": {"routes": {"/": {"GET": {"services": {"s": {"url": "http://h"}}}}}}}'),
        ("g.toml", '"$schema" = "s.json"\n[http.routes."/".GET.services.s]\nurl = "http://h"'),
    ):  # fmt: skip
        assert config_of(tmp_path, text, name)


def is_gateway(path: Path) -> bool:
    """Whether a file configures a gateway, and not something else beside one."""
    tree = read_tree(path, Report(str(path)))
    return isinstance(tree, MapNode) and any(entry.key == "http" for entry in tree.entries)


FILES = sorted(
    path
    for path in (ROOT / "examples").rglob("*")
    if path.suffix in {".yaml", ".yml", ".json", ".toml"} and is_gateway(path)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(path):
    assert flags(path) == []


def test_there_are_examples():
    assert FILES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents(document, tmp_path):
    path = tmp_path / "gateway.yaml"
    for block in re.findall(
        r"^```yaml\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        path.write_text(completed(block), encoding="utf-8")
        assert flags(path) == [], block


@given(st.floats(0.0005, 30 * 86400.0).map(lambda seconds: round(seconds, 4)))
def test_a_duration_is_written_as_it_would_be_read(seconds):
    assert DURATION.parse(ScalarNode(DURATION.write(seconds))) == pytest.approx(seconds)


@given(st.integers(1, 10**15))
def test_a_size_is_written_as_it_would_be_read(size):
    assert SIZE.parse(ScalarNode(SIZE.write(size))) == size


@given(st.integers(1, 10_000))
def test_a_share_is_written_as_it_would_be_read(share):
    assert RATE.parse(ScalarNode(RATE.write(share / 10_000))) == pytest.approx(share / 10_000)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://me:p@ss/w?rd@h:1/0", "redis://***@h:1/0"),
        ("postgresql://h/db?sslmode=a&password=x=y", "postgresql://h/db?sslmode=***&password=***"),
        ("redis://:a b\n@h?x", "redis://***@h?x"),
    ],
)
def test_a_url_shows_no_secret(url, shown):
    assert mask_url(url) == shown
