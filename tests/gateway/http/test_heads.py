"""Heads: the quick way and the general way agree, and two independent parsers see what we see."""

import contextlib

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from switchgear.gateway.http1.fields import CHUNKED, UNTIL_CLOSE, FramingError, cut_fields
from switchgear.gateway.http1.request import (
    HeadLimits,
    RequestHead,
    ordinary_request,
    parse_request,
    request_head_end,
)
from switchgear.gateway.http1.response import parse_response, response_head_end, whole_answer

LIMITS = HeadLimits()
read_ordinary = ordinary_request(LIMITS)


def general(data: bytes) -> RequestHead | None:
    """The general way over data that should be one whole request without a body."""
    try:
        end = request_head_end(data, 0, LIMITS)
        return parse_request(data, LIMITS) if end == len(data) else None
    except FramingError:
        return None


# Pieces that meet at every seam of the grammar: good ones, and what attackers and broken clients send.
LINES = [
    b"GET / HTTP/1.1\r\n",
    b"HEAD /a?b=%20 HTTP/1.1\r\n",
    b"POST /a HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET http://a/ HTTP/1.1\r\n",
    b"DELETE /x HTTP/1.0\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET /# HTTP/1.1\r\n",
    b"get / HTTP/1.1\r\n",
    b"GET / HTTP/1.2\r\n",
]
FIELDS = [
    b"Host: a\r\n",
    b"host:a\r\n",
    b"HOST: a:80\r\n",
    b"Host: a, b\r\n",
    b"Connection: keep-alive\r\n",
    b"connection: Keep-Alive\r\n",
    b"Connection: close\r\n",
    b"Connection: X-One, close\r\n",
    b"X-One: 1\r\n",
    b"Accept: */*\r\n",
    b"Cookie: a=b; c=d \t\r\n",
    b"X-Latin: \xe9\r\n",
    b"X-Empty:\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"content-length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"TE: trailers\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"Proxy-Connection: keep-alive\r\n",
    b"X-Forwarded-For: 10.0.0.1\r\n",
    b"X-Forwarded-Host: evil\r\n",
    b"X-Forwarded-Hosts: mine\r\n",
    b"Trailers: x\r\n",
    b" folded\r\n",
    b"No colon\r\n",
    b"X-Bare: a\n",
    b"X-Bare: a\r",
    b"X-Nul: \x00\r\n",
]
requests = st.builds(
    lambda line, first, fields: line + first + b"".join(fields) + b"\r\n",
    st.sampled_from(LINES),
    st.sampled_from([b"Host: a\r\n", b"Host:a\r\n", b"host: a:1\r\n", b""]),
    st.lists(st.sampled_from(FIELDS), max_size=5),
)


@given(requests)
@example(
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
)
def test_the_quick_way_never_differs_from_the_general_one(data: bytes):
    quick = read_ordinary(data)
    if quick is not None:
        assert quick == general(data)


def test_the_quick_way_takes_what_clients_send():
    browser = (
        b"GET /users?id=1 HTTP/1.1\r\nHost: example.org:8080\r\nConnection: keep-alive\r\nUser-Agent: x\r\n"
        b"Accept: text/html\r\nUpgrade-Insecure-Requests: 1\r\nCookie: a=b\r\nTest: 1\r\nX-Up: 1\r\n\r\n"
    )
    assert read_ordinary(browser) == general(browser)
    assert read_ordinary(browser) is not None


@given(requests)
def test_what_we_accept_h11_reads_alike(data: bytes):
    head = general(data)
    if head is None:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == head.method
    assert event.target.endswith(head.target)
    lengths = [value for name, value in event.headers if name == b"content-length"]
    chunked = (b"transfer-encoding", b"chunked") in [(n, v.lower()) for n, v in event.headers]
    assert head.length == (CHUNKED if chunked else int(lengths[0]) if lengths else 0)
    kept = [name for name, _ in cut_fields(head.fields)]
    assert set(kept) <= {name for name, _ in event.headers}


