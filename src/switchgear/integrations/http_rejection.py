"""The response that stands for a rejected request, in parts that any HTTP client can put together."""

from __future__ import annotations

import json
from typing import Final

from switchgear import CircuitOpenError
from switchgear.integrations import unavailable

STATUS: Final = unavailable.STATUS
REASON: Final = "Service Unavailable"


def rejection_headers(error: CircuitOpenError) -> dict[str, str]:
    """`Retry-After`, when a time is known, and `x-should-retry: false`, which clients of several APIs obey:
    they make one attempt and don't wait."""
    headers = {
        "Content-Type": unavailable.PROBLEM_TYPE,
        "Switchgear-Origin": "breaker",
        "x-should-retry": "false",
    }
    wait = unavailable.retry_after(error)
    return headers if wait is None else headers | {"Retry-After": str(wait)}


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
