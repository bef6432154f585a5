"""`gateway_test`: a gateway's file under test, in front of fakes that do as they are told."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from switchgear import CircuitState
from switchgear.testing import gateway_test

FILE = """
services:
  users:
    url: ${USERS:-http://localhost:6666}
    timeout: 800ms
    circuitBreaker: {failureThreshold: 3, resetTimeout: 5s}
http:
  routes:
    /users/{id}:
      GET:
        services: {users: {use: users, path: "/u/{id}"}}
      POST:
        services: {users: {use: users}}
    /both:
      GET:
        services:
          users: {use: users, path: /me}
          inbox: {url: "http://localhost:6667/inbox", mergeField: inbox, optional: true}
    /slow:
      GET:
        services:
          reports:
            url: http://localhost:6668
            circuitBreaker: {slowCallRate: 1, slowCallDuration: 2s, minimumCalls: 1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def gateway(file):
    with gateway_test(file, {}) as running:
        yield running


def test_a_fake_answers_and_keeps_what_it_was_asked(gateway):
    assert gateway.get("/users/1").json() == {}
    gateway.fake("users").answer(201, json={"id": 7}, headers={"X-Kind": "new"})
    answer = gateway.post("/users/7?dry=1", json={"name": "Ada"}, headers={"X-Who": "me"})
    assert (answer.status, answer.json(), answer.headers["x-kind"]) == (201, {"id": 7}, "new")
    first, second = gateway.fake("users").requests
    assert (first.method, first.target) == ("GET", "/u/1")
    assert (second.method, second.target, second.json()) == ("POST", "/users/7?dry=1", {"name": "Ada"})
    assert second.headers["x-who"] == "me"


@pytest.mark.parametrize("status", [204, 304, 418, 599])
def test_any_status_can_be_answered(gateway, status):
    gateway.fake("users").answer(status, body="some text")
    answer = gateway.get("/users/1")
    assert (answer.status, answer.text) == (status, "" if status in (204, 304) else "some text")


def test_an_answer_to_head_has_no_body(gateway):
    gateway.fake("users").answer(body=b"12345")
    answer = gateway.request("HEAD", "/users/1")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_a_circuit_opens_and_closes_by_the_tests_own_clock(gateway):
    users, circuit = gateway.fake("users"), gateway.circuit("service:users")
    users.fail(503)
    assert [gateway.get("/users/1").status for _ in range(3)] == [503, 503, 503]
    assert circuit.state is CircuitState.OPEN
    rejected = gateway.get("/users/1")
    assert (rejected.headers["switchgear-origin"], rejected.headers["retry-after"]) == ("breaker", "5")
    assert len(users.requests) == 3
    gateway.clock.advance(4.9)
    assert gateway.get("/users/1").headers["switchgear-origin"] == "breaker"
    gateway.clock.advance(0.1)
    users.answer(json={})
    assert gateway.get("/users/1").status == 200
    assert circuit.state is CircuitState.CLOSED


def test_a_fake_can_fail_a_few_times(gateway):
    users = gateway.fake("users")
    users.answer(json={"id": 1})
    users.fail(500, times=2)
    assert [gateway.get("/users/1").status for _ in range(4)] == [500, 500, 200, 200]
    users.fail(502, times=5)
    users.answer(json={"id": 2})  # what is told last holds
    assert gateway.get("/users/1").json() == {"id": 2}


def test_a_hanging_service_takes_simulated_time_only(gateway):
    gateway.fake("users").hang()
    simulated = gateway.clock.monotonic()
    answer = gateway.get("/users/1")
    assert (answer.status, answer.headers["switchgear-origin"]) == (504, "timeout")
    assert 0.8 <= gateway.clock.monotonic() - simulated <= 1.0
    gateway.fake("reports").hang()  # 30 s, the default
    assert gateway.get("/slow").status == 504
    assert gateway.clock.monotonic() - simulated > 30


def test_a_part_that_hangs_does_not_make_the_others_late(gateway):
    gateway.fake("inbox").hang()
    gateway.fake("users").answer(json={"id": 1}, delay=0.5)
    answer = gateway.get("/both")
    assert (answer.status, answer.json()) == (200, {"id": 1})
    assert answer.headers["switchgear-parts"] == "users;ok, inbox;omitted;reason=timeout"


def test_a_machine_that_stands_still_makes_no_answer_late(gateway):
    """Real time went on beside the simulated one, so that a pause of 300 ms made a timeout of this."""
    gateway.fake("users").answer(json={"id": 1}, delay=0.5)

    def stand_still() -> None:
        if gateway.clock.monotonic() > begin:  # the delay is under way
            time.sleep(1.0)
        else:
            loop.call_soon(stand_still)

    begin, loop = gateway.clock.monotonic(), gateway._scene.thread._loop
    loop.call_soon_threadsafe(stand_still)
    assert gateway.get("/users/1").status == 200


def test_a_late_answer_is_slow_by_simulated_time(gateway):
    circuit = gateway.circuit("service:reports")
    gateway.fake("reports").answer(delay=1.9)
    assert gateway.get("/slow").status == 200
    assert circuit.state is CircuitState.CLOSED
    gateway.fake("reports").answer(delay=2.1)
    assert gateway.get("/slow").status == 200
    gateway.clock.advance(40)  # both are out of the window
    assert gateway.get("/slow").status == 200
    assert circuit.state is CircuitState.OPEN


def test_connections_are_refused_and_taken_again(gateway):
    users = gateway.fake("users")
    assert gateway.get("/users/1").status == 200  # and its connection is kept
    users.refuse()
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", users.port), timeout=60),
    ):
        pass
    users.refuse()  # twice does no harm
    assert gateway.get("/users/1").status == 502
    assert len(users.requests) == 1
    users.answer(json={"id": 1})
    assert gateway.get("/users/1").json() == {"id": 1}


def test_a_connection_that_is_there_is_dropped(gateway):
    users = gateway.fake("users")
    with socket.create_connection(("127.0.0.1", users.port), timeout=60) as kept:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: users\r\n\r\n")
        assert kept.recv(1) == b"H"
        users.refuse()
        with suppress(ConnectionResetError):
            while kept.recv(100):
                pass


def test_the_file_decides_about_the_environment(file):
    with gateway_test(file, {"USERS": "https://users.example:8443/v2"}) as gateway:
        assert set(gateway.fakes) == {
            "users@https://users.example:8443",
            "inbox@http://localhost:6667",
            "reports@http://localhost:6668",
        }
        assert gateway.get("/users/1").status == 200
        (request,) = gateway.fake("users").requests
        assert request.target == "/v2/u/1"
        assert gateway.circuit("service:users@https://users.example:8443").state == "closed"


def test_a_name_that_means_nothing_says_what_there_is(gateway):
    with pytest.raises(LookupError, match=r"no upstream 'user'; there are: inbox@http://localhost:6667, "):
        gateway.fake("user")
    with pytest.raises(LookupError, match=r"no circuit 'users'; there are: service:reports@"):
        gateway.circuit("users")


def test_a_name_that_means_two_says_both(tmp_path):
    (tmp_path / "g.json").write_text(
        '{"http": {"routes": {"/": {"GET": {"services": {"main": {"url": ["http://a", "http://b:81"]}}}}}}}'
    )
    with gateway_test(tmp_path / "g.json") as gateway:
        with pytest.raises(
            LookupError, match=r"^\"?'main' may be each of main@http://a:80, main@http://b:81"
        ):
            gateway.fake("main")
        gateway.fake("main@http://a:80").answer(body="a")
        gateway.fake("main@http://b:81").answer(body="b")
        assert sorted(gateway.get("/").text for _ in range(4)) == ["a", "a", "b", "b"]


def test_a_wrong_file_is_told_with_all_its_mistakes(tmp_path):
    (tmp_path / "g.yaml").write_text("limmits: {}\nhttp: {routes: {}}\nlog: {level: loud}\n")
    with pytest.raises(ValueError, match=r"(?s)g.yaml:1:1: limmits: unknown key.*g.yaml:3:14: log.level: "):
        gateway_test(tmp_path / "g.yaml")


def test_nothing_is_left_behind(file):
    threads = set(threading.enumerate())
    with gateway_test(file, {}) as gateway:
        gateway.fake("users").hang()
        ports = [fake.port for fake in gateway.fakes.values()]
        gateway.get("/users/1")
    assert set(threading.enumerate()) <= threads
    for port in ports:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))


