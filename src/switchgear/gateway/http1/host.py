"""What connections to clients need of their server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.http1.request import HeadLimits, RequestHead
    from switchgear.gateway.reply import Reply
    from switchgear.gateway.timeouts import TimeoutQueue


class Host(Protocol):
    """The server, as its connections see it."""

    head_limits: HeadLimits
    read_ordinary: Callable[[bytes], RequestHead | None]
    draining: bool
    new_id_line: Callable[[], bytes]  # `X-Request-Id` for a request that brings none
    head_waits: TimeoutQueue[ClientConnection]  # for a request's head to be complete
    idle_waits: TimeoutQueue[ClientConnection]  # for the next request
    body_waits: TimeoutQueue[ClientConnection]  # for more of a request's body
    stall_waits: TimeoutQueue[ClientConnection]  # for a client to take more of an answer
    linger_waits: TimeoutQueue[ClientConnection]  # for a client to close, after the last answer

    def opened(self, client: ClientConnection) -> bool:
        """Whether the connection is taken: there may be too many."""
        ...

    def closed(self, client: ClientConnection) -> None: ...
    def dispatch(self, client: ClientConnection, head: RequestHead) -> None:
        """A request's head is complete: sets `client.exchange` if it is not answered at once."""
        ...

    left: Callable[[Reply], None] | None  # hears of every request that is over, if there is anything to do

    def refused(self, client: ClientConnection, error: FramingError) -> None: ...
