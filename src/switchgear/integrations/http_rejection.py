"""The response that stands for a rejected request, in parts that any HTTP client can put together."""

from __future__ import annotations

import json
import math
from typing import Final

from switchgear import CircuitOpenError

STATUS: Final = 503
REASON: Final = "Service Unavailable"


def rejection_headers(error: CircuitOpenError) -> dict[str, str]:
    """`Retry-After`, when a time is known, and `x-should-retry: false`, which clients of several APIs obey:
    they make one attempt and don't wait."""
    headers = {
        "Content-Type": "application/problem+json",
        "Switchgear-Origin": "breaker",
        "x-should-retry": "false",
    }
    if error.retry_after is not None:
        # Rounded up, and never 0: who comes back too early is only rejected again.
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return headers


def rejection_body(error: CircuitOpenError) -> bytes:
    """A problem (RFC 9457) whose detail is the rejection's message; `error` is where several APIs have it."""
    detail = str(error)
    problem = {
        "title": REASON,
        "status": STATUS,
        "detail": detail,
        "error": {"type": "circuit_open", "message": detail},
    }
    return json.dumps(problem).encode()
