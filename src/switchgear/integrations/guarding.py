"""What integrations with clients share: which breaker guards a request, and what becomes of a rejection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from switchgear import BreakerFamily, CircuitBreaker, CircuitOpenError, Permit

OnOpen = Literal["raise", "response", "plain"]
"""What a rejection becomes: the host library's error for requests that were not completed (which is a
`CircuitOpenError`, too), a response made up with status 503, or a bare `CircuitOpenError`."""

Q = TypeVar("Q")  # a request
A = TypeVar("A")  # an answer to one


@dataclass(frozen=True)
class Host(Generic[Q, A]):
    """What is to be known of a host library."""

    key: Callable[[Q], str]
    """The key of a request's circuit, unless the user chooses another."""
    rejection: Callable[[CircuitOpenError, Q], Exception]
    """The library's broad error for requests that were not completed, which is a `CircuitOpenError`, too."""
    response: Callable[[CircuitOpenError, Q], A] | None
    """A response of status 503; `None` where the library has no public way to make one."""
    failures: tuple[type[Exception], ...]
    """What the library raises for requests that were not completed. Other exceptions are the caller's own:
    they come from an upload that can't be read, a hook, or a wrong argument."""
    local: tuple[type[Exception], ...] = ()
    """Those of `failures` that the service has no part in."""


class Guard(Generic[Q, A]):
    """Chooses breakers for the requests of a host library and reports how these end.

    `breakers` is a family, of which `key(request)` chooses a member, or one breaker for all requests. Raises
    `TypeError` and `ValueError` for arguments that don't fit.
    """

    def __init__(
        self,
        host: Host[Q, A],
        breakers: BreakerFamily | CircuitBreaker,
        key: Callable[[Q], str] | None,
        on_open: OnOpen,
    ) -> None:
        allowed = [mode for mode in get_args(OnOpen) if mode != "response" or host.response is not None]
        if on_open not in allowed:
            raise ValueError(f"on_open must be one of {', '.join(map(repr, allowed))}, got {on_open!r}")
        self._host = host
        self._breakers = _checked_breakers(breakers)
        self._key = host.key if key is None else _checked_key(key, breakers)
        self._on_open = on_open

    def breaker(self, request: Q) -> CircuitBreaker:
        """The breaker that guards `request`."""
        breakers = self._breakers
        return breakers if isinstance(breakers, CircuitBreaker) else breakers[self._key(request)]

    def rejected(self, error: CircuitOpenError, request: Q) -> A:
        """The answer to a rejected request, where one is wanted; raises what it is otherwise."""
        if self._on_open == "plain":
            raise error
        if self._on_open == "response" and self._host.response is not None:
            return self._host.response(error, request)
        raise self._host.rejection(error, request) from None

    def raised(self, permit: Permit, error: BaseException) -> None:
        """Report a request that raised `error`: by the policy, if the service can have a part in it."""
        if isinstance(error, Exception) and not self._concerns_the_service(error):
            permit.ignore()
        else:
            permit.raised(error)

    def _concerns_the_service(self, error: Exception) -> bool:
        return isinstance(error, self._host.failures) and not isinstance(error, self._host.local)


def _checked_breakers(breakers: object) -> BreakerFamily | CircuitBreaker:
    if isinstance(breakers, BreakerFamily | CircuitBreaker):
        return breakers
    raise TypeError(
        "a family of breakers or one breaker guards requests, "
        f"such as Switchgear().breakers('host:{{}}'); got {breakers!r}"
    )


def _checked_key(key: Callable[[Q], str], breakers: object) -> Callable[[Q], str]:
    if isinstance(breakers, CircuitBreaker):
        raise ValueError(f"key= chooses from a family; {breakers!r} guards all requests")  # noqa: TRY004  # its type is right
    if not callable(key):
        raise TypeError(f"key= takes a function of the request that returns text, got {key!r}")
    return key


def origin(scheme: str, host: str, port: int | None) -> str:
    """`scheme://host:port`, the default key of HTTP clients: lower case, always with the port.

    One spelling for each server, and nothing of the URL that could be secret.
    """
    port = {"https": 443, "http": 80}.get(scheme.lower()) if port is None else port
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{scheme}://{name}".lower() + ("" if port is None else f":{port}")
