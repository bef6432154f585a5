"""A real server as a child process: started, paused, killed, restarted; nothing of it remains."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

START_SECONDS = 60.0
KILL_SECONDS = 30.0
PORTS = range(10_000, 20_000)
"""Below those that systems give to clients and to whoever binds port 0."""

_CHANCE = random.SystemRandom()  # processes of a test run may have seeded the module's own alike


def free_port() -> int:
    """A port that was free a moment ago. Who starts a server on it must be ready to try another."""
    while True:
        port = _CHANCE.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def held_port(below: int) -> socket.socket:
    """A socket that is bound and never listens: while it is open nobody else is given its port.

    Not even the client that tries it while its server is down: such a one may connect with itself. A server
    listens there all the same if it sets SO_REUSEADDR, as all of ours do.
    """
    while True:
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        if holder.getsockname()[1] < below:
            return holder
        holder.close()


def _processes() -> dict[int, int]:
    """Those that run, each with its parent; not those that have ended and wait for their parents to hear."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    ).stdout
    found = [line.split() for line in listed.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in found if not state.startswith("Z")}


def _children(parent: int) -> list[int]:
    return [pid for pid, its in _processes().items() if its == parent]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class ServerProcess:
    """One server in a directory of its own, on a port that it keeps while it is down."""

    max_port = 65536

    def __init__(self) -> None:
        self.port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="switchgear-test-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._place: socket.socket | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ready(self) -> bool:
        raise NotImplementedError

    def _user(self) -> dict[str, Any]:
        """Whom the server runs as: arguments of `Popen`."""
        return {}

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                self._command(), stdout=log, stderr=log, start_new_session=True, **self._user()
            )

    def start(self) -> Self:
        """Start on a free port; one that needs a second one may find that taken, so a few are tried."""
        for _ in range(5):
            self._leave_port()
            self._place = held_port(self.max_port)
            self.port = self._place.getsockname()[1]
            with contextlib.suppress(ChildProcessError):
                self.restart()
                return self
        raise RuntimeError((self.directory / "log").read_text(errors="replace")[-2000:])

    def restart(self) -> None:
        """Start (again) on the same port, and wait until it answers."""
        process = self._process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if process.poll() is not None:
                raise ChildProcessError(f"exit code {process.returncode}")
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{process.args!r} does not answer")
            time.sleep(0.01)

    def _leave_port(self) -> None:
        if self._place is not None:
            self._place.close()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, with its children; returns when all are gone: a successor meets nothing that they hold."""
        family = self._signal(signal.SIGSTOP)  # a child that it would start from now on would live on
        for pid in family:
            _send(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(KILL_SECONDS)
        deadline = time.monotonic() + KILL_SECONDS
        while _processes().keys() & family:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{family} can't be killed")
            time.sleep(0.01)

    def _signal(self, number: signal.Signals) -> set[int]:
        """To the process, then its children, which may have left its group (PostgreSQL's do); gives all."""
        if self._process is None or self._process.poll() is not None:
            return set()
        own = self._process.pid
        _send(own, number)
        children = _children(own)
        for pid in children:
            _send(pid, number)
        return {own, *children}

    def close(self) -> None:
        self.kill()
        self._leave_port()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()
