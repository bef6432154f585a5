"""Files that cannot be read, limits, and places in each format."""

# A text and the whole line that tells of it stand side by side.
# ruff: noqa: E501

from __future__ import annotations

import os
import time

import pytest

from switchgear.gateway.config import load_config
from switchgear.gateway.config.formats import json, toml, yaml
from switchgear.gateway.config.mistakes import Report
from switchgear.gateway.config.nodes import Entry, ListNode, MapNode, ScalarNode, plain
from tests.gateway.config.snippets import MINIMAL, config_of, lines

# ---- what is no configuration at all


def test_a_missing_file(tmp_path):
    (mistake,) = load_config(tmp_path / "g.yaml", {}).mistakes
    assert mistake.text() == f"{tmp_path}/g.yaml: no such file"


def test_a_directory(tmp_path):
    (mistake,) = load_config(tmp_path, {}).mistakes
    assert mistake.text() == f"{tmp_path}: a directory, not a file"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "g.yaml")
    (mistake,) = load_config(tmp_path / "g.yaml", {}).mistakes
    assert mistake.message == "not a regular file"


def test_a_name_that_no_file_can_have(tmp_path):
    (mistake,) = load_config(tmp_path / "g\0.yaml", {}).mistakes
    assert mistake.message.startswith("cannot be read: ")


@pytest.mark.parametrize("name", ["g.yaml", "g.json", "g.toml", "g.py"])
@pytest.mark.parametrize("text", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, name, text):
    assert lines(tmp_path, text, name) == [f"{name}: the file is empty"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("g.yaml", "# nothing\n"), ("g.yaml", "---\n"), ("g.yaml", "~"), ("g.toml", "# nothing\n")],
)
def test_a_file_of_comments_is_empty(tmp_path, name, text):
    assert lines(tmp_path, text, name) == [f"{name}: the file is empty"]


@pytest.mark.parametrize("name", ["g.yaml", "g.json", "g.toml", "g.py", "g.bin"])
def test_a_binary_file(tmp_path, name):
    assert lines(tmp_path, b"\x7fELF\0\1\2", name) == [f"{name}: a binary file: it has NUL bytes"]


@pytest.mark.parametrize("name", ["g.yaml", "g.json", "g.toml", "g.py"])
def test_a_file_that_is_too_large(tmp_path, name):
    assert lines(tmp_path, b" " * (4 * 1024 * 1024 + 1), name) == [f"{name}: larger than 4 MiB"]


@pytest.mark.parametrize("name", ["g.yaml", "g.json", "g.toml", "g.py"])
def test_what_is_no_utf_8_has_a_place(tmp_path, name):
    assert lines(tmp_path, "a: 1\né: ".encode() + b"\xff", name) == [f"{name}:2:4: not legal UTF-8"]


