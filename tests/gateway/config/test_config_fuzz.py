"""Whatever a file holds, the answer is a configuration or mistakes: no exception, one line each."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from switchgear.gateway.config import load_config
from switchgear.gateway.config.formats import json as json_format
from switchgear.gateway.config.formats import toml as toml_format
from switchgear.gateway.config.formats import yaml as yaml_format
from switchgear.gateway.config.mistakes import Report, UnreadableError
from switchgear.gateway.config.nodes import plain
from tests.gateway.config.editors import flags
from tests.gateway.config.test_config_model import PRISM, WHOLE

TOML = """\
listen = "127.0.0.1:8080"
[http.circuitBreaker]
maxErrors = 3
duration = "150ms"
[http.routes."/users/{id}".GET.services]
users = {url = ["http://localhost:6666"], timeout = 500}
"""
SEEDS = {".yaml": WHOLE, ".json": PRISM, ".toml": TOML}
PIECES = [
    *"{}[]:,\n#'\"\\\t\r=.\x85\u2028\ufeffé😀",
    *(": ", "  ", "- ", "? ", "&a ", "*a", "<<: *a", "!!int ", "| ", "> ", "---\n", "...\n", "%YAML 1.1\n"),
    *('"""', "[[", "]]", "\\ud800", "${A}", "${", "$${", "1979-05-27"),
    *("null", "true", "1e999", "-0", "0x", "9" * 30, ".nan", "nan", "inf", "__proto__"),
    *("http", "routes", "GET", "url", "services", "circuitBreaker", "maxErrors", "duration", "state", "else"),
]


def check(suffix: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"g{suffix}"
        path.write_bytes(data)
        loaded = load_config(path, {"A": "1"})
        assert loaded.config is None or flags(path) == []
    assert (loaded.config is None) == bool(loaded.mistakes)
    for mistake in (*loaded.mistakes, *loaded.warnings):
        assert mistake.text().startswith(str(path))
        assert len(mistake.text().splitlines()) == 1
        assert json.loads(json.dumps(mistake.as_dict())) == mistake.as_dict()
        assert mistake.line is None or (
            mistake.line >= 1 and mistake.column is not None and mistake.column >= 1
        )


suffixes = st.sampled_from(sorted(SEEDS))


@settings(deadline=None, max_examples=150)
@given(
    suffixes,
    st.one_of(st.binary(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join).map(str.encode)),
)
@example(".yaml", b'a: "\\ud800"')
@example(".yaml", b"a: \xed\xa0\x80")
@example(".toml", b"[[a]]\n[a.b]\n[[a]]\n[a.b]\n")
def test_any_bytes(suffix, data):
    check(suffix, data)


@st.composite
def mutations(draw):
    suffix = draw(suffixes)
    text = SEEDS[suffix]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return suffix, text


@settings(deadline=None, max_examples=300)
@given(mutations())
def test_files_that_were_right_once(mutation):
    suffix, text = mutation
    check(suffix, text.encode())


scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8) | st.just("5s")
keys = st.text(max_size=4) | st.sampled_from(PIECES)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def replaced_values(draw):
    """The example with one value anywhere in it replaced by another."""
    tree = json.loads(PRISM)
    node = tree
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.integers(0, 5)) == 0:
            node[key] = draw(values)
            return tree
        node = node[key]


@settings(deadline=None, max_examples=200)
@given(replaced_values(), st.sampled_from([".json", ".yaml"]))
def test_values_of_any_type_anywhere(tree, suffix):
    check(suffix, json.dumps(tree).encode())


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=6), values, min_size=1, max_size=4))
def test_our_json_reads_what_the_standard_library_writes(value):
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        tree = json_format.parse(text, Report("g.json"))
        assert tree is not None
        assert plain(tree) == value


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from([*'{}[],:"', '"a"', "1", "-0.5", "true", " ", "\n", "null", "01", "1.", "\\"]),
        max_size=12,
    )
)
def test_our_json_refuses_what_the_standard_library_refuses(pieces):
    text = "".join(pieces)
    report = Report("g.json")
    try:
        expected = json.loads(text)
    except ValueError:
        if text.strip(" \n"):
            with pytest.raises(UnreadableError):
                json_format.parse(text, report)
        else:
            assert json_format.parse(text, report) is None
    else:
        tree = json_format.parse(text, report)
        assert tree is not None
        assert report.mistakes or plain(tree) == expected


bare = st.text("abc-_1", min_size=1, max_size=3)
quoted = st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f", exclude_categories=["Cc", "Cs"]), max_size=4
)


def toml_of(value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{toml_of(key)} = {toml_of(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",\n  # x ]\n".join(map(toml_of, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


toml_values = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | quoted,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(quoted | bare, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(bare, toml_values, min_size=1, max_size=4))
def test_every_value_in_toml_has_a_place(value):
    text = "".join(f"{key} = {toml_of(item)}\n" for key, item in value.items())
    tree = toml_format.parse(text, Report("g.toml"))
    assert tree is not None
    assert plain(tree) == value
    rows = text.split("\n")
    for entry in tree.entries:
        assert rows[entry.mark.line - 1].startswith(entry.key)
        assert marks_of(entry.value)


def marks_of(node) -> bool:
    inner = [*getattr(node, "items", ()), *(entry.value for entry in getattr(node, "entries", ()))]
    return node.mark is not None and all(map(marks_of, inner))


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=["L", "Nd"]), min_size=1, max_size=4),
        values,
        min_size=1,
    )
)
def test_our_yaml_reads_json(value):
    text = json.dumps(value)
    assume(not re.search(r"\\ud[89ab]", text))  # pairs of surrogates are JSON's alone
    tree = yaml_format.parse(text, Report("g.yaml"))
    assert tree is not None
    assert plain(tree) == value
