"""A breaker for a database behind SQLAlchemy: connections are refused while its circuit is open.

    from switchgear.integrations.sqlalchemy import install

    install(engine, sg.breaker("orders-db"))       # an Engine or an AsyncEngine

One use of a connection is one call: from `engine.connect()` (or a session's first statement) to its return to
the pool. It fails by what says that the database is away: a connection that can't be made or that breaks, a
timeout. What the database answers, an `IntegrityError` say, is an answer. Needs the extra `sqlalchemy`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import await_only

from switchgear.breaker.breaker import CircuitBreaker
from switchgear.breaker.permit import Permit
from switchgear.breaker.state import CircuitState
from switchgear.errors import CircuitOpenError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["CircuitOpenOperationalError", "install", "is_outage"]

OUTAGES: Final = ("08", "53", "57", "58")
"""Classes of SQLSTATE: connection, too few resources, operator intervention (a statement that was cancelled
by its timeout is there, too), the server's system."""

_CONNECTING: Final[ContextVar[Permit | None]] = ContextVar("switchgear_connecting", default=None)


class CircuitOpenOperationalError(CircuitOpenError, OperationalError):
    """A connection was refused: `except sqlalchemy.exc.OperationalError` catches it, and so does
    `CircuitOpenError`.
    """

    def __init__(
        self,
        name: str,
        state: CircuitState,
        retry_after: float | None = None,
        reason: str = "",
        last_failure: str | None = None,
    ) -> None:
        OperationalError.__init__(self, None, None, Exception())
        self.orig = None
        self.args = (name, state, retry_after, reason, last_failure)

    def __reduce__(self) -> tuple[type[CircuitOpenOperationalError], tuple[Any, ...]]:
        return type(self), self.args


def is_outage(error: BaseException, *, connecting: bool = False, disconnected: bool = False) -> bool:
    """Whether an error of the driver says that the database is away.

    `connecting`: it came while a connection was made; then an error without SQLSTATE is one, too. (With
    SQLSTATE a wrong password is none; psycopg has no SQLSTATE there.) `disconnected`: the dialect knows it as
    the end of a connection.
    """
    if disconnected or isinstance(error, OSError):  # TimeoutError is one
        return True
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return state[:2] in OUTAGES
    return connecting


def install(
    engine: Engine | AsyncEngine,
    breaker: CircuitBreaker,
    *,
    outage: Callable[..., bool] = is_outage,
) -> Callable[[], None]:
    """Guard the connections of `engine`; returns a function that ends that.

    `outage(error, connecting=..., disconnected=...)` decides which of the driver's errors are failures.
    Other listeners for `do_connect` that change the arguments of a connection have to be registered before.
    Raises `TypeError` for what is no engine.
    """
    sync_engine = getattr(engine, "sync_engine", engine)
    if not isinstance(sync_engine, Engine):
        raise TypeError(f"expected an Engine or an AsyncEngine, got {engine!r}")
    guard = _EngineGuard(breaker, outage)
    listeners: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("do_connect", guard.do_connect),
        ("engine_connect", guard.engine_connect),
        ("handle_error", guard.handle_error),
        ("checkin", guard.checkin),
    )
    for name, listener in listeners:
        event.listen(sync_engine, name, listener)

    def remove() -> None:
        for name, listener in listeners:
            if event.contains(sync_engine, name, listener):
                event.remove(sync_engine, name, listener)

    return remove


class _EngineGuard:
    """The permit of a call lies in the pool's record of its connection, from the one event to the other."""

    def __init__(self, breaker: CircuitBreaker, outage: Callable[..., bool]) -> None:
        self._breaker = breaker
        self._outage = outage

    def do_connect(
        self,
        dialect: Dialect,
        conn_rec: ConnectionPoolEntry,
        cargs: tuple[Any, ...],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        """Make a connection, instead of SQLAlchemy: there is no event for one that fails."""
        permit = self._acquire(dialect)
        try:
            connection = dialect.connect(*cargs, **cparams)
        except BaseException as error:
            self._settle(permit, error, connecting=_is_of_driver(dialect, error))
            raise
        # The call goes on with whatever the connection is made for: that one can be made says little.
        _info_of(conn_rec)[self] = permit
        _CONNECTING.set(permit)
        return connection

    def engine_connect(self, conn: Connection) -> None:
        """A connection comes from the pool; an open circuit sends it back as it is."""
        _CONNECTING.set(None)
        info = conn.connection.record_info
        if info is None or self in info:  # a connection that has just been made brings its permit along
            return
        try:
            info[self] = self._acquire(conn.dialect)
        except BaseException:
            conn.close()
            raise

    def handle_error(self, context: ExceptionContext) -> None:
        """An error of the driver, in whatever is done with the connection."""
        if getattr(context, "is_pre_ping", False):
            return  # an old connection; whether a new one can be made is seen next
        permit = self._permit_of(context.connection)
        if permit is None:
            return
        error = context.original_exception
        if not isinstance(error, Exception):
            permit.raised(error)  # cancelled, though SQLAlchemy gives up the connection for it
        elif not isinstance(error, CircuitOpenError) and self._outage(
            error, connecting=context.connection is None, disconnected=context.is_disconnect
        ):
            permit.failure(error)

    def checkin(
        self, dbapi_connection: DBAPIConnection | None, connection_record: ConnectionPoolEntry
    ) -> None:
        """The connection returns: what has not failed was a success."""
        permit: Permit | None = _info_of(connection_record).pop(self, None)
        if permit is not None:
            permit.success()

    def _permit_of(self, connection: Connection | None) -> Permit | None:
        if connection is None:  # made, and not yet in anybody's hands: it is set up for the first time
            return _CONNECTING.get()
        if connection.closed or connection.invalidated:
            return None
        info = connection.connection.record_info
        return None if info is None else info.get(self)

    def _settle(self, permit: Permit, error: BaseException, *, connecting: bool) -> None:
        if not isinstance(error, Exception):
            permit.raised(error)
        elif self._outage(error, connecting=connecting):
            permit.failure(error)
        else:
            permit.cancel()

    def _acquire(self, dialect: Dialect) -> Permit:
        try:
            permit = self._breaker.try_acquire()
            if permit is not None:
                return permit
            # A store has to be asked for a probe. Below an AsyncEngine that must not block its event loop.
            return await_only(self._breaker.acquire_async()) if dialect.is_async else self._breaker.acquire()
        except CircuitOpenError as error:
            raise CircuitOpenOperationalError(*error.args) from None


def _info_of(record: ConnectionPoolEntry) -> dict[Any, Any]:
    info = record.record_info
    assert info is not None, "the pool's own record has it; a detached connection has none"
    return info


def _is_of_driver(dialect: Dialect, error: BaseException) -> bool:
    driver = dialect.loaded_dbapi
    return isinstance(error, driver.OperationalError | driver.InterfaceError)
