"""The pytest plug-in, as users have it: installed, found by pytest, in runs of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from switchgear.testing import CircuitBreakerStoreContract
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

pytest_plugins = ["pytester"]

STRICT = """
[pytest]
filterwarnings = error
addopts = --strict-markers --strict-config -p no:valkey -p no:cacheprovider
"""


@pytest.fixture
def strict(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that takes no warning."""
    pytester.makefile(".ini", pytest=STRICT)
    return pytester


FIXTURES = """
import pytest
from switchgear import CircuitBreaker, CircuitOpenError

payments = CircuitBreaker("payments", failure_threshold=1)

def test_time_goes_when_told_to(breaker_factory, manual_clock):
    breaker = breaker_factory("search", failure_threshold=1, reset_timeout=30)
    breaker.acquire().failure("no route")
    manual_clock.advance(29)
    with pytest.raises(CircuitOpenError):
        breaker.acquire()
    manual_clock.advance(1)
    with breaker:
        pass
    assert breaker.state == "closed"

def test_breakers_have_names(breaker_factory):
    assert [breaker_factory().name for _ in range(2)] == ["breaker-1", "breaker-2"]

def test_held_open(force_open):
    force_open("payments", reason="a drill")
    with pytest.raises(CircuitOpenError, match="a drill"):
        payments.call(int)

def test_not_held_any_more():
    assert payments.call(int) == 0
    payments.acquire().failure("left behind")

@pytest.mark.usefixtures("fresh_circuits")
def test_fresh():
    assert payments.state == "closed"
    payments.acquire().failure("left behind again")

def test_fresh_afterwards():
    assert payments.state == "closed"

def test_a_store(circuit_store):
    first, second = (CircuitBreaker("x", failure_threshold=1, store=circuit_store) for _ in range(2))
    first.acquire().failure("no")
    assert second.state == "open"

def test_a_flaky_store_slows_nothing(flaky_store):
    flaky_store.hangs = True
    breaker = CircuitBreaker("x", failure_threshold=1, store=flaky_store)
    breaker.acquire().failure("no")
    assert breaker.state == "open"

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_async(circuit_store, breaker_factory):
    breaker = breaker_factory("async", store=circuit_store, failure_threshold=1)
    (await breaker.acquire_async()).failure("no")
    assert (await circuit_store.get_state("async")).state == "open"
"""
COUNT = FIXTURES.count("def test_")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_fixtures(strict: pytest.Pytester, workers: int) -> None:
    """With anyio and xdist, in a project that takes warnings for errors."""
    strict.makepyfile(FIXTURES)
    parallel = ["-n", str(workers), "--dist", "loadfile"] if workers else []
    strict.runpytest_subprocess(*parallel).assert_outcomes(passed=COUNT)


SHARED = """
from switchgear import CircuitBreaker

def test_nobody_else_is_here(circuit_store):
    breaker = CircuitBreaker("x", failure_threshold=1, store=circuit_store)
    assert any(breaker.ready(10) for _ in range(5))
    assert breaker.state == "closed"
    breaker.acquire().failure("no")

def test_here_neither(circuit_store):
    test_nobody_else_is_here(circuit_store)

async def test_async(circuit_store, anyio_backend):
    async with circuit_store:
        assert (await circuit_store.record_failure("x")).failure_count == 1
"""


def test_real_servers_by_their_urls(
    strict: pytest.Pytester, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    strict.makepyfile(SHARED)
    urls = [f"--switchgear-store={url}" for url in ("memory://", redis_server.url, postgres_server.dsn)]
    found = strict.runpytest_subprocess("-v", *urls)
    found.assert_outcomes(passed=9)
    found.stdout.no_fnmatch_line("*127.0.0.1*")


def test_a_wrong_url_is_told(strict: pytest.Pytester) -> None:
    strict.makepyfile(SHARED)
    found = strict.runpytest_subprocess("--switchgear-store=mysql://localhost")
    found.stdout.fnmatch_lines(["*a store's URL with scheme 'mysql': allowed are memory, redis*"])


def test_it_imports_nothing_of_ours_for_those_who_do_not_use_it(strict: pytest.Pytester) -> None:
    strict.makepyfile(
        "import sys\ndef test_light():\n"
        "    assert 'switchgear_pytest' in sys.modules\n    assert 'switchgear' not in sys.modules\n"
    )
    strict.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_can_be_left_out(strict: pytest.Pytester) -> None:
    strict.makepyfile("def test_without(manual_clock): pass")
    strict.runpytest_subprocess("-p", "no:switchgear").assert_outcomes(errors=1)


CONTRACT = """
import pytest
from switchgear.stores import InMemoryCircuitBreakerStore
from switchgear.testing import CircuitBreakerStoreContract

class Forgetful(InMemoryCircuitBreakerStore):
    async def reset(self, key): pass

class TestForgetful(CircuitBreakerStoreContract):
    lacks = ("times",)
    @pytest.fixture
    def store(self):
        return Forgetful()
"""


def test_the_contract_finds_the_fault_and_runs_what_is_not_declared(strict: pytest.Pytester) -> None:
    strict.makepyfile(CONTRACT)
    found = strict.runpytest_subprocess()
    tests = [name for name in dir(CircuitBreakerStoreContract) if name.startswith("test_")]
    declared = [name for name in tests if getattr(CircuitBreakerStoreContract, name).promise == "times"]
    assert declared
    found.assert_outcomes(failed=1, passed=len(tests) - len(declared) - 1)
    found.stdout.fnmatch_lines(["FAILED *::TestForgetful::test_reset_forgets*"])


def test_its_entry_point_is_in_the_package() -> None:
    code = "from importlib.metadata import entry_points as e; print(*(p.value for p in e(group='pytest11')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "switchgear_pytest" in done.stdout.split()
    assert (Path(__file__).parents[2] / "src" / "switchgear_pytest.py").is_file()
