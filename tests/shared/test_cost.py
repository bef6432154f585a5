"""What a shared circuit costs, as far as it does not depend on the machine."""

from __future__ import annotations

import gc
import tracemalloc

from switchgear import Switchgear
from switchgear.stores.sharing import flush
from tests.servers.patience import PATIENCE
from tests.shared.backends import Backend, fresh_key
from tests.shared.scenes import eventually

WARM = 200
"""Circuits that are there before it is measured: connections and the driver's caches are nobody's circuit."""
CIRCUITS = 500
KILOBYTE = 1000
ROUNDS = 10


def nothing() -> None:
    """What is called."""


def test_a_circuit_takes_at_most_four_kilobytes(backend: Backend) -> None:
    gear = Switchgear(namespace=fresh_key())
    with gear.open(backend.url) as store:
        hosts = gear.breakers("host:{}", limit=WARM + CIRCUITS)
        for number in range(WARM):
            hosts[f"warm-{number}"].call(nothing)
        assert flush(store, PATIENCE)
        tracemalloc.start()
        try:
            for number in range(CIRCUITS):
                hosts[str(number)].call(nothing)
            assert flush(store, PATIENCE)
            # What is under way takes memory, too, for a moment.
            eventually(lambda: traced() / CIRCUITS <= 4 * KILOBYTE, PATIENCE)
        finally:
            tracemalloc.stop()


def traced() -> int:
    """Bytes that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_calls_cost_the_server_nothing(backend: Backend) -> None:
    gear = Switchgear()
    with gear.open(backend.url):
        guarded = gear.breaker(fresh_key())(nothing)
        guarded()
        # What the server is asked in time grows with the time that the calls take, and sessions of earlier
        # tests may still tell it what they did: but not in each round.
        costs: list[int] = []
        while not costs or costs[-1] >= 200:
            assert len(costs) < ROUNDS, costs
            before = backend.work()
            for _ in range(20_000):
                guarded()
            costs.append(backend.work() - before)


def test_a_process_has_two_connections(backend: Backend) -> None:
    before = backend.connections()
    gear = Switchgear()
    with gear.open(backend.url) as store:
        for number in range(20):
            gear.breaker(f"{fresh_key()}-{number}").acquire().failure()
        assert flush(store, PATIENCE)
        assert backend.connections() - before <= 2
