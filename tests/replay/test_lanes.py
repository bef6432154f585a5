"""Calls by key in the order of time: what is out of order, what comes too late, and the bounds."""

from __future__ import annotations

import random

from switchgear import CircuitBreakerPolicy
from switchgear.replay import lanes as module
from switchgear.replay.calls import FAILURE, SUCCESS, Call
from switchgear.replay.lanes import Lanes

POLICY = CircuitBreakerPolicy(failure_threshold=3, window=5, reset_timeout=2)


def lanes(**options: float) -> Lanes:
    return Lanes([lambda _: POLICY], **options)


def feed(into: Lanes, calls: list[Call], batch: int = 50) -> Lanes:
    for first in range(0, len(calls), batch):
        some = calls[first : first + batch]
        into.add({"k": some}, max(call[0] for call in some))
    into.finish()
    return into


def made_up(count: int) -> list[Call]:
    """In the order of their ends; bad times come and go."""
    draw = random.Random(7)
    out: list[Call] = []
    for place in range(count):
        end = 1000 + place / 16
        code = FAILURE if draw.random() < (0.6 if place // 300 % 2 else 0.01) else SUCCESS
        out.append((end, end - draw.choice([1, 2, 8, 40]) / 16, code))
    return out


def told(result: Lanes) -> list[tuple[float, str]]:
    return [(move.at, move.to_state) for move in result.by_key["k"].tracks[0].history.moves]


def test_lines_out_of_order_within_the_bound_change_nothing(monkeypatch):
    monkeypatch.setattr(module, "STEP", 40)
    calls = made_up(3000)
    draw = random.Random(3)
    shuffled = sorted(calls, key=lambda call: call[0] + draw.uniform(0, 5))
    assert shuffled != calls
    one, other = feed(lanes(reorder=10), calls), feed(lanes(reorder=10), shuffled)
    assert told(one) == told(other)
    assert len(told(one)) > 20
    lane = other.by_key["k"]
    assert (lane.late, lane.long, lane.codes.total()) == (0, 0, 3000)


def test_what_comes_later_than_the_bound_is_left_out_and_counted(monkeypatch):
    monkeypatch.setattr(module, "STEP", 10)
    calls = [(float(second), second - 0.5, SUCCESS) for second in range(100)]
    late = (20.0, 19.5, FAILURE)
    lane = feed(lanes(reorder=10), [*calls[:60], late, *calls[60:]], 10).by_key["k"]
    assert (lane.late, lane.long, lane.codes.total()) == (1, 0, 100)


def test_a_call_that_lasted_longer_than_the_bound_counts_at_its_end(monkeypatch):
    monkeypatch.setattr(module, "STEP", 10)
    calls = [(float(second), second - 0.5, SUCCESS) for second in range(100)]
    lane = feed(lanes(reorder=10), [*calls[:60], (60.0, 20.0, FAILURE), *calls[60:]], 10).by_key["k"]
    assert (lane.late, lane.long, lane.codes[FAILURE]) == (0, 1, 1)


def test_a_dense_log_holds_no_more_calls_than_the_bound(monkeypatch):
    monkeypatch.setattr(module, "STEP", 100)
    monkeypatch.setattr(module, "MOST_WAITING", 300)
    result, most = lanes(reorder=60), 0
    for first in range(0, 5000, 50):
        some = [((first + place) / 1000, (first + place) / 1000 - 0.01, SUCCESS) for place in range(50)]
        result.add({"k": some, "l": some}, some[-1][0])
        most = max(most, sum(len(lane.waiting) for lane in result.by_key.values()))
    result.finish()
    assert most <= 300 + 100
    assert result.shortest_reorder < 1
    assert [lane.codes.total() for lane in result.by_key.values()] == [5000, 5000]


def test_keys_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_KEYS", 2)
    result = lanes()
    call = (1.0, 0.5, SUCCESS)
    result.add({"a": [call], "a" * 2000: [call] * 2, "b": [call], "c": [call] * 3}, 1.0)
    result.finish()
    assert (sorted(result.by_key), result.beyond) == (["a", "b"], 5)


def test_a_key_without_a_policy_is_counted_by_name():
    result = Lanes([lambda _: POLICY, lambda key: POLICY if key == "a" else None])
    result.add({"a": [(1.0, 0.5, SUCCESS)], "b": [(1.0, 0.5, SUCCESS)] * 2}, 1.0)
    result.finish()
    assert (list(result.by_key), dict(result.without_policy)) == (["a"], {"b": 2})
