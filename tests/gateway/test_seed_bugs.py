"""What a gateway with this configuration language once got wrong, each as a test of how it is here.

Left out is what lies outside the scope: caches, hooks of its own kind, compensating requests, Redis channels.
Files that ask for these are refused by name, never read over.
"""

import json

import pytest

from switchgear import CircuitState
from tests.gateway.seeds import BROKEN, MISSING, ManualClock, answer, load, merged, one, running
from tests.gateway.upstreams import OK, Peer, answering, ask, client_of, get, post, refusing_port, scripted

pytestmark = pytest.mark.anyio

THREE = "{maxErrors: 3, duration: 1s}"


@pytest.mark.parametrize("of", ["route", "service"])
async def test_a_circuit_closes_under_steady_traffic(tmp_path, of):
    """Rejections were counted as failures, so that a circuit under traffic never closed."""
    clock = ManualClock()
    async with (
        answering(BROKEN, BROKEN, BROKEN, OK) as up,
        running(tmp_path, one(up.port, THREE, of=of), clock=clock) as gateway,
    ):
        statuses = []
        for _ in range(20):
            statuses.append((await ask(gateway, get("/x"))).status)
            clock.now += 0.125
    assert statuses == [500] * 3 + [503] * 7 + [200] * 10


async def test_rejections_further_inside_do_not_keep_a_route_open(tmp_path):
    """The same, one level up: a service's circuit rejects, and the route's must not hear of it."""
    clock = ManualClock()
    async with answering(BROKEN, BROKEN, BROKEN, OK) as up:
        service = f"up: {{url: 'http://127.0.0.1:{up.port}', circuitBreaker: {THREE}}}"
        outer = "circuitBreaker: {maxErrors: 4, duration: 1h}"
        text = f"http: {{{outer}, routes: {{/x: {{GET: {{services: {{{service}}}}}}}}}}}"
        async with running(tmp_path, text, clock=clock) as gateway:
            statuses = []
            for _ in range(12):
                statuses.append((await ask(gateway, get("/x"))).status)
                clock.now += 0.125
            assert gateway.circuits["route:GET /x"].snapshot().failure_count == 3
    assert statuses == [500] * 3 + [503] * 7 + [200] * 2


async def test_a_service_that_cannot_be_reached_is_a_502_that_opens_and_leaks_nothing(tmp_path):
    """Connection errors became a 400 with the error's text, and opened nothing."""
    with refusing_port() as port:
        async with running(tmp_path, one(port, THREE)) as gateway:
            answers = [await ask(gateway, get("/x")) for _ in range(4)]
    assert [a.status for a in answers] == [502, 502, 502, 503]
    for text in (b"refused", b"127.0.0.1", str(port).encode(), b"Error"):
        assert all(text not in a.body for a in answers)


async def test_a_service_that_hangs_is_a_504_that_opens(tmp_path):
    """Timeouts became a 408, which opened nothing."""

    async def hang(peer: Peer) -> None:
        await peer.closed()

    async with scripted(hang) as up:
        service = f'up: {{url: "http://127.0.0.1:{up.port}", timeout: 50, circuitBreaker: {THREE}}}'
        text = f"http: {{routes: {{/x: {{GET: {{services: {{{service}}}}}}}}}}}"
        async with running(tmp_path, text) as gateway:
            assert [(await ask(gateway, get("/x"))).status for _ in range(4)] == [504, 504, 504, 503]


async def test_a_part_that_is_not_merged_never_hangs_the_client(tmp_path):
    """A service whose answer was not awaited never resolved, and the client waited for ever."""
    async with answering(answer({"a": 1})) as read, answering(answer("ignored", status=500)) as unread:
        text = merged(
            f"a: {{url: 'http://127.0.0.1:{read.port}'}}",
            f"b: {{url: 'http://127.0.0.1:{unread.port}', merge: false}}",
        )
        async with running(tmp_path, text) as gateway:
            message = await ask(gateway, get("/m"))
    assert (message.status, json.loads(message.body)) == (200, {"a": 1})
    assert len(unread.requests) == 1


