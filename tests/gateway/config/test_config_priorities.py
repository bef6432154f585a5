"""The gateway's own policies, as the configuration knows them."""

from __future__ import annotations

import asyncio

from switchgear import Switchgear
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.gateway.breakers import Breakers
from switchgear.gateway.circuits import Guard
from switchgear.gateway.config.model import PRIORITIES, Circuit, Retry
from switchgear.gateway.metrics.board import Board
from switchgear.gateway.policies.circuit_breaker import CircuitBreakerLayer
from switchgear.gateway.policies.retry import RetryLayer
from switchgear.gateway.policies.timeout import TimeoutLayer
from switchgear.gateway.retrying import RetryBudget, RetryRule


def test_priorities_are_those_of_the_layers():
    loop = asyncio.new_event_loop()
    owner = Switchgear()
    guard = Guard(Circuit("key", CircuitBreakerPolicy()), Breakers(owner, Board(owner)))
    rule = RetryRule(Retry(), RetryBudget(0.2))
    layers = [CircuitBreakerLayer(guard), TimeoutLayer(loop, 1.0), RetryLayer(loop, rule)]
    loop.close()
    assert {layer.name: layer.priority for layer in layers} == PRIORITIES
