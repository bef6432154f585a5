"""SQLAlchemy before a real PostgreSQL that is killed and started again, and SQLite for the simple parts."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from switchgear import CircuitBreaker, CircuitOpenError, Switchgear
from switchgear.integrations.sqlalchemy import CircuitOpenOperationalError, install, is_outage
from switchgear.metrics.tally import CallTally
from switchgear.stores import RedisCircuitBreakerStore
from switchgear.testing import ManualClock
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server to kill; every test leaves it running."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tally() -> CallTally:
    return CallTally()


@pytest.fixture
def breaker(clock: ManualClock, tally: CallTally) -> CircuitBreaker:
    breaker = CircuitBreaker("db", failure_threshold=2, clock=clock)
    breaker.observe(tally)
    return breaker


def calls(tally: CallTally) -> dict[str, Any]:
    samples = tally.samples("db")
    return {labels[1]: value for name, labels, value in samples if name == "circuit_calls" and value}


class SyncDatabase:
    """Statements by an Engine."""

    def __init__(self, server: PostgresServer, **options: Any) -> None:
        url = server.dsn.replace("postgresql", "postgresql+psycopg")
        self.engine: sa.Engine | AsyncEngine = sa.create_engine(url, **options)

    def query(self, *statements: str) -> Any:
        assert isinstance(self.engine, sa.Engine)
        with self.engine.connect() as connection:
            for statement in statements:
                result = connection.execute(sa.text(statement))
            return result.scalar()

    def close(self) -> None:
        assert isinstance(self.engine, sa.Engine)
        self.engine.dispose()


class AsyncDatabase:
    """Statements by an AsyncEngine."""

    def __init__(self, server: PostgresServer, **options: Any) -> None:
        url = server.dsn.replace("postgresql", "postgresql+psycopg_async")
        self.engine: sa.Engine | AsyncEngine = create_async_engine(url, **options)
        self._runner = asyncio.Runner()

    def query(self, *statements: str) -> Any:
        return self.run(self._query(*statements))

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def _query(self, *statements: str) -> Any:
        assert isinstance(self.engine, AsyncEngine)
        async with self.engine.connect() as connection:
            for statement in statements:
                result = await connection.execute(sa.text(statement))
            return result.scalar()

    def close(self) -> None:
        assert isinstance(self.engine, AsyncEngine)
        self._runner.run(self.engine.dispose())
        self._runner.close()


Database = SyncDatabase | AsyncDatabase


@pytest.fixture(params=[SyncDatabase, AsyncDatabase], ids=["sync", "async"])
def connect(
    request: pytest.FixtureRequest, own_postgres: PostgresServer
) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def connect(**options: Any) -> Database:
        made.append(request.param(own_postgres, **options))
        return made[-1]

    yield connect
    for database in made:
        database.close()


def test_a_database_that_dies_opens_the_circuit_and_one_that_is_back_closes_it(
    connect, own_postgres, breaker, clock, tally
):
    database = connect()
    install(database.engine, breaker)
    assert database.query("select 1") == 1
    own_postgres.kill()
    try:
        with pytest.raises(sa.exc.OperationalError, match=r"closed the connection|terminating connection"):
            database.query("select 1")
        with pytest.raises(sa.exc.OperationalError, match="connection failed"):
            database.query("select 1")
        assert breaker.state == "open"
        with pytest.raises(CircuitOpenOperationalError) as rejection:
            database.query("select 1")
        assert rejection.value.retry_after == 30
        clock.advance(30)
        with pytest.raises(sa.exc.OperationalError, match="connection failed"):
            database.query("select 1")  # the probe
        with pytest.raises(CircuitOpenError):
            database.query("select 1")
    finally:
        own_postgres.restart()
    with pytest.raises(CircuitOpenError):
        database.query("select 1")
    clock.advance(30)
    assert database.query("select 1") == 1
    assert breaker.state == "closed"
    assert calls(tally) == {"success": 2, "failure": 3, "rejected": 3}


def test_answers_of_the_database_are_no_failures(connect, breaker, tally):
    database = connect()
    install(database.engine, breaker)
    database.query("create table if not exists once (id int primary key); truncate once", "select 1")
    for wrong in ("select 1/0", "select * from nothing", "insert into once values (1), (1) returning id"):
        with pytest.raises(sa.exc.DBAPIError):
            database.query(wrong)
    assert calls(tally) == {"success": 4}


def test_a_transaction_is_one_call(connect, breaker, tally):
    database = connect()
    install(database.engine, breaker)
    database.query("select 1", "select 2", "select 3")
    assert calls(tally) == {"success": 1}


def test_statements_that_run_into_their_timeout_are_failures(connect, breaker, tally):
    database = connect()
    install(database.engine, breaker)
    for _ in range(2):
        with pytest.raises(sa.exc.OperationalError, match="statement timeout"):
            database.query("set local statement_timeout = 20", "select pg_sleep(5)")
    assert breaker.state == "open"
    assert calls(tally) == {"failure": 2}


class AnsweredError(Exception):
    """An error with a code of the server's, as drivers have it."""

    def __init__(self, sqlstate: str | None) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "outage"),
    [
        ("08006", True),  # connection failure
        ("53300", True),  # too many connections
        ("57014", True),  # cancelled by its timeout
        ("57P03", True),  # starting up
        ("58030", True),  # the server's disk
        ("28P01", False),  # wrong password
        ("3D000", False),  # no such database
        ("40P01", False),  # deadlock
        ("55P03", False),  # lock not available
        (None, True),
    ],
)
def test_the_servers_own_code_tells_an_outage_from_a_mistake(sqlstate, outage):
    assert is_outage(AnsweredError(sqlstate), connecting=True) is outage


