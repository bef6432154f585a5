"""The gateway's own policies, as the configuration knows them."""

from __future__ import annotations

import asyncio

from switchgear import Switchgear
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.circuits import Guard
from switchgear.gateway.config.model import PRIORITIES, Circuit
from switchgear.gateway.policies.circuit_breaker import CircuitBreakerLayer
from switchgear.gateway.policies.timeout import TimeoutLayer


def test_priorities_are_those_of_the_layers():
    loop = asyncio.new_event_loop()
    circuit = Circuit("key", CircuitBreakerPolicy())
    layers = [CircuitBreakerLayer(Guard(circuit, Switchgear())), TimeoutLayer(loop, 1.0)]
    loop.close()
    for layer in layers:
        assert PRIORITIES[layer.name] == layer.priority
