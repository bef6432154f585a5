"""What a shared circuit costs, as far as it does not depend on the machine."""

from __future__ import annotations

import gc
import tracemalloc

from switchgear import Switchgear
from switchgear.stores.sharing import flush
from tests.shared.backends import Backend, fresh_key

WARM = 200
"""Circuits that are there before it is measured: connections and the driver's caches are nobody's circuit."""
CIRCUITS = 500
KILOBYTE = 1000


def nothing() -> None:
    """What is called."""


def test_a_circuit_takes_at_most_four_kilobytes(backend: Backend) -> None:
    gear = Switchgear(namespace=fresh_key())
    with gear.open(backend.url) as store:
        hosts = gear.breakers("host:{}", limit=WARM + CIRCUITS)
        for number in range(WARM):
            hosts[f"warm-{number}"].call(nothing)
        assert flush(store)
        tracemalloc.start()
        for number in range(CIRCUITS):
            hosts[str(number)].call(nothing)
        assert flush(store)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert memory / CIRCUITS <= 4 * KILOBYTE


def test_calls_cost_the_server_nothing(backend: Backend) -> None:
    gear = Switchgear()
    with gear.open(backend.url):
        guarded = gear.breaker(fresh_key())(nothing)
        guarded()
        before = backend.work()
        for _ in range(20_000):
            guarded()
        assert backend.work() - before < 200


def test_a_process_has_two_connections(backend: Backend) -> None:
    before = backend.connections()
    gear = Switchgear()
    with gear.open(backend.url) as store:
        for number in range(20):
            gear.breaker(f"{fresh_key()}-{number}").acquire().failure()
        assert flush(store)
        assert backend.connections() - before <= 2
