"""What is allowed reaches the upstream byte for byte, and as the one request that it is."""

import pytest

from tests.gateway.adversarial.recorder import recording
from tests.gateway.adversarial.techniques import GET, OBFUSCATED_TE, PLAIN_TE, POST, SMUGGLED
from tests.gateway.upstreams import client_of, gateway, get, route

pytestmark = pytest.mark.anyio

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BODY = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n"  # CL.0, 0.CL, TE.0: what they would have run

TARGETS = [
    "/",
    "/?",
    "/??",
    "/?a=b&a=b&&",
    "/a/",
    "//a",
    "/a//b",
    "/a;b=c/d",
    "/a%2Fb",
    "/a%2fb%00",
    "/%zz",
    "/a%",
    "/%C3%A9",
    "/a+b%20c",
    "/.well-known/x",
    "/...",
    "/a|b^c`d{e}",
    '/"<>\\',
    "/a:b@c",
    "/[::1]",
    "/?q=http://b/../%2e%2e/",
    "/" + "a" * 8000,
]

FIELDS = [
    b"X: y",
    b"x:y",
    b"X:  y \t",
    b"X:\ty",
    b"X:",
    b"X: ",
    b"X: \xc3\xa9\xff",
    b'X: "a,b"; c="\\""',
    b"X: a, b\r\nX: c\r\nX: a, b",
    b"!#$%&'*+-.^_`|~0: y",
    b"X: " + b"y" * 8000,
    b"Cookie: a=b; c=d\r\nCookie: e=f",
    b"Authorization: Basic YTpi",
    b"Content-Type: application/json",
    b"Content-Encoding: chunked",
    b"X-Transfer-Encoding: chunked",
    b"TransferEncoding: chunked",
    b"Content-Lengths: 5",
    b"X-Content-Length: 5",
    b"Hostess: b",
    b"X-Host: b\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin",
    b"Forwarded: for=1.2.3.4",
    b"Via: 1.1 other",
    b"Range: bytes=0-1\r\nIf-Range: x",
    b"Accept-Encoding: gzip, br, zstd;q=0",
]


async def record(raw: bytes):
    """The one request that the upstream gets."""
    async with (
        recording() as upstream,
        gateway(route("/{rest:path}", upstream.port)) as running,
        client_of(running) as client,
    ):
        await client.send(raw)
        answer = await client.read_message(to_head=raw.startswith(b"HEAD"))
    assert answer.status == 200
    assert len(upstream.recorded) == 1
    return upstream.recorded[0]


@pytest.mark.parametrize("target", TARGETS)
async def test_targets(target: str):
    request = await record(get(target))
    assert request.start == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize("lines", FIELDS)
@pytest.mark.parametrize("more", [b"", b"Content-Length: 0\r\n"])  # the quick way and the general one
async def test_fields(more: bytes, lines: bytes):
    request = await record(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n" + more + b"\r\n")
    assert b"\r\n".join(request.own) == lines


@pytest.mark.parametrize("method", METHODS)
async def test_a_body_of_a_length(method: str):
    request = await record(get("/x", "A: b", f"Content-Length: {len(BODY)}", method=method) + BODY)
    assert request.start == f"{method} /x HTTP/1.1".encode()
    assert (request.own, request.body) == ([b"A: b"], BODY)
    assert request.framing == [b"content-length: %d" % len(BODY)]


@pytest.mark.parametrize("method", METHODS)
async def test_a_chunked_body(method: str):
    raw = get("/x", "Transfer-Encoding: chunked", method=method)
    request = await record(raw + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    assert request.start == f"{method} /x HTTP/1.1".encode()
    assert (request.body, request.framing) == (BODY, [b"transfer-encoding: chunked"])


@pytest.mark.parametrize("method", METHODS)
async def test_no_body(method: str):
    request = await record(get("/x", "A: b", method=method))
    assert request.start == f"{method} /x HTTP/1.1".encode()
    assert (request.own, request.framing) == ([b"A: b"], [])


@pytest.mark.parametrize("spelling", PLAIN_TE)
async def test_chunked_in_unusual_spellings(spelling: str):
    request = await record(POST + OBFUSCATED_TE[spelling] + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert (request.body, request.framing) == (b"abc", [b"transfer-encoding: chunked"])


@pytest.mark.parametrize(
    ("chunked", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"ab"),
        (b"00000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0\r\n\r\n56789\r\n0\r\n\r\n", b"0\r\n\r\n56789"),
        (b'3;a="b;c";d\r\nabc\r\n0;e\r\n\r\n', b"abc"),
    ],
)
async def test_chunks_in_every_legal_form(chunked: bytes, body: bytes):
    assert (await record(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)).body == body


async def test_trailers_stay_behind_the_body():
    body = b"3\r\nabc\r\n0\r\nX: y\r\nChecksum: 1\r\n\r\n"
    request = await record(POST + b"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n" + body)
    assert request.trailers == [b"X: y\r\n", b"Checksum: 1\r\n"]
    assert request.own == []


@pytest.mark.parametrize(
    "start",
    [b"GET http://a/x?y HTTP/1.1", b"GET HTTP://A/x?y HTTP/1.1", b"GET /x?y HTTP/1.1"],
)
async def test_forms_of_the_target(start: bytes):
    request = await record(start + b"\r\nHost: a\r\n\r\n")
    assert request.start == b"GET /x?y HTTP/1.1"
    assert b"X-Forwarded-Host: a" in [line.replace(b": A", b": a") for line in request.lines]


async def test_what_was_meant_for_this_hop_stays_here():
    hop = b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\n"
    assert (await record(GET + hop + b"X: y\r\n\r\n")).own == [b"X: y"]


async def test_what_the_client_says_of_itself_is_not_believed():
    lines = b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n"
    forwarded = (await record(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")).lines
    assert b"X-Forwarded-For: 9.9.9.9, 127.0.0.1" in forwarded
    assert b"X-Forwarded-Proto: http" in forwarded
    assert b"X-Forwarded-Host: a" in forwarded


async def test_a_pipeline_of_all_kinds_stays_in_step():
    kinds = [
        (get("/1"), b""),
        (get("/2", f"Content-Length: {len(BODY)}", method="POST") + BODY, BODY),
        (get("/3", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n", b"abc"),
        (b"\r\n" + get("/4", "Content-Length: 0", method="POST"), b""),
        (get("/5", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED, SMUGGLED),
        (get("/6", "Expect: 100-continue", "Content-Length: 2", method="POST") + b"hi", b"hi"),
        (get("/7", method="DELETE"), b""),
    ]
    async with (
        recording() as upstream,
        gateway(route("/{rest:path}", upstream.port)) as running,
        client_of(running) as client,
    ):
        await client.send(b"".join(raw for raw, _ in kinds * 5) + get("/end", "Connection: close"))
        answers = (await client.read_all()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 36
    seen = [(request.start.split(b" ")[1], request.body) for request in upstream.recorded]
    assert seen == [(b"/%d" % n, body) for n, (_, body) in enumerate(kinds, 1)] * 5 + [(b"/end", b"")]
