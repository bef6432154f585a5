"""What a circuit breaker is told to do: fields, defaults, ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Final, Literal, cast

from switchgear.errors import PolicyError, PolicyProblem

ExceptionFilter = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
Seconds = float | timedelta


class _Unset:
    """Tells a value that was left out from a `None` that was written."""

    def __repr__(self) -> str:
        return "<default>"


UNSET: Final[Any] = _Unset()

DEFAULT_THRESHOLD: Final = 5
DEFAULT_RATE_WINDOW: Final = 30.0
LONGEST: Final = 366 * 86400.0  # a year: longer durations are mistakes of unit, not wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerPolicy:
    """When a circuit opens, how long it stays open, and how it closes again.

    Durations are seconds or `timedelta`; they are kept as seconds. Rules are or-ed, each is compared by `>=`
    after every recorded outcome. A field out of range raises `PolicyError` (a `ValueError`) that names every
    mistake.
    """

    failure_threshold: int | None = UNSET
    """Failures that open the circuit: consecutive without `window`, otherwise inside it. `None`: rule off.
    Default 5, or `None` when a rate is given."""
    window: Seconds | None = UNSET
    """Length of the rolling time window. Default `None` (count consecutive failures), or 30 s with a rate."""
    failure_rate: float | None = None
    """Share of failed calls in the window that opens the circuit, in (0, 1]."""
    slow_call_rate: float | None = None
    """Share of slow calls in the window that opens the circuit, in (0, 1]."""
    minimum_calls: int = 20
    """Calls in the window below which no rate is judged."""
    slow_call_duration: Seconds | None = None
    """A call that lasts longer than this is slow."""
    reset_timeout: Seconds = 30.0
    """How long the circuit stays open before a probe."""
    reset_timeout_factor: float = 1.0
    """The open time is multiplied by this for every failed round of probes."""
    reset_timeout_max: Seconds = 300.0
    """The open time never grows beyond this, and an upstream's `Retry-After` is never believed beyond it."""
    jitter: float = 0.0
    """The open time is multiplied by uniform(1 - jitter, 1 + jitter), in [0, 1)."""
    retry_after_from: Callable[[Any], float | timedelta | None] | None = None
    """Reads seconds from a failed result or exception: the upstream's own `Retry-After` is the open time."""
    half_open_max: int = 1
    """Probes in flight at once."""
    success_threshold: int = 1
    """Successful probes that close the circuit; may exceed `half_open_max`."""
    probe_timeout: Seconds = 60.0
    """A probe's lease ends after this: its slot is free, its late result changes nothing."""
    failure_on: ExceptionFilter = Exception
    """Exceptions that are failures; others are answers, hence successes."""
    ignore: ExceptionFilter = ()
    """Exceptions that are no evidence at all; wins over `failure_on`."""
    failure_if: Callable[[Any], bool] | None = None
    """Tells from a returned value that the call failed."""
    failure_statuses: frozenset[int] | None = field(default=frozenset({500, 502, 503, 504}))
    """An exception that carries an HTTP status is a failure only for these; `None`: decided by type alone."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow`: the whole machine runs and nothing is rejected."""

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in FIELDS}
        problems = find_problems(values)
        if problems:
            raise PolicyError(problems)
        for name, value in normalised(values).items():
            object.__setattr__(self, name, value)

    # What the machine asks, in terms of the fields above. Durations are floats once the policy exists.

    @property
    def has_window(self) -> bool:
        """Whether evidence is counted in a rolling window instead of as a run of consecutive failures."""
        return self.window is not None

    @property
    def has_rate(self) -> bool:
        """Whether a share of calls, and not only a number of them, opens the circuit."""
        return self.failure_rate is not None or self.slow_call_rate is not None

    @property
    def shadow(self) -> bool:
        return self.mode == "shadow"

    def open_time(self, rounds: int, spread: float = 0.0) -> float:
        """Seconds that the circuit stays open after `rounds` failed rounds of probes.

        `spread` in [-1, 1] is the random draw that `jitter` scales: the caller draws it, once, so that the
        machine stays free of chance.
        """
        base = seconds(self.reset_timeout)
        if self.reset_timeout_factor > 1:
            longest = seconds(self.reset_timeout_max)
            try:
                base = min(longest, base * float(self.reset_timeout_factor) ** rounds)
            except OverflowError:  # after a few hundred rounds
                base = longest
        return base * (1 + self.jitter * spread)

    def believed(self, retry_after: float) -> float:
        """The open time that an upstream's own `Retry-After` gives."""
        return min(retry_after, seconds(self.reset_timeout_max))


FIELDS: Final = tuple(f.name for f in fields(CircuitBreakerPolicy))


def seconds(value: Seconds) -> float:
    """A duration as seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def duration(name: str, value: object) -> float:
    """An argument `name` as seconds; `ValueError` unless it is over 0 and at most a year."""
    if not _is_duration(value):
        raise ValueError(f"{name} must be {_DURATION.values}, got {value!r}")
    return seconds(cast(Seconds, value))


def normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dependent defaults filled in, durations as seconds, statuses as a set. Expects values in range."""
    out = dict(values)
    rated = values["failure_rate"] is not None or values["slow_call_rate"] is not None
    if values["failure_threshold"] is UNSET:
        out["failure_threshold"] = None if rated else DEFAULT_THRESHOLD
    if values["window"] is UNSET:
        out["window"] = DEFAULT_RATE_WINDOW if rated else None
    for name in _DURATIONS:
        if out[name] is not None:
            out[name] = seconds(out[name])
    if out["failure_statuses"] is not None:
        out["failure_statuses"] = frozenset(out["failure_statuses"])
    for name in ("failure_on", "ignore"):
        if isinstance(out[name], Iterable) and not isinstance(out[name], type):
            out[name] = tuple(out[name])
    return out


