"""One part of a merged answer: what became of it, and what that means for the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from switchgear.errors import CircuitOpenError
from switchgear.gateway.answers import Answer, Rejection, problem
from switchgear.gateway.exchange import UpstreamFailure
from switchgear.gateway.merge import Members, UnmergeableError, read_members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from switchgear.gateway.config.model import Service
    from switchgear.gateway.exchange import BufferedResponse, FailureKind, Header

_TOKEN: Final = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+\-.^_`|~:/]*")  # of a structured field (RFC 9651)
_NO_CONTENT: Final = (204, 205)

_FAILURES: Final[Mapping[FailureKind, str]] = {
    "dns": "could not be reached",
    "connect": "could not be reached",
    "connect_timeout": "did not answer in time",
    "tls": "could not be reached",
    "timeout": "did not answer in time",
    "reset": "broke off its answer",
    "protocol": "did not answer in valid HTTP",
    "too_large": "sent an answer that is too large to be merged",
}


class Reason(StrEnum):
    """Why a part failed."""

    OPEN = "open"
    TIMEOUT = "timeout"
    ERROR = "error"


class Source(StrEnum):
    """Where a part's share of the answer comes from."""

    OK = "ok"
    STALE = "stale"
    ELSE = "else"
    OMITTED = "omitted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a part adds to the answer. `status` is `None` for a fixed value, which no service answered."""

    members: Members
    status: int | None = None
    headers: Sequence[Header] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a part adds nothing, and what the client gets if the part is required."""

    reason: Reason
    answer: Answer
    cut: bool = False
    """The service gave no answer: a network error or an expired wait."""
    final: bool = False
    """The service works and said no: an earlier answer may not stand in for this one."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a part, after its fallback."""

    name: str
    source: Source
    contribution: Contribution | None = None
    failure: Failure | None = None
    age: int | None = None

    def __str__(self) -> str:
        """One member of `Switchgear-Parts`: `inbox;stale;age=42;reason=open`."""
        age = "" if self.age is None else f";age={self.age}"
        reason = "" if self.failure is None else f";reason={self.failure.reason}"
        return f"{_written(self.name)};{self.source}{age}{reason}"


class Part:
    """A service as a part of a route: reads its answers.

    Raises `UnmergeableError` for a fixed value that can't be merged.
    """

    __slots__ = ("_otherwise", "_rejection", "index", "max_age", "service")

    def __init__(self, index: int, service: Service) -> None:
        self.index = index
        self.service = service
        circuit = service.circuit
        self._rejection = Rejection(circuit.error_status, circuit.error_body) if circuit else Rejection()
        fallback = service.fallback
        self.max_age = fallback.stale if fallback else None
        self._otherwise = (
            Contribution(read_members(fallback.otherwise, service.merge_field))
            if fallback and fallback.otherwise is not None
            else None
        )

    @property
    def required(self) -> bool:
        """Whether its failure may become the whole answer."""
        return self.service.merge and not self.service.optional

    def read(self, response: BufferedResponse) -> Contribution | Failure:
        """What an answer of the service means; one that is not merged is not looked at."""
        if not self.service.merge:
            return Contribution({})
        if response.status >= 400:
            return _refused(response)
        if response.status >= 300:
            return self._bad("answered with a redirect, which can't be merged")
        if _is_coded(response):
            return self._bad("sent an answer in a coding that was not asked for")
        body = b"" if response.status in _NO_CONTENT else response.body
        try:
            members = read_members(body, self.service.merge_field)
        except UnmergeableError as error:
            return self._bad(f"sent an answer that {error}")
        return Contribution(members, response.status, response.headers)

    def failed(self, error: CircuitOpenError | UpstreamFailure) -> Failure:
        """What it means that there is no answer."""
        if isinstance(error, CircuitOpenError):
            return Failure(Reason.OPEN, self._rejection.answer(error.retry_after))
        reason = Reason.TIMEOUT if error.late else Reason.ERROR
        return Failure(reason, self._problem(error.status, _FAILURES[error.kind]), cut=True)

    def with_earlier(self, response: BufferedResponse, age: float, failure: Failure) -> Result:
        """The result of a failed part for which an earlier good answer stands in; `age` in seconds."""
        earlier = self.read(response)
        if isinstance(earlier, Failure):
            return self.without_answer(failure)
        return Result(self.service.name, Source.STALE, earlier, failure, int(age))

    def without_answer(self, failure: Failure) -> Result:
        """The result of a failed part for which no earlier answer stands in."""
        if self._otherwise is not None:
            return Result(self.service.name, Source.ELSE, self._otherwise, failure)
        source = Source.OMITTED if self.service.optional else Source.FAILED
        return Result(self.service.name, source, None, failure)

    def _bad(self, what: str) -> Failure:
        return Failure(Reason.ERROR, self._problem(502, what))

    def _problem(self, status: int, what: str) -> Answer:
        name = self.service.name
        return problem(status, f"The part {name} {what}.", part=name)


def _is_coded(response: BufferedResponse) -> bool:
    return any(name == b"content-encoding" and value != b"identity" for name, value in response.headers)


def _refused(response: BufferedResponse) -> Failure:
    """An error status. Where the service understood the request and refused it, no earlier answer holds."""
    final = response.status < 500 and response.status not in (408, 429)
    return Failure(Reason.ERROR, Answer(response.status, tuple(response.headers), response.body), final=final)


def _written(name: str) -> str:
    """A name as a token, or quoted; what ASCII can't show is percent-encoded."""
    if _TOKEN.fullmatch(name):
        return name
    return '"' + quote(name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") + '"'
