"""Lines of each kind of log, right and wrong."""

from __future__ import annotations

import json

import pytest

from switchgear.replay.calls import FAILURE, GONE, INCONCLUSIVE, REJECTED, SHORTEST, SUCCESS
from switchgear.replay.formats.columns import CsvReader, HeaderError
from switchgear.replay.formats.combined import CombinedReader
from switchgear.replay.formats.gateway import GatewayReader
from switchgear.replay.formats.reader import LogReader
from switchgear.replay.formats.times import duration, moment
from switchgear.replay.run import tell_format

NOON = 1796040000.0  # 2026-11-30T12:00:00Z


def read(reader: LogReader, *lines: str) -> dict[str, list[tuple[float, float, int]]]:
    """Calls by key, as end, duration and code."""
    assert reader.read("".join(f"{line}\n" for line in lines).encode(), 1) == len(lines)
    fresh, _ = reader.take()
    return {
        key: [(end, round(end - start, 6), code) for end, start, code in calls]
        for key, calls in fresh.items()
    }


def line(**members: object) -> str:
    """A line of the gateway's, as it is written."""
    usual = {
        "time": "2026-11-30T12:00:00.250Z",
        "http.request.method": "GET",
        "url.path": "/users/7",
        "http.response.status_code": 200,
        "duration_ms": 100.0,
        "bytes_out": 3,
        "origin": "upstream",
        "client.address": "::1",
        "http.route": "/users/{id}",
        "service": "users",
        "circuit": "service:users@http://h:80",
        "circuit_state": "closed",
        "attempts": 1,
    }
    return json.dumps({**usual, **members}, separators=(",", ":"))


# ---- the gateway's


def test_a_line_of_the_gateway():
    assert read(GatewayReader(), line()) == {"service:users@http://h:80": [(NOON + 0.25, 0.1, 200)]}


def test_its_circuit_heard_of_the_head_and_not_of_the_body():
    (call,) = read(GatewayReader(), line(upstream_ms=40.0))["service:users@http://h:80"]
    assert call == (pytest.approx(NOON + 0.19), pytest.approx(0.04), 200)
    (retried,) = read(GatewayReader(), line(upstream_ms=40.0, attempts=2))["service:users@http://h:80"]
    assert retried == (NOON + 0.25, 0.1, 200)


@pytest.mark.parametrize(
    ("origin", "status", "code"),
    [
        ("upstream", 503, 503),
        ("breaker", 503, REJECTED),
        ("timeout", 504, FAILURE),
        ("timeout", 408, INCONCLUSIVE),
        ("error", 502, FAILURE),
        ("error", 404, INCONCLUSIVE),
        ("limit", 503, INCONCLUSIVE),
        ("fallback", 200, INCONCLUSIVE),
        ("client_gone", 499, GONE),
    ],
)
def test_who_answered_decides_what_a_status_says(origin, status, code):
    calls = read(GatewayReader(), line(origin=origin, **{"http.response.status_code": status}))
    assert [call[2] for call in calls["service:users@http://h:80"]] == [code]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [({"upstream_status": 503}, 503, 503), ({}, 502, FAILURE), ({}, 504, FAILURE)],
)
def test_without_a_retry_an_outcome_stays_what_it_is(more, status, code):
    last = line(origin="retry_budget", **{"http.response.status_code": status}, **more)
    assert [call[2] for call in read(GatewayReader(), last)["service:users@http://h:80"]] == [code]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("circuit", "service:users@http://h:80"),
        ("route", "GET /users/{id}"),
        ("service", "users"),
        ("path", "/users/7"),
        ("client", "::1"),
        ("host", "example.com"),
        ("server.address", "example.com"),
        ("all", "all"),
    ],
)
def test_what_makes_a_key(key, found):
    assert list(read(GatewayReader(key), line(**{"server.address": "example.com"}))) == [found]


def test_calls_without_the_key_are_counted():
    reader = GatewayReader("host")
    assert read(reader, line()) == {}
    assert (reader.calls, reader.without_key) == (1, 1)


