"""FastAPI and Starlette on a real socket: lifespan, rejections as answers, dependencies."""

import asyncio
import re
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from switchgear import CircuitBreaker, Permit, Switchgear
from switchgear.integrations.fastapi import install, member, permit
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import ManualClock
from tests.integrations.asgi import converse, serving

pytestmark = pytest.mark.anyio


class Shop:
    """An application whose one service works or not, as the test says."""

    def __init__(self, kind: str) -> None:
        self.clock = ManualClock()
        self.circuits = Switchgear(clock=self.clock, failure_threshold=2, reset_timeout=7.5)
        self.payments = self.circuits.breaker("payments")
        self.calls = 0
        self.works = False
        self.app = FastAPI()
        install(self.app, self.circuits)

        def order(call: Annotated[Permit, Depends(permit(self.payments))]):
            self.calls += 1
            if not self.works:
                raise HTTPException(502)
            return {"probe": call.probe}

        async def order_async(call: Annotated[Permit, Depends(permit(self.payments))]):
            return order(call)

        self.app.post("/orders")(order if kind == "sync" else order_async)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_it_opens_rejects_probes_and_closes(kind):
    shop = Shop(kind)
    async with serving(shop.app) as client:
        assert [(await client.post("/orders")).status_code for _ in range(3)] == [502, 502, 503]
        assert shop.calls == 2
        shop.clock.advance(7.5)
        shop.works = True
        assert (await client.post("/orders")).json() == {"probe": True}
        assert (await client.post("/orders")).json() == {"probe": False}


async def test_a_rejection_is_a_503_with_a_time_and_a_problem():
    shop = Shop("async")
    shop.payments.acquire().failure()
    shop.payments.acquire().failure("secret")
    async with serving(shop.app) as client:
        rejected = await client.post("/orders")
    assert rejected.status_code == 503
    assert rejected.headers["retry-after"] == "8"  # 7.5 s, rounded up
    assert rejected.headers["content-type"] == "application/problem+json"
    assert (rejected.json()["title"], rejected.json()["status"]) == ("Service Unavailable", 503)
    assert not re.search(r"payments|secret", rejected.text)


@pytest.mark.parametrize(("passed", "value"), [(0.0, "8"), (6.5, "1"), (7.2, "1")])
async def test_retry_after_is_whole_seconds_and_at_least_one(passed, value):
    shop = Shop("async")
    for _ in range(2):
        shop.payments.acquire().failure()
    shop.clock.advance(passed)
    async with serving(shop.app) as client:
        assert (await client.post("/orders")).headers["retry-after"] == value


async def test_retry_after_is_left_out_when_nobody_knows():
    shop = Shop("async")
    shop.payments.force_open("maintenance")
    async with serving(shop.app) as client:
        rejected = await client.post("/orders")
    assert (rejected.status_code, rejected.headers.get("retry-after")) == (503, None)


async def test_starlette_alone_has_the_same_answer():
    payments = CircuitBreaker("payments")
    payments.force_open(expires_in=3)

    def order(_request):
        with payments:
            return PlainTextResponse("done")

    app = Starlette(routes=[Route("/orders", order)])
    install(app, Switchgear())
    async with serving(app) as client:
        rejected = await client.get("/orders")
    assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "3")


# ---- what is evidence


async def counted(endpoint, path="/x", **request) -> int:
    """The failures that a request to an endpoint leaves in its circuit, after a success or a failure."""
    payments = CircuitBreaker("payments")
    payments.acquire().failure()
    app = FastAPI()
    install(app, Switchgear())
    app.post(path, dependencies=[Depends(permit(payments))])(endpoint)
    async with serving(app) as client:
        await client.post("/x", **request)
    return payments.snapshot().failure_count


async def test_what_the_endpoint_raises_is_judged_by_the_policy():
    def failing():
        raise HTTPException(503)

    def refusing():
        raise HTTPException(404)

    assert await counted(failing) == 2
    assert await counted(refusing) == 0  # an answer: it ends the row
    assert await counted(lambda: "fine") == 0


async def test_a_request_that_fastapi_refuses_is_no_evidence():
    def endpoint(number: int):
        return number

    assert await counted(endpoint, params={"number": "three"}) == 1


async def test_an_endpoint_can_report_by_hand():
    payments = CircuitBreaker("payments")
    app = FastAPI()

    @app.get("/x")
    def endpoint(call: Annotated[Permit, Depends(permit(payments))]):
        call.failure("the body says so")
        return {}

    async with serving(app) as client:
        await client.get("/x")
    assert payments.snapshot().failure_count == 1


async def test_a_client_that_leaves_is_no_evidence():
    payments = CircuitBreaker("payments")
    payments.acquire().failure()
    app = FastAPI()
    began, ended = asyncio.Event(), asyncio.Event()

    async def pieces():
        try:
            while True:
                began.set()
                yield b"x" * 65536
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    @app.get("/x", dependencies=[Depends(permit(payments))])
    def endpoint():
        return StreamingResponse(pieces())

    async with serving(app) as client:
        async with client.stream("GET", "/x"):
            await began.wait()
        await asyncio.wait_for(ended.wait(), 30)
    assert payments.snapshot().failure_count in {0, 1}  # never one more


# ---- families


