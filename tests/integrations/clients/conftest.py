"""What tests of clients share: services on real sockets, and breakers in simulated time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from switchgear import BreakerFamily, Switchgear
from switchgear.testing import ManualClock
from tests.integrations.clients.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def other_service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make(clock: ManualClock) -> Callable[..., BreakerFamily]:
    """Makes a family whose circuits open after two failures, by default."""

    def make(**fields: Any) -> BreakerFamily:
        return Switchgear(clock=clock).breakers("host:{}", **{"failure_threshold": 2, **fields})

    return make
