"""The kinds of values that have a unit: durations, sizes and shares."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from switchgear.gateway.config.kinds import OUT_OF_RANGE, WRONG_TYPE, Scalar, UnfitError, read_number, typed

if TYPE_CHECKING:
    from switchgear.gateway.config.nodes import ScalarNode

_LONGEST_DURATION: Final = 366 * 86400.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {
    "": 1,
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|kB|MB|GB)?")
_PERCENT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)%")
_OVER_0: Final = "(?=.*[1-9])"


def _milliseconds(node: ScalarNode) -> float:
    value = typed(node)
    return _bounded(read_number(node) / 1000) if isinstance(value, int | float) else _duration(node)


def _duration(node: ScalarNode) -> float:
    value = typed(node)
    if isinstance(value, timedelta):
        return _bounded(value.total_seconds())
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise UnfitError("a duration without a unit")
    if not isinstance(value, str):
        raise UnfitError(WRONG_TYPE)
    parts = _DURATION.fullmatch(value.removeprefix("-"))
    if not parts:
        raise UnfitError("not a duration")
    sign = -1 if value.startswith("-") else 1
    return _bounded(sign * float(parts[1]) * _UNITS[parts[2]])


def _bounded(seconds: float) -> float:
    if not 0 < seconds <= _LONGEST_DURATION:
        raise UnfitError("a duration has to be over 0" if seconds <= 0 else OUT_OF_RANGE)
    return seconds


def write_duration(seconds: float) -> str:
    """In the greatest unit that gives a whole number."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _UNITS[unit]
        if count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:.12g}ms"


_DURATION_SCHEMA: Final = {"type": "string", "pattern": f"^{_OVER_0}{_DURATION.pattern}$"}
DURATION: Final = Scalar(
    "a duration over 0 such as 250ms, 30s, 5m",
    _duration,
    _DURATION_SCHEMA,
    name="duration",
    write=write_duration,
)
MILLISECONDS: Final = Scalar(
    "a duration over 0 such as 250ms, 30s, 5m, or a number of milliseconds",
    _milliseconds,
    {"anyOf": [_DURATION_SCHEMA, {"type": "number", "exclusiveMinimum": 0}]},
    name="milliseconds",
    write=write_duration,
)
"""For the few fields in which a number without unit has always been milliseconds."""


def _size(node: ScalarNode) -> int:
    value = typed(node)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UnfitError(WRONG_TYPE)
    if isinstance(value, str):
        parts = _SIZE.fullmatch(value)
        if not parts:
            raise UnfitError("not a size")
        value = int(parts[1]) * _SIZES[parts[2] or ""]
    if not 1 <= value <= 10**15:
        raise UnfitError(OUT_OF_RANGE)
    return value


def _write_size(size: int) -> str | int:
    for unit in ("GiB", "MiB", "KiB"):
        if size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return size


SIZE: Final = Scalar(
    "a size such as 64KiB, 1MiB, or a number of bytes, at least 1",
    _size,
    {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": f"^{_OVER_0}{_SIZE.pattern}$"},
        ]
    },
    name="size",
    write=_write_size,
)


def _rate(node: ScalarNode) -> float:
    value = typed(node)
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(percent[1]) / 100 if percent else read_number(node)
    if not 0 < share <= 1:
        raise UnfitError(OUT_OF_RANGE)
    return share


def _write_rate(share: float) -> str:
    return f"{share * 100:.12g}%"


RATE: Final = Scalar(
    "a share over 0 and at most 1, such as 0.5 or 50%",
    _rate,
    {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            {
                "type": "string",
                "pattern": f"^{_OVER_0}0*(100(\\.0{{1,9}})?|[0-9]{{1,2}}(\\.[0-9]{{1,9}})?)%$",
            },
        ]
    },
    name="rate",
    write=_write_rate,
)
