"""A worker, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from switchgear.gateway.supervisor.control import Question
from switchgear.gateway.supervisor.output import Output, relay
from switchgear.stores.socket.frames import FrameError, pack, read_message

if TYPE_CHECKING:
    from switchgear.gateway.metrics.families import Sample
    from switchgear.gateway.supervisor.job import Job

START_SECONDS: Final = 30.0
PICTURE_SECONDS: Final = 3.0
"""A scraper waits ten."""
OUTPUT_SECONDS: Final = 1.0
"""How long the rest of the output is waited for when the process has ended: a child of its own may hold the
pipe."""
_WORKER: Final = "switchgear.gateway.supervisor.worker"
_SIGNALS: Final = {number.value: number.name for number in signal.Signals}  # real-time ones have no names


class Child:
    """A process that serves.

    A fresh interpreter, not a fork: a fork would copy the supervisor's event loop, its threads' locks in
    whatever state they are, and the sockets of all other workers.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        control: asyncio.StreamReader,
        hold: asyncio.StreamWriter,
        output: Output,
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._control = control
        # Open as long as the supervisor lives: a worker sees its end, and ends too.
        self._hold = hold
        self._asking = asyncio.Lock()
        self._asked = 0
        self._relaying = asyncio.create_task(relay(process.stdout, output))

    @classmethod
    async def start(cls, job: Job, output: Output) -> Self:
        """Raises `OSError` when no process can be started."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", _WORKER, str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    pass_fds=(theirs.fileno(), *job.listeners),
                    env=_environment(),
                    # Ctrl-C in a terminal is for the supervisor, which lets them drain.
                    process_group=0,
                )
            except BaseException:
                writer.transport.abort()
                raise
        writer.write(pack(job.pickled()))
        return cls(process, reader, writer, output)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> str | None:
        """Waits until it serves; `None`, or the reason why it does not."""
        try:
            async with asyncio.timeout(START_SECONDS):
                answer = await read_message(self._control)
        except TimeoutError:
            answer = {"failed": f"it did not start within {START_SECONDS:g} s"}
        except (OSError, FrameError, asyncio.IncompleteReadError):
            return f"it ended while it started ({await self.ended()})"
        if "failed" not in answer:
            return None
        self.kill()
        await self.ended()
        return str(answer["failed"])

    async def adopt(self, job: Job) -> str | None:
        """Has it serve another configuration; `None`, or the reason why it does not.

        Raises `ConnectionError` when it has ended.
        """
        return cast("str | None", (await self._ask("adopt", START_SECONDS, job)).get("failed"))

    async def picture(self) -> list[Sample] | None:
        """Its samples; `None` when it does not give them."""
        try:
            return (await self._ask("picture", PICTURE_SECONDS)).get("samples")
        except ConnectionError:
            return None

    async def reopen_log(self) -> None:
        """Has it open its access log anew."""
        with contextlib.suppress(ConnectionError):
            await self._ask("reopen", PICTURE_SECONDS)

    async def _ask(
        self, kind: Literal["adopt", "picture", "reopen"], seconds: float, job: Job | None = None
    ) -> dict[str, Any]:
        async with self._asking:
            self._asked += 1
            self._hold.write(pack(Question(self._asked, kind, job).pickled()))
            try:
                async with asyncio.timeout(seconds):
                    while True:  # what comes before the answer are answers that nobody waited for any more
                        answer = await read_message(self._control)
                        if answer.get("number") == self._asked:
                            return answer
            except TimeoutError:
                return {"failed": f"it did not answer within {seconds:g} s"}
            except (OSError, FrameError, asyncio.IncompleteReadError):
                raise ConnectionResetError("the worker has ended") from None

    async def ended(self) -> str:
        """Waits for its end; how it ended."""
        code = await self._process.wait()
        self._hold.transport.abort()
        await asyncio.wait({self._relaying}, timeout=OUTPUT_SECONDS)
        self._relaying.cancel()
        return f"exit code {code}" if code >= 0 else f"signal {_SIGNALS.get(-code, -code)}"

    def stop(self) -> None:
        """Ask it to drain."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


def _environment() -> dict[str, str]:
    # Modules are to be found where they were found here: by `-m` alone the working directory would be
    # searched first.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