async def test_a_family_has_a_circuit_for_each_key():
    tenants = Switchgear().breakers("tenant:{}", failure_threshold=1)
    app = FastAPI()
    install(app, Switchgear())

    def tenant_of(connection):
        return connection.path_params["tenant"]

    @app.get("/{tenant}/guarded", dependencies=[Depends(permit(tenants, key=tenant_of))])
    def guarded(tenant: str):
        if tenant == "a":
            raise ConnectionError("no route to host")
        return {}

    @app.get("/{tenant}/state")
    def state(breaker: Annotated[CircuitBreaker, Depends(member(tenants, tenant_of))]):
        return breaker.state

    async with serving(app) as client:
        assert (await client.get("/a/guarded")).status_code == 500
        assert (await client.get("/a/guarded")).status_code == 503
        assert (await client.get("/b/guarded")).status_code == 200
        assert (await client.get("/a/state")).json() == "open"
        assert (await client.get("/b/state")).json() == "closed"


def test_a_key_goes_with_a_family():
    circuits = Switchgear()
    with pytest.raises(TypeError, match="key= chooses from a family"):
        permit(circuits.breaker("x"), key=lambda _: "x")
    with pytest.raises(TypeError, match=r"the family 'x:\{\}' needs key="):
        permit(circuits.breakers("x:{}"))


# ---- the lifespan


async def test_the_store_is_there_for_the_whole_of_the_applications_own_lifespan():
    circuits = Switchgear()
    payments = circuits.breaker("payments", failure_threshold=1)
    store = InMemoryCircuitBreakerStore()
    other = CircuitBreaker("payments", failure_threshold=1, store=store)
    seen = []

    @asynccontextmanager
    async def lifespan(app):
        seen.append(payments.state)
        other.acquire().failure()
        seen.append(payments.state)
        yield
        seen.append(payments.state)

    app = FastAPI(lifespan=lifespan)
    install(app, circuits, store)
    async with serving(app):
        pass
    assert seen == ["closed", "open", "open"]
    assert payments.state == "closed"  # by itself again


async def test_the_state_of_the_applications_own_lifespan_is_kept():
    @asynccontextmanager
    async def lifespan(_app):
        yield {"greeting": "hello"}

    async def greet(request):
        return PlainTextResponse(request.state.greeting)

    app = Starlette(routes=[Route("/", greet)], lifespan=lifespan)
    install(app, Switchgear(), "memory://")
    for _ in range(2):  # an application may be started again
        async with serving(app) as client:
            assert (await client.get("/")).text == "hello"


def test_a_mistake_in_the_url_shows_at_once():
    with pytest.raises(ValueError, match="allowed are memory, redis"):
        install(FastAPI(), Switchgear(), "reddis://localhost")


async def test_two_applications_are_one_breaker_through_redis(redis_server):
    namespace = uuid4().hex

    def application(*, works: bool) -> FastAPI:
        circuits = Switchgear(namespace)
        payments = circuits.breaker("payments", failure_threshold=1)
        app = FastAPI()
        install(app, circuits, redis_server.url)

        @app.get("/", dependencies=[Depends(permit(payments))])
        def endpoint():
            if not works:
                raise HTTPException(502)

        return app

    async with serving(application(works=False)) as first, serving(application(works=True)) as second:
        assert (await second.get("/")).status_code == 200
        assert (await first.get("/")).status_code == 502
        async with asyncio.timeout(30):
            while (await second.get("/")).status_code != 503:  # noqa: ASYNC110 - news of another process
                await asyncio.sleep(0.02)


# ---- rejections that come too late for an answer


async def test_a_rejection_in_a_background_task_is_not_swallowed(caplog):
    payments = CircuitBreaker("payments")
    payments.force_open()
    app = FastAPI()
    install(app, Switchgear())

    @app.get("/")
    def endpoint(tasks: BackgroundTasks):
        tasks.add_task(payments.call, print, "never")
        return {}

    caplog.set_level("ERROR", "uvicorn.error")
    async with serving(app) as client:
        assert (await client.get("/")).status_code == 200
    assert "CircuitOpenError: circuit 'payments' is forced-open" in caplog.text


# ---- WebSockets


def rejecting_socket(*, accepts: bool) -> FastAPI:
    payments = CircuitBreaker("payments")
    payments.force_open(expires_in=3)
    app = FastAPI()
    install(app, Switchgear())

    @app.websocket("/")
    async def endpoint(socket: WebSocket):
        if accepts:
            await socket.accept()
        async with payments:
            pass

    return app


CONNECT = {"type": "websocket.connect"}


async def test_a_websocket_is_denied_with_a_503_where_the_server_can():
    denial = {"websocket.http.response": {}}
    start, body = await converse(rejecting_socket(accepts=False), "/", CONNECT, extensions=denial)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert (b"retry-after", b"3") in start["headers"]
    assert body["type"] == "websocket.http.response.body"


@pytest.mark.parametrize("accepts", [False, True])
async def test_a_websocket_is_closed_to_be_tried_again_later(accepts):
    sent = await converse(rejecting_socket(accepts=accepts), "/", CONNECT)
    assert [message["type"] for message in sent] == ["websocket.accept"] * accepts + ["websocket.close"]
    assert sent[-1]["code"] == 1013
