"""The demo, run as a user runs it: without a terminal, for some time or until it is interrupted."""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from examples.demo.services import CYCLE, SERVICES, Mood
from examples.demo.traffic import Answer, classify

PATIENCE = 60.0
COMMAND = (sys.executable, "-W", "error", "-m", "examples.demo")


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], *patterns: str) -> str:
    """Reads lines until each pattern has matched one; the run's own timeout bounds it."""
    lines, left = "", set(patterns)
    for line in process.stdout:
        lines += line
        left = {pattern for pattern in left if not re.search(pattern, line)}
        if not left:
            return lines
    raise AssertionError(f"the demo ended without {left!r}:\n{lines}")


def test_a_circuit_opens_and_closes_and_ctrl_c_ends_it():
    with demo() as process:
        # In the first cycle, unless the machine stands still in it.
        lines = read_until(
            process,
            r"^CIRCUIT service:catalog@http://127\.0\.0\.1:\d+: closed -> open \(5 consecutive failures ",
            r"^ +\d+ s: 2xx +\d+, .*503 from breaker +[1-9].*service:catalog open",
            r"^CIRCUIT service:catalog\S*: half-open -> closed \(a probe succeeded\)$",
        )
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, rest
    assert re.search(r"circuits opened [1-9]\d* times and closed [1-9]\d* times", rest)
    assert "Traceback" not in lines + rest


def ask(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_printed_command_works():
    with demo() as process:
        lines = read_until(process, r"^  curl -i ")
        url = lines.split()[-1]
        end = time.monotonic() + PATIENCE
        while (answer := ask(url))[0] in {500, 503}:  # we are so late that its bad time has begun
            assert time.monotonic() < end
            time.sleep(0.1)
        assert answer == (200, b"hello\n")


def test_it_ends_by_itself():
    run = subprocess.run((*COMMAND, "--for", "1s"), capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "In all: 2xx" in run.stdout


def test_a_time_without_a_unit_is_refused():
    run = subprocess.run((*COMMAND, "--for", "20"), capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "found '20'; allowed a duration over 0 such as 250ms, 30s, 5m" in run.stderr


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_service_has_its_bad_time_and_recovers(service):
    assert service.mood_at(service.begin) is service.mood is not Mood.SOUND
    assert service.mood_at(service.end) is service.mood_at(0) is Mood.SOUND
    assert service.mood_at(service.begin + CYCLE) is service.mood
    assert service.end < CYCLE


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Answer.GOOD),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Answer.OTHER),
        (b"HTTP/1.1 500 Oh\r\n\r\n", Answer.FAILED),
        (b"HTTP/1.1 502 Bad Gateway\r\nSwitchgear-Origin: error\r\n\r\n", Answer.FAILED),
        (b"HTTP/1.1 503 Busy\r\n\r\nswitchgear-origin: breaker", Answer.FAILED),
        (b"HTTP/1.1 503 Busy\r\nSwitchgear-Origin: breaker\r\n\r\n", Answer.REJECTED),
        (b"HTTP/1.1 504 Late\r\nSwitchgear-Origin: timeout\r\n\r\n", Answer.TIMEOUT),
        (b"", Answer.OTHER),
    ],
)
def test_answers_are_counted_by_who_gave_them(answer, kind):
    assert classify(answer) is kind
