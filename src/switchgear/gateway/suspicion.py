"""The circuit of a service whose URLs have circuits of their own.

What a single URL does wrong is for that URL's circuit to deal with: it is left out, and the service goes on.
By one policy for both, a number of failures in a window would open the circuit of the service at the same
failure as that of the URL, and nothing would be left to go on. So failures are held back as long as only one
URL has any, and are told all at once when a second one fails.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from switchgear import CircuitOpenError, CircuitState
from switchgear.breaker.policy import seconds as seconds_of
from switchgear.gateway.circuits import Guard, guard_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from switchgear import Permit
    from switchgear.gateway.breakers import Breakers, Held
    from switchgear.gateway.config.model import Circuit, Service


class ServiceGuard(Guard):
    """A `Guard` that asks the circuits of the service's URLs before it blames the service.

    It has to be told after them how a call ended.
    """

    __slots__ = ("_held", "_urls", "_window")

    def __init__(self, circuit: Circuit, breakers: Breakers, urls: Sequence[Guard]) -> None:
        super().__init__(circuit, breakers)
        window = circuit.policy.window
        self._urls = tuple(urls)
        self._window = None if window is None else seconds_of(window)
        self._held: Held = breakers.held(circuit.key)

    def _succeeded(self, permit: Permit, seconds: float) -> None:
        super()._succeeded(permit, seconds)
        if self._held and self._window is None:
            self._held.clear()  # the run of failures is over

    def _blame(
        self, permit: Permit, error: Exception | str, seconds: float, retry_after: float | None = None
    ) -> None:
        now = self.breaker.circuit.now()
        while self._window is not None and self._held and now - self._held[0][0] >= self._window:
            self._held.popleft()
        if sum(map(_fails, self._urls)) < 2:
            if not permit.probe:
                self._held.append((now, error))
            self.cancelled(permit, seconds)
            return
        held = [] if permit.probe else [before for _, before in self._held]
        self._held.clear()
        super()._blame(permit, error, seconds, retry_after)
        for before in held:
            self._tell(before)

    def _tell(self, error: Exception | str) -> None:
        if self.breaker.state is not CircuitState.CLOSED:
            return
        with contextlib.suppress(CircuitOpenError):
            permit = self.breaker.try_acquire()
            if permit is not None:
                super()._blame(permit, error, 0.0)


def _fails(url: Guard) -> bool:
    now = url.breaker.snapshot()
    return now.state is not CircuitState.CLOSED or now.failure_count > 0


def service_guard(service: Service, urls: Sequence[Guard | None], breakers: Breakers) -> Guard | None:
    """The guard of a service; `urls`: those of its endpoints."""
    circuit = service.circuit
    own = {url.key: url for url in urls if url is not None}
    if circuit is None or len(own) < 2:
        return guard_for(circuit, breakers)
    return ServiceGuard(circuit, breakers, list(own.values()))
