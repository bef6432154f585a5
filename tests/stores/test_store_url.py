"""Stores from URLs."""

from __future__ import annotations

import pytest

from switchgear.stores.memory import InMemoryCircuitBreakerStore
from switchgear.stores.postgres.store import PostgresCircuitBreakerStore
from switchgear.stores.redis.store import RedisCircuitBreakerStore
from switchgear.stores.url import store_from_url


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", InMemoryCircuitBreakerStore),
        ("redis://localhost:6379/0", RedisCircuitBreakerStore),
        ("rediss://localhost", RedisCircuitBreakerStore),
        ("redis+cluster://localhost", RedisCircuitBreakerStore),
        ("postgresql://localhost/db", PostgresCircuitBreakerStore),
    ],
)
def test_the_scheme_says_which(url: str, kind: type) -> None:
    assert type(store_from_url(url)) is kind


def test_options_are_query_parameters() -> None:
    store = store_from_url(
        "redis://h/1?prefix=p:&namespace=shop&staleness=2.5&max_connections=9&listen=no&db=3"
    )
    assert isinstance(store, RedisCircuitBreakerStore)
    assert (store.namespace, store.staleness, store.listen) == ("shop", 2.5, False)
    assert store._layout.channel == "p:1:events"
    postgres = store_from_url(
        "postgresql://u:p@h/d?table=t&create_schema=false&sslmode=require&listen_dsn=postgres://x"
    )
    assert isinstance(postgres, PostgresCircuitBreakerStore)
    assert postgres._dsn == "postgresql://u:p@h/d?sslmode=require"
    assert postgres._schema.channel == "t_v1"


def test_what_is_the_drivers_reaches_it_as_it_came() -> None:
    for url in (
        "postgresql:///shop?host=%2Frun%2Fpostgresql&port=5433",
        "postgresql://h/d?sslmode=require&channel_binding=require&connect_timeout=3",
        "postgresql://h/d?options=-c%20statement_timeout%3D1000",
    ):
        store = store_from_url(f"{url}&staleness=2")
        assert isinstance(store, PostgresCircuitBreakerStore)
        assert (store._dsn, store.staleness) == (url, 2.0)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://x", "scheme 'http': allowed are memory, redis, rediss, redis"),
        ("localhost:6379", "scheme 'localhost': allowed are"),
        ("", "scheme '': allowed are"),
        ("redis://h?prefx=1", "unknown option 'prefx' in a redis:// URL: allowed are .*prefix"),
        ("memory://?prefix=1", "unknown option 'prefix' in a memory:// URL: allowed are limit"),
        ("postgresql://h?listen=maybe", "option listen='maybe' of a store's URL: must be one of true, 1"),
        ("redis://h?staleness=soon", "option staleness='soon' of a store's URL: could not convert"),
        ("redis://h?prefix=a&prefix=b", "option 'prefix' is given twice"),
        ("redis://h?max_connections=0", "max_connections must be an integer of at least 1"),
    ],
)
def test_mistakes_are_told(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store_from_url(url)
