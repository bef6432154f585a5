"""Whether a store can be used, and what to do when it can't: said at the start, by whoever starts."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from switchgear.breaker.outcome import describe, gist
from switchgear.stores.protocol import CircuitBreakerStore

CHECK_KEY: Final = "switchgear:check"
"""A circuit that nobody uses: to reset it needs every right that a real one will ever need."""
TRIAL_SECONDS: Final = 3.0
PAUSE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a store can't be used."""

    what: str
    """The driver's words, without credentials."""
    advice: str
    passing: bool
    """Whether the server could not be reached or is not ready, and may be soon."""

    def __str__(self) -> str:
        return f"{self.what}; {self.advice}" if self.advice else self.what


class _Row(NamedTuple):
    fragment: str
    """In the names of the error's classes, or in its message."""
    advice: str
    passing: bool = False


_RIGHTS: Final = "give the user its rights: `switchgear store init URL --print` shows them"
# redis-py puts the whole command before what the server said, so that of that nothing would be left.
_COMMAND: Final = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)

_ROWS: Final = (
    # Ours say themselves what to do.
    _Row("SchemaMissingError", ""),
    # Redis. Its AuthenticationError is a ConnectionError too, so the order counts.
    _Row("AuthenticationError", "check the user and the password (in a file: `${REDIS_PASSWORD}`)"),
    _Row("NoPermissionError", _RIGHTS),
    _Row("ACL failure in script", _RIGHTS),
    _Row("MovedError", "this is a node of a cluster: use a redis+cluster:// URL"),
    _Row("cluster support disabled", "this server is no cluster: use a redis:// URL"),
    _Row("ReadOnlyError", "this is a read-only replica: use the address of the primary"),
    _Row("OutOfMemoryError", "the server is out of memory: raise its maxmemory, or let it evict"),
    _Row("MISCONF", "the server refuses writes because it can't save to its disk: see its log"),
    _Row("max number of clients", "the server has no connection left: raise its maxclients", passing=True),
    _Row("DB index", "no such database: the number after the port is too high for this server"),
    _Row("unknown command", "the server is too old: Redis 6.2 or newer is needed"),
    _Row("BusyLoadingError", "the server is still loading its data", passing=True),
    _Row("ClusterDownError", "the cluster does not serve: see its `CLUSTER INFO`", passing=True),
    # PostgreSQL.
    _Row(
        "password authentication failed",
        "check the user and the password (in a file: `${PGPASSWORD}`)",
    ),
    _Row("no password supplied", "the server wants a password (in a file: `${PGPASSWORD}`)"),
    _Row(
        "no pg_hba.conf entry",
        "the server does not let this user in from here: see its pg_hba.conf, and `tls`",
    ),
    _Row(
        "InsufficientPrivilege",
        "run `switchgear store init URL` as an owner, and grant this role what it prints",
    ),
    _Row("ReadOnlySqlTransaction", "this server is a read-only standby: use the address of the primary"),
    _Row("does not support SSL", "the server speaks no TLS: leave out `tls`, or switch it on there"),
    _Row("connection slots", "the server has no connection left: raise its max_connections", passing=True),
    _Row("too many clients", "the server has no connection left: raise its max_connections", passing=True),
    _Row("starting up", "the server is still starting", passing=True),
    _Row("does not exist", "check the user and the database; `createuser` and `createdb` make them"),
    # Any server.
    _Row("CERTIFICATE_VERIFY_FAILED", "nobody that this machine trusts has signed the server's certificate"),
    _Row("WRONG_VERSION_NUMBER", "the server speaks no TLS at this port: leave out `tls`, or check the port"),
    _Row("Name or service not known", "check the host: no such name is known here", passing=True),
    _Row("name resolution", "check the host: its name can't be looked up now", passing=True),
    _Row("Timeout", "check host, port, firewall and `tls`: nothing answers in time", passing=True),
    _Row("timeout", "check host, port, firewall and `tls`: nothing answers in time", passing=True),
    _Row("ConnectionError", "start the server, or check host and port", passing=True),
    _Row("OperationalError", "start the server, or check host and port", passing=True),
    _Row("OSError", "start the server, or check host and port", passing=True),
)


def place_of(url: str) -> str:
    """A store's URL without credentials and options."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def trouble_of(error: BaseException) -> Trouble:
    """What a store's error means to whoever has to end it."""
    kind, text = gist(error)
    what = describe((kind, _COMMAND.sub("", text)))
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    for row in _ROWS:
        if row.fragment in names or row.fragment in what:
            return Trouble(what, row.advice, row.passing)
    return Trouble(what, "", passing=False)


async def try_store(store: CircuitBreakerStore, seconds: float = TRIAL_SECONDS) -> Trouble | None:
    """Use the store once, really writing; waits at most `seconds` for a server that is not there yet."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    trouble: Trouble | None = None
    while True:
        bound = asyncio.timeout_at(deadline)
        try:
            async with bound:
                await store.reset(CHECK_KEY)
            return None
        except Exception as error:  # a driver may raise anything: each is a reason
            # That we cut off the last attempt says less than what came of those before.
            if trouble is None or not bound.expired():
                trouble = trouble_of(error)
        if not trouble.passing or loop.time() + PAUSE >= deadline:
            return trouble
        await asyncio.sleep(PAUSE)
