"""What a file may say and `serve` does not do yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from switchgear.gateway.config.model import GatewayConfig, Route


def unavailable(config: GatewayConfig, *, workers: int = 1, watch: bool = False) -> list[str]:
    """What was asked for and is not there yet, by its name in the file or on the command line."""
    asked = [
        (f"state: {config.state.type}", config.state.type != "memory"),
        ("admin", config.admin is not None),
        ("tls", config.tls is not None),
        ("limits.inFlight", config.limits.in_flight is not None),
        ("--workers over 1", workers > 1),
        ("--watch", watch),
    ]
    features = [name for name, is_asked in asked if is_asked]
    return features + sorted({name for route in config.routes for name in _of_route(route)})


def _of_route(route: Route) -> Iterator[str]:
    if route.retry or any(service.retry for service in route.services):
        yield "retry"
    if any(service.per_endpoint for service in route.services):
        yield "perEndpoint"
    if any(service.balance != "round-robin" for service in route.services):
        yield "balance: least-requests"
