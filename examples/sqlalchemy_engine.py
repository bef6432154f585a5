"""A database behind a breaker: an outage costs one failure each to open it, then nothing."""

from __future__ import annotations

import sys

import sqlalchemy as sa

from switchgear import Switchgear
from switchgear.integrations.sqlalchemy import install

sg = Switchgear(failure_threshold=2)


def main(url: str) -> None:
    """Ask the database four times."""
    engine = sa.create_engine(url)
    install(engine, sg.breaker("orders-db"))
    for _ in range(4):
        try:
            with engine.connect() as connection:
                print("orders:", connection.scalar(sa.text("select count(*) from orders")))
        except sa.exc.OperationalError as error:
            print(type(error).__name__)
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:////nowhere/orders.db")
