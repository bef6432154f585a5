"""A client of one service, whose retries and circuit know of each other.

    python -m examples.httpx2_client http://localhost:8080/

The retries are inside of the circuit: three attempts to connect that fail are one failed call, and an open
circuit is not tried again.
"""

import sys

import httpx2

from switchgear import CircuitBreaker
from switchgear.integrations.httpx2 import CircuitBreakerTransport

service = CircuitBreaker("stock", failure_rate=0.5, minimum_calls=4, window=10, slow_call_duration=2)


def client() -> httpx2.Client:
    """A client that guards all that it sends by one breaker."""
    limits = httpx2.Limits(max_connections=20)  # a transport has its own; those of the client do not count
    inner = httpx2.HTTPTransport(retries=2, limits=limits)
    return httpx2.Client(transport=CircuitBreakerTransport(service, inner), timeout=5)


def ask(url: str, times: int) -> list[str]:
    """How each of several requests ended."""
    told: list[str] = []
    with client() as http:
        for _ in range(times):
            try:
                told.append(f"{http.get(url).status_code} ({service.state})")
            except httpx2.TransportError as error:  # a rejection, too
                told.append(f"{type(error).__name__} ({service.state})")
    return told


if __name__ == "__main__":
    print("\n".join(ask(sys.argv[1], 6)))
