"""Which circuit a breaker gets: a private one, one of a store, or none at all."""

from __future__ import annotations

import logging
import os
from functools import cache

from switchgear.breaker.circuit import Circuit
from switchgear.breaker.local import LocalCircuit
from switchgear.breaker.off import OffCircuit
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.clock import Clock
from switchgear.stores.memory import InMemoryCircuitBreakerStore
from switchgear.stores.protocol import CircuitBreakerStore, checked_store

logger = logging.getLogger("switchgear")


def bind(
    user: object,
    key: str,
    name: str,
    policy: CircuitBreakerPolicy,
    store: CircuitBreakerStore | None,
    clock: Clock,
) -> Circuit:
    """The circuit for the breaker `user`; the same store object and key give the same one."""
    if switched_off():
        return OffCircuit(name, policy, clock)
    if store is None:
        return LocalCircuit(name, policy, clock)
    if policy.shadow:
        key += "#shadow"  # a shadow circuit never meets the record of an enforcing one
    if isinstance(store, InMemoryCircuitBreakerStore):
        return store.claim(user, key, name, policy)
    from switchgear.stores.sharing import claim  # a breaker without a store needs neither mirror nor pump

    return claim(checked_store(store), user, key, name, policy, clock)


@cache
def switched_off() -> bool:
    """Whether `SWITCHGEAR_OFF=1` turns every breaker of the process off; read once, at the first breaker."""
    if os.environ.get("SWITCHGEAR_OFF") != "1":
        return False
    logger.warning("SWITCHGEAR_OFF=1: all calls pass, nothing is counted, no store is written")
    return True
