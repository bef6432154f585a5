"""The example with gRPC, against a server that fails on command."""

import grpc
import pytest
from examples.grpc_client import charge, charge_async, servers
from grpc import StatusCode

from tests.integrations.grpc_service import Payments


@pytest.mark.anyio
async def test_calls_fail_at_once_while_the_server_does():
    with Payments() as service:
        assert charge(service.target, 1) == ["OK"]
        service.fails = StatusCode.INTERNAL
        assert charge(service.target, 2, 3, 4, 5) == ["INTERNAL"] * 3 + ["UNAVAILABLE"]
        with pytest.raises(grpc.RpcError, match=r"is open; .* last failure: INTERNAL: as told"):
            await charge_async(service.target, 6)
        assert service.calls == 4
        servers[service.target].reset()
        service.fails = None
        assert await charge_async(service.target, 7) == b"0"
