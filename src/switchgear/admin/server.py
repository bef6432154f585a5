"""The operator's listener: the gateway's own HTTP, with answers of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from switchgear.admin.access import carries, is_meant, token_of
from switchgear.admin.exposition import render
from switchgear.gateway.answers import Answer, method_not_allowed, not_found, problem
from switchgear.gateway.config.model import Address, Limits
from switchgear.gateway.health import HEALTH, READY, health_answer
from switchgear.gateway.http1.client import ClientConnection
from switchgear.gateway.http1.fields import cut_fields
from switchgear.gateway.metrics.families import merged
from switchgear.gateway.reception import Reception
from switchgear.gateway.reply import Conversation, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from switchgear.gateway.config.model import Admin
    from switchgear.gateway.http1.fields import FramingError
    from switchgear.gateway.http1.request import RequestHead
    from switchgear.gateway.metrics.families import Sample

logger = logging.getLogger("switchgear")

METRICS: Final = b"/metrics"
LIMITS: Final = Limits(head=16 * 1024, fields=100, target=1024, connections=100, drain=1.0)
_PATHS: Final = frozenset((HEALTH, READY, METRICS))


class Operated(Protocol):
    """What an operator looks at: one process, or all workers together."""

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        ...

    async def pictures(self) -> list[list[Sample]]:
        """The samples of each process."""
        ...


class AdminServer:
    """Listens for the operator.

    server = AdminServer(gateway)
    await server.adopt(config.admin)
    await server.close()
    """

    def __init__(self, operated: Operated) -> None:
        self._desk = _Desk(operated)
        self._listen: Address | None = None
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Where it listens; the port is the real one when 0 was asked for."""
        assert self._server is not None, "only who listens has an address"
        return Address(*self._server.sockets[0].getsockname()[:2])

    async def adopt(self, admin: Admin | None) -> None:
        """Listens as `admin` says from now on; `None`: nowhere.

        Raises `ValueError` when others could reach it and there is no token, `OSError` when the address can't
        be had; then nothing has changed.
        """
        token, names = (None, ()) if admin is None else (token_of(admin), admin.hosts)
        listen = None if admin is None else admin.listen
        if listen != self._listen:
            former, self._server = self._server, None if listen is None else await self._start(listen)
            self._listen = listen
            if listen is not None:
                logger.info("admin: listening at http://%s", self.address)  # with port 0, who else knows?
            if former is not None:
                former.close()
        self._desk.admit(token, names)

    async def close(self) -> None:
        """Safe to call twice."""
        if self._server is not None:
            self._server.close()
        await self._desk.close()

    async def _start(self, listen: Address) -> asyncio.Server:
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: ClientConnection(self._desk), listen.host, listen.port
            )
        except OSError as error:
            raise OSError(error.errno, f"can't listen on {listen} (admin): {error.strerror}") from error


class _Desk(Reception):
    """Answers the operator."""

    def __init__(self, operated: Operated) -> None:
        super().__init__(LIMITS)
        self._operated = operated
        self._asked: Counter[tuple[str, str]] = Counter()
        self.admit(None, ())

    def admit(self, token: bytes | None, names: Iterable[str]) -> None:
        """Answers who has the token, under these names."""
        self._token = token
        self._names = frozenset(name.lower() for name in names)

    def dispatch(self, client: ClientConnection, head: RequestHead) -> None:
        path = head.target.partition(b"?")[0]
        answer = self._refusal(head, path) or health_answer(path, self._operated.ready)
        if answer is None:
            client.exchange = _Later(client, head, lambda: self._metrics(head))
            return
        self._asked[path.decode() if path in _PATHS else "_other", str(answer.status)] += 1
        Reply(client, head, monotonic()).send_answer(answer)

    def refused(self, client: ClientConnection, error: FramingError) -> None:
        self._asked["_other", str(error.status)] += 1

    def _refusal(self, head: RequestHead, path: bytes) -> Answer | None:
        if not is_meant(head.host, self._names):
            return problem(421, "Host names somebody else; admin.hosts lists further names.")
        if path not in _PATHS:
            return not_found()
        if head.method not in {b"GET", b"HEAD"}:
            return method_not_allowed(b"GET, HEAD")
        # Health says nothing that is worth a secret, and who asks for it often has no way to keep one.
        if path == METRICS and not self._trusts(head):
            return problem(401, "A token is needed.", headers=((b"www-authenticate", b"Bearer"),))
        return None

    def _trusts(self, head: RequestHead) -> bool:
        return self._token is None or carries(self._token, _field(head, b"authorization"))

    async def _metrics(self, head: RequestHead) -> Answer:
        self._asked[METRICS.decode(), "200"] += 1
        own: list[Sample] = [("admin_requests", labels, count) for labels, count in self._asked.items()]
        samples = merged([own, *await self._operated.pictures()])
        # In a thread: tens of thousands of series take longer than requests should wait.
        kind, body = await asyncio.to_thread(render, samples, _field(head, b"accept").decode("latin-1"))
        return Answer(200, ((b"content-type", kind.encode()),), body)


class _Later(Conversation):
    """An answer that takes a while to make."""

    def __init__(
        self, client: ClientConnection, head: RequestHead, make: Callable[[], Coroutine[None, None, Answer]]
    ) -> None:
        super().__init__(client, head, monotonic())
        self._making = asyncio.get_running_loop().create_task(self._answer(make))

    def gone(self) -> None:
        self._making.cancel()

    async def _answer(self, make: Callable[[], Coroutine[None, None, Answer]]) -> None:
        try:
            answer = await make()
        except Exception:
            logger.exception("metrics can't be told")
            answer = problem(500)
        self.send_answer(answer)


def _field(head: RequestHead, name: bytes) -> bytes:
    return next((value for key, value in cut_fields(head.fields) if key == name), b"")
