"""gRPC: a circuit for each server, or each method, that a channel calls.

channel = grpc.intercept_channel(channel, CircuitBreakerInterceptor(hosts, "payments:50051"))
channel = grpc.aio.insecure_channel(target, interceptors=aio_interceptors(hosts, target))

Needs `switchgear[grpc]`.
"""

from switchgear.integrations.grpc.asynchronous import aio_interceptors
from switchgear.integrations.grpc.calls import FAILURE_CODES, by_method, by_service
from switchgear.integrations.grpc.rejection import CircuitOpenRpcError
from switchgear.integrations.grpc.synchronous import CircuitBreakerInterceptor

__all__ = [
    "FAILURE_CODES",
    "CircuitBreakerInterceptor",
    "CircuitOpenRpcError",
    "aio_interceptors",
    "by_method",
    "by_service",
]
