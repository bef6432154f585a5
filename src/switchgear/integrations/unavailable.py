"""What clients of an application get while a circuit rejects: a 503 that says when to come back.

The problem (RFC 9457) names neither the circuit nor its last failure: these are for the log.
"""

from __future__ import annotations

import json
import math
from typing import Final

from switchgear.errors import CircuitOpenError

STATUS: Final = 503
PROBLEM_TYPE: Final = "application/problem+json"
DETAIL: Final = "A service that is needed for this does not answer at the moment."
PROBLEM: Final = json.dumps({"title": "Service Unavailable", "status": STATUS, "detail": DETAIL}).encode()


def retry_after(error: CircuitOpenError) -> int | None:
    """The value of `Retry-After`: whole seconds, or `None` when nobody knows and the field is left out.

    Rounded up, and never 0: a client that comes back too early is only rejected again.
    """
    return None if error.retry_after is None else max(1, math.ceil(error.retry_after))