def test_lines_that_the_log_says_are_lost():
    reader = GatewayReader()
    read(reader, line(), '{"time":"2026-11-30T12:00:00.250Z","msg":"lines lost","lines":12}')
    assert (reader.lost, reader.broken.count) == (12, 0)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("switchgear listening on http://127.0.0.1:8080", "JSON is malformed"),
        ("[1]", "Expected `object`, got `array`"),
        ("{}", "no http.response.status_code in 100-599"),
        (line(time=""), "no time"),
        (line(time="yesterday"), "no time: neither seconds"),
        (line(duration_ms=-1), "no duration, or one over a year"),
        (line(**{"http.response.status_code": 20}), "no http.response.status_code"),
        (line(**{"http.response.status_code": "200"}), "Expected `int`, got `str`"),
        (line(circuit=7), "Expected `str`, got `int`"),
        (line(time="2026-11-30T12:00:00.2xZ"), "no time"),
    ],
)
def test_a_broken_line_is_told_with_its_number_and_the_others_count(wrong, reason):
    reader = GatewayReader()
    assert len(read(reader, line(), "", wrong, line())["service:users@http://h:80"]) == 2
    (broken,) = reader.broken.first
    assert (reader.broken.count, broken.line, broken.text) == (1, 3, wrong[:120] + "…" * (len(wrong) > 120))
    assert broken.reason.startswith(reason)


def test_bytes_that_are_no_text_are_a_broken_line():
    reader = GatewayReader()
    assert reader.read(line().encode() + b"\n\xff\xfe{\n" + b'{"circuit":"\xff"}\n', 1) == 3
    assert (reader.calls, reader.broken.count) == (1, 2)


def test_only_the_first_broken_lines_are_kept():
    reader = GatewayReader()
    read(reader, *["x"] * 100)
    assert (reader.broken.count, len(reader.broken.first)) == (100, 5)


def test_times_that_are_written_otherwise():
    for text in ("2026-11-30T12:00:00Z", "2026-11-30T13:00:00+01:00", "2026-11-30T12:00:00.000000Z"):
        assert read(GatewayReader(), line(time=text))["service:users@http://h:80"][0][0] == NOON


# ---- CSV


def test_csv_without_a_header():
    assert read(CsvReader(), f"{NOON},users,success,0.5", "", f"{NOON + 1},users,503,250ms") == {
        "users": [(NOON, 0.5, SUCCESS), (NOON + 1, 0.25, 503)]
    }


def test_csv_with_a_header_in_any_order_and_with_more_columns():
    lines = (
        "status,Duration_ms,note,timestamp,service",
        '200,500,"a, b",2026-11-30T12:00:00.5Z,users',
        "Failure,250,,1796040001000,users",
        "REJECTED,0,,2026-11-30 12:00:02,users",
    )
    assert read(CsvReader(), *lines) == {
        "users": [(NOON + 0.5, 0.5, 200), (NOON + 1, 0.25, FAILURE), (NOON + 2, SHORTEST, REJECTED)]
    }


def test_another_column_as_the_key():
    lines = ("time,host,region,outcome", f"{NOON},h,eu,ok")
    assert list(read(CsvReader("region"), *lines)) == ["eu"]
    assert list(read(CsvReader("all"), *lines)) == ["all"]