def test_errors_of_statements_without_a_code_are_answers():
    assert not is_outage(AnsweredError(None))
    assert is_outage(AnsweredError(None), disconnected=True)
    assert is_outage(TimeoutError())


def test_an_open_circuit_leaves_the_pool_as_it_is(connect, breaker):
    database = connect()
    install(database.engine, breaker)
    pid = database.query("select pg_backend_pid()")
    breaker.force_open()
    for _ in range(3):
        with pytest.raises(CircuitOpenOperationalError):
            database.query("select 1")
    breaker.reset()
    assert database.query("select pg_backend_pid()") == pid


def test_connections_of_the_pool_that_were_cut_are_one_failure(connect, own_postgres, breaker, tally):
    database = connect(pool_pre_ping=True)
    install(database.engine, breaker)
    database.query("select 1")
    own_postgres.kill()
    own_postgres.restart()
    assert database.query("select 1") == 1
    assert calls(tally) == {"success": 2}  # the ping of an old connection is no call


def test_guarding_ends(connect, breaker, tally):
    database = connect()
    remove = install(database.engine, breaker)
    database.query("select 1")
    remove()
    remove()
    breaker.force_open()
    assert database.query("select 1") == 1
    assert calls(tally) == {"success": 1}


def test_a_cancelled_task_says_nothing(own_postgres, breaker, tally):
    database = AsyncDatabase(own_postgres)
    install(database.engine, breaker)

    async def give_up() -> None:
        asking = asyncio.create_task(database._query("select pg_sleep(60)"))
        with psycopg.connect(own_postgres.dsn, autocommit=True) as looking:
            asleep = "select from pg_stat_activity where wait_event = 'PgSleep'"
            await until(lambda: looking.execute(asleep).rowcount == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    database.run(give_up())
    assert database.query("select 1") == 1
    database.close()
    assert calls(tally) == {"inconclusive": 1, "success": 1}


def test_a_probe_of_a_shared_circuit_does_not_block_the_event_loop(own_postgres, redis_server, monkeypatch):
    async def main() -> None:
        sg = Switchgear(failure_threshold=1, reset_timeout=0.05)
        breaker = sg.breaker("db")
        async with sg.open(RedisCircuitBreakerStore(redis_server.url, prefix="sqlalchemy:")):
            database = AsyncDatabase(own_postgres)
            install(database.engine, breaker)
            (await breaker.acquire_async()).failure()
            await until(lambda: breaker.state == "open" and breaker.snapshot().retry_after == 0.0)
            monkeypatch.delattr(CircuitBreaker, "acquire")  # it would block
            answers = []
            async with asyncio.timeout(30):
                while breaker.state != "closed":
                    answers += await probed(database)
                    await asyncio.sleep(0.01)
            assert answers
            assert isinstance(database.engine, AsyncEngine)
            await database.engine.dispose()

    asyncio.run(main())


async def probed(database: AsyncDatabase) -> list[Any]:
    """The answer to a query; none if it was rejected.

    A store that is slow to lease a probe rejects; and one that is slow to hear of the failure opens the
    circuit after this process has already tried again by its own evidence.
    """
    with suppress(CircuitOpenOperationalError):
        return [await database._query("select 1")]
    return []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # a store is waited for
            await asyncio.sleep(0.01)


# ---- simple parts, on SQLite


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(
        f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    yield engine
    engine.dispose()


def test_sessions_are_guarded(sqlite, breaker, tally):
    install(sqlite, breaker)
    with Session(sqlite) as session:
        assert session.scalar(sa.text("select 1")) == 1
        session.commit()
    assert calls(tally) == {"success": 1}
    breaker.force_open()
    with Session(sqlite) as session, pytest.raises(CircuitOpenOperationalError):
        session.scalar(sa.text("select 1"))


def test_an_exhausted_pool_is_not_the_databases_fault(sqlite, breaker, tally):
    install(sqlite, breaker)
    with sqlite.connect():
        for _ in range(3):
            with pytest.raises(sa.exc.TimeoutError):
                sqlite.connect()
    assert calls(tally) == {"success": 1}


def test_a_file_that_can_not_be_opened_is_a_failure(tmp_path, breaker, tally):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'nowhere' / 'a.db'}")
    install(engine, breaker)
    with pytest.raises(sa.exc.OperationalError, match="unable to open"):
        engine.connect()
    assert calls(tally) == {"failure": 1}
    engine.dispose()


def test_users_say_what_an_outage_is(sqlite, breaker, tally):
    install(sqlite, breaker, outage=lambda error, **_: "no such table" in str(error))
    with sqlite.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.text("select * from nowhere"))
    assert calls(tally) == {"failure": 1}


