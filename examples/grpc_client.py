"""A gRPC client with a circuit for its server, sync and async.

    python -m examples.grpc_client localhost:50051 7

While the circuit is open, calls fail at once with `UNAVAILABLE`, as if the server were not there.
"""

import sys

import grpc

from switchgear import Switchgear
from switchgear.integrations.grpc import CircuitBreakerInterceptor, aio_interceptors

servers = Switchgear().breakers("grpc:{}", failure_threshold=3, reset_timeout=10)
METHOD = "/shop.Payments/unary_unary"


def charge(target: str, *orders: int) -> list[str]:
    """How the calls for these orders ended."""
    with grpc.insecure_channel(target) as plain:
        channel = grpc.intercept_channel(plain, CircuitBreakerInterceptor(servers, target))
        # Usually this comes from a stub: PaymentsStub(channel).Charge.
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        ends: list[str] = []
        for order in orders:
            try:
                call(str(order).encode(), timeout=2)
                ends.append("OK")
            except grpc.RpcError as error:
                ends.append(error.code().name)
        return ends


async def charge_async(target: str, order: int) -> bytes:
    async with grpc.aio.insecure_channel(target, interceptors=aio_interceptors(servers, target)) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        return await call(str(order).encode(), timeout=2)


if __name__ == "__main__":
    print(charge(sys.argv[1], *map(int, sys.argv[2:])))
