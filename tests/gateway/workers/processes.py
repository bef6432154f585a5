"""`switchgear serve` as a user starts it, and its workers as the operating system shows them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tests.gateway.upstreams import PATIENCE, Message, Peer, get

START_SECONDS = 90.0
ERRORS = "errors"


def children(parent: int) -> list[int]:
    """Those that run."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, ppid, state in rows if int(ppid) == parent and state[0] != "Z"]


def state(pid: int) -> str:
    """As `ps` has it, such as `S` for one that waits; empty when there is none."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return listed.stdout[:1]


def runs(pid: int) -> bool:
    return state(pid) not in {"", "Z"}


async def until(condition, seconds: float = START_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what other processes do sets no event here
            await asyncio.sleep(0.02)


class Serving:
    """A running gateway of several processes."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process = process
        self.port = 0
        self.lines: list[str] = []
        self._errors = errors
        self._reading = asyncio.create_task(self._read())

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid)

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def admin(self) -> int:
        """The port of the operator's listener."""
        return int(re.findall(r"admin: listening at http://\S+:(\d+)$", self.errors, re.MULTILINE)[-1])

    @property
    def access(self) -> list[dict]:
        """The access log; a line that is no JSON is a mistake."""
        return [json.loads(line) for line in self.lines if not line.startswith("switchgear listening")]

    async def ready(self) -> None:
        await until(lambda: self.port or self.process.returncode is not None)
        assert self.port, self.errors

    async def ask(self, raw: bytes = get("/")) -> Message:
        """One request on a connection of its own."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), PATIENCE)
        try:
            peer = Peer(reader, writer)
            await peer.send(raw)
            return await peer.read_message()
        finally:
            writer.transport.abort()

    async def statuses(self, count: int) -> list[int]:
        return [(await self.ask()).status for _ in range(count)]

    @contextlib.contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """All others stand still: every new connection is this one's."""
        others = [pid for pid in self.workers if pid != worker]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + START_SECONDS
            while any(state(pid) not in {"", "Z", "T"} for pid in others):  # a moment later
                assert time.monotonic() < end
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    async def ended(self, seconds: float = START_SECONDS) -> int:
        """Its exit code, when all that it wrote has been read."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await asyncio.wait_for(self._reading, PATIENCE)
        return code

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode().rstrip("\n")
            self.lines.append(text)
            if text.startswith("switchgear listening on "):
                self.port = urlsplit(text.rpartition(" ")[2]).port or 0


def _files(directory: Path, name: str, config: str) -> tuple[Path, BinaryIO]:
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(config)
    return file, (directory / ERRORS).open("wb")


@contextlib.asynccontextmanager
async def started(
    directory: Path, config: str, *options: str, workers: int = 2, name: str = "gateway.yaml"
) -> AsyncIterator[Serving]:
    """The process, which may not be ready yet; nothing of it remains."""
    file, errors = _files(directory, name, config)
    # One that is killed can't remove its own; and below pytest's a socket's path might be too long.
    temporary = tempfile.TemporaryDirectory(prefix="sg-")
    with errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "switchgear", "serve", str(file)),
            *("--workers", str(workers), *options),
            cwd=directory,
            env={**os.environ, "TMPDIR": temporary.name},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=1 << 22,
        )
    serving = Serving(process, directory / ERRORS)
    try:
        yield serving
    finally:
        for pid in serving.workers if process.returncode is None else ():
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await serving.ended()
        temporary.cleanup()


@contextlib.asynccontextmanager
async def serving(directory: Path, config: str, *options: str, **more) -> AsyncIterator[Serving]:
    """A gateway that is ready."""
    async with started(directory, config, *options, **more) as running:
        await running.ready()
        yield running


def one_service(port: int, breaker: str = "false", top: str = "") -> str:
    """A configuration with one route to an upstream of the test."""
    return f"""\
listen: 127.0.0.1:0
{top}
http:
  routes:
    /:
      GET:
        services: {{up: {{url: "http://127.0.0.1:{port}/", circuitBreaker: {breaker}}}}}
"""
