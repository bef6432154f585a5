"""How long an upstream asks to be left alone: `Retry-After`, read for a policy's `retry_after_from`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import cast

Get = Callable[[str], object]


def retry_after(answer: object) -> float | None:
    """Seconds that a response, or an exception that carries one, asks for; `None` when it does not.

    For a policy's `retry_after_from`. Reads `retry-after-ms` and `Retry-After`, in seconds or as a date. A
    date is counted from the response's own `Date`, since clocks of two machines differ, and from this
    machine's clock only where that is missing.
    """
    get = _getter(answer) or _getter(getattr(answer, "response", None))
    if get is None:
        return None
    milliseconds = _positive(get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = get("retry-after")
    seconds = _positive(value)
    return _until(value, get("date")) if seconds is None else seconds


def _getter(answer: object) -> Get | None:
    """Reads header fields of `answer`, whose mapping knows no case in any of the usual clients."""
    get = getattr(getattr(answer, "headers", None), "get", None)
    return cast("Get", get) if callable(get) else None


def _positive(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _until(value: object, date: object) -> float | None:
    end = _moment(value)
    if end is None:
        return None
    start = _moment(date)
    wait = end - (time.time() if start is None else start)
    return wait if wait > 0 else None


def _moment(value: object) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
