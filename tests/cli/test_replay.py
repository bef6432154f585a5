"""`switchgear replay`, as a command and as a function."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from switchgear.cli import main
from switchgear.cli.progress import Progress
from switchgear.replay.formats.columns import CsvReader
from switchgear.replay.reading import opened
from tests.gateway.workers.processes import state

BEGIN = 1796040000
LOG = "".join(f"{BEGIN + place},users,{'failure' if 10 <= place < 20 else 'ok'},0.5\n" for place in range(40))


@pytest.fixture
def file(tmp_path):
    def write(text, name="p.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def policy(file):
    return file("{failureThreshold: 3, resetTimeout: 4s}")


def replay(*arguments: str) -> int:
    return main(["replay", *arguments])


def test_a_report_on_standard_output_and_the_rate_on_the_other(file, policy, capsys):
    assert replay(file(LOG, "x.csv"), "--policy", policy) == 0
    out, err = capsys.readouterr()
    assert "2026-11-30 12:00:12.000 opened after 2 s: 3 consecutive failures (threshold 3)" in out
    assert err.startswith("40 lines in ")
    assert err.endswith(" lines/s)\n")


def test_json_against_another_policy(file, policy, capsys):
    other = file("{failureRate: 50%, minimumCalls: 5, window: 10s}", "q.yaml")
    assert replay(file(LOG, "x.csv"), "--policy", policy, "--against", other, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["policies"] == [policy, other]
    assert [under["outages"][0]["rule"] for under in data["keys"][0]["under"]] == [
        "consecutive",
        "failure_rate",
    ]


def test_a_page_beside_the_text(file, policy, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert replay(file(LOG, "x.csv"), "--policy", policy, "--html", str(page)) == 0
    assert "users: 40 calls" in capsys.readouterr().out
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in page.read_text()


def test_a_page_that_cannot_be_written(file, policy, tmp_path, capsys):
    assert replay(file(LOG, "x.csv"), "--policy", policy, "--html", f"{tmp_path}/no/page.html") == 1
    assert f"switchgear: {tmp_path}/no/page.html: No such file or directory" in capsys.readouterr().err


def test_gzip_is_told_by_its_bytes_and_cut_off_is_told(file, policy, capsys):
    data = gzip.compress((LOG * 500).encode(), 1)
    assert replay(file(data, "x.log"), "--policy", policy, "--reorder", "100s", "--json") == 0
    assert json.loads(capsys.readouterr().out)["log"]["calls"] == 20_000
    assert replay(file(data[: len(data) // 2], "y.log"), "--policy", policy, "--json") == 1
    out, err = capsys.readouterr()
    assert 0 < json.loads(out)["log"]["calls"] < 20_000
    assert "y.log: cannot be read to its end: " in err


def test_standard_input_in_a_process_of_its_own(policy):
    command = (sys.executable, "-W", "error", "-m", "switchgear", "replay", "-", "--policy", policy)
    run = subprocess.run(command, input=LOG, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("standard input (csv): 40 lines, 40 calls, ")
    assert run.stderr.count("\n") == 1


def test_ctrl_c_while_it_waits_reports_what_is_there(policy):
    command = (sys.executable, "-m", "switchgear", "replay", "-", "--policy", policy)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.write(LOG.encode())
        process.stdin.flush()
        end = time.monotonic() + 60
        # Until it has taken all of the pipe, and then waits for more.
        while any(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))) or state(process.pid) != "S":
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith(b"standard input (csv): 40 lines, 40 calls, ")
    assert err.endswith(b"switchgear: interrupted\n")


def test_what_looks_at_answers_is_said_to_be_not_asked(file, capsys):
    python = file("config = {'failureThreshold': 3, 'ignore': lambda answer: True}", "p.py")
    assert replay(file(LOG, "x.csv"), "--policy", python) == 0
    out, err = capsys.readouterr()
    assert "opened after 2 s" in out
    assert err.startswith(
        f"{python}: warning: ignore looks at answers, which a log does not hold; it is not asked\n"
    )


def test_mistakes_of_both_policies_are_told_and_nothing_is_read(file, capsys):
    one, other = file("windw: 5s"), file("[]", "q.yaml")
    assert replay("/no/such.log", "--policy", one, "--against", other) == 2
    out, err = capsys.readouterr()
    assert [line.split(": ")[0] for line in out.splitlines()] == [f"{one}:1:1", f"{other}:1:1"]
    assert err == ""


@pytest.mark.parametrize(
    ("log", "options", "message"),
    [
        (None, (), "No such file or directory"),
        ("", (), "no calls in 0 lines (read as csv)"),
        ("what\nis this\n", (), "no calls in 2 lines (read as csv); line 1: too few columns"),
        (LOG, ("--key", "region"), "there is no header, hence no column region"),
        (LOG, ("--format", "json"), "no calls in 40 lines (read as json); line 1: Expected `object`"),
        ("time,outcome\n", (), "the header has no column for the key"),
        (
            '1.1.1.1 - - [30/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1 0.1\n',
            ("--key", "circuit"),
            "--key: found 'circuit'; allowed with this log all, path, route, host, client",
        ),
        (
            '{"time":"2026-11-30T12:00:00Z","http.response.status_code":200,"duration_ms":1}\n',
            (),
            "no call has that key (1 call read); choose another with --key",
        ),
    ],
)
def test_what_cannot_be_replayed_gives_2(file, policy, capsys, tmp_path, log, options, message):
    path = f"{tmp_path}/none.log" if log is None else file(log, "x.log")
    assert replay(path, "--policy", policy, *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("switchgear: ")
    assert message in err


def test_a_gateways_file_that_knows_no_key_of_the_log(file, capsys):
    gateway = file('http: {routes: {/a: {GET: {services: {a: {url: "http://h"}}}}}}', "g.yaml")
    assert replay(file(LOG, "x.csv"), "--policy", gateway) == 2
    assert "has no policy for any of the log's keys, such as users" in capsys.readouterr().err


def test_more_broken_lines_than_allowed_give_1(file, policy, capsys):
    log = file(f"{LOG}x\ny\n", "x.csv")
    assert replay(log, "--policy", policy, "--max-broken", "2") == 0
    assert replay(log, "--policy", policy, "--max-broken", "1") == 1
    assert "2 lines are broken; allowed 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--reorder", "60", "found '60'; allowed 1s to 86400s"),
        ("--reorder", "0s", "found '0s'"),
        ("--openings", "-1", "found '-1'"),
        ("--time", "middle", "invalid choice"),
    ],
)
def test_an_option_that_is_wrong(policy, capsys, option, value, message):
    with pytest.raises(SystemExit) as ended:
        replay("x", "--policy", policy, f"{option}={value}")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_bar_is_for_terminals_only(file):
    reader = CsvReader()
    with opened(file(LOG, "x.csv")) as source:
        for block in source.blocks():
            reader.read(block, 1)
        quiet = io.StringIO()
        with Progress(quiet) as progress:
            progress._next = 0.0
            progress.show(source, reader)
        assert quiet.getvalue() == ""
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "w") as terminal, Progress(terminal) as progress:
            progress._next = 0.0
            progress.show(source, reader)
        shown = ""
        while not shown.endswith("\r\x1b[K"):  # it arrives in pieces; after the last one, an error
            shown += os.read(ours, 1000).decode()
        os.close(ours)
    assert "[##############################] 100%  40 calls" in shown


def test_without_the_extra_it_says_how_to_get_it(policy):
    block = "import sys; sys.modules['yaml'] = sys.modules['msgspec'] = None; "
    code = f"{block}from switchgear.cli import main; sys.exit(main(['replay', 'x', '--policy', {policy!r}]))"
    run = subprocess.run(
        (sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert "is not installed; pip install 'switchgear[gateway]'" in run.stderr