# ---- ranges ----


@dataclass(frozen=True, slots=True)
class _Range:
    values: str
    holds_for: Callable[[Any], bool]
    optional: bool = False

    @property
    def allowed(self) -> str:
        return f"{self.values}, or None" if self.optional else self.values

    def holds(self, value: object) -> bool:
        return (self.optional and value is None) or self.holds_for(value)


def is_number(value: object) -> bool:
    """Whether it is a finite number (a bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def is_count(value: object) -> bool:
    """Whether it is an integer of at least 1 (a bool is none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000_000


def _is_duration(value: object) -> bool:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return is_number(value) and 0 < value <= LONGEST  # type: ignore[operator]  # is_number says it is one


def _is_share(value: object) -> bool:
    return is_number(value) and 0 < value <= 1  # type: ignore[operator]


def _is_exception_filter(value: object) -> bool:
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(is_exception_type, cast(Iterable[object], value)))
    return is_exception_type(value) if isinstance(value, type) else callable(value)


def is_exception_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _are_statuses(value: object) -> bool:
    return isinstance(value, Collection) and all(map(is_status, cast(Iterable[object], value)))


def is_status(value: object) -> bool:
    """Whether it is an HTTP status (a bool is none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599


_COUNT = _Range("an integer of at least 1", is_count)
_DURATION = _Range("a duration over 0 (seconds or timedelta)", _is_duration)
_OPTIONAL_DURATION = replace(_DURATION, optional=True)
_OPTIONAL_SHARE = _Range("a number in (0, 1]", _is_share, optional=True)
_OPTIONAL_CALLABLE = _Range("a callable", callable, optional=True)
_EXCEPTIONS = _Range("an exception type, a tuple of them or a predicate", _is_exception_filter)

RANGES: Final[Mapping[str, _Range]] = {
    "failure_threshold": replace(_COUNT, optional=True),
    "window": _OPTIONAL_DURATION,
    "failure_rate": _OPTIONAL_SHARE,
    "slow_call_rate": _OPTIONAL_SHARE,
    "minimum_calls": _COUNT,
    "slow_call_duration": _OPTIONAL_DURATION,
    "reset_timeout": _DURATION,
    "reset_timeout_factor": _Range("a number of at least 1", lambda v: is_number(v) and v >= 1),
    "reset_timeout_max": _DURATION,
    "jitter": _Range("a number in [0, 1)", lambda v: is_number(v) and 0 <= v < 1),
    "retry_after_from": _OPTIONAL_CALLABLE,
    "half_open_max": _COUNT,
    "success_threshold": _COUNT,
    "probe_timeout": _DURATION,
    "failure_on": _EXCEPTIONS,
    "ignore": _EXCEPTIONS,
    "failure_if": _OPTIONAL_CALLABLE,
    "failure_statuses": _Range("a collection of statuses in 100-599", _are_statuses, optional=True),
    "mode": _Range("'enforce' or 'shadow'", lambda v: isinstance(v, str) and v in ("enforce", "shadow")),
}
_DURATIONS = ("window", "slow_call_duration", "reset_timeout", "reset_timeout_max", "probe_timeout")


def find_problems(values: Mapping[str, Any]) -> list[PolicyProblem]:
    """Every mistake in `values` (by field; what is missing has its default), with what is allowed."""
    problems = [
        PolicyProblem(name, RANGES[name].allowed, value)
        for name, value in values.items()
        if value is not UNSET and not RANGES[name].holds(value)
    ]
    # Rules between fields say something only about fields that are right by themselves.
    return problems or list(_conflicts({**_DEFAULTS, **values}))


_DEFAULTS: Final[Mapping[str, Any]] = {f.name: f.default for f in fields(CircuitBreakerPolicy)}


def _conflicts(v: Mapping[str, Any]) -> Iterable[PolicyProblem]:
    v = normalised(v)
    rated = v["failure_rate"] is not None or v["slow_call_rate"] is not None
    if v["failure_threshold"] is None and not rated:
        yield PolicyProblem(
            "failure_threshold", "a number, or else failure_rate or slow_call_rate: no rule is left", None
        )
    if rated and v["window"] is None:
        yield PolicyProblem("window", "a duration: a rate is counted in a window", None)
    if v["slow_call_rate"] is not None and v["slow_call_duration"] is None:
        yield PolicyProblem("slow_call_duration", "a duration: slow_call_rate needs it", None)
    if v["reset_timeout_factor"] > 1 and v["reset_timeout_max"] < v["reset_timeout"]:
        yield PolicyProblem(
            "reset_timeout_max",
            f"at least reset_timeout ({v['reset_timeout']:g} s) when reset_timeout_factor is over 1",
            v["reset_timeout_max"],
        )
