"""Requests of many kinds, through the gateway and directly: one sees no difference but what each hop adds."""

import pytest

from tests.gateway.adversarial.origin import ANSWERS, NOISE, UNTIL_CLOSE, fetch, serve
from tests.gateway.upstreams import gateway, get, post, route, scripted

pytestmark = pytest.mark.anyio


def chunked(path: str, *chunks: bytes, end: bytes = b"\r\n") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return get(path, "Transfer-Encoding: chunked", method="POST") + body + b"0\r\n" + end


REQUESTS = {kind: get(f"/a/{kind}") for kind in (*ANSWERS, *UNTIL_CLOSE)} | {
    "HEAD plain": get("/a/plain", method="HEAD"),
    "HEAD large": get("/a/large", method="HEAD"),
    "HEAD with its own reason": get("/a/own-reason", method="HEAD"),
    "HEAD chunked": get("/a/chunked", method="HEAD"),
    "HEAD not found": get("/a/bad-request", method="HEAD"),
    "GET": get("/echo"),
    "GET with a query": get("/echo?a=b&c=%20&d"),
    "GET encoded": get("/a%2Fb/%C3%A9;x=y"),
    "GET dotted": get("/a/...//b./"),
    "GET with fields": get("/echo", "Accept: */*", "X: y", "X: z", "Cookie: a=b", "User-Agent: me"),
    "GET with odd fields": get("/echo", "X:", "Y: \xe9", "Z:  \t padded"),
    "GET with long fields": get("/echo", f"X: {'y' * 12000}"),
    "GET with 150 fields": get("/echo", *[f"X-{n}: {n}" for n in range(150)]),
    "GET with a body": get("/echo", "Content-Length: 3") + b"abc",
    "GET conditional": get("/echo", 'If-None-Match: "1"', "If-Modified-Since: x", "Range: bytes=1-"),
    "DELETE": get("/echo", method="DELETE"),
    "DELETE with a body": get("/echo", "Content-Length: 3", method="DELETE") + b"abc",
    "OPTIONS": get("/echo", method="OPTIONS"),
    "POST": post("/echo", b'{"a": 1}', "Content-Type: application/json"),
    "POST empty": post("/echo", b""),
    "POST without a length": get("/echo", method="POST"),
    "POST large": post("/echo", NOISE * 10),
    "POST that looks like requests": post("/echo", get("/x") * 3),
    "POST chunked": chunked("/echo", b"a", b"bcd", NOISE),
    "POST chunked, empty": chunked("/echo"),
    "POST chunked with trailers": chunked("/echo", b"abc", end=b"Checksum: 1\r\n\r\n"),
    "PUT": get("/echo", "Content-Length: 3", method="PUT") + b"abc",
    "PATCH": get("/echo", "Content-Length: 3", method="PATCH") + b"abc",
}


def test_there_are_as_many_as_promised():
    assert len(REQUESTS) >= 60


@pytest.mark.parametrize("case", REQUESTS)
async def test_through_the_gateway_as_directly(case: str):
    async with scripted(serve) as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        direct = await fetch(upstream.port, REQUESTS[case])
        through = await fetch(running.address.port, REQUESTS[case])
    assert through == direct
