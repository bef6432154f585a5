"""A real server as a child process: started, paused, killed, restarted; nothing of it remains."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

START_SECONDS = 20.0


def free_port(below: int = 65536) -> int:
    """A port that was free a moment ago. Who starts a server on it must be ready to try another."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < below:
            return port


def _children(parent: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True
    ).stdout
    return [int(pid) for pid, ppid in map(str.split, listed.splitlines()) if int(ppid) == parent]


class ServerProcess:
    """One server in a directory of its own, on a port that it keeps when it is restarted."""

    max_port = 65536

    def __init__(self) -> None:
        self.port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="switchgear-test-"))
        self._process: subprocess.Popen[bytes] | None = None

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
        """Start on a free port; another process may take it first, so a few are tried."""
        for _ in range(5):
            self.port = free_port(self.max_port)
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

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, with its children."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        """To the process and its children, which may have left its group (PostgreSQL's do)."""
        if self._process is None or self._process.poll() is not None:
            return
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()
