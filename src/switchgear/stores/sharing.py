"""Which home a store has in this process, and which circuit a key has in it."""

from __future__ import annotations

import logging
import random
import secrets
from typing import Final, cast
from weakref import WeakValueDictionary

from switchgear.breaker.forks import ForkableLock
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.clock import SYSTEM_CLOCK, Clock
from switchgear.stores.home import Home
from switchgear.stores.leased import LeasedCircuit
from switchgear.stores.mirrored import MirroredCircuit
from switchgear.stores.plain import LIMITS, PlainStore
from switchgear.stores.protocol import CircuitBreakerStore
from switchgear.stores.pump import PUMP
from switchgear.stores.view import SharedCircuitStore

logger = logging.getLogger("switchgear")

CLOSING: Final = 5.0
"""Seconds to flush and close a store at the end of its scope."""

_CHANCE: Final = random.SystemRandom()
"""Not the module's own functions: a program that seeds these wants its own draws from them and no others, and
children of a fork would all draw the same.
"""
_LOCK: Final = ForkableLock()
# By the store's id, since a user's class may not be hashable. A home holds its store, so the id stays its
# own; circuits hold their home, so that a store which no breaker uses any more is forgotten.
_HOMES: Final[WeakValueDictionary[int, Home]] = WeakValueDictionary()


def claim(
    store: CircuitBreakerStore, user: object, key: str, name: str, policy: CircuitBreakerPolicy, clock: Clock
) -> MirroredCircuit:
    """The store's circuit of `key`, for the breaker `user`.

    `ValueError` when another one has another policy.
    """
    with _LOCK:
        home = _HOMES.get(id(store))
        if home is None:
            home = _HOMES[id(store)] = _home(store, clock)
            PUMP.adopt(home)
        circuit = home.find(key)
        if circuit is not None and circuit.in_use and circuit.policy != policy:
            raise ValueError(f"circuit {key!r} has another policy in this process: {circuit.policy}")
        if circuit is None or circuit.policy != policy:
            # A shadow circuit's probes are its process's own: no call is held up to ask for a lease.
            kind = LeasedCircuit if home.leases and not policy.shadow else MirroredCircuit
            circuit = kind(key, name, policy, clock, home)
            home.add(circuit)
            _warn_of_scale(circuit, home)
        circuit.used_by(user)
        return circuit


def flush(store: CircuitBreakerStore, timeout: float = CLOSING) -> bool:
    """Send what this process has counted and not yet sent; returns whether that was done in time."""
    home = _HOMES.get(id(store))
    return home is None or PUMP.flush(home, timeout)


def release(store: CircuitBreakerStore, timeout: float = CLOSING) -> bool:
    """Flush a store, say goodbye for this process, and close it; returns whether that was done in time."""
    with _LOCK:
        home = _HOMES.pop(id(store), None) or _home(store, SYSTEM_CLOCK)
    return PUMP.dismiss(home, getattr(store, "aclose", None), timeout)


def home_of(store: CircuitBreakerStore) -> Home | None:
    """What knows of a store, if a breaker uses it."""
    return _HOMES.get(id(store))


def reached(store: CircuitBreakerStore) -> bool:
    """Whether a store answers, as far as the breakers that use it know."""
    home = _HOMES.get(id(store))
    return home is None or home.up


def shares(store: object) -> bool:
    """Whether a store speaks the richer protocol, with which processes share probes and evidence."""
    return all(callable(getattr(store, name, None)) for name in ("batch", "watch", "changes"))


def _home(store: CircuitBreakerStore, clock: Clock) -> Home:
    def home(speaking: SharedCircuitStore, limits: tuple[str, ...] = ()) -> Home:
        return Home(
            speaking,
            now=clock.monotonic,
            draw=lambda: _CHANCE.uniform(-1, 1),
            new_reporter=lambda: secrets.token_hex(8),
            transport=PUMP,
            limits=limits,
        )

    return (
        home(cast(SharedCircuitStore, store))
        if shares(store)
        else home(PlainStore(store, clock.monotonic), LIMITS)
    )


def _warn_of_scale(circuit: MirroredCircuit, home: Home) -> None:
    policy = circuit.policy
    if home.leases and policy.window is not None and policy.failure_threshold and not policy.has_rate:
        logger.warning(
            "circuit %s counts failures of all processes in a window: fifty healthy ones fail more often "
            "than one, and by sheer scale it may open; set failure_rate",
            circuit.name,
            extra={"circuit": circuit.name},
        )
