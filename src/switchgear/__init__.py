"""Circuit breakers for sync and async code, with state that processes share.

from switchgear import CircuitBreaker

payments = CircuitBreaker("payments", failure_rate=0.5)

@payments
def charge(order): ...
"""

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.events import TransitionEvent
from switchgear.breaker.family import BreakerFamily
from switchgear.breaker.observed import CallObserver
from switchgear.breaker.owner import Switchgear
from switchgear.breaker.permit import Permit
from switchgear.breaker.policy import CircuitBreakerPolicy
from switchgear.breaker.state import CircuitBreakerSnapshot, CircuitState
from switchgear.errors import CircuitOpenError, PolicyError, SwitchgearError

__version__ = "0.1.0"

__all__ = [
    "BreakerFamily",
    "CallObserver",
    "CircuitBreaker",
    "CircuitBreakerPolicy",
    "CircuitBreakerSnapshot",
    "CircuitOpenError",
    "CircuitState",
    "Permit",
    "PolicyError",
    "Switchgear",
    "SwitchgearError",
    "TransitionEvent",
]
