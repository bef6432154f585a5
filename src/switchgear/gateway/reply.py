"""The answer to one request, framed for the client that asked."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from switchgear.gateway.http1.bodies import LAST_CHUNK, encode_chunk
from switchgear.gateway.http1.fields import join_fields
from switchgear.gateway.http1.writing import connection_field, date_field, write_answer, write_head
from switchgear.gateway.request_ids import id_line, lacks_id
from switchgear.gateway.tunnel import UPGRADED

if TYPE_CHECKING:
    from switchgear.gateway.accounts import Account
    from switchgear.gateway.answers import Answer
    from switchgear.gateway.http1.client import ClientConnection
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.http1.response import WholeAnswer

_CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Reply:
    """Sends one answer: a whole one, one of the gateway's own, or a head and then content as it comes.

    What every request touches has a slot, which is quick to read. All else is a default on the class, of
    which reading is slow, and costs nothing when the object is made.
    """

    __slots__ = (
        "__dict__",
        "account",
        "bytes_in",
        "bytes_out",
        "client",
        "ended",
        "head_at",
        "id_line",
        "origin",
        "received_whole",
        "request",
        "started",
        "status",
        "to_head",
    )

    continued = False
    """Whether the client was asked for its body by `100 Continue`."""
    ended: float
    """When it was over, if somebody wants to know."""
    account: Account
    """Where it belongs, if somebody wants to know."""
    _chunked = False
    _keep = False
    _unexplained = b"gateway"
    """The origin of an answer that does not name its own: to `OPTIONS`, or of health."""

    def __init__(self, client: ClientConnection, request: RequestHead, started: float) -> None:
        self.client = client
        self.request = request
        self.started = started
        self.to_head = request.method == b"HEAD"
        self.received_whole = not request.length
        new_id_line = client.new_id_line
        self.id_line: bytes = id_line(request.request_id) if request.request_id else new_id_line()
        self.status = 0
        """0: nothing is sent yet."""
        self.origin = b""
        """Who decided what the client got; empty: the upstream."""
        self.bytes_in = 0
        """Of the request's body."""
        self.bytes_out = 0
        self.head_at = 0.0
        """When the head of an answer was sent whose body followed; 0: none was."""

    def send_whole(self, answer: WholeAnswer) -> None:
        """Sends an upstream's answer as it came."""
        self.status = answer.status
        head = answer.head
        client = self.client
        keep = client.may_keep(self)
        more = self._id_unless_in(head)
        if not keep or self.request.http10:
            more += connection_field(keep, self.request.http10)
        wire = b"".join((head, more, answer.rest))
        self.bytes_out = len(wire)
        write = client.write
        write(wire)
        client.finished(self, keep)

    def send_answer(self, answer: Answer) -> None:
        """Sends an answer of the gateway's own."""
        self.status = answer.status
        own = (value for name, value in answer.headers if name == b"switchgear-origin")
        self.origin = self.origin or next(own, self._unexplained)
        keep = self.client.may_keep(self)
        more = connection_field(keep, self.request.http10) + self._id_unless_in(join_fields(answer.headers))
        headers = (*answer.headers, date_field())
        self._write(write_answer(answer.status, headers, answer.body, more, self.to_head))
        self.client.finished(self, keep)

    def send_head(self, status: int, reason: bytes, fields: bytes, length: int) -> None:
        """Begins an answer whose body, of `length`, follows as `send_content`."""
        self.status = status
        self.head_at = monotonic()
        self._keep = self.client.may_keep(self)
        framing = b""
        if length < 0:
            if self.request.http10:
                self._keep = False  # only the connection's end can end this body
            else:
                self._chunked = True
                framing = _CHUNKED
        more = framing + connection_field(self._keep, self.request.http10) + self._id_unless_in(fields)
        self._write(write_head(status, reason, fields, more))

    def send_upgrade(self, fields: bytes) -> None:
        """Sends the answer after which another protocol is spoken."""
        self.status = 101
        self._write(write_head(101, b"", fields, UPGRADED + self._id_unless_in(fields)))

    def send_content(self, data: bytes) -> None:
        self._write(encode_chunk(data) if self._chunked else data)

    def send_end(self, trailers: bytes) -> None:
        """The answer is complete. Trailers can only follow a chunked body, and are dropped with any other."""
        if self._chunked:
            self._write(LAST_CHUNK + trailers + b"\r\n")
        self.client.finished(self, self._keep)

    def cut_off(self) -> None:
        """An answer that can't be completed must not look complete."""
        self.client.cut_off(self)

    def _id_unless_in(self, fields: bytes) -> bytes:
        """The line with the request's id, unless the service gave it a name of its own."""
        return self.id_line if lacks_id(fields) else b""

    def _write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self.client.write(data)


class Conversation(Reply):
    """A reply that takes its time: meanwhile its client sends more, or leaves."""

    __slots__ = ()

    _unexplained = b""  # a policy made it of what the upstream said

    def body(self, data: bytes) -> None:
        """More of the request's body."""

    def body_end(self, trailers: bytes) -> None:
        """The request's body is complete."""
        self.received_whole = True

    def gone(self) -> None:
        """The client left."""

    def client_writable(self, ready: bool) -> None:
        """Whether the client takes more of the answer."""
