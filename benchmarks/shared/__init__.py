"""The guarantees of shared state on real servers: each line a figure and its bar.

Eight processes, two of them async. The servers run on the same cores as they do, so exact counts say more
than times do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.shared.backends import Backend, PostgresBackend, RedisBackend
from tests.shared.fleet import Fleet

from benchmarks.report import version_of
from benchmarks.shared import cost, outages, sharing
from benchmarks.shared.bars import Line


def run() -> None:
    """Measure and print."""
    logging.getLogger("switchgear").setLevel(logging.CRITICAL)  # circuits open and stores die on purpose
    print(f"redis-py {version_of('redis')}, psycopg {version_of('psycopg')}")
    with ExitStack() as stack:
        servers: list[Backend] = [
            RedisBackend(stack.enter_context(RedisServer())),
            PostgresBackend(stack.enter_context(PostgresServer())),
        ]
        fleet = stack.enter_context(Fleet())
        for backend in servers:
            print(f"\n{backend.version}")
            for line in _lines(fleet, backend):
                print(line, flush=True)  # at once: all together take minutes


def _lines(fleet: Fleet, backend: Backend) -> Iterator[Line]:
    parts: Iterable[Iterator[Line]] = (
        sharing.counting(fleet, backend),
        sharing.overshoot(fleet, backend),
        sharing.probing(fleet, backend),
        sharing.sickness(fleet, backend),
        cost.speed(backend),
        cost.idleness(backend),
        cost.mirrored(backend),
        outages.outage(fleet, backend),
    )
    for part in parts:
        yield from part