POLICIES = """
calls = []

class Failing:
    name, priority = "failing", 20

    async def __call__(self, request, call_next):
        calls.append(request.path)
        if request.path == b"/before":
            raise RuntimeError("before")
        response = await call_next(request)
        raise RuntimeError("after")

config = {
    "listen": "127.0.0.1:0",
    "log": {"access": False},
    "http": {"policies": [Failing()], "routes": {"/*": {"GET": {"services": {"up": {"url": "http://127.0.0.1:PORT"}}}}}},
}
"""


@pytest.mark.parametrize(("path", "asked"), [("/before", 0), ("/after", 1)])
async def test_a_policy_that_raises_is_a_500_and_runs_once(tmp_path, path, asked):
    """A hook that threw hung the client, or was run a second time with a made-up answer."""
    async with answering(OK) as up:
        text = POLICIES.replace("PORT", str(up.port))
        async with running(tmp_path, text, "g.py") as gateway:
            (policy,) = gateway.config.routes[0].policies
            calls = type(policy).__call__.__globals__["calls"]
            assert (await ask(gateway, get(path))).status == 500
            assert calls == [path.encode()]
    assert len(up.requests) == asked


CHANGING = """
from dataclasses import replace

class Tag:
    name, priority = "tag", 20

    async def __call__(self, request, call_next):
        response = await call_next(replace(request, headers=[*request.headers, (b"x-tag", b"new")]))
        response.headers.append((b"x-seen", b"yes"))
        return response

config = {
    "listen": "127.0.0.1:0",
    "log": {"access": False},
    "http": {"policies": [Tag()], "routes": {"/x": {"ALL": {"services": {"up": {"url": "http://127.0.0.1:PORT"}}}}}},
}
"""


async def test_what_a_policy_changes_in_a_request_reaches_the_service(tmp_path):
    """A changed request was used for compensation only."""
    async with answering(OK) as up:
        text = CHANGING.replace("PORT", str(up.port))
        async with running(tmp_path, text, "g.py") as gateway:
            message = await ask(gateway, post("/x", b"body"))
    assert (message.get("x-seen"), message.body) == ("yes", b"ok")
    assert (up.requests[0].get("x-tag"), up.requests[0].body) == ("new", b"body")


async def test_all_methods_of_a_merged_route_work(tmp_path):
    """`ALL` crashed as soon as answers were merged."""
    async with answering(answer({"a": 1})) as a, answering(answer({"b": 2})) as b:
        text = merged(
            f"a: {{url: 'http://127.0.0.1:{a.port}'}}",
            f"b: {{url: 'http://127.0.0.1:{b.port}'}}",
            method="ALL",
        )
        async with running(tmp_path, text) as gateway:
            for raw in (get("/m"), post("/m", b"{}"), get("/m", method="DELETE")):
                message = await ask(gateway, raw)
                assert (message.status, json.loads(message.body)) == (200, {"a": 1, "b": 2})


@pytest.mark.parametrize("body", [[1, 2], "text", 7, True, None])
@pytest.mark.parametrize("place", [0, 1])
async def test_only_objects_are_merged_without_a_field_whatever_the_order(tmp_path, body, place):
    """Arrays were spread into numbered members, `null` was an object, and one text of two was dropped."""
    bodies = [{"a": 1}, {"a": 1}]
    bodies[place] = body
    async with answering(answer(bodies[0])) as a, answering(answer(bodies[1])) as b:
        urls = [f"url: 'http://127.0.0.1:{up.port}'" for up in (a, b)]
        async with running(tmp_path, merged(f"a: {{{urls[0]}}}", f"b: {{{urls[1]}}}")) as gateway:
            message = await ask(gateway, get("/m"))
            assert message.status == 502
            assert json.loads(message.body)["part"] == "ab"[place]
    async with answering(answer(bodies[0])) as a, answering(answer(bodies[1])) as b:
        fields = [f"{{url: 'http://127.0.0.1:{up.port}', mergeField: f{i}}}" for i, up in enumerate((a, b))]
        async with running(tmp_path, merged(f"a: {fields[0]}", f"b: {fields[1]}")) as gateway:
            message = await ask(gateway, get("/m"))
            assert json.loads(message.body) == {"f0": bodies[0], "f1": bodies[1]}


