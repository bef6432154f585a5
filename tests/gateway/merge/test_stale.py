"""The store of earlier answers: bounded, and nobody gets another's."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.gateway.exchange import BufferedResponse, Request
from switchgear.gateway.stale import StaleStore, request_key

from .services import request


def answer(body: bytes = b"x") -> BufferedResponse:
    return BufferedResponse(200, [(b"set-cookie", b"secret")], body)


def test_age_decides():
    store = StaleStore()
    store.put(b"k", answer(), 100.0)
    assert store.get(b"k", 60.0, 160.0) == (BufferedResponse(200, [], b"x"), 60.0)
    assert store.get(b"k", 60.0, 160.1) is None
    assert store.get(b"other", 60.0, 100.0) is None


def test_a_newer_answer_replaces():
    store = StaleStore()
    store.put(b"k", answer(b"old"), 0.0)
    store.put(b"k", answer(b"new"), 1.0)
    found = store.get(b"k", 60.0, 2.0)
    assert found is not None
    assert found[0].body == b"new"
    assert len(store) == 1


def test_what_was_stored_longest_ago_goes_first():
    store = StaleStore(max_entries=2)
    for now, key in enumerate([b"a", b"b", b"a", b"c"]):
        store.put(key, answer(), now)
    assert [key for key in (b"a", b"b", b"c") if store.get(key, 60.0, 4.0)] == [b"a", b"c"]


def test_too_large_for_the_store():
    store = StaleStore(max_bytes=2000)
    store.put(b"k", answer(), 0.0)
    store.put(b"k", answer(b"x" * 2000), 1.0)
    assert len(store) == store.size == 0


def test_forgetting_twice():
    store = StaleStore()
    store.put(b"k", answer(), 0.0)
    store.forget(b"k")
    store.forget(b"k")
    assert len(store) == store.size == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900) | st.none()), max_size=60))
def test_bounds_hold_whatever_happens(steps: list[tuple[int, int | None]]):
    store = StaleStore(max_entries=5, max_bytes=4000)
    for now, (key, size) in enumerate(steps):
        name = b"%d" % key
        store.forget(name) if size is None else store.put(name, answer(b"x" * size), now)
        assert len(store) <= 5
        assert store.size <= 4000
    for key in range(10):
        store.forget(b"%d" % key)
    assert store.size == 0


@pytest.mark.parametrize("body_size", [2, 100, 10_000])
def test_memory_is_what_it_says(body_size: int):
    store = StaleStore(max_entries=100_000, max_bytes=2_000_000)
    tracemalloc.start()
    try:
        for number in range(6000):
            store.put(b"%016d" % number, answer(bytes(body_size)), float(number))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= 1.1 * 2_000_000


BASE = request(headers=((b"accept", b"a"), (b"authorization", b"one"), (b"x-tenant", b"1")))


def key(of: Request, scope: str = "GET /all inbox") -> bytes:
    return request_key(scope, of)


@pytest.mark.parametrize(
    "other",
    [
        request(b"/all?x", headers=tuple(BASE.headers)),
        request(headers=((b"accept", b"a"), (b"authorization", b"two"), (b"x-tenant", b"1"))),
        request(headers=((b"accept", b"a"), (b"authorization", b"one"), (b"x-tenant", b"2"))),
        request(headers=((b"accept", b"a"), (b"authorization", b"one"))),
        request(headers=(*BASE.headers, (b"cookie", b"s=1"))),
        request(headers=(*BASE.headers, (b"a-header-nobody-knows", b"1"))),
        request(headers=((b"accept", b"aauthorization"), (b"one", b""), (b"x-tenant", b"1"))),
    ],
)
def test_requests_with_other_answers(other: Request):
    assert key(BASE) != key(other)


@pytest.mark.parametrize(
    "other",
    [
        request(headers=tuple(reversed(BASE.headers))),
        request(
            headers=(*BASE.headers, (b"user-agent", b"x"), (b"traceparent", b"y"), (b"x-request-id", b"z"))
        ),
    ],
)
def test_requests_with_the_same_answer(other: Request):
    assert key(BASE) == key(other)


def test_routes_and_parts_are_apart():
    assert key(BASE) != key(BASE, "GET /all users")
