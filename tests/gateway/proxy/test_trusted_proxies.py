"""Who is believed what he says of the client before him."""

import json
from ipaddress import ip_network

import pytest

from switchgear.gateway.config.addresses import PRIVATE_NETWORKS
from switchgear.gateway.config.model import Address, GatewayConfig, LogConfig
from switchgear.gateway.http1.request import RequestHead
from switchgear.gateway.server import Gateway
from switchgear.gateway.trust import Trust
from tests.gateway.config.snippets import config_of, lines
from tests.gateway.upstreams import OK, answering, ask, gateway, get, route

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLAIMS = (
    "X-Forwarded-For: 203.0.113.9, 10.0.0.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
    "X-Request-Id: theirs",
    f"traceparent: {TRACE}",
    "tracestate: a=1",
)
NAMES = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "traceparent",
    "tracestate",
)


async def seen(tmp_path, trusted, *fields: str, method: str = "GET") -> tuple[list, str]:
    """What the service is told of each of `NAMES`, and the client in the access log."""
    path = tmp_path / "access.log"
    async with answering(OK) as up:
        config = GatewayConfig(
            (route("/", up.port),),
            Address("127.0.0.1", 0),
            log=LogConfig(access=str(path)),
            trusted_proxies=trusted,
        )
        running = Gateway(config)
        await running.start()
        await ask(running, get("/", *fields, method=method))
        await running.close()
    [line] = [json.loads(line) for line in path.read_text().splitlines()]
    return [up.requests[0].get_all(name) for name in NAMES], line["client.address"]


async def test_a_trusted_proxy_is_believed(tmp_path):
    told, client = await seen(tmp_path, PRIVATE_NETWORKS, *CLAIMS)
    assert told == [
        ["203.0.113.9, 10.0.0.7, 127.0.0.1"], ["https"], ["shop.example"], ["theirs"], [TRACE], ["a=1"],
    ]  # fmt: skip
    assert client == "203.0.113.9"


@pytest.mark.parametrize("trusted", [(), (ip_network("10.0.0.0/8"),)], ids=["nobody", "others"])
async def test_anybody_else_is_not(tmp_path, trusted):
    told, client = await seen(tmp_path, trusted, *CLAIMS)
    (made,) = told.pop(3)
    assert told == [["127.0.0.1"], ["http"], ["gateway"], [], []]
    assert (len(made) > 16, client) == (True, "127.0.0.1")


async def test_a_trace_alone_is_taken_from_a_stranger_too(tmp_path):
    """A head that says nothing else of the client goes the quick way."""
    told, _ = await seen(tmp_path, (), f"Traceparent: {TRACE}")
    assert told[4] == []


async def test_as_long_as_nothing_is_said_rows_and_ids_go_on_and_the_connection_tells_the_rest(tmp_path):
    told, client = await seen(tmp_path, None, *CLAIMS)
    assert told == [
        ["203.0.113.9, 10.0.0.7, 127.0.0.1"], ["http"], ["gateway"], ["theirs"], [TRACE], ["a=1"],
    ]  # fmt: skip
    assert client == "127.0.0.1"


@pytest.mark.parametrize(
    "claims",
    [
        ("X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b"),
        ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http", "X-Forwarded-Host: a", "X-Forwarded-Host: b"),
        ("X-Forwarded-Proto:", "X-Forwarded-Host:"),
    ],
)
async def test_what_makes_no_sense_is_not_believed_of_anybody(tmp_path, claims):
    told, _ = await seen(tmp_path, PRIVATE_NETWORKS, *claims)
    assert told[1:3] == [["http"], ["gateway"]]


@pytest.mark.parametrize(
    ("row", "client"),
    [
        (b"203.0.113.9", "203.0.113.9"),
        (b"198.51.100.1, 203.0.113.9", "203.0.113.9"),  # what a client wrote itself is further left
        (b"203.0.113.9:4711, 10.1.1.1", "203.0.113.9"),
        (b"[2001:db8::7]:443,fc00::1", "2001:db8::7"),
        (b"2001:db8::7", "2001:db8::7"),
        (b"::ffff:203.0.113.9", "203.0.113.9"),
        (b"10.1.1.1, 10.2.2.2", "10.1.1.1"),
        (b"unknown, 10.2.2.2", "10.2.2.2"),
        (b'"><script>', ""),
        (b",", ""),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(row: bytes, client: str):
    head = RequestHead(b"GET", b"/", b"a", b"", forwarded_for=row)
    assert Trust(PRIVATE_NETWORKS).seen("127.0.0.1", head).client == client


def test_a_peer_at_a_socket_for_both_families_is_known():
    head = RequestHead(b"GET", b"/", b"a", b"", request_id=b"1")
    trust = Trust((ip_network("10.0.0.0/8"),))
    assert [trust.seen(peer, head).request_id for peer in ("::ffff:10.0.0.1", "::ffff:11.0.0.1", "")] == [
        b"1",
        b"",
        b"",
    ]


async def test_another_list_holds_after_a_reload(tmp_path):
    async with answering(OK) as up, gateway(route("/", up.port)) as running:
        await running.adopt(
            GatewayConfig(
                running.config.routes,
                running.config.listen,
                log=LogConfig(access=False),
                trusted_proxies=PRIVATE_NETWORKS,
            )
        )
        await ask(running, get("/", *CLAIMS))
    assert up.requests[0].get("x-forwarded-proto") == "https"


# ---- in a file


def file_text(trusted: str) -> str:
    return f"http: {{trustedProxies: {trusted}, routes: {{/: {{GET: {{services: {{s: {{url: 'http://h'}}}}}}}}}}}}"


@pytest.mark.parametrize(
    ("said", "networks"),
    [
        ("[]", ()),
        ("[10.1.2.3, 'fd00::/8']", (ip_network("10.1.2.3/32"), ip_network("fd00::/8"))),
        ("[private, 203.0.113.0/24]", (*PRIVATE_NETWORKS, ip_network("203.0.113.0/24"))),
    ],
)
def test_the_list_is_read(tmp_path, said: str, networks: tuple):
    assert config_of(tmp_path, file_text(said)).trusted_proxies == networks


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("[10.0.0.1/8]", "the address has bits outside of its network"),
        ("[ingress]", "not an address or a network"),
        ("[privat]", "did you mean private?"),
        ("[10]", "wrong type"),
        ("10.0.0.0/8", "wrong type"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path, said: str, message: str):
    (line,) = lines(tmp_path, file_text(said))
    assert "http.trustedProxies" in line
    assert message in line
