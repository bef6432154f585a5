"""Listening sockets that outlive the processes which accept from them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

    from switchgear.gateway.config.model import Address

BACKLOG: Final = 2048


@contextlib.contextmanager
def listening(address: Address) -> Generator[list[socket.socket]]:
    """The sockets for an address, one for each that its host stands for; closed at the end.

    With port 0 all have the one that the system chose for the first. Raises `OSError`. One shared socket, not
    one a process by `SO_REUSEPORT`: of those, the connections that wait for a process die with it.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, where in _resolved(address):
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            port = sockets[0].getsockname()[1] if sockets else address.port
            _listen(listener, where, port)
            sockets.append(listener)
        yield sockets


def _resolved(address: Address) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found))


def _listen(listener: socket.socket, host: str, port: int) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        # Its IPv4 part would take the port from the socket that has that address itself.
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