def test_it_ends_when_the_block_raises(file):
    with pytest.raises(ZeroDivisionError), gateway_test(file, {}):
        1 / 0  # noqa: B018 - that it raises is the point


# ---- async


@pytest.mark.anyio
async def test_async_requests_can_be_at_once(file):
    async with gateway_test(file, {}) as gateway:
        users = gateway.fake("users")
        users.answer(json={"id": 1}, delay=0.3)
        answers = await asyncio.gather(*(gateway.get("/users/1") for _ in range(3)))
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert len(users.requests) == 3
        users.fail()
        assert [(await gateway.get("/users/1")).status for _ in range(4)] == [500, 500, 500, 503]


@pytest.mark.anyio
async def test_a_cancelled_request_does_no_harm(file):
    async with gateway_test(file, {}) as gateway:
        users = gateway.fake("users")
        users.hang()
        request = asyncio.ensure_future(gateway.get("/users/1"))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        users.answer(json={"id": 1})
        assert (await gateway.get("/users/1")).json() == {"id": 1}


@pytest.mark.anyio
async def test_whoever_moves_the_clock_on_ends_the_gateways_waits(tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text("""
http:
  retry: {attempts: 2, backoff: 12h, maxBackoff: 12h}
  routes: {/: {GET: {services: {main: {url: "http://localhost:6666"}}}}}
""")
    async with gateway_test(file, {}) as gateway, asyncio.timeout(30):
        gateway.fake("main").fail(503, times=1)
        answer = asyncio.ensure_future(gateway.get("/"))
        while not answer.done():  # the wait begins at some moment after the request
            gateway.clock.advance(3600)
            await asyncio.sleep(0.01)
        assert (await answer).status == 200
        assert len(gateway.fake("main").requests) == 2


def test_who_tests_no_gateway_needs_nothing_of_it():
    others = {"yaml", "msgspec", "switchgear.gateway"}
    code = f"import sys, switchgear.testing; print({others} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "set()\n"
