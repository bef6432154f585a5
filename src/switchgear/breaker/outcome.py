"""What the end of a call says about the service: failure, answer, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from switchgear.breaker.machine import FAILURE, INCONCLUSIVE, SUCCESS, Outcome
from switchgear.breaker.policy import CircuitBreakerPolicy, ExceptionFilter
from switchgear.errors import CircuitOpenError

LONGEST_TEXT: Final = 200
LONGEST_KEPT: Final = 2 * LONGEST_TEXT
"""Characters kept of a message, which may be a whole page."""
_NOT_CANCELLATION: Final = (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)
_TYPES: Final = (type, tuple)  # named once: a union written in place is built anew at every call
_CREDENTIALS: Final = re.compile(r"(\w+://)[^/\s]*@")
_SECRET_PARAMETER: Final = re.compile(
    r"([?&](?:\w*(?:password|passwd|secret|token|api_?key))=)[^&\s]*", re.IGNORECASE
)
_CUT_URL: Final = re.compile(r"\w+://[^/\s]*$")  # it may have lost the @ that tells a password


def is_cancellation(error: BaseException) -> bool:
    """Whether the caller stopped waiting (asyncio, trio and the like): no exception of the service's.

    Told without importing any of these libraries: what is no `Exception` and none of the interpreter's own
    three.
    """
    return not isinstance(error, _NOT_CANCELLATION)


def judge_error(policy: CircuitBreakerPolicy, error: BaseException) -> Outcome:
    """The outcome of a call that raised `error`.

    What the policy's own predicates raise goes through: the caller counts it as a failure.
    """
    if not isinstance(error, Exception):
        return INCONCLUSIVE  # somebody ends the call, or the process: whatever `failure_on` says
    if isinstance(error, CircuitOpenError) or (policy.ignore and _matches(policy.ignore, error)):
        return INCONCLUSIVE  # a rejection, ours or another breaker's, is never evidence
    if not _matches(policy.failure_on, error):
        return SUCCESS
    if policy.failure_statuses is not None:
        status = status_of(error)
        if status is not None and status not in policy.failure_statuses:
            return SUCCESS  # the service answered: a 404 turned into an exception is an answer
    return FAILURE


def _matches(wanted: ExceptionFilter, error: BaseException) -> bool:
    if isinstance(wanted, _TYPES):
        return isinstance(error, wanted)
    return bool(wanted(error))


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception of the usual clients carries, an int of 100-599, or `None`."""
    for carrier, name in (
        (_attribute(error, "response"), "status_code"),
        (error, "status_code"),
        (error, "status"),
    ):
        status = _attribute(carrier, name)
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            return status
    return None


def _attribute(carrier: object, name: str) -> object:
    try:
        return getattr(carrier, name, None)  # pragma: no mutate  # the default only spares an exception
    except Exception:  # a property that raises has nothing to say
        return None


def carries_nothing(error: BaseException) -> bool:
    """Whether it is an `Exception`, no rejection, and has nothing that may be a status."""
    return (
        isinstance(error, Exception)
        and not isinstance(error, CircuitOpenError)
        and getattr(error, "response", None) is None
        and getattr(error, "status_code", None) is None
        and getattr(error, "status", None) is None
    )


@lru_cache(maxsize=64)  # it takes microseconds; and a bound, since a program may make types and drop them
def is_bare(kind: type[BaseException]) -> bool:
    """Whether an exception of this type can carry a status only in its `__dict__`."""
    return kind.__getattribute__ is BaseException.__getattribute__ and not any(
        hasattr(kind, name) for name in ("__getattr__", "response", "status_code", "status")
    )


def asked_for(read: Callable[[Any], float | timedelta | None] | None, answer: object) -> float | None:
    """Seconds that the upstream asks to be left alone, as `retry_after_from` reads them, or `None`."""
    wanted = None if read is None else read(answer)
    if isinstance(wanted, timedelta):
        wanted = wanted.total_seconds()
    if isinstance(wanted, int | float) and wanted > 0:  # NaN is not
        return float(wanted)
    return None


Gist = tuple[type, str]
"""Type and message of an error, not yet fit to be shown; `str` and a text for what was no exception."""


def gist(error: BaseException | str | Gist) -> Gist:
    """What is kept of an error at once: the rest of `describe` is for whoever reads it.

    Text, not the exception: that would keep its traceback, and with it every local variable of the failed
    call.
    """
    if isinstance(error, tuple):
        return error
    try:
        message = str(error)
    except Exception:
        message = ""  # an exception whose __str__ fails must not replace itself by another one
    return type(error), message if len(message) <= LONGEST_KEPT else _cut(message)


def _cut(message: str) -> str:
    return _CUT_URL.sub("", message[:LONGEST_KEPT])


def describe(failure: Gist) -> str:
    """`Type: message`, at most 200 characters, on one line, with credentials in URLs masked."""
    kind, message = failure
    text = message if issubclass(kind, str) else f"{kind.__name__}: {message}" if message else kind.__name__
    text = _CREDENTIALS.sub(r"\1***@", text)
    text = _SECRET_PARAMETER.sub(r"\1***", text)
    if not text.isprintable():
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
