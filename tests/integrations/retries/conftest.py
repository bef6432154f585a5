"""What tests of retries share."""

from collections.abc import Iterator

import pytest

from switchgear.testing import ManualClock
from tests.integrations.retries.service import FailingService


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service() -> Iterator[FailingService]:
    with FailingService() as running:
        yield running