async def test_status_cookies_and_fields_of_all_parts_survive(tmp_path):
    """A part that was no object replaced all there was; the last part's type and cookies won; hop-by-hop
    fields were copied."""
    first = answer({"a": 1}, "Set-Cookie: a=1", "X-A: 1", "Content-Type: application/json", status=201)
    last = answer("text", "Set-Cookie: b=2", "Content-Type: text/plain", "Keep-Alive: timeout=9", status=201)
    async with answering(first) as a, answering(last) as b:
        text = merged(
            f"a: {{url: 'http://127.0.0.1:{a.port}'}}",
            f"b: {{url: 'http://127.0.0.1:{b.port}', mergeField: b}}",
        )
        async with running(tmp_path, text) as gateway:
            message = await ask(gateway, get("/m"))
    assert (message.status, json.loads(message.body)) == (201, {"a": 1, "b": "text"})
    assert message.get_all("set-cookie") == ["a=1", "b=2"]
    assert message.get_all("content-type") == ["application/json"]
    assert (message.get("x-a"), message.get("keep-alive")) == ("1", None)


async def test_a_request_body_reaches_every_service_byte_for_byte(tmp_path):
    """A body that was no object was taken apart character by character."""
    body = b'"a text, \\u00e9 and 1.10"'
    async with answering(answer({"a": 1})) as a, answering(answer({"b": 2})) as b:
        text = merged(
            f"a: {{url: 'http://127.0.0.1:{a.port}'}}",
            f"b: {{url: 'http://127.0.0.1:{b.port}'}}",
            method="POST",
        )
        async with running(tmp_path, text) as gateway:
            assert (await ask(gateway, post("/m", body, "Content-Type: application/json"))).status == 200
    assert a.requests[0].body == b.requests[0].body == body


async def test_a_long_duration_is_counted_to_its_end(tmp_path):
    """A list of errors that expired after two minutes cut a longer duration short without a word."""
    clock = ManualClock()
    async with (
        answering(BROKEN) as up,
        running(tmp_path, one(up.port, "{maxErrors: 3, duration: 1h}"), clock=clock) as gateway,
    ):
        statuses = []
        for _ in range(4):
            statuses.append((await ask(gateway, get("/x"))).status)
            clock.now += 1500
    assert statuses == [500, 500, 500, 503]


async def test_a_streamed_route_has_its_circuit_and_its_timeout(tmp_path):
    """Streams went past tracking and timeouts."""

    async def script(peer: Peer) -> None:
        await peer.read_message()
        if up.connections > 1:
            await peer.closed()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")

    async with scripted(script) as up:
        breaker = "circuitBreaker: {failureThreshold: 2}"
        service = f"up: {{url: 'http://127.0.0.1:{up.port}', timeout: 400, {breaker}}}"
        text = f"http: {{routes: {{/x: {{GET: {{services: {{{service}}}}}}}}}}}"
        async with running(tmp_path, text) as gateway:
            async with client_of(gateway) as client:
                await client.send(get("/x"))
                assert (await client.read_all()).endswith(b"cut")
            assert [(await ask(gateway, get("/x"))).status for _ in range(2)] == [504, 503]


async def test_an_optional_part_does_not_open_its_route(tmp_path):
    """One optional service opened the route for all the others."""
    async with answering(answer({"a": 1})) as good, answering(BROKEN) as bad:
        text = merged(
            f"a: {{url: 'http://127.0.0.1:{good.port}'}}",
            f"b: {{url: 'http://127.0.0.1:{bad.port}', optional: true}}",
            route="circuitBreaker: {failureThreshold: 1},",
        )
        async with running(tmp_path, text) as gateway:
            assert [(await ask(gateway, get("/m"))).status for _ in range(3)] == [200] * 3
            assert gateway.circuits["route:GET /m"].state is CircuitState.CLOSED