class _Seen:
    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))  # llhttp leaves the white space to us

    def on_headers_complete(self) -> None:
        self.complete = True


@given(requests)
def test_what_we_accept_llhttp_reads_alike(data: bytes):
    head = general(data)
    if head is None:
        return
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(data)
    assert seen.complete
    assert parser.get_method() == head.method
    assert seen.url.endswith(head.target)
    kept = [
        field
        for field in cut_fields(head.fields)
        if field[0] not in {b"content-length", b"transfer-encoding"}
    ]
    assert [field for field in seen.fields if field[0] in dict(kept)] == kept


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_refusal(data: bytes):
    for limit in (LIMITS, HeadLimits(20, 1, 5)):
        with contextlib.suppress(FramingError):
            if (end := request_head_end(data, 0, limit)) >= 0:
                parse_request(data[:end], limit)
    with contextlib.suppress(FramingError):
        if (end := response_head_end(data, 0)) >= 0:
            parse_response(data[:end], to_head=False)


@given(requests, st.integers(1, 30))
def test_a_head_may_arrive_in_any_pieces(data: bytes, size: int):
    """What is said of a head does not depend on when its bytes came."""

    def outcome() -> tuple[int, str]:
        searched = 0
        for end in range(size, len(data) + size, size):
            try:
                found = request_head_end(data[:end], searched, LIMITS)
            except FramingError:
                return 0, "refused"
            if found >= 0:
                return found, "complete"
            searched = min(end, len(data))
        return 0, "incomplete"

    try:
        found = request_head_end(data, 0, LIMITS)
        whole = (found, "complete") if found >= 0 else (0, "incomplete")
    except FramingError:
        whole = (0, "refused")
    assert outcome() == whole


# ---- answers

STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 404 \r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 None\r\n",
]
ANSWER_FIELDS = [
    b"Content-Length: 2\r\n",
    b"content-length:2\r\n",
    b"Content-Length: 3\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: text/plain\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Upgrade: h2\r\n",
    b"Server: x\r\n",
    b"Set-Cookie: a=b\r\n",
]
answers = st.builds(
    lambda line, fields: line + b"".join(fields) + b"\r\n",
    st.sampled_from(STATUS_LINES),
    st.lists(st.sampled_from(ANSWER_FIELDS), max_size=5),
)


@given(answers)
def test_a_whole_answer_is_what_the_general_way_says(head: bytes):
    whole = whole_answer(head + b"ok")
    if whole is None:
        return
    general = parse_response(head, to_head=False)
    assert (whole.status, whole.body, general.length, general.keep_alive) == (general.status, b"ok", 2, True)
    assert sorted(cut_fields(whole.fields)) == sorted(cut_fields(general.fields))


def test_whole_answers_are_taken_as_servers_send_them():
    nginx = (
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: x\r\nContent-Type: text/html\r\nContent-Length: 2\r\n"
        b'Last-Modified: y\r\nConnection: keep-alive\r\nETag: "1-2"\r\nAccept-Ranges: bytes\r\n\r\nok'
    )
    uvicorn = (
        b"HTTP/1.1 200 OK\r\ndate: x\r\nserver: uvicorn\r\ncontent-length: 2\r\ncontent-type: t\r\n\r\nok"
    )
    first, second = whole_answer(nginx), whole_answer(uvicorn)
    assert first is not None
    assert first.head + first.rest == nginx.replace(b"Connection: keep-alive\r\n", b"")
    assert second is not None
    assert second.head + second.rest == uvicorn


@pytest.mark.parametrize(
    ("head", "to_head", "length", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", False, UNTIL_CLOSE, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", True, 0, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", True, 0, True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", False, 0, True),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", False, CHUNKED, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", False, 7, False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n", False, 7, True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n", False, 7, False),
    ],
)
def test_how_an_answer_ends(head: bytes, to_head: bool, length: int, keep_alive: bool):
    parsed = parse_response(head, to_head)
    assert (parsed.length, parsed.keep_alive) == (length, keep_alive)