@pytest.mark.parametrize(
    ("key", "header", "message"),
    [
        ("", "time,outcome", "no column for the key; allowed key, circuit, service, route, host, name"),
        ("", "key,outcome", "no column for the time"),
        ("region", "time,key,outcome", "no column for the key; allowed region"),
        ("region", f"{NOON},a,ok", "there is no header, hence no column region"),
    ],
)
def test_a_header_that_lacks_a_column(key, header, message):
    with pytest.raises(HeaderError, match=message):
        CsvReader(key).read(header.encode(), 1)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("soon,users,success,1", "no time"),
        (f"{NOON},users,perhaps,1", "no outcome"),
        (f"{NOON},users,success,long", "no duration"),
        (f"{NOON},users,success,-1", "no duration"),
        (f"{NOON},users,success,nan", "no duration"),
        ("nan,users,success,1", "no time"),
        (f"{NOON},users", "too few columns"),
        ('1,"unclosed,success,1', "too few columns"),
    ],
)
def test_a_broken_row(wrong, reason):
    reader = CsvReader()
    assert len(read(reader, f"{NOON},users,ok,1", wrong, f"{NOON},users,ok,1")["users"]) == 2
    assert (reader.broken.count, reader.broken.first[0].line) == (1, 2)
    assert reader.broken.first[0].reason.startswith(reason)


def test_a_time_that_is_the_beginning():
    assert read(CsvReader(from_start=True), f"{NOON},users,ok,0.5")["users"] == [(NOON + 0.5, 0.5, SUCCESS)]


# ---- combined

NGINX = '10.0.0.1 - ann [30/Nov/2026:12:00:00 +0000] "GET /a?b=1 HTTP/1.1" 502 12 "-" "curl \\"8\\"" 0.250'


@pytest.mark.parametrize(
    ("text", "lasted"),
    [
        (NGINX, 0.25),
        (NGINX.replace(" 0.250", " 250000"), 0.25),
        (NGINX.replace(" 0.250", ' "-" rt=0.250 uct="0.000"'), 0.25),
        (NGINX.replace(" 0.250", ' request_time="250ms"'), 0.25),
        (NGINX.replace(' "-" "curl \\"8\\""', ""), 0.25),
        (NGINX.replace(" 0.250", ""), SHORTEST),
        ("www.example.com:443 " + NGINX, 0.25),
        (NGINX.replace("30/Nov/2026:12:00:00 +0000", "30/Nov/2026:13:00:00 +0100"), 0.25),
        (NGINX.replace("30/Nov/2026:12:00:00 +0000", "2026-11-30T12:00:00+00:00"), 0.25),
    ],
)
def test_a_combined_line(text, lasted):
    assert read(CombinedReader(), text) == {"all": [(NOON, lasted, 502)]}
    assert tell_format(text.encode()) == "combined"


@pytest.mark.parametrize(
    ("key", "found"),
    [("path", "/a"), ("route", "GET /a"), ("host", "www.example.com"), ("client", "10.0.0.1")],
)
def test_what_makes_a_key_of_a_combined_line(key, found):
    assert list(read(CombinedReader(key), "www.example.com:443 " + NGINX)) == [found]


def test_what_is_wrong_with_combined_lines():
    reader = CombinedReader()
    wrong = ("nonsense", NGINX.replace("30/Nov", "31/Nov"), NGINX.replace(" 502 ", " 999 "))
    assert read(reader, *wrong, NGINX.replace(" 502 ", " 499 "))["all"][0][2] == GONE
    assert [broken.line for broken in reader.broken.first] == [1, 2, 3]


def test_lines_without_a_duration_are_counted():
    reader = CombinedReader()
    read(reader, NGINX, NGINX.removesuffix(" 0.250"))
    assert reader.without_duration == 1


# ---- all


def test_the_kind_of_a_log_is_told_by_its_first_lines():
    assert tell_format(b"started\n" + line().encode() + b"\n") == "json"
    assert tell_format(b"time,key,outcome\n") == "csv"
    assert tell_format(b"") == "csv"
    assert tell_format(b"{" * 100_000) == "csv"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1796040000", NOON), ("1796040000.5", NOON + 0.5), ("1796040000000", NOON), ("1.79604e9", NOON)],
)
def test_moments(text, seconds):
    assert moment(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2), ("1.5s", 1.5), ("20 ms", 0.02), ("5us", 5e-6), ("2m", 120), (".5", 0.5)]
)
def test_durations(text, seconds):
    assert duration(text) == pytest.approx(seconds)