async def test_a_service_on_two_routes_has_one_circuit(tmp_path):
    """The same service on two routes had two."""
    async with answering(BROKEN) as up:
        up_url = f'url: "http://127.0.0.1:{up.port}"'
        text = f"services: {{up: {{{up_url}, circuitBreaker: {{failureThreshold: 2}}}}}}\n"
        routes = (f"/{name}: {{GET: {{services: {{up: {{use: up}}}}}}}}" for name in "ab")
        text += f"http: {{routes: {{{', '.join(routes)}}}}}\n"
        async with running(tmp_path, text) as gateway:
            statuses = [(await ask(gateway, get(path))).status for path in ("/a", "/b", "/a", "/b")]
    assert statuses == [500, 500, 503, 503]


@pytest.mark.parametrize(
    ("path", "status", "target"),
    [
        ("/users/7", 200, "/v1/people/7"),
        ("/users/a%2Fb", 200, "/v1/people/a%2Fb"),
        ("/users/a%2F..%2Fadmin", 200, "/v1/people/a%2F..%2Fadmin"),
        ("/users/%2e%2e", 400, None),
        ("/users/..", 400, None),
        ("/users/7/more", 404, None),
    ],
)
async def test_a_parameter_stays_one_segment(tmp_path, path, status, target):
    """Decoded parameters went into the URL as they were, so that `%2e%2e%2f` walked the service's paths."""
    async with answering(OK) as up:
        text = (
            "http: {routes: {'/users/:id': {GET: {services: "
            f"{{up: {{url: 'http://127.0.0.1:{up.port}/v1/people/:id'}}}}}}}}}}}}"
        )
        async with running(tmp_path, text) as gateway:
            assert (await ask(gateway, get(path))).status == status
    assert [r.start.split(" ")[1] for r in up.requests] == ([] if target is None else [target])


async def test_one_parameter_is_not_the_beginning_of_another(tmp_path):
    """`:id` was also replaced inside `:idx`."""
    async with answering(OK) as up:
        text = (
            "http: {routes: {'/:id/:idx': {GET: {services: "
            f"{{up: {{url: 'http://127.0.0.1:{up.port}/:idx/:id'}}}}}}}}}}}}"
        )
        async with running(tmp_path, text) as gateway:
            assert (await ask(gateway, get("/one/two"))).status == 200
    assert up.requests[0].start == "GET /two/one HTTP/1.1"


async def test_a_malformed_answer_is_a_502_and_the_gateway_goes_on(tmp_path):
    """A reply that could not be read ended the process."""
    async with (
        answering(b"{not http at all\r\n\r\n", OK) as up,
        running(tmp_path, one(up.port, THREE)) as gateway,
    ):
        assert [(await ask(gateway, get("/x"))).status for _ in range(2)] == [502, 200]


async def test_answers_that_are_no_failure_never_open(tmp_path):
    """What a client does wrong is no fault of the service."""
    async with (
        answering(MISSING) as up,
        running(tmp_path, one(up.port, "{maxErrors: 1, duration: 1s}")) as gateway,
    ):
        assert [(await ask(gateway, get("/x"))).status for _ in range(5)] == [404] * 5


def test_options_without_a_counterpart_are_refused_by_name(tmp_path):
    """An option that is read over fails silently, on the day that it is needed."""
    for option in ("rollback", "cache", "awaitResponse", "mapping", "onRequest", "getUrl"):
        text = f"http: {{routes: {{/x: {{GET: {{services: {{s: {{url: 'http://h', {option}: 1}}}}}}}}}}}}"
        (line,) = (mistake.text() for mistake in load(tmp_path, text).mistakes)
        assert "not supported" in line, line
        assert option in line
