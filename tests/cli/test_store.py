"""`switchgear store init URL`, on real servers."""

import asyncio

import psycopg
import pytest
import redis as driver

from switchgear.cli import main
from switchgear.stores.trouble import try_store
from switchgear.stores.url import store_from_url
from tests.gateway.state_servers import SECRET, postgres_with_users, redis_with_users
from tests.gateway.upstreams import refusing_port

SECRET_IN_URL = "s3%3Acr%2Fet%40%3F%23"


@pytest.fixture(scope="module")
def redis():
    with redis_with_users() as server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    with postgres_with_users() as server:
        yield server


def init(capsys, *args):
    """Exit code, standard output and standard error."""
    code = main(["store", "init", *args])
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert SECRET_IN_URL not in said.out + said.err
    return code, said.out, said.err


# ---- what it makes ----


def test_postgres_gets_its_schema_and_a_second_time_changes_nothing(postgres, capsys):
    url = f"postgresql://owner:{SECRET_IN_URL}@127.0.0.1:{postgres.port}/postgres?table=made"
    for _ in range(2):
        code, out, err = init(capsys, url)
        assert (code, err) == (0, "")
        assert out == f"postgresql://127.0.0.1:{postgres.port}/postgres is ready: the schema is there\n"
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("select to_regclass('made_v1') is not null").fetchone() == (True,)


def test_postgres_what_is_printed_makes_the_schema_too(postgres, capsys):
    code, sql, err = init(capsys, "postgresql://nowhere/db?table=by_hand", "--print")
    assert (code, err) == (0, "")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(sql)
        grants = [line.removeprefix("-- ") for line in sql.splitlines() if line.startswith("-- grant")]
        assert len(grants) == 2
        for grant in grants:
            connection.execute(grant.replace("ROLE", "guest"))
    # So a role that may create nothing can use it.
    guest = f"postgresql://guest:{SECRET_IN_URL}@127.0.0.1:{postgres.port}/postgres?table=by_hand"
    assert asyncio.run(trouble_at(guest)) is None


async def trouble_at(url):
    async with store_from_url(url) as store:
        return await try_store(store)


def test_redis_is_tried_with_all_rights_that_are_needed(redis, capsys):
    code, out, err = init(capsys, f"redis://:{SECRET_IN_URL}@127.0.0.1:{redis.port}")
    says = "is ready: the script runs, and the user has the rights"
    assert (code, out, err) == (0, f"redis://127.0.0.1:{redis.port} {says}\n", "")


def test_redis_the_printed_rights_are_enough(redis, capsys):
    code, text, err = init(capsys, "redis://nowhere?prefix=shop:", "--print")
    assert (code, err) == (0, "")
    command = next(line for line in text.replace("\\\n", "").splitlines() if line.startswith("ACL"))
    with driver.Redis(port=redis.port, password=SECRET) as client:
        client.execute_command(*command.replace(">PASSWORD", f">{SECRET}").split())
    url = f"redis://switchgear:{SECRET_IN_URL}@127.0.0.1:{redis.port}"
    assert init(capsys, f"{url}?prefix=shop:")[0] == 0
    code, _, err = init(capsys, f"{url}?prefix=other:")
    assert code == 1
    assert "give the user its rights" in err


def test_memory_needs_nothing(capsys):
    assert init(capsys, "memory://", "--print") == (0, "# memory needs no schema\n", "")
    assert init(capsys, "memory://")[0] == 0


# ---- what goes wrong ----


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "redis://h?colour=red"])
def test_a_url_that_is_none_gives_2(capsys, url):
    code, out, err = init(capsys, url)
    assert (code, out) == (2, "")
    assert "allowed are" in err


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_a_server_that_is_not_there_gives_3(capsys, monkeypatch, scheme):
    monkeypatch.setattr("switchgear.stores.trouble.PAUSE", 60.0)  # it is asked once
    with refusing_port() as port:
        code, out, err = init(capsys, f"{scheme}://u:{SECRET_IN_URL}@127.0.0.1:{port}")
    assert (code, out) == (3, "")
    assert f"switchgear: {scheme}://127.0.0.1:{port}: " in err
    assert "start the server, or check host and port" in err


def test_a_wrong_password_gives_1(redis, postgres, capsys):
    code, _, err = init(capsys, f"redis://:wrong@127.0.0.1:{redis.port}")
    assert code == 1
    assert "check the user and the password" in err
    code, _, err = init(capsys, f"postgresql://owner:wrong@127.0.0.1:{postgres.port}/postgres")
    assert code == 1
    assert "check the user and the password" in err


def test_a_missing_right_gives_1(postgres, capsys):
    url = f"postgresql://guest:{SECRET_IN_URL}@127.0.0.1:{postgres.port}/postgres?table=for_guests"
    code, _, err = init(capsys, url)
    assert code == 1
    assert "permission denied" in err