def test_an_unknown_kind_of_file(tmp_path):
    assert lines(tmp_path, "a", "g.conf") == [
        "g.conf: unknown kind of file; allowed a name that ends in .yaml, .yml, .json, .toml, .py"
    ]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("g.yaml", "\n- a\n", ":2:1: the top level is no mapping; found a list"),
        ("g.yaml", "hello", ':1:1: the top level is no mapping; found "hello"'),
        ("g.json", "\n5", ":2:1: the top level is no mapping; found 5"),
        ("g.py", "config = 5", ": the top level is no mapping; found 5"),
    ],
)
def test_a_top_level_that_is_no_mapping(tmp_path, name, text, found):
    allowed = "allowed a mapping of listen, state, services, http, admin, limits, log, tls"
    assert lines(tmp_path, text, name) == [f"{name}{found}; {allowed}"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    assert config_of(tmp_path, "\ufeff" + MINIMAL).routes


# ---- bombs


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
TOO_DEEP = "nested deeper than 100 levels (line 1, column"
BOMBS = [
    ("g.yaml", LAUGHS, "aliases stand for more than 1000 nodes (line 3, column "),
    ("g.yaml", "[" * 60_000, TOO_DEEP),
    ("g.yaml", "{a: " * 60_000, TOO_DEEP),
    ("g.yaml", "- " * 60_000, TOO_DEEP),
    ("g.yaml", "a: " + "[" * 60_000 + "]" * 60_000, TOO_DEEP),
    ("g.json", "[" * 60_000, TOO_DEEP),
    ("g.json", '{"a":' * 60_000 + "1" + "}" * 60_000, TOO_DEEP),
    ("g.toml", "a = " + "[" * 60_000 + "]" * 60_000, TOO_DEEP),
    ("g.toml", "a = " + "{a = " * 60_000, TOO_DEEP),
    ("g.toml", ".".join(["a"] * 60_000) + " = 1", TOO_DEEP),
    ("g.toml", f"[{'.'.join(['a'] * 60_000)}]", TOO_DEEP),
    ("g.py", "config = {}\nfor _ in range(60_000): config = {'a': config}", "nested deeper than 100 levels"),
    ("g.py", "config = {}\nconfig['a'] = config", "nested deeper than 100 levels"),
    ("g.py", "config = []\nfor _ in range(90): config = [config, config]", "more than 20000 values"),
]


@pytest.mark.parametrize(("name", "text", "message"), BOMBS)
def test_a_bomb_is_refused_within_a_second(tmp_path, name, text, message):
    started = time.process_time()
    (line,) = lines(tmp_path, text, name)
    assert line.startswith(f"{name}: {message}")
    assert time.process_time() - started < 1


def test_brackets_in_python_are_an_error_of_its_parser(tmp_path):
    (line,) = lines(tmp_path, "config = " + "[" * 60_000, "g.py")
    assert line.startswith("g.py:1:")


def test_nesting_that_is_just_allowed(tmp_path):
    deep = "[" * 96 + "]" * 96  # below the mappings of the top level, `errorBody` and its key
    text = MINIMAL.replace("http:\n", f"http:\n  circuitBreaker: {{errorBody: {{a: {deep}}}}}\n")
    assert config_of(tmp_path, text)
    told = lines(tmp_path, text.replace(deep, f"[{deep}]"))
    assert told[0].startswith("g.yaml: nested deeper than 100 levels (line 2, ")


def test_nesting_through_aliases_counts(tmp_path):
    text = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60
    assert lines(tmp_path, text) == ["g.yaml: nested deeper than 100 levels (line 2, column 64)"]


def test_a_thousand_nodes_by_aliases_are_allowed():
    report = Report("g.yaml")
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 1000)
    tree = yaml.parse(text + "]", report)
    assert tree is not None
    assert plain(tree) == {"a": 1, "b": [1] * 1000}


def test_a_thousand_and_one_are_not(tmp_path):
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 1001) + "]"
    assert lines(tmp_path, text)[0].startswith("g.yaml: aliases stand for more than 1000 nodes (line 2, ")


def test_an_alias_of_what_contains_it(tmp_path):
    text = "a: &a\n  b: [*a]\n"
    assert lines(tmp_path, text) == ["g.yaml: the alias *a stands for what contains it (line 2, column 7)"]


# ---- syntax errors and duplicates


SYNTAX = [
    ("g.yaml", "a: [1\nb: 2", "2:2: not legal YAML: "),
    ("g.yaml", "a: 1\n b: 2", "2:3: not legal YAML: "),
    ("g.yaml", "a: 1\n\tb: 2", "2:1: not legal YAML: "),
    ("g.yaml", "a: *b", "1:4: no anchor &b above this alias"),
    ("g.yaml", "a: 1\n---\nb: 2", "2:1: a second document; a configuration is one document"),
    ("g.yaml", "a: 1\n...\n---\n", "3:1: a second document; a configuration is one document"),
    (
        "g.yaml",
        "a: !!python/object:os.system x",
        "1:4: tags are not supported; quote a value to make it a text",
    ),
    ("g.yaml", "a: !!set {b}", "1:4: tags are not supported; quote a value to make it a text"),
    ("g.yaml", "b: {<<: 1}", "1:5: merge keys (<<) are not supported; name what is shared under services"),
    ("g.yaml", "? [a]\n: 1", "1:3: a key has to be a text"),
    ("g.yaml", "a: &a [1]\n*a : 1", "2:1: a key has to be a text"),
    ("g.yaml", "a: 1\nb: \x01", "2:4: a character that YAML does not allow"),
    ("g.json", '{"a": 1,}', "1:9: not legal JSON: expected a key in double quotes, found '}'"),
    ("g.json", '{"a": [1,]}', "1:10: not legal JSON: expected a value, found ']'"),
    (
        "g.json",
        '{"a": [1}',
        "1:9: not legal JSON: expected a comma or the end of the list or mapping, found '}'",
    ),
    ("g.json", '{"a" 1}', "1:6: not legal JSON: expected a colon, found '1'"),
    ("g.json", "{'a': 1}", '1:2: not legal JSON: expected a key in double quotes or }, found "\'"'),
    ("g.json", '{"a": NaN}', "1:7: not legal JSON: expected a value, found 'N'"),
    (
        "g.json",
        '{"a": 01}',
        "1:8: not legal JSON: expected a comma or the end of the list or mapping, found '1'",
    ),
    ("g.json", '{"a": "x\ny"}', "1:9: not legal JSON: Invalid control character at"),
    ("g.json", '{"a": "x', "1:7: not legal JSON: Unterminated string starting at"),
    ("g.json", '{"a": "\\ud800"}', "1:7: not legal JSON: half of a surrogate pair in a text"),
    (
        "g.json",
        '{"a": 1',
        "1:8: not legal JSON: expected a comma or the end of the list or mapping, found the end of ",
    ),
    ("g.json", "{} {}", "1:4: not legal JSON: expected the end of the file, found '{'"),
    ("g.json", '{\n\n"a": }', "3:6: not legal JSON: expected a value, found '}'"),
    ("g.json", '{"a": ' + "1" * 500 + "}", "1:7: a number of more than 400 digits"),
    ("g.toml", "a = 1\nb = ", "2:5: not legal TOML: Invalid value"),
    ("g.toml", "a = 1\nb", "2:2: not legal TOML: Expected '='"),
    ("g.toml", "a = 1\na.b = 2", "2:8: not legal TOML: Cannot overwrite"),
    ("g.toml", "[a", "1:3: not legal TOML: "),
    ("g.toml", "a = " + "1" * 500, "1:5: a value of more than 400 characters without quotes"),
    ("g.py", "config = {\n", "1:10: not legal Python: '{' was never closed"),
]


