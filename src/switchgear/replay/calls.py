"""A recorded call, and what its end says under a policy."""

from __future__ import annotations

from typing import Final

from switchgear.breaker.policy import CircuitBreakerPolicy

SUCCESS: Final = 0
FAILURE: Final = 1
"""Whatever its status: the log says that it failed."""
INCONCLUSIVE: Final = 2
"""It says nothing about the service."""
REJECTED: Final = 3
"""A circuit breaker had rejected it when the log was written: the call was never made."""
GONE: Final = 4
"""The caller left before the end: no evidence, unless it had waited for longer than a slow call lasts."""
CODES: Final = 600
"""Codes from 100 on are HTTP statuses."""

GOOD, BAD, UNKNOWN, NOT_MADE, LEFT = range(5)
"""Verdicts: what a policy makes of a code."""

SHORTEST: Final = 1e-6
"""Seconds that a call lasts at least, so that it begins before it ends. Of two calls at one instant neither
then comes after the other: the second began before the first one ended."""


Call = tuple[float, float, int]
"""End, start (seconds since the epoch) and code: a plain tuple, since millions of them are made."""


def verdicts(policy: CircuitBreakerPolicy) -> bytes:
    """The verdict of every code under a policy."""
    failures = policy.failure_statuses or frozenset()
    table = bytearray(BAD if code in failures else GOOD for code in range(CODES))
    table[SUCCESS], table[FAILURE], table[INCONCLUSIVE] = GOOD, BAD, UNKNOWN
    table[REJECTED], table[GONE] = NOT_MADE, LEFT
    return bytes(table)
