"""Streams of requests, whole and mutilated: we never see two requests where an independent parser sees one.

A longer run: `HYPOTHESIS_PROFILE=long pytest --timeout 0 tests/gateway/adversarial/test_streams.py`.
"""

from __future__ import annotations

import asyncio
import os
import re

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.gateway.adversarial.techniques import CHUNKS_IN_DOUBT, SMUGGLED, chunks, refused_heads
from tests.gateway.adversarial.views import Seen, ours, theirs

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
examples = settings(max_examples=20_000 if LONG else 300, deadline=None)

STARTS = [
    *[method + b" /a HTTP/1.1" for method in (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS")],
    b"GET http://a/b?c HTTP/1.1",
    b"GET /a HTTP/1.0",
    b"POST /a HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"GET  /a HTTP/1.1",
    b"GET /a HTTP/1.2",
    b"GET /a",
]
FIELDS = [
    b"Host: a",
    b"X: y",
    b"X:",
    b"X: \xe9",
    b"Content-Length: 0",
    b"Content-Length: 3",
    b"Content-Length: 5",
    b"Content-Length: 36",
    b"content-length:3",
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:\tChunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: X",
    b"Connection: content-length",
    b"Expect: 100-continue",
    b" folded",
    b"X : y",
]
BODIES = [
    b"",
    b"abc",
    b"hello",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"3;x\r\nabc\r\n0\r\nX: y\r\n\r\n",
    SMUGGLED,
]
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b""])


@st.composite
def messages(draw) -> bytes:
    """A request: often a good one, now and then with an odd line or line end."""
    lines = [draw(st.sampled_from(STARTS)), b"Host: a"]
    lines += draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    head = b"".join(line + draw(ENDS) for line in lines) + draw(ENDS)
    return head + draw(st.sampled_from(BODIES))


@st.composite
def matching(draw) -> bytes:
    """A good request, framed as its body needs it."""
    body = draw(st.sampled_from(BODIES) | st.binary(max_size=50))
    start = draw(st.sampled_from(STARTS[:6])) + b"\r\nHost: a\r\n" + draw(st.sampled_from([b"", b"X: y\r\n"]))
    if draw(st.booleans()):
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    size = draw(st.integers(1, 20))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return start + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"


@st.composite
def mutilated(draw) -> bytes:
    """Good requests with a few bytes put in, taken out or exchanged."""
    data = bytearray(b"".join(draw(st.lists(matching(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"0", b"\x00", b"_", b";", b","])
        )
        if not data:
            break
    return bytes(data)


STREAMS = st.lists(messages() | matching(), min_size=1, max_size=4).map(b"".join) | mutilated()


@st.composite
def cut(draw, streams=STREAMS) -> list[bytes]:
    stream = draw(streams)
    places = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=4)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True) if a < b]


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def origin_form(seen: Seen) -> Seen:
    target = re.sub(rb"^(?i:http)://[^/?]*(?=/|\?|$)", b"", seen.target)
    return seen._replace(target=target if target[:1] in (b"/", b"*") else b"/" + target)


@examples
@given(pieces=cut())
@example(pieces=[refused_heads()["CL.TE"] + SMUGGLED])
@example(pieces=[chunks(CHUNKS_IN_DOUBT["LF in an extension (TERM.EXT)"]) + SMUGGLED])
def test_every_request_that_we_see_an_independent_parser_sees_too(loop, pieces: list[bytes]):
    seen = ours(loop, pieces).seen
    independent = [origin_form(each) for each in theirs(b"".join(pieces))]
    event(f"requests: {len(seen)}")
    assert seen == independent[: len(seen)]


@examples
@given(pieces=cut())
def test_what_goes_to_an_upstream_is_one_request_to_an_independent_parser(loop, pieces: list[bytes]):
    found = ours(loop, pieces)
    for seen, wire in zip(found.seen, found.forwarded, strict=True):
        assert theirs(wire + SMUGGLED) == [seen, Seen(b"GET", b"/smuggled", b"")]


@examples
@given(stream=STREAMS, data=st.data())
def test_our_view_does_not_depend_on_the_pieces(loop, stream: bytes, data):
    whole = ours(loop, [stream])
    pieces = ours(loop, data.draw(cut(st.just(stream))))
    assert (pieces.seen, pieces.forwarded) == (whole.seen, whole.forwarded)


@examples
@given(requests=st.lists(matching(), min_size=1, max_size=5), data=st.data())
def test_good_requests_are_all_seen(loop, requests: list[bytes], data):
    found = ours(loop, data.draw(cut(st.just(b"".join(requests)))))
    assert found.seen == theirs(b"".join(requests))
    assert len(found.seen) == len(requests)
    assert found.refusals == 0
