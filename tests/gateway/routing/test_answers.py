"""The gateway's own answers."""

import json

import pytest

from switchgear.gateway import answers
from switchgear.gateway.answers import Answer, Origin, Rejection, problem


def field(answer: Answer, name: bytes) -> bytes | None:
    return dict(answer.headers).get(name)


@pytest.mark.parametrize(
    ("status", "title", "origin"),
    [
        (400, "Bad Request", b"error"),
        (404, "Not Found", b"error"),
        (405, "Method Not Allowed", b"error"),
        (408, "Request Timeout", b"timeout"),
        (411, "Length Required", b"error"),
        (413, "Content Too Large", b"limit"),
        (414, "URI Too Long", b"limit"),
        (417, "Expectation Failed", b"error"),
        (431, "Request Header Fields Too Large", b"limit"),
        (500, "Internal Server Error", b"error"),
        (501, "Not Implemented", b"error"),
        (502, "Bad Gateway", b"error"),
        (503, "Service Unavailable", b"limit"),
        (504, "Gateway Timeout", b"timeout"),
        (505, "HTTP Version Not Supported", b"error"),
        (418, "Bad Request", b"error"),
        (599, "Internal Server Error", b"error"),
    ],
)
def test_problem(status: int, title: str, origin: bytes):
    answer = problem(status)
    assert answer.status == status
    assert json.loads(answer.body) == {"title": title, "status": status}
    assert field(answer, b"content-type") == b"application/problem+json"
    assert field(answer, b"switchgear-origin") == origin


def test_problem_with_everything():
    answer = problem(502, 'Said "no".', origin=Origin.LIMIT, headers=[(b"x-y", b"z")], part="in\nbox")
    assert json.loads(answer.body) == {
        "title": "Bad Gateway",
        "status": 502,
        "detail": 'Said "no".',
        "part": "in\nbox",
    }
    assert answer.headers[1:] == ((b"switchgear-origin", b"limit"), (b"x-y", b"z"))


def test_options_is_no_error():
    assert answers.options(b"GET") == Answer(204, ((b"allow", b"GET"),))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, None), (0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.001, b"2"), (29.5, b"30"), (-3.0, b"1")],
)
def test_retry_after_is_rounded_up(seconds: float | None, said: bytes | None):
    assert field(Rejection().answer(seconds), b"retry-after") == said


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ("Busy. Ü", b"text/plain; charset=utf-8", "Busy. Ü".encode()),
        ("", b"text/plain; charset=utf-8", b""),
        ({"error": "busy", "n": 1}, b"application/json", b'{"error":"busy","n":1}'),
        ({}, b"application/json", b"{}"),
        (
            None,
            b"application/problem+json",
            b'{"title":"Service Unavailable","status":503,"detail":"A circuit breaker is open."}',
        ),
    ],
)
def test_rejection(body: object, content_type: bytes, sent: bytes):
    answer = Rejection(503, body).answer(1)
    assert answer.body == sent
    assert field(answer, b"content-type") == content_type
    assert field(answer, b"switchgear-origin") == b"breaker"


def test_rejection_with_another_status():
    answer = Rejection(429).answer(None)
    assert answer.status == 429
    assert json.loads(answer.body)["title"] == "Too Many Requests"
    assert field(answer, b"switchgear-origin") == b"breaker"
