"""Whatever a log holds: no exception leaves a reader, but for a header, and every line counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchgear import CircuitBreakerPolicy
from switchgear.replay.formats.columns import CsvReader, HeaderError
from switchgear.replay.formats.combined import CombinedReader
from switchgear.replay.formats.gateway import GatewayReader
from switchgear.replay.formats.reader import LogReader
from switchgear.replay.lanes import Lanes
from switchgear.replay.policies import Policies
from switchgear.replay.report import report
from switchgear.replay.run import tell_format
from switchgear.replay.text import as_text

LINES = (
    b'{"time":"2026-11-30T12:00:00.250Z","http.response.status_code":503,"duration_ms":1.5,"circuit":"k"}',
    b'{"time":"2026-11-30T12:00:00.250Z","http.response.status_code":200,"duration_ms":2,"origin":"breaker"}',
    b"1796040000.5,k,failure,0.25",
    b'2026-11-30T12:00:00.250Z,"k",200,5ms',
    b'1.1.1.1 - - [30/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "x" 0.1',
)
NUMBERS = (b"nan", b"inf", b"-1", b"1e999", b"9" * 400, "²".encode(), b"0001-01-01", b"9999-12-31T23:59:59Z")
SIGNS = (
    b"[" * 3000,
    b'"',
    b"\\",
    b"\xff",
    b",",
    b"{",
    b"T",
    b"Z",
    b":",
    b"\x00",
    b"\r",
    b'""',
    b" ",
    b"\xed\xa0\x80",
)
PIECES = st.sampled_from(NUMBERS + SIGNS)


@st.composite
def damaged(draw):
    """A good line, a piece of which was replaced."""
    line = draw(st.sampled_from(LINES))
    begin = draw(st.integers(0, len(line)))
    return line[:begin] + draw(PIECES) + line[begin + draw(st.integers(0, 30)) :]


def readers() -> list[LogReader]:
    return [GatewayReader(), GatewayReader("route"), CsvReader(), CombinedReader(), CombinedReader("route")]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(damaged(), st.binary(max_size=40), st.sampled_from(LINES)), max_size=8))
def test_any_bytes(lines):
    block = b"\n".join(lines) + b"\n"
    tell_format(block)
    for reader in readers():
        lanes = Lanes([lambda _: CircuitBreakerPolicy(failure_threshold=1)])
        try:
            reader.lines = reader.read(block, 1)
        except HeaderError:
            continue
        assert reader.lines == block.count(b"\n")
        fresh, newest = reader.take()
        assert all(math.isfinite(call[0]) and call[1] < call[0] for calls in fresh.values() for call in calls)
        lanes.add(fresh, newest)
        lanes.finish()
        assert list(as_text(report("x", reader, lanes, [Policies("p", CircuitBreakerPolicy())])))


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999", "-5", "1e21"])
def test_a_number_that_is_no_time_ends(text):
    reader = CsvReader()
    reader.read(f"{text},k,ok,1\n".encode(), 1)
    assert (reader.calls, reader.broken.count) == (0, 1)


def test_a_fraction_that_is_no_number_is_a_broken_line():
    reader = GatewayReader()
    good = LINES[0]
    reader.read(
        b"\n".join((good, good.replace(b".250Z", b"nanZ"), good.replace(b".250Z", b"infZ"))) + b"\n", 1
    )
    assert (reader.calls, reader.broken.count) == (1, 2)


def test_a_value_that_is_too_long_for_csv():
    reader = CsvReader()
    reader.read(b'"' + b"x" * 200_000 + b'",k,ok,1\n1796040000,k,ok,1\n', 1)
    assert (reader.calls, reader.broken.count) == (1, 1)
