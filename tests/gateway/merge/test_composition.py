"""The whole answer, from what became of the parts."""

import json

import pytest

from switchgear.breaker.state import CircuitState
from switchgear.errors import CircuitOpenError
from switchgear.gateway.answers import Answer
from switchgear.gateway.composition import Evidence, Merged, compose
from switchgear.gateway.config.model import Fallback, Service
from switchgear.gateway.exchange import BufferedResponse, UpstreamFailure
from switchgear.gateway.merge import UnmergeableError
from switchgear.gateway.parts import Contribution, Part, Result, Source

OPEN = CircuitOpenError(
    "service:x@http://10.0.0.1:80", CircuitState.OPEN, 12.3, "own calls failed", "E: secret"
)
Outcome = BufferedResponse | UpstreamFailure | CircuitOpenError


def ok(body: bytes = b"{}", status: int = 200, *headers: tuple[bytes, bytes]) -> BufferedResponse:
    return BufferedResponse(status, list(headers), body)


def service(name: str, **options) -> Service:
    return Service(name, (), **options)


def composed(*pairs: tuple[Service, Outcome]) -> Merged:
    parts = [Part(index, service) for index, (service, _) in enumerate(pairs)]
    return compose(parts, {part.index: result(part, pairs[part.index][1]) for part in parts})


def result(part: Part, outcome: Outcome) -> Result:
    read = part.read(outcome) if isinstance(outcome, BufferedResponse) else part.failed(outcome)
    if isinstance(read, Contribution):
        return Result(part.service.name, Source.OK, read)
    return part.without_answer(read)


def fields(merged: Merged, name: bytes) -> list[bytes]:
    return [value for key, value in merged.answer.headers if key == name]


USERS, INBOX = service("users"), service("inbox")
OPTIONAL = service("inbox", optional=True)
ELSE = service("inbox", merge_field="inbox", fallback=Fallback(otherwise=b"[]"))


@pytest.mark.parametrize(
    ("first", "second", "status", "body"),
    [
        (ok(b'{"a":1}'), ok(b'{"b":2}'), 200, b'{"a":1,"b":2}'),
        (ok(b'{"a":1}', 201), ok(b'{"b":2}', 201), 201, b'{"a":1,"b":2}'),
        (ok(b'{"a":1}', 201), ok(b"ignored", 204), 200, b'{"a":1}'),
        (ok(b"", 204), ok(b"", 204), 204, b""),
        (ok(b"", 205), ok(b"", 205), 205, b""),
        (ok(b"", 201), ok(b"", 201), 201, b"{}"),
    ],
)
def test_successes(first: Outcome, second: Outcome, status: int, body: bytes):
    merged = composed((USERS, first), (INBOX, second))
    assert (merged.answer.status, merged.answer.body) == (status, body)
    assert fields(merged, b"content-type") == ([b"application/json"] if body else [])
    assert fields(merged, b"switchgear-parts") == fields(merged, b"switchgear-origin") == []
    assert merged.evidence is Evidence.STATUS


def test_a_fixed_value_beside_no_content_has_a_body():
    merged = composed((USERS, ok(b"", 204)), (ELSE, OPEN))
    assert (merged.answer.status, merged.answer.body) == (200, b'{"inbox":[]}')


