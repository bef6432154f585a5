"""Time that an operation of a store may take: a second is much for a server, and little for a machine that
runs tests of several processes and servers at once.
"""

from __future__ import annotations

import pytest

from switchgear.stores import courier, shared
from switchgear.stores.postgres import store as postgres
from switchgear.stores.redis import client as redis
from switchgear.stores.socket import line
from switchgear.stores.socket import store as socket

PATIENCE = 30.0
USUAL = shared.OPERATION_SECONDS


def allow(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """For operations of this process, whether asked for directly or by the pump."""
    monkeypatch.setattr(courier, "SENDING", seconds)
    for module in (shared, postgres, redis, socket):
        monkeypatch.setattr(module, "OPERATION_SECONDS", seconds)
    monkeypatch.setattr(line, "ANSWER_SECONDS", seconds)
    monkeypatch.setattr(socket, "SILENCE", seconds)