@pytest.mark.parametrize(("name", "text", "message"), SYNTAX)
def test_what_is_no_legal_text_has_a_place(tmp_path, name, text, message):
    told = lines(tmp_path, text, name)
    assert told[0].startswith(f"{name}:{message}")
    assert len(told) == 1


DUPLICATES = [
    (
        "g.yaml",
        "x: 1\nhttp:\n  timeout: 5\n  timeout: 6\n",
        "4:3: http.timeout: duplicate key; the first one is at 3:3",
    ),
    ("g.yaml", "x: [1, {a: 1, a: 2}]", "1:15: x[1].a: duplicate key; the first one is at 1:9"),
    ("g.yaml", 'x: {a: 1, "a": 2}', "1:11: x.a: duplicate key; the first one is at 1:5"),
    ("g.json", '{"x": {"a": 1,\n"a": 2}}', "2:1: x.a: duplicate key; the first one is at 1:8"),
    ("g.json", '{"x": [{"a": 1, "\\u0061": 2}]}', "1:17: x[0].a: duplicate key; the first one is at 1:9"),
    ("g.toml", "[x]\na = 1\na = 2", "3:1: x.a: duplicate key; the first one is at 2:1"),
    ("g.toml", 'x = {a = 1, "a" = 2}', "1:13: x.a: duplicate key; the first one is at 1:6"),
    ("g.toml", "[x]\na = 1\n[y]\n[x]", "4:1: x: duplicate key; the first one is at 1:1"),
]


@pytest.mark.parametrize(("name", "text", "message"), DUPLICATES)
def test_a_duplicate_key_has_both_places(tmp_path, name, text, message):
    assert f"{name}:{message}" in lines(tmp_path, text, name)


# ---- what values mean, and where they stand


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("Yes", "Yes"), ("010", "010"), ("1:30", "1:30"), ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("0x1F", 31), ("0o17", 15), ("-5", -5), ("+5", 5), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("! 5", "5"), ("1" * 500, "1" * 500),
    ],
)  # fmt: skip
def test_yaml_is_read_by_the_core_schema_of_1_2(text, value):
    tree = yaml.parse(f"a: {text}", Report("g.yaml"))
    assert tree is not None
    assert plain(tree) == {"a": value}


def places(node, path=""):
    """Path to line and column, of keys (with a colon) and values."""
    yield path, (node.mark.line, node.mark.column)
    match node:
        case ListNode(items=items):
            for index, item in enumerate(items):
                yield from places(item, f"{path}[{index}]")
        case MapNode(entries=entries):
            for entry in entries:
                assert isinstance(entry, Entry)
                yield f"{path}.{entry.key}:", (entry.mark.line, entry.mark.column)
                yield from places(entry.value, f"{path}.{entry.key}")
        case ScalarNode():
            pass


