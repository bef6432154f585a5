"""Health for whoever restarts processes, readiness for whoever sends requests.

Neither asks upstreams, circuits or stores: all replicas would fail together, and be taken out of service by
an outage that they are there to survive.
"""

from __future__ import annotations

from typing import Final

from switchgear.gateway.answers import TEXT_TYPE, Answer, problem

HEALTH: Final = b"/healthz"
READY: Final = b"/readyz"

_OK: Final = Answer(200, ((b"content-type", TEXT_TYPE), (b"cache-control", b"no-store")), b"ok\n")
_LEAVING: Final = problem(503, "The gateway is about to stop.", headers=((b"cache-control", b"no-store"),))


def health_answer(path: bytes, ready: bool) -> Answer | None:
    """The answer to a request for `path`; `None`: it asks for something else."""
    if path == HEALTH or (path == READY and ready):
        return _OK
    return _LEAVING if path == READY else None
