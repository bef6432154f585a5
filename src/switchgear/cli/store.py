"""`switchgear store init URL`: makes or upgrades what a store needs at its server, or says what that is."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from switchgear.stores.trouble import Trouble, place_of, trouble_of, try_store
from switchgear.stores.url import store_from_url

if TYPE_CHECKING:
    import argparse

    from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
    from switchgear.stores.url import Store

_ACL: Final = """\
# Redis has no schema: the script is loaded when it is first used. A user of its own needs these rights:
ACL SETUSER switchgear on >PASSWORD ~{prefix}* &{prefix}* +ping +hello +client|setinfo +select +evalsha \
+script|load +time +hgetall +hset +hdel +pexpire +persist +xadd +xrange +xrevrange \
+publish +subscribe +unsubscribe
# and in a cluster also: +cluster|slots +cluster|shards +cluster|nodes +command
"""
_GRANTS: Final = """
-- A role that does not own the table needs these rights:
-- grant select, insert, update, delete on {table}_{version} to ROLE;
-- grant usage on sequence {table}_feed_{version} to ROLE;
"""


def run(args: argparse.Namespace) -> int:
    """Exit code 0, 1 when the server refuses, 2 for a URL that is none, 3 when the server can't be
    reached."""
    try:
        store = store_from_url(args.url)
    except ImportError as error:
        print(f"switchgear: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"switchgear: {error}", file=sys.stderr)
        return 2
    if args.print_only:
        print(_needed(store, args.url), end="")
        return 0
    trouble = asyncio.run(_prepare(store))
    if trouble is None:
        print(f"{place_of(args.url)} is ready: {_done(store)}")
        return 0
    print(f"switchgear: {place_of(args.url)}: {trouble}", file=sys.stderr)
    return 3 if trouble.passing else 1


def _needed(store: Store, url: str) -> str:
    postgres = _as_postgres(store)
    if postgres is not None:
        from switchgear.stores.postgres.schema import VERSION

        table = _option(url, "table", "switchgear_circuits")
        return f"{postgres.schema().rstrip()}\n{_GRANTS.format(table=table, version=VERSION)}"
    if urlsplit(url).scheme == "memory":
        return "# memory needs no schema\n"
    return _ACL.format(prefix=_option(url, "prefix", "switchgear:"))


async def _prepare(store: Store) -> Trouble | None:
    postgres = _as_postgres(store)
    async with store:
        try:
            if postgres is not None:
                await postgres.init_schema()
        except Exception as error:  # a driver may raise anything: each is a reason
            return trouble_of(error)
        # As it will be used: what a role may create it may still be forbidden to write, by a rule of its own.
        return await try_store(store)


def _done(store: Store) -> str:
    return (
        "the script runs, and the user has the rights"
        if _as_postgres(store) is None
        else "the schema is there"
    )


def _as_postgres(store: Store) -> PostgresCircuitBreakerStore | None:
    """Told by what it can do: to import the class would need its driver."""
    return store if hasattr(store, "init_schema") else None  # type: ignore[return-value]


def _option(url: str, name: str, default: str) -> str:
    return parse_qs(urlsplit(url).query).get(name, [default])[0]
