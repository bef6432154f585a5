"""What goes over a wire comes back as it was."""

from __future__ import annotations

import json
from random import Random

import pytest

from switchgear.stores.mechanism import apply
from switchgear.stores.operations import Delta, Flush, Get, Override, Window
from switchgear.stores.record import Record
from switchgear.stores.view import View
from switchgear.stores.wire import clean, decode, decode_view, encode, encode_view
from tests.stores.random_operations import Choice


@pytest.mark.parametrize("seed", range(20))
def test_operations_and_views_come_back_equal(seed: int) -> None:
    choice, record = Choice(Random(seed)), Record()
    for _ in range(100):
        operation = choice.operation(record)
        assert decode(json.loads(json.dumps(encode(operation)))) == operation
        record, view, _ = apply(record, operation, 1_800_000_000_000)
        assert decode_view(json.loads(json.dumps(encode_view(view)))) == view


def test_defaults_are_left_out() -> None:
    assert encode(Get()) == {"op": "get"}
    assert encode(
        Flush(reporter="a", number=1, generation=2, deltas=(Delta(0, 1, 1, 0),), window=Window(4, 10))
    ) == {
        "op": "flush",
        "reporter": "a",
        "number": 1,
        "generation": 2,
        "deltas": [[0, 1, 1, 0]],
        "window": [4, 10],
    }


def test_texts_are_fit_for_every_store() -> None:
    assert clean("a\0b\ud800" + "c" * 500) == "a\N{REPLACEMENT CHARACTER}b?" + "c" * 196
    override = Override(to="disabled", token="t", reason="x" * 500)
    assert encode(override)["reason"] == "x" * 200


def test_fields_of_a_newer_store_are_passed_over() -> None:
    assert decode_view({"now": 5, "invented_later": 1}) == View(now=5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"op": "explode"}, "operation 'explode': allowed are hello, goodbye, get"),
        ({}, "operation None: allowed are"),
        ({"op": "lease", "token": "a"}, "operation 'lease': .* missing 2 required"),
        ({"op": "get", "surprise": 1}, "operation 'get': .* unexpected keyword argument 'surprise'"),
        ({"op": "get", "window": [1]}, "a window has 1 to 31 buckets"),
    ],
)
def test_what_is_no_operation_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(data)
