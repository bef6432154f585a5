"""Reloads of `switchgear serve`, alone and as several workers.

Thirty in fifteen seconds: `RELOADS=30 pytest tests/gateway/reload -k under_load`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.admin.desk import series
from tests.gateway.upstreams import OK, PATIENCE, Message, Peer, answering, get
from tests.gateway.workers.processes import Serving, serving, started, until
from tests.servers.process import free_port

pytestmark = pytest.mark.anyio

RELOADS = int(os.environ.get("RELOADS", "10"))
ROUNDS = 5
PAUSE = 0.5 if RELOADS > 10 else 0.0
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


def file_text(works: int, broken: int, *, maximum: int = 3, listen: int = 0) -> str:
    breaker = f"{{maxErrors: {maximum}, duration: 600000}}"
    return f"""\
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:0
log: {{access: false}}
services:
  up: {{url: "http://127.0.0.1:{works}"}}
  down: {{url: "http://127.0.0.1:{broken}", circuitBreaker: {breaker}}}
http:
  routes:
    /works: {{GET: {{services: {{up: {{use: up}}}}}}}}
    /broken: {{GET: {{services: {{down: {{use: down}}}}}}}}
"""


async def ask_at(port: int, path: str) -> Message:
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)
    try:
        peer = Peer(reader, writer)
        await peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return await peer.read_message()
    finally:
        writer.transport.abort()


async def reloads(admin: int, result: str) -> float:
    return series(await ask_at(admin, "/metrics"))["config_reloads_total", result]


async def reload(running: Serving, *results: str) -> str:
    """SIGHUP, and it is done: with which of `results`, `success` by default."""
    results = results or ("success",)
    before = {result: await reloads(running.admin, result) for result in results}
    running.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE):
        while True:
            for result, count in before.items():
                if await reloads(running.admin, result) != count:
                    return result
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def load(port: int, clients: int = 4):
    """Traffic until the end of the block; the answers' statuses, and how many there were."""
    stop = asyncio.Event()
    statuses: dict[int, int] = {}

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        peer = Peer(reader, writer)
        while not stop.is_set():
            await peer.send(get("/works"))
            status = (await peer.read_message()).status
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    tasks = [asyncio.create_task(one()) for _ in range(clients)]
    try:
        yield statuses
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)


