"""The keys of `circuitBreaker`. What a value may be is said here, its range by the policy."""

from __future__ import annotations

from typing import Final

from switchgear.breaker.policy import RANGES, CircuitBreakerPolicy
from switchgear.gateway.config.kinds import (
    CALLABLE,
    CIRCUIT_NAME,
    SWITCHED_OFF,
    Scalar,
    any_integer,
    choice,
    integer,
    number,
    text,
)
from switchgear.gateway.config.model import Circuit
from switchgear.gateway.config.quantities import DURATION, MILLISECONDS, RATE
from switchgear.gateway.config.sections import Either, Field, Json, ListOf, Section

STATUSES: Final = ListOf(integer(100, 599), "a list of statuses in 100-599")
_ERROR_STATUS: Final = integer(400, 599)
_STATUSES_DOC: Final = (
    "Statuses that are failures; network errors and timeouts always are. `null`: no status is."
)


def _count(slot: str) -> Scalar:
    return any_integer(in_file(RANGES[slot].allowed), minimum=1)


def _number(slot: str, **bounds: float) -> Scalar:
    return number(in_file(RANGES[slot].allowed), **bounds)


def in_file(allowed: str) -> str:
    """What a policy allows, in the words of a file."""
    return allowed.replace("or None", "or null").replace("(seconds or timedelta)", "such as 250ms, 30s, 5m")


_THRESHOLD_DEFAULT: Final = "5, or none with a rate"
_WINDOW_DEFAULT: Final = "none, or 30s with a rate"

_RULES = (
    Field(
        "failureThreshold",
        _count("failure_threshold"),
        "Failures that open the circuit: in a row, or inside the window if there is one.",
        default=_THRESHOLD_DEFAULT,
        nullable=True,
    ),
    Field(
        "maxErrors",
        _count("half_open_max"),
        "As `failureThreshold`; every status from 500 on is a failure unless `failureOn` says otherwise.",
        slot="failure_threshold",
        default=_THRESHOLD_DEFAULT,
    ),
    Field(
        "window",
        DURATION,
        "Length of the rolling window that calls are counted in.",
        default=_WINDOW_DEFAULT,
        nullable=True,
    ),
    Field(
        "duration",
        MILLISECONDS,
        "As `window`, and the reset timeout where none is given.",
        slot="window",
        default=_WINDOW_DEFAULT,
    ),
    Field("failureRate", RATE, "Share of failed calls in the window that opens the circuit.", nullable=True),
    Field("slowCallRate", RATE, "Share of slow calls in the window that opens the circuit.", nullable=True),
    Field("minimumCalls", _count("minimum_calls"), "Calls in the window below which no rate is judged."),
    Field("slowCallDuration", DURATION, "A call that lasts longer is slow.", nullable=True),
)
_RECOVERY = (
    Field("resetTimeout", DURATION, "How long the circuit stays open before a probe."),
    Field("resetTimeoutMs", MILLISECONDS, "As `resetTimeout`.", slot="reset_timeout"),
    Field(
        "resetTimeoutFactor",
        _number("reset_timeout_factor", minimum=1),
        "Growth of the open time per failed probe round.",
    ),
    Field("resetTimeoutMax", DURATION, "Longest open time."),
    Field(
        "jitter",
        _number("jitter", minimum=0, exclusiveMaximum=1),
        "Share by which the open time is drawn shorter or longer.",
    ),
    Field("halfOpenMax", _count("half_open_max"), "Probes in flight at once."),
    Field("successThreshold", _count("success_threshold"), "Successful probes that close the circuit."),
    Field("probeTimeout", DURATION, "After this a probe's place is free again."),
)
_EVIDENCE = (
    Field("failureOn", STATUSES, _STATUSES_DOC, slot="failure_statuses", nullable=True),
    Field("failureStatuses", STATUSES, "As `failureOn`.", slot="failure_statuses", nullable=True),
    Field("ignore", CALLABLE, "Tells of a response that it is no evidence.", python_only=True),
    Field("failureIf", CALLABLE, "Tells of a response that it is a failure.", python_only=True),
    Field("retryAfterFrom", CALLABLE, "Reads an open time in seconds from a response.", python_only=True),
    Field("mode", choice("enforce", "shadow"), "`shadow`: everything is counted, nothing is rejected."),
)
_REJECTION = (
    Field(
        "name",
        CIRCUIT_NAME,
        "The circuit's key, shared by all that say the same.",
        default="the route's or the service's own",
    ),
    Field("errorStatus", _ERROR_STATUS, "Status of a rejection."),
    Field("openStatusCode", _ERROR_STATUS, "As `errorStatus`.", slot="error_status"),
    Field(
        "errorBody",
        Either(text(may_be_empty=True), Json(), "a text or a mapping"),
        "Body of a rejection, a mapping as JSON.",
        default="a problem document",
    ),
)

CIRCUIT_BREAKER: Final = Section(
    "circuitBreaker",
    (*_RULES, *_RECOVERY, *_EVIDENCE, *_REJECTION),
    models=(CircuitBreakerPolicy(), Circuit("", CircuitBreakerPolicy())),
)
CIRCUIT_BREAKER_OR_FALSE: Final = Either(SWITCHED_OFF, CIRCUIT_BREAKER, "a mapping, or false")
