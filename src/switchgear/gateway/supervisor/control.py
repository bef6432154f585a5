"""What a worker does for its supervisor while it serves."""

from __future__ import annotations

import asyncio
import logging
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from switchgear.gateway.serving import settle_memory
from switchgear.stores.socket.frames import FrameError, pack_message, read

if TYPE_CHECKING:
    import socket

    from switchgear.gateway.server import Gateway
    from switchgear.gateway.supervisor.job import Job

logger = logging.getLogger("switchgear")


@dataclass(frozen=True, slots=True)
class Question:
    """What the supervisor wants; `number` tells which question an answer is to."""

    number: int
    kind: Literal["adopt", "picture", "reopen"]
    job: Job | None = None

    def pickled(self) -> bytes:
        """As a frame's body, for a process of our own."""
        return pickle.dumps(self)

    @staticmethod
    def unpickled(data: bytes) -> Question:
        return cast("Question", pickle.loads(data))


class Control:
    """Answers the supervisor over `connection`; sets `stop` when that ends: nobody would look after us."""

    def __init__(self, gateway: Gateway, connection: socket.socket, stop: asyncio.Event) -> None:
        self._gateway = gateway
        self._connection = connection
        self._stop = stop

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._connection)
        self._answering = asyncio.create_task(self._answer())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)
        self._writer.transport.abort()

    def tell(self, message: dict[str, Any]) -> None:
        self._writer.write(pack_message(message))

    async def _answer(self) -> None:
        try:
            while True:
                question = Question.unpickled(await read(self._reader))
                answer = await self._act(question)
                self._writer.write(_packed({"number": question.number, **answer}))
        except (OSError, FrameError, asyncio.IncompleteReadError):
            self._stop.set()

    async def _act(self, question: Question) -> dict[str, Any]:
        try:
            if question.kind == "adopt" and question.job is not None:
                config = await asyncio.to_thread(question.job.load)
                await self._gateway.adopt(config)
                logging.getLogger().setLevel(config.log.level.upper())
                settle_memory()
            elif question.kind == "picture":
                return {"samples": (await self._gateway.pictures())[0]}
            else:
                self._gateway.reopen_log()
        except Exception as error:  # whatever it is, the supervisor is to say it
            logger.debug("this worker can't %s", question.kind, exc_info=True)
            return {"failed": str(error) or type(error).__name__}
        return {}


def _packed(answer: dict[str, Any]) -> bytes:
    try:
        return pack_message(answer)
    except FrameError as error:  # so many series: better none than no supervisor
        return pack_message({"number": answer["number"], "failed": str(error)})
