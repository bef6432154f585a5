"""Where threads are greenlets, or can't be started at all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import cast

from switchgear.stores import store_from_url
from switchgear.stores.shared import SharedStore
from tests.servers.process import free_port
from tests.stores.conftest import Backend

COMMON = """
import logging, sys, time
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from switchgear import CircuitBreaker, CircuitOpenError
from switchgear.stores import courier, pump, store_from_url
from switchgear.stores.sharing import flush
pump.LEAVING = courier.SENDING = 30.0  # a busy machine may need more than the second that they are
breaker = CircuitBreaker("x", failure_threshold=2, reset_timeout=0.3, store=store_from_url(sys.argv[1]))
def fail(times):
    for _ in range(times):
        breaker.acquire().failure("no route to host")
"""
GEVENT = "from gevent import monkey, sleep\nmonkey.patch_all()\n" + COMMON
FORBIDDEN = (
    """
import threading
def start_new_thread(*_, **__):
    raise RuntimeError("thread is not supported for isolated subinterpreters")
threading._start_new_thread = threading._start_joinable_thread = start_new_thread  # the second one since 3.13
"""
    + COMMON
)


def child(code: str, url: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


async def _read(url: str) -> tuple[str, str]:
    async with cast(SharedStore, store_from_url(url)) as store:
        found = await store.get_state("x")
        return found.state.value, found.reason


def url_of(backend: Backend) -> str:
    """With the test's own namespace."""
    return f"{backend.url}?namespace={backend.namespace}"


def test_under_gevent_circuits_are_shared_and_probes_leased(backend: Backend) -> None:
    url = url_of(backend)
    failures = """
assert breaker.ready(30)
fail(2)
assert flush(breaker.circuit._home.store, 30)
"""
    lines = child(GEVENT + failures, url)
    assert sum("threads are greenlets here" in line for line in lines) == 1
    assert asyncio.run(_read(url))[0] == "open"
    probe = """
assert breaker.ready(30)
assert breaker.state == "open"
while breaker.state != "closed":
    try:
        breaker.acquire().success()
    except CircuitOpenError:  # also while the store is slow to lease a probe
        sleep(0.01)
"""
    child(GEVENT + probe, url)
    assert asyncio.run(_read(url)) == ("closed", "a probe succeeded")  # sent when the interpreter ended


def test_a_greenlet_that_never_gives_way_has_a_breaker_of_its_own_meanwhile(backend: Backend) -> None:
    code = """
fail(2)  # nothing was sent: nobody else has run
try:
    breaker.acquire()
except CircuitOpenError:
    print(breaker.state)
"""
    assert child(GEVENT + code, url_of(backend))[-1] == "open"


def test_under_gevent_a_dead_store_holds_up_nobody() -> None:
    code = """
fail(2)
sleep(0.4)
begin = time.monotonic()
breaker.acquire().success()
assert time.monotonic() - begin < 50
print(breaker.state)
"""
    assert "closed" in child(GEVENT + code, f"redis://127.0.0.1:{free_port()}")


def test_where_threads_are_forbidden_it_is_said_once_and_breakers_work_locally(backend: Backend) -> None:
    url = url_of(backend)
    code = """
assert not breaker.ready(1)
other = CircuitBreaker("y", store=store_from_url(sys.argv[1]))
other.acquire().failure("no")
fail(2)
assert breaker.state == "open", breaker.snapshot()
while breaker.snapshot().retry_after:
    pass
breaker.acquire().success()
print(breaker.state)
"""
    lines = child(FORBIDDEN + code, url)
    said = [line for line in lines if "no thread can run here" in line]
    assert len(said) == 1
    assert "thread is not supported" in said[0]
    assert lines[-1] == "closed"
    assert asyncio.run(_read(url)) == ("closed", "")
