"""Merging JSON without touching a value."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.merge import UnmergeableError, merge, merged_status, read_members

DEEP = b"[" * 100_000 + b"]" * 5000


def merged(*bodies: bytes) -> bytes:
    return merge(read_members(body) for body in bodies)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([], b"{}"),
        ([b"{}", b"{}"], b"{}"),
        ([b'{"a":1}', b'{"b":2}'], b'{"a":1,"b":2}'),
        ([b'{"a":1,"b":1}', b'{"a":2}'], b'{"a":2,"b":1}'),  # later wins
        ([b'{"a":{"x":1}}', b'{"a":{"y":2}}'], b'{"a":{"y":2}}'),  # one level
        ([b'{"a":1,"a":2}'], b'{"a":2}'),
        ([b'{"\\u0061":1}', b'{"a":2}'], b'{"a":2}'),  # one name in two spellings
        ([b'\xef\xbb\xbf{"a":1}\n', b" \t\r\n", b""], b'{"a":1}'),
        ([b'{"":null}'], b'{"":null}'),
    ],
)
def test_objects(bodies: list[bytes], expected: bytes):
    assert merged(*bodies) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"1.10",
        b"-0",
        b"-0.0",
        b"1e400",
        b"1E+05",
        b"12345678901234567890123",
        b"0.30000000000000004440892098500626",
        b'"\\u00e9\\/\\ud83d\\ude00"',
        '"é😀"'.encode(),
        b"[ 1 ,\t2 ]",
        b'{ "b" : 1, "a" : 1, "a" : 2 }',
        b'"\\ud83d"',  # half a pair, from a text that was cut
        b'"\\\\ud83d \\uDE00\\ud83d\\u0041 \\ud83d\\ude00"',
        b'["\\udc00", {"\\ud800": "\\ud800"}]',
    ],
)
def test_values_come_out_byte_for_byte(value: bytes):
    assert merged(b'{"a": ' + value + b' , "b":0}') == b'{"a":' + value + b',"b":0}'
    assert merge([read_members(b" " + value + b"\n", "field")]) == b'{"field":' + value + b"}"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[1]", "is no JSON object and needs a mergeField"),
        (b'"text"', "is no JSON object and needs a mergeField"),
        (b'"\\ud800"', "is no JSON object and needs a mergeField"),
        (b"null", "is no JSON object and needs a mergeField"),
        (b"12", "is no JSON object and needs a mergeField"),
        (b"<html>", "is not JSON"),
        (b'{"a":NaN}', "is not JSON"),
        (b'{"a":Infinity}', "is not JSON"),
        (b'{"a":1,}', "is not JSON"),
        (b'{"a":01}', "is not JSON"),
        (b'{"a":1}{"b":2}', "is not JSON"),
        (b'{"a":"\n"}', "is not JSON"),
        (b'{"a":"\\x"}', "is not JSON"),
        (b'{"a":"\\ud8zz"}', "is not JSON"),
        (b'{"a":\\ud800}', "is not JSON"),
        (b'{"a":"\\ud800",}', "is not JSON"),
        (b'{"a":"\xff"}', "is not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "is not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "is not UTF-8"),
        (b'{"a":' + DEEP + b"}", "is nested too deeply"),
        (b'{"a":"\\ud800","b":' + DEEP + b"}", "is nested too deeply"),
        (b'{"\\ud800":1}', "has a member whose name is no text"),
    ],
)
def test_what_is_refused(body: bytes, why: str):
    with pytest.raises(UnmergeableError) as refused:
        read_members(body)
    assert str(refused.value) == why


@pytest.mark.parametrize("body", [b"[1]", b"null", b'"x"', b"0", b'{"a":1}'])
def test_anything_goes_under_a_field(body: bytes):
    assert merge([read_members(body, "f")]) == b'{"f":' + body + b"}"


@pytest.mark.parametrize("body", [b"x", b"1 2", b'{"a"}', b"\xff", DEEP, b"NaN"])
def test_under_a_field_it_has_to_be_json(body: bytes):
    with pytest.raises(UnmergeableError):
        read_members(body, "f")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], 200),
        ([200, 200], 200),
        ([201, 201], 201),
        ([201, 202], 200),
        ([204, 204], 204),
        ([200, 204], 200),
    ],
)
def test_status(statuses: list[int], expected: int):
    assert merged_status(statuses) == expected


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
strings = st.lists(
    st.sampled_from(
        ["a", "é", "😀", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\udfff", "\\\\", '\\"', "u", "d800"]
    ),
    max_size=8,
).map(lambda pieces: '"' + "".join(pieces) + '"')
space = st.sampled_from(["", " ", "\n\t"])
values = st.recursive(
    st.one_of(numbers, strings, st.sampled_from(["true", "false", "null", "[]", "{}"])),
    lambda inner: (
        st.builds("[{1}{0},{0}{2}{0}]".format, space, inner, inner)
        | st.builds('{{{0}"k"{0}:{1}{0}}}'.format, space, inner)
    ),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", "c", "", "é", '"', "\\", "\n"])
objects = st.lists(st.tuples(names, values), max_size=5)


def written(members: list[tuple[str, str]]) -> bytes:
    return ("{" + ",".join(f"{json.dumps(name)}: {value} " for name, value in members) + "}").encode()


@given(st.lists(objects, max_size=4))
def test_order_and_bytes(parts: list[list[tuple[str, str]]]):
    expected: dict[str, str] = {}
    for members in parts:
        expected.update(members)
    spliced = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in expected.items())
    assert merged(*map(written, parts)) == ("{" + spliced + "}").encode()


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\ud8a01e. ', max_size=40).map(str.encode))
def test_whatever_is_accepted_is_json(body: bytes):
    try:
        members = read_members(body, "f")
    except UnmergeableError:
        return
    json.loads(merge([members]), parse_constant=pytest.fail)
