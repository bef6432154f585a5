"""What is no mistake and worth a word."""

from __future__ import annotations

import pytest

from tests.gateway.config.snippets import MINIMAL, guarded, load, routed


def test_a_window_without_a_rate_on_a_shared_store_is_warned_of_once(tmp_path):
    text = "state: redis\n" + guarded("{maxErrors: 3, duration: 150}").replace(
        "/a:", "/b: &b {GET: {services: {s: {url: 'http://h'}}}},\n /a:"
    )
    assert len(load(tmp_path, text).warnings) == 1
    for breaker in ("{maxErrors: 3}", "{failureThreshold: 3, failureRate: 0.5}"):
        assert load(tmp_path, "state: redis\n" + guarded(breaker)).warnings == []
    assert load(tmp_path, guarded("{maxErrors: 3, duration: 150}")).warnings == []


NO_EFFECT = [
    ("limits: {queue: 5}\n" + MINIMAL, (1, 10), "limits.queue: warning: has no effect without inFlight"),
    (
        routed("{url: 'http://h', maxEjected: 50%}"),
        (2, 19),
        "s.maxEjected: warning: has no effect without perEndpoint",
    ),
    (
        routed("{url: 'http://h', max_ejected: 50%, perEndpoint: false}"),
        (2, 19),
        "s.max_ejected: warning: has no effect without perEndpoint",
    ),
    (
        "services: {u: {url: 'http://h', maxEjected: 50%}}\n" + routed("{use: u}"),
        (1, 33),
        "services.u.maxEjected: warning: has no effect without perEndpoint",
    ),
]


@pytest.mark.parametrize(("text", "place", "message"), NO_EFFECT)
def test_what_has_no_effect_is_warned_of(tmp_path, text, place, message):
    loaded = load(tmp_path, text)
    assert loaded.config is not None
    (warning,) = loaded.warnings
    assert (warning.line, warning.column) == place
    assert warning.text().endswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "limits: {queue: 5, inFlight: 9}\n" + MINIMAL,
        routed("{url: 'http://h', maxEjected: 50%, perEndpoint: true}"),
        routed("{url: 'http://h', perEndpoint: true}"),
    ],
)
def test_what_has_an_effect_is_not_warned_of(tmp_path, text):
    assert load(tmp_path, text).warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "limits: {queue: 5, inFlight: x}\n" + MINIMAL,
        routed("{url: 'http://h', maxEjected: 1, perEndpoint: 5}"),
    ],
)
def test_a_mistake_is_no_reason_for_a_warning(tmp_path, text):
    loaded = load(tmp_path, text)
    assert (len(loaded.mistakes), loaded.warnings) == (1, [])


def test_warnings_come_in_the_order_of_the_file(tmp_path):
    text = "limits: {queue: 5}\n" + routed("{url: 'http://h', maxEjected: 50%}")
    assert [warning.line for warning in load(tmp_path, text).warnings] == [1, 3]
