"""What is ambiguous is refused and its connection closed, and the upstream sees nothing of it."""

import pytest

from tests.gateway.upstreams import OK, answering, client_of, gateway, get, route

pytestmark = pytest.mark.anyio

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"

REFUSED = {
    "length and chunked": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "two equal lengths": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "length as a list": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "length with a sign": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "negative length": (POST + b"Content-Length: -3\r\n\r\nabc", 400),
    "hexadecimal length": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "empty length": (POST + b"Content-Length:\r\n\r\nabc", 400),
    "length with a space inside": (POST + b"Content-Length: 1 2\r\n\r\nabc", 400),
    "length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nabc", 400),
    "length in other digits": (POST + b"Content-Length: \xd9\xa3\r\n\r\nabc", 400),
    "huge length": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, gzip": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked, chunked": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "two chunked": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "quoted coding": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "vertical tab before coding": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "bare LF in all lines": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF after a field": (GET + b"X: y\nZ: w\r\n\r\n", 400),
    "bare LF as the empty line": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare CR in a value": (GET + b"X: y\rZ: w\r\n\r\n", 400),
    "CR CR LF": (GET + b"X: y\r\r\n\r\n", 400),
    "folded field": (GET + b"X: y\r\n z\r\n\r\n", 400),
    "folded by a tab": (GET + b"X: y\r\n\tz\r\n\r\n", 400),
    "space before the colon": (GET + b"X : y\r\n\r\n", 400),
    "tab before the colon": (GET + b"X\t: y\r\n\r\n", 400),
    "space before length's colon": (POST + b"Content-Length : 3\r\n\r\nabc", 400),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: y\x00z\r\n\r\n", 400),
    "control in a value": (GET + b"X: y\x01z\r\n\r\n", 400),
    "DEL in a value": (GET + b"X: y\x7fz\r\n\r\n", 400),
    "control in a name": (GET + b"X\x02: y\r\n\r\n", 400),
    "bracket in a name": (GET + b"X[y]: y\r\n\r\n", 400),
    "non-ASCII name": (GET + b"X\xe9: y\r\n\r\n", 400),
    "empty name": (GET + b": y\r\n\r\n", 400),
    "no colon": (GET + b"X\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (GET + b"Host: b\r\n\r\n", 400),
    "two equal Hosts": (GET + b"Host: a\r\n\r\n", 400),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "Host as a list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "Host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "Host with a wordy port": (b"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400),
    "absolute form of another host": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute form with user": (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute form without host": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "absolute form of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk for GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no slash": (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "non-ASCII target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "control in the target": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space after the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "tab as separator": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "space before the method": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "two empty lines before": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a bare LF before": (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2": (b"GET / HTTP/2\r\nHost: a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "HTTP/01.1": (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400),
    "HTTP in lower case": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "unknown method": (b"FOOBAR / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "Connection names the length": (
        POST + b"Content-Length: 3\r\nConnection: content-length\r\n\r\nabc",
        400,
    ),
    "Connection names Host": (GET + b"Connection: host\r\n\r\n", 400),
    "malformed Connection": (GET + b"Connection: a b\r\n\r\n", 400),
    "upgrade with a body": (POST + b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc", 400),
    "other expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
    "long target": (b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "target without an end": (b"GET /" + b"a" * 70000, 414),
    "large head": (GET + b"X: " + b"y" * 66000 + b"\r\n\r\n", 431),
    "many fields": (GET + b"X: y\r\n" * 201 + b"\r\n", 431),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
}

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = {
    "hexadecimal prefix": b"0x1\r\na\r\n0\r\n\r\n",
    "negative size": b"-1\r\na\r\n0\r\n\r\n",
    "no size": b"\r\na\r\n0\r\n\r\n",
    "space before the size": b" 1\r\na\r\n0\r\n\r\n",
    "space after the size": b"1 \r\na\r\n0\r\n\r\n",
    "overflowing size": b"fffffffffffffffff\r\na\r\n0\r\n\r\n",
    "LF after the size": b"1\na\r\n0\r\n\r\n",
    "CR after the size": b"1\ra\r\n0\r\n\r\n",
    "LF in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "control in an extension": b"1;a\x00b\r\na\r\n0\r\n\r\n",
    "no CRLF after the data": b"1\r\na0\r\n\r\n",
    "data longer than its size": b"1\r\nabc\r\n0\r\n\r\n",
    "LF after the data": b"1\r\na\n0\r\n\r\n",
    "long extension": b"1;" + b"x" * 300 + b"\r\na\r\n0\r\n\r\n",
    "many extensions": b"1;"
    + b"x" * 200
    + b"\r\na\r\n"
    + (b"1;" + b"x" * 200 + b"\r\na\r\n") * 100
    + b"0\r\n\r\n",
    "length as a trailer": b"1\r\na\r\n0\r\nContent-Length: 3\r\n\r\n",
    "Host as a trailer": b"1\r\na\r\n0\r\nHost: b\r\n\r\n",
    "folded trailer": b"1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n",
    "bare LF in trailers": b"1\r\na\r\n0\r\nX: y\n\r\n\r\n",
    "endless trailers": b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 4000,
}


@pytest.mark.parametrize("case", REFUSED)
async def test_an_ambiguous_head_is_refused(case: str):
    raw, status = REFUSED[case]
    async with answering(OK) as upstream, gateway(route("/{rest:path}", upstream.port)) as running:
        async with client_of(running) as client:
            # What follows is what a smuggler would have the upstream take for a request.
            await client.send(raw + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await client.read_message()
            assert answer.status == status
            assert answer.get("connection") == "close"
            assert answer.get("switchgear-origin") in {"error", "limit"}
            assert await client.read_all() == b""
        assert upstream.connections == 0


@pytest.mark.parametrize("case", BAD_CHUNKS)
async def test_a_malformed_chunked_body_never_ends_well(case: str):
    async with answering(OK) as upstream, gateway(route("/", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(CHUNKED + BAD_CHUNKS[case] + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.read_message()).status == 400
            assert await client.read_all() == b""
        assert upstream.requests == []  # none was complete


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_refusal_does_not_depend_on_how_the_bytes_arrive(size: int):
    raw = POST + b"Content-Length: 3\r\nX: y\r\n z\r\n\r\nabc"
    async with answering(OK) as upstream, gateway(route("/", upstream.port)) as running:
        async with client_of(running) as client:
            for at in range(0, len(raw), size):
                client.writer.write(raw[at : at + size])
                await client.writer.drain()
            assert (await client.read_message()).status == 400
        assert upstream.connections == 0


async def test_garbage_after_a_good_request_is_refused_after_its_answer():
    async with answering(OK) as upstream, gateway(route("/", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(get("/") + b"GARBAGE\r\n\r\n")
            assert (await client.read_message()).body == b"ok"
            assert (await client.read_message()).status == 400
            assert await client.read_all() == b""
        assert len(upstream.requests) == 1


ACCEPTED = {
    "one CRLF before": b"\r\n" + get("/"),
    "absolute form": b"GET http://gateway/ HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "absolute form, other case": b"GET HTTP://GateWay/ HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "absolute form without a path": b"GET http://gateway HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "no Host in HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "IPv6 Host": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "non-ASCII value": get("/", "X: \xe9"),
    "empty value": get("/", "X:"),
    "upgrade without a body": get(
        "/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AA"
    ),
    "expectation in HTTP/1.0": b"GET / HTTP/1.0\r\nExpect: what\r\n\r\n",
    "chunk extensions": CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n',
    "size with zeros": CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n",
    "size in upper case": CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
    "chunked in upper case": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "200 fields": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 199 + b"\r\n",
}


@pytest.mark.parametrize("case", ACCEPTED)
async def test_what_is_unambiguous_passes(case: str):
    async with answering(OK) as upstream, gateway(route("/", upstream.port)) as running:
        async with client_of(running) as client:
            await client.send(ACCEPTED[case])
            assert (await client.read_message()).status == 200
        assert upstream.requests[0].start.split(" ")[1:] == ["/", "HTTP/1.1"]