def test_listeners_that_came_before_change_the_arguments(tmp_path, breaker):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'wrong'}")

    def elsewhere(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
        cargs[0] = str(tmp_path / "right")

    event.listen(engine, "do_connect", elsewhere)
    install(engine, breaker)
    with engine.connect():
        assert (tmp_path / "right").exists()
    engine.dispose()


def test_the_first_use_of_a_connection_that_fails_is_a_failure(sqlite, breaker, tally):
    def broken(connection: Any, record: Any) -> None:
        raise ConnectionResetError("while it was set up")

    event.listen(sqlite, "connect", broken)
    install(sqlite, breaker)
    with pytest.raises(ConnectionResetError):
        sqlite.connect()
    event.remove(sqlite, "connect", broken)
    with sqlite.connect():
        pass
    assert calls(tally)["success"] == 1


def test_a_permit_is_held_by_each_connection(breaker, tally, tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    install(engine, breaker)
    barrier = threading.Barrier(4)

    def work() -> None:
        for _ in range(20):
            with engine.connect() as connection:
                connection.execute(sa.text("select 1"))
        barrier.wait(100)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert calls(tally) == {"success": 80}


def test_a_rejection_is_an_operational_error_that_pickles(breaker, sqlite):
    install(sqlite, breaker)
    breaker.force_open("maintenance", expires_in=60)
    with pytest.raises(sa.exc.OperationalError) as caught:
        sqlite.connect()
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, CircuitOpenOperationalError)
    assert (error.name, error.state, error.statement, error.orig) == ("db", "forced-open", None, None)
    assert "maintenance" in str(error)
    assert not error.connection_invalidated


def test_what_is_no_engine_is_refused(breaker):
    with pytest.raises(TypeError, match="expected an Engine or an AsyncEngine, got 'sqlite://'"):
        install("sqlite://", breaker)  # type: ignore[arg-type]