@pytest.mark.parametrize("workers", [1, 2])
async def test_reloads_under_load_fail_no_request_and_keep_circuits(tmp_path: Path, workers: int):
    async with (
        answering(OK) as up,
        answering(BROKEN) as down,
        serving(tmp_path, file_text(up.port, down.port), workers=workers) as running,
    ):
        await until_open(running.port)
        evidence = len(down.requests)
        async with load(running.port) as statuses:
            for number in range(RELOADS):
                await asyncio.sleep(PAUSE)
                counted = sum(statuses.values())
                text = file_text(up.port, down.port, maximum=4 + number % 2)
                (tmp_path / "gateway.yaml").write_text(text)
                await reload(running)
                assert [(await ask_at(running.port, "/broken")).status for _ in range(4)] == [503] * 4
                async with asyncio.timeout(PATIENCE):
                    while sum(statuses.values()) == counted:  # noqa: ASYNC110 - a turn of the loop
                        await asyncio.sleep(0)
        assert (list(statuses), len(down.requests)) == ([200], evidence)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def until_open(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        in_a_row = 0
        while in_a_row < 6:
            in_a_row = in_a_row + 1 if (await ask_at(port, "/broken")).status == 503 else 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_bad_file_is_refused_with_its_mistakes_and_the_old_one_goes_on(tmp_path: Path, workers: int):
    good = file_text(9, 9)
    async with (
        answering(OK) as up,
        serving(tmp_path, good.replace("127.0.0.1:9", f"127.0.0.1:{up.port}", 1), workers=workers) as running,
    ):
        (tmp_path / "gateway.yaml").write_text(good + "wrong: 1\n")
        await reload(running, "failure")
        assert "gateway.yaml:11:1: wrong: unknown key" in running.errors
        assert "the one before goes on" in running.errors
        assert (await ask_at(running.port, "/works")).status == 200
        seen = series(await ask_at(running.admin, "/metrics"))
        assert seen["config_last_reload_successful",] == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_new_address_is_listened_at_without_losing_a_request(tmp_path: Path, workers: int):
    async with (
        answering(OK) as up,
        serving(tmp_path, file_text(up.port, up.port), workers=workers) as running,
    ):
        before = running.port
        for _ in range(ROUNDS):
            other = free_port()
            (tmp_path / "gateway.yaml").write_text(file_text(up.port, up.port, listen=other))
            if await reload(running, "success", "failure") == "success":
                break
            assert "in use" in running.errors  # another process has taken it since
        else:
            pytest.fail(f"{ROUNDS} ports were taken")
        assert (await ask_at(other, "/works")).status == 200
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await ask_at(before, "/works")
                except (ConnectionError, asyncio.IncompleteReadError):
                    break
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_counts_of_all_workers_are_one_and_outlive_them(tmp_path: Path):
    async with (
        answering(OK) as up,
        serving(tmp_path, file_text(up.port, up.port)) as running,
    ):
        admin = running.admin
        for worker in running.workers:
            with running.only(worker):
                assert [(await ask_at(running.port, "/works")).status for _ in range(3)] == [200] * 3
        key = ("http_requests_total", "/works", "200", "GET")
        async with asyncio.timeout(PATIENCE):
            while True:  # one that is busy is asked again the next time
                seen = series(await ask_at(admin, "/metrics"))
                assert seen.get(key, 0) <= 6
                if (seen.get(key), seen["worker_up", "0"], seen["worker_up", "1"]) == (6, 1, 1):
                    break
        killed = running.workers[0]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: len(running.workers) == 2 and killed not in running.workers)
        async with asyncio.timeout(PATIENCE):
            while (seen := series(await ask_at(admin, "/metrics")))["worker_up", "0"] + seen[
                "worker_up", "1"
            ] < 2:
                assert seen[key] == 6
        assert seen[key] == 6
        assert (await ask_at(admin, "/readyz")).status == 200


async def test_a_watched_file_is_read_again_when_a_link_on_its_way_is_exchanged(tmp_path: Path):
    async with answering(OK) as up:
        for version, text in (("1", file_text(9, 9)), ("2", file_text(up.port, 9))):
            (tmp_path / version).mkdir()
            (tmp_path / version / "gateway.yaml").write_text(text)
        (tmp_path / "..data").symlink_to("1")
        (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
        async with started(tmp_path, file_text(9, 9), "--watch", workers=1) as running:
            await running.ready()
            assert (await ask_at(running.port, "/works")).status == 502
            (tmp_path / "next").symlink_to("2")
            (tmp_path / "next").replace(tmp_path / "..data")
            async with asyncio.timeout(PATIENCE):
                while (await ask_at(running.port, "/works")).status != 200:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(PATIENCE):
                while (count := await reloads(running.admin, "success")) == 0:
                    pass  # it is counted after it has taken effect
            assert count == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_log_that_was_moved_away_is_opened_anew(tmp_path: Path, workers: int):
    log, moved = tmp_path / "access.log", tmp_path / "moved.log"
    async with answering(OK) as up:
        text = file_text(up.port, up.port).replace("access: false", f"access: {log}")
        async with serving(tmp_path, text, workers=workers) as running:
            asked = 0

            def lines() -> list[int]:
                """In the file that was moved, and in the new one."""
                files = (moved, log) if moved.exists() else (log,)
                return [file.read_text().count("\n") if file.exists() else 0 for file in files]

            async def ask() -> None:
                nonlocal asked
                asked += 1
                assert (await ask_at(running.port, "/works")).status == 200
                await until(lambda: sum(lines()) == asked)  # each line once, in one of the two

            await ask()
            log.rename(moved)
            running.process.send_signal(signal.SIGUSR1)
            await until(log.exists)
            for worker in running.workers or [0]:
                with running.only(worker):
                    before = lines()[1]
                    async with asyncio.timeout(PATIENCE):
                        while lines()[1] == before:
                            await ask()  # each worker opens it when it gets to it
            before = lines()[0]
            await ask()
            assert lines()[0] == before
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
    assert sum(lines()) == asked