def test_cookies_of_all_parts_in_declared_order():
    merged = composed(
        (USERS, ok(b"{}", 200, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=1"))),
        (INBOX, ok(b"{}", 200, (b"set-cookie", b"a=1"))),
    )
    assert fields(merged, b"set-cookie") == [b"a=1", b"b=1", b"a=1"]


def test_fields_of_one_body_are_left_out_and_of_others_the_last_stays():
    merged = composed(
        (
            USERS,
            ok(b"{}", 200, (b"etag", b'"1"'), (b"content-type", b"text/x"), (b"x-a", b"1"), (b"x-b", b"1")),
        ),
        (INBOX, ok(b"{}", 200, (b"x-a", b"2"), (b"x-a", b"3"), (b"switchgear-parts", b"x;ok"))),
    )
    assert merged.answer.headers == (
        (b"content-type", b"application/json"),
        (b"x-a", b"2"),
        (b"x-a", b"3"),
        (b"x-b", b"1"),
    )


def test_vary_of_all_parts():
    merged = composed(
        (USERS, ok(b"{}", 200, (b"vary", b"origin"))),
        (INBOX, ok(b"{}", 200, (b"vary", b"origin"), (b"vary", b"cookie"))),
    )
    assert fields(merged, b"vary") == [b"origin", b"cookie"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([b"max-age=60"], [b"max-age=60"], [b"max-age=60"]),
        ([b"private", b"max-age=1"], [b"private", b"max-age=1"], [b"private", b"max-age=1"]),
        ([b"public, max-age=60"], [b"private"], [b"no-store"]),
        ([b"private"], [], [b"no-store"]),
        ([], [], []),
    ],
)
def test_an_answer_is_cached_no_longer_than_its_parts(first, second, expected):
    merged = composed(
        (USERS, ok(b"{}", 200, *((b"cache-control", value) for value in first))),
        (INBOX, ok(b"{}", 200, *((b"cache-control", value) for value in second))),
    )
    assert fields(merged, b"cache-control") == expected


@pytest.mark.parametrize(
    ("outcomes", "status", "part"),
    [
        ((ok(), UpstreamFailure("connect", "10.0.0.1")), 502, "inbox"),
        ((ok(), UpstreamFailure("timeout")), 504, "inbox"),
        ((UpstreamFailure("timeout"), UpstreamFailure("connect")), 504, "users"),
        ((ok(b"{}", 302, (b"location", b"http://10.0.0.1/")), ok()), 502, "users"),
        ((ok(), ok(b"", 304)), 502, "inbox"),
        ((ok(), ok(b"[1]")), 502, "inbox"),
        ((ok(b"x"), ok()), 502, "users"),
        ((ok(b"x", 200, (b"content-encoding", b"gzip")), ok()), 502, "users"),
    ],
)
def test_the_first_failing_required_part_is_named(outcomes: tuple[Outcome, Outcome], status: int, part: str):
    merged = composed((USERS, outcomes[0]), (INBOX, outcomes[1]))
    assert merged.answer.status == status
    assert json.loads(merged.answer.body)["part"] == part
    assert part in json.loads(merged.answer.body)["detail"]
    assert b"10.0.0.1" not in merged.answer.body
    assert not fields(merged, b"location")


def test_an_error_status_goes_through_as_it_came():
    refused = ok(b"<no>", 403, (b"content-type", b"text/html"), (b"www-authenticate", b"Basic"))
    merged = composed((USERS, ok(b'{"a":1}', 200, (b"set-cookie", b"a=1"))), (INBOX, refused))
    assert merged.answer.status == 403
    assert merged.answer.body == b"<no>"
    assert merged.answer.headers == ((b"content-type", b"text/html"), (b"www-authenticate", b"Basic"))


def test_a_rejection_decides_with_its_own_answer():
    merged = composed((USERS, OPEN), (INBOX, ok(b"no", 500)))
    assert merged.answer.status == 503
    assert fields(merged, b"retry-after") == [b"13"]
    assert fields(merged, b"switchgear-origin") == [b"breaker"]
    assert b"10.0.0.1" not in merged.answer.body
    assert b"secret" not in merged.answer.body


def test_parts_that_are_not_merged_have_no_say():
    audit = service("audit", merge=False)
    parts = [Part(0, audit), Part(1, USERS)]
    merged = compose(parts, {1: result(parts[1], ok(b'{"a":1}'))})
    assert (merged.answer.status, merged.answer.body) == (200, b'{"a":1}')
    assert not fields(merged, b"switchgear-parts")


def test_nothing_is_merged():
    audit = Part(0, service("audit", merge=False))
    assert audit.read(ok(b"not json", 500)) == Contribution({})
    assert compose([audit], {}).answer == Answer(200, ((b"content-type", b"application/json"),), b"{}")


@pytest.mark.parametrize(
    ("inbox", "outcome", "body", "header"),
    [
        (OPTIONAL, OPEN, b'{"a":1}', b"users;ok, inbox;omitted;reason=open"),
        (OPTIONAL, UpstreamFailure("timeout"), b'{"a":1}', b"users;ok, inbox;omitted;reason=timeout"),
        (OPTIONAL, UpstreamFailure("reset"), b'{"a":1}', b"users;ok, inbox;omitted;reason=error"),
        (OPTIONAL, ok(b"no", 404), b'{"a":1}', b"users;ok, inbox;omitted;reason=error"),
        (OPTIONAL, ok(b"[]"), b'{"a":1}', b"users;ok, inbox;omitted;reason=error"),
        (ELSE, OPEN, b'{"a":1,"inbox":[]}', b"users;ok, inbox;else;reason=open"),
        (ELSE, ok(b"no", 500), b'{"a":1,"inbox":[]}', b"users;ok, inbox;else;reason=error"),
    ],
)
def test_partial_answers(inbox: Service, outcome: Outcome, body: bytes, header: bytes):
    merged = composed((USERS, ok(b'{"a":1}', 201, (b"cache-control", b"max-age=60"))), (inbox, outcome))
    assert (merged.answer.status, merged.answer.body) == (201, body)
    assert fields(merged, b"switchgear-parts") == [header]
    assert fields(merged, b"cache-control") == [b"no-store"]
    assert not fields(merged, b"switchgear-origin")


def test_an_earlier_answer_in_the_header():
    part = Part(1, INBOX)
    parts = [Part(0, USERS), part]
    earlier = part.with_earlier(ok(b'{"n":1}'), 42.9, part.failed(OPEN))
    merged = compose(parts, {0: result(parts[0], ok()), 1: earlier})
    assert merged.answer.body == b'{"n":1}'
    assert fields(merged, b"switchgear-parts") == [b"users;ok, inbox;stale;age=42;reason=open"]


def test_an_answer_without_any_service_is_a_fallback():
    merged = composed((ELSE, OPEN))
    assert (merged.answer.status, merged.answer.body) == (200, b'{"inbox":[]}')
    assert fields(merged, b"switchgear-origin") == [b"fallback"]
    assert merged.evidence is Evidence.NONE


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.b-c", "a.b-c;ok"),
        ("1", '"1";ok'),
        ("two words", '"two words";ok'),
        ('q"\\', '"q%22%5C";ok'),
        ("é\r\nx: y", '"%C3%A9%0D%0Ax: y";ok'),
    ],
)
def test_names_in_the_header(name: str, written: str):
    assert str(Result(name, Source.OK)) == written


@pytest.mark.parametrize(
    ("outcome", "required", "optional", "behind_fallback"),
    [
        (OPEN, Evidence.NONE, Evidence.STATUS, Evidence.STATUS),
        (UpstreamFailure("timeout"), Evidence.FAILURE, Evidence.STATUS, Evidence.FAILURE),
        (UpstreamFailure("connect"), Evidence.FAILURE, Evidence.STATUS, Evidence.FAILURE),
        (ok(b"", 500), Evidence.STATUS, Evidence.STATUS, Evidence.STATUS),
        (ok(b"["), Evidence.STATUS, Evidence.STATUS, Evidence.STATUS),
    ],
)
def test_evidence_beside_a_good_part(outcome, required, optional, behind_fallback):
    found = [composed((USERS, ok()), (inbox, outcome)).evidence for inbox in (INBOX, OPTIONAL, ELSE)]
    assert found == [required, optional, behind_fallback]


def test_a_fixed_value_that_cannot_be_merged():
    with pytest.raises(UnmergeableError, match="needs a mergeField"):
        Part(0, service("inbox", fallback=Fallback(otherwise=b"[]")))
