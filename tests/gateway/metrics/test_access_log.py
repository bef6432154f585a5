"""The access log: refusals, streams that fail, files that are moved away."""

import asyncio
import json

import pytest

from switchgear.gateway.access_log import MAX_WAITING, AccessLog, open_log
from tests.gateway.upstreams import ask, client_of, gateway, route

pytestmark = pytest.mark.anyio


async def lines_of(*raw: bytes, tmp_path) -> list[dict]:
    path = tmp_path / "access.log"
    async with gateway(route("/", 1), access=str(path)) as running:
        for request in raw:
            assert (await ask(running, request)).status >= 400
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_refusal_tells_what_is_known_of_the_request(tmp_path):
    lines = await lines_of(
        b"GET /secret?token=1 HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        b'POST /a"b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
        b"\x16\x03\x01\x00\r\n\r\n",
        b"GET /new\x1bline HTTP/1.1\r\nHost: a\r\n\r\n",
        tmp_path=tmp_path,
    )
    told = [
        (line["http.request.method"], line["url.path"], line["http.response.status_code"]) for line in lines
    ]
    assert told[:3] == [("GET", "/secret", 400), ("BREW", "/pot", 501), ("POST", '/a"b', 400)]
    assert told[3:] == [("", "", 400), ("GET", "/new\x1bline", 400)]
    assert b"\x1b" not in (tmp_path / "access.log").read_bytes()
    assert {line["origin"] for line in lines} == {"error"}


async def test_a_head_that_never_ends_is_told_too(tmp_path):
    path = tmp_path / "access.log"
    async with (
        gateway(route("/", 1), access=str(path), client_head=0.05) as running,
        client_of(running) as client,
    ):
        await client.send(b"GET /slow HTTP/1.1\r\nHos")
        assert (await client.read_message()).status == 408
    [line] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (line["http.request.method"], line["url.path"]) == ("GET", "/slow")


class FullDisk:
    """Takes nothing until `room` is set."""

    def __init__(self) -> None:
        self.room = False
        self.written = b""
        self.tried = 0

    def write(self, data: bytes) -> None:
        self.tried += 1
        if not self.room:
            raise OSError(28, "No space left on device")
        self.written += data

    def flush(self) -> None: ...
    def close(self) -> None: ...


async def test_what_a_full_disk_took_is_counted_and_the_log_goes_on(caplog):
    disk = FullDisk()
    log = AccessLog(lambda: disk)
    log.add([b'{"url.path":"/lost"}\n'])
    log.reopen()
    async with asyncio.timeout(10):
        while not log.dropped:  # noqa: ASYNC110 - the log's thread tells nobody
            await asyncio.sleep(0.01)
    disk.room = True
    log.add([b'{"url.path":"/kept"}\n'])
    await log.close()
    kept, lost = (json.loads(line) for line in disk.written.splitlines())
    assert (kept["url.path"], lost["msg"], lost["lines"], log.dropped) == ("/kept", "lines lost", 1, 1)
    assert "No space left on device" in caplog.text


async def test_no_more_is_kept_than_the_bound():
    log = AccessLog(FullDisk)
    while not log.dropped:
        log.add([b"x" * 60_000 + b"\n"])
    assert log._size < MAX_WAITING + 100_000
    await log.close()


async def test_a_log_that_is_off_is_none():
    assert open_log(False) is None
