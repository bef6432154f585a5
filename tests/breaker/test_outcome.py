"""What the end of a call is evidence for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from switchgear import CircuitBreakerPolicy, CircuitOpenError, CircuitState
from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS, Outcome
from switchgear.breaker.outcome import asked_for, describe, gist, is_cancellation, judge_error, status_of


class Error(Exception):
    """An exception as HTTP clients raise it, with whatever attributes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("no")
        self.__dict__.update(attributes)


class Response:
    def __init__(self, status_code: object) -> None:
        self.status_code = status_code

    def __bool__(self) -> bool:  # as that of requests: false for 4xx and 5xx
        return False


REJECTION = CircuitOpenError("other", CircuitState.OPEN, 1.0)


@pytest.mark.parametrize(
    ("fields", "error", "outcome"),
    [
        ({}, ValueError(), FAILURE),
        ({}, REJECTION, INCONCLUSIVE),
        ({"failure_on": CircuitOpenError}, REJECTION, INCONCLUSIVE),
        ({}, KeyboardInterrupt(), INCONCLUSIVE),
        ({}, GeneratorExit(), INCONCLUSIVE),
        ({}, SystemExit(), INCONCLUSIVE),
        ({"failure_on": BaseException}, KeyboardInterrupt(), INCONCLUSIVE),
        ({"failure_on": BaseException}, asyncio.CancelledError(), INCONCLUSIVE),
        ({"failure_on": lambda _: True}, GeneratorExit(), INCONCLUSIVE),
        ({"failure_on": OSError}, TimeoutError(), FAILURE),
        ({"failure_on": OSError}, ValueError(), SUCCESS),
        ({"failure_on": (OSError, KeyError)}, KeyError(), FAILURE),
        ({"failure_on": lambda e: "bad" in str(e)}, ValueError("bad"), FAILURE),
        ({"failure_on": lambda e: "bad" in str(e)}, ValueError("good"), SUCCESS),
        ({"ignore": ValueError}, ValueError(), INCONCLUSIVE),
        ({"ignore": ValueError, "failure_on": ValueError}, ValueError(), INCONCLUSIVE),
        ({"ignore": lambda e: e.args == (1,)}, ValueError(1), INCONCLUSIVE),
        ({}, Error(status_code=503), FAILURE),
        ({}, Error(status_code=404), SUCCESS),
        ({}, Error(status=404), SUCCESS),
        ({}, Error(response=Response(404)), SUCCESS),
        ({}, Error(response=Response(503), status_code=404), FAILURE),
        ({}, Error(response=Response(404), status_code=503), SUCCESS),
        ({}, Error(response=Response("?"), status_code=404), SUCCESS),
        ({"failure_statuses": None}, Error(status_code=404), FAILURE),
        ({"failure_statuses": [404]}, Error(status_code=404), FAILURE),
        ({"failure_statuses": [404]}, Error(status_code=503), SUCCESS),
        ({"ignore": Error}, Error(status_code=503), INCONCLUSIVE),
        ({"failure_on": OSError}, Error(status_code=503), SUCCESS),
    ],
)
def test_how_a_call_that_raised_ended(fields: dict[str, Any], error: BaseException, outcome: Outcome) -> None:
    assert judge_error(CircuitBreakerPolicy(**fields), error) is outcome


@pytest.mark.parametrize("value", [None, "404", 404.0, True, 99, 600, -1, object()])
def test_only_an_int_between_100_and_599_is_a_status(value: object) -> None:
    assert status_of(Error(status_code=value)) is None
    assert judge_error(CircuitBreakerPolicy(), Error(status_code=value)) is FAILURE


@pytest.mark.parametrize("status", [100, 599])
def test_the_first_and_the_last_status(status: int) -> None:
    assert status_of(Error(status_code=status)) == status


def test_an_attribute_that_raises_is_no_status() -> None:
    class BrokenError(Exception):
        @property
        def response(self) -> object:
            raise RuntimeError("not set")

    assert judge_error(CircuitBreakerPolicy(), BrokenError()) is FAILURE


def test_cancellation_is_told_without_importing_a_library() -> None:
    class Cancelled(BaseException):
        """As trio's."""

    assert is_cancellation(Cancelled())
    assert is_cancellation(asyncio.CancelledError())
    assert not any(map(is_cancellation, (ValueError(), KeyboardInterrupt(), SystemExit(), GeneratorExit())))


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
        (0, None),
        (-1, None),
        (float("nan"), None),
        (None, None),
        ("3", None),
    ],
)
def test_what_an_upstream_asks_for(answer: Any, seconds: float | None) -> None:
    assert asked_for(lambda _: answer, object()) == seconds
    assert asked_for(None, object()) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (ValueError("a\nb\t c\x1b[31m"), "ValueError: a b c [31m"),
        (OSError("redis://user:pass@host/0 is down"), "OSError: redis://***@host/0 is down"),
        (OSError("at redis://:p@ss@host"), "OSError: at redis://***@host"),
        (OSError("postgresql://h/db?password=hush&x=1"), "OSError: postgresql://h/db?password=***&x=1"),
        (OSError("https://host/path?mail=a@b"), "OSError: https://host/path?mail=a@b"),
        ("by hand", "by hand"),
    ],
)
def test_an_error_in_one_line_without_secrets(error: BaseException | str, text: str) -> None:
    assert describe(gist(error)) == text


def test_at_most_200_characters() -> None:
    text = describe(gist(ValueError("x" * 10_000)))
    assert len(text) == 200
    assert text.endswith("x…")
    assert describe(gist("y" * 200)) == "y" * 200


def test_of_a_long_message_400_characters_are_kept_and_no_part_of_a_url() -> None:
    assert gist("see " * 100)[1] == "see " * 100
    url = " http://user:secret"
    whole = "x" * (400 - len(url)) + url
    assert gist(whole)[1] == whole
    assert gist("x" * 385 + url)[1] == "x" * 385 + " "


def test_a_password_that_is_cut_off_is_not_shown() -> None:
    long = " ".join(["http://u:" + "p" * 60 + "@h"] * 6) + " http://user:secret"
    assert "secret" not in describe(gist(ValueError(long[:400] + "secret" * 50)))
    assert "ppp" not in describe(gist(ValueError(long)))


def test_an_error_that_cannot_be_printed() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert describe(gist(MuteError())) == "MuteError"