def test_places_in_yaml():
    tree = yaml.parse("# x\na:\n  - 1\n  - {b: 'é', c: [x]}\nd: &x\n  e: 1\nf: *x\n", Report("g.yaml"))
    assert dict(places(tree)) == {
        "": (2, 1), ".a:": (2, 1), ".a": (3, 3), ".a[0]": (3, 5), ".a[1]": (4, 5), ".a[1].b:": (4, 6),
        ".a[1].b": (4, 9), ".a[1].c:": (4, 14), ".a[1].c": (4, 17), ".a[1].c[0]": (4, 18), ".d:": (5, 1),
        ".d": (5, 4), ".d.e:": (6, 3), ".d.e": (6, 6), ".f:": (7, 1), ".f": (5, 4), ".f.e:": (6, 3), ".f.e": (6, 6),
    }  # fmt: skip


def test_places_in_json():
    text = '{\n "a": [1,\n  {"b": "\\u00e9", "c": [[], {}]}],\r\n "d": -1.5e3, "": null}'
    tree = json.parse(text, Report("g.json"))
    assert tree is not None
    assert plain(tree) == {"a": [1, {"b": "é", "c": [[], {}]}], "d": -1500.0, "": None}
    assert dict(places(tree)) == {
        "": (1, 1), ".a:": (2, 2), ".a": (2, 7), ".a[0]": (2, 8), ".a[1]": (3, 3), ".a[1].b:": (3, 4),
        ".a[1].b": (3, 9), ".a[1].c:": (3, 19), ".a[1].c": (3, 24), ".a[1].c[0]": (3, 25), ".a[1].c[1]": (3, 29),
        ".d:": (4, 2), ".d": (4, 7), ".:": (4, 15), ".": (4, 19),
    }  # fmt: skip


TOML = '''\
a = 1  # [x]
b.c = """
] # no
"""
"d e".f = 'x'

[g.h]
i = [1, [2],
  # comment ]
  {j = 3, "k\\u0061" = "#"}, ]
[[l]]
m = 1979-05-27 07:32:00
[[l]]
[l.n]
o = {p.q = true}
[[l.r]]
s = \'\'\'x\'\'\'\'
'''


def test_places_in_toml():
    tree = toml.parse(TOML, Report("g.toml"))
    assert tree is not None
    found = dict(places_or_none(tree))
    assert found == {
        ".a:": (1, 1), ".a": (1, 5), ".b:": (2, 1), ".b": (2, 1), ".b.c:": (2, 3), ".b.c": (2, 7), ".d e:": (5, 1),
        ".d e": (5, 1), ".d e.f:": (5, 7), ".d e.f": (5, 11), ".g:": (7, 2), ".g": (7, 2), ".g.h:": (7, 4),
        ".g.h": (7, 4), ".g.h.i:": (8, 1), ".g.h.i": (8, 5), ".g.h.i[0]": (8, 6), ".g.h.i[1]": (8, 9),
        ".g.h.i[1][0]": (8, 10), ".g.h.i[2]": (10, 3), ".g.h.i[2].j:": (10, 4), ".g.h.i[2].j": (10, 8),
        ".g.h.i[2].ka:": (10, 11), ".g.h.i[2].ka": (10, 23), ".l:": (11, 3), ".l": (11, 3), ".l[0]": (11, 1),
        ".l[0].m:": (12, 1), ".l[0].m": (12, 5), ".l[1]": (13, 1), ".l[1].n:": (14, 4), ".l[1].n": (14, 4),
        ".l[1].n.o:": (15, 1), ".l[1].n.o": (15, 5), ".l[1].n.o.p:": (15, 6), ".l[1].n.o.p": (15, 6),
        ".l[1].n.o.p.q:": (15, 8), ".l[1].n.o.p.q": (15, 12), ".l[1].r:": (16, 5), ".l[1].r": (16, 5),
        ".l[1].r[0]": (16, 1), ".l[1].r[0].s:": (17, 1), ".l[1].r[0].s": (17, 5),
    }  # fmt: skip


def places_or_none(tree):
    tree.mark = tree.entries[0].mark
    return ((path, place) for path, place in places(tree) if path)


def test_a_mistake_in_toml_and_json_has_its_place(tmp_path):
    text = '[http]\n[http.routes."/a".GET.services.s]\nurl = "http://h"\ntimeout = "5"\n'
    (line,) = lines(tmp_path, text, "g.toml")
    assert line.startswith('g.toml:4:11: http.routes./a.GET.services.s.timeout: not a duration; found "5"; ')
    text = '{"http": {"routes": {"/a": {"GET": {"services":\n {"s": {"url": "http://h", "timeOut": 5}}}}}}}'
    (line,) = lines(tmp_path, text, "g.json")
    assert line.startswith("g.json:2:28: http.routes./a.GET.services.s.timeOut: unknown key; ")
