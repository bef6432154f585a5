"""What helps to test code that uses switchgear, and stores that are written for it."""

from switchgear.testing.clock import ManualClock
from switchgear.testing.contract import CircuitBreakerStoreContract
from switchgear.testing.flaky import FlakyStore
from switchgear.testing.gateway import gateway_test
from switchgear.testing.overrides import force_open
from switchgear.testing.shared_contract import SharedStoreContract

__all__ = [
    "CircuitBreakerStoreContract",
    "FlakyStore",
    "ManualClock",
    "SharedStoreContract",
    "force_open",
    "gateway_test",
]
