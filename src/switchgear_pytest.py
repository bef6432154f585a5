"""Fixtures for tests of code that uses switchgear: a pytest plug-in, which pytest finds by itself.

It stands beside the package, not inside of it, and imports it only for a fixture that is used: pytest loads
every plug-in that is installed, also for those who test something else. `-p no:switchgear` leaves it out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from switchgear import CircuitBreaker
    from switchgear.stores import CircuitBreakerStore
    from switchgear.testing import FlakyStore, ManualClock

MEMORY = "memory://"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("switchgear").addoption(
        "--switchgear-store",
        action="append",
        metavar="URL",
        dest="switchgear_stores",
        help="the store of the fixtures circuit_store and flaky_store, by default memory://; "
        "given again, their tests run with each",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "circuit_store" in metafunc.fixturenames:
        urls: list[str] = metafunc.config.getoption("switchgear_stores") or [MEMORY]
        # A password in a URL is nothing for a report.
        names = [urlsplit(url).scheme for url in urls]
        metafunc.parametrize("circuit_store", urls, indirect=True, ids=names if len(urls) > 1 else [""])


# ---- time and breakers ----


@pytest.fixture
def manual_clock() -> ManualClock:
    """Time that goes only when told to: `manual_clock.advance(30)`."""
    from switchgear.testing import ManualClock

    return ManualClock()


@pytest.fixture
def breaker_factory(manual_clock: ManualClock) -> Callable[..., CircuitBreaker]:
    """Makes breakers that go by `manual_clock`: `breaker_factory("search", failure_threshold=1)`.

    Takes what `CircuitBreaker` takes; without a name they are called `breaker-1` and so on.
    """
    from switchgear import CircuitBreaker

    made = 0

    def make(name: str | None = None, **arguments: object) -> CircuitBreaker:
        nonlocal made
        made += 1
        return CircuitBreaker(name or f"breaker-{made}", **{"clock": manual_clock, **arguments})  # type: ignore[arg-type]  # its own names

    return make


@pytest.fixture
def force_open() -> Iterator[Callable[..., None]]:
    """Holds breakers open until the test ends: `force_open("payments", reason="a drill")`.

    By object or by name; `LookupError` when no breaker has that name.
    """
    from switchgear.testing import force_open

    with ExitStack() as held:

        def hold(target: str | CircuitBreaker, reason: str = "forced open by a test") -> None:
            held.enter_context(force_open(target, reason))

        yield hold


@pytest.fixture
def fresh_circuits() -> Iterator[None]:
    """Every breaker of the process is closed and knows of nothing, before the test and after it.

    For breakers of modules, which outlive a test: `pytestmark = pytest.mark.usefixtures("fresh_circuits")`.
    """
    from switchgear.testing.overrides import reset_all

    reset_all()
    yield
    reset_all()


# ---- stores ----


@pytest.fixture
def circuit_store(request: pytest.FixtureRequest) -> Iterator[CircuitBreakerStore]:
    """A store of the test's own: in memory, or on the server that `--switchgear-store URL` names.

    On a server each test has a namespace of its own, so that tests may run side by side. An async test that
    calls the store's own methods closes it by `async with circuit_store:`, in its event loop.
    """
    from switchgear.stores import store_from_url
    from switchgear.stores.sharing import release

    url: str = getattr(request, "param", MEMORY)
    store = store_from_url(url if url == MEMORY else _in_a_namespace(url))
    yield store
    if url != MEMORY:
        release(store)


@pytest.fixture
def flaky_store(circuit_store: CircuitBreakerStore) -> Iterator[FlakyStore]:
    """`circuit_store`, to be disturbed: `flaky_store.error = ConnectionError("down")`."""
    from switchgear.stores.sharing import release
    from switchgear.testing import FlakyStore

    store = FlakyStore(circuit_store)
    yield store
    store.heal()
    release(cast("CircuitBreakerStore", store))


def _in_a_namespace(url: str) -> str:
    option = urlencode({"namespace": f"test-{secrets.token_hex(6)}"})
    return f"{url}{'&' if urlsplit(url).query else '?'}{option}"
