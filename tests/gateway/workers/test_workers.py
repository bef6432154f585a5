"""Several processes that are one gateway, over real sockets and signals."""

import asyncio
import contextlib
import os
import signal
import socket

import pytest

from tests.gateway.upstreams import OK, PATIENCE, Peer, answering, get, scripted
from tests.gateway.workers.processes import one_service, runs, serving, started, until

pytestmark = pytest.mark.anyio

BAD = b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"


# ---- one gateway ----


async def test_failures_spread_over_the_workers_open_one_circuit_for_all(tmp_path):
    async with (
        answering(BAD) as up,
        serving(tmp_path, one_service(up.port, "{failureThreshold: 4, resetTimeoutMs: 60000}")) as gateway,
    ):
        first, second = gateway.workers
        with gateway.only(first):
            assert await gateway.statuses(2) == [500, 500]
        with gateway.only(second):
            assert await gateway.statuses(2) == [500, 500]
        await until(lambda: all(f"[{pid}]: circuit" in gateway.errors for pid in (first, second)))
        for worker in (first, second):
            with gateway.only(worker):
                assert await gateway.statuses(2) == [503, 503]
        assert len(up.requests) == 4


async def test_probes_are_counted_over_all_workers(tmp_path):
    released, probing, sick = asyncio.Event(), asyncio.Event(), True

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_message()
            if not sick:
                probing.set()
                await released.wait()
            await peer.send(BAD if sick else OK)

    async with (
        scripted(script) as up,
        serving(tmp_path, one_service(up.port, "{failureThreshold: 1, resetTimeoutMs: 300}")) as gateway,
    ):
        first, second = gateway.workers
        assert await gateway.statuses(1) == [500]
        await until(lambda: gateway.errors.count("closed -> open") == 2)  # or one passes as closed
        sick = False
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            with gateway.only(first):
                # Only one that comes late enough is a probe.
                while not probing.is_set():
                    group.create_task(gateway.ask())
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(probing.wait(), 0.05)
            with gateway.only(second):
                assert await gateway.statuses(3) == [503, 503, 503]
            released.set()
        with gateway.only(second):
            async with asyncio.timeout(PATIENCE):
                while (await gateway.ask()).status != 200:
                    pass


async def test_a_replacement_knows_what_the_others_know_before_its_first_request(tmp_path):
    async with (
        answering(BAD) as up,
        serving(tmp_path, one_service(up.port, "{failureThreshold: 1, resetTimeoutMs: 60000}")) as gateway,
    ):
        first, second = gateway.workers
        assert await gateway.statuses(1) == [500]
        await until(lambda: gateway.errors.count("closed -> open") == 2)
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(gateway.workers) == 2 and gateway.errors.count("closed -> open") == 3)
        (third,) = set(gateway.workers) - {second}
        with gateway.only(third):
            assert await gateway.statuses(2) == [503, 503]
        assert len(up.requests) == 1


# ---- crashes ----


async def test_a_killed_worker_takes_only_its_own_requests_with_it(tmp_path):
    async def slow(peer: Peer) -> None:
        while True:
            await peer.read_message()
            await asyncio.sleep(0.02)
            await peer.send(OK)

    failed_late: list[BaseException] = []
    failed_in_flight: list[BaseException] = []
    served = 0
    async with scripted(slow) as up, serving(tmp_path, one_service(up.port)) as gateway:
        killed = stop = False

        async def load() -> None:
            nonlocal served
            while not stop:
                began_after = killed
                try:
                    assert (await gateway.ask()).status == 200
                    served += 1
                except (OSError, asyncio.IncompleteReadError) as error:
                    (failed_late if began_after else failed_in_flight).append(error)

        clients = [asyncio.create_task(load()) for _ in range(8)]
        await until(lambda: served > 50)
        victim = gateway.workers[0]
        os.kill(victim, signal.SIGKILL)
        killed = True
        await until(lambda: len(set(gateway.workers) - {victim}) == 2)
        before = served
        await until(lambda: served > before + 100)
        stop = True
        await asyncio.gather(*clients)
        assert failed_late == []
        assert len(failed_in_flight) <= 8
        assert f"worker {victim} ended (signal SIGKILL)" in gateway.errors


async def test_a_replacement_serves_the_configuration_of_its_siblings(tmp_path):
    async with answering(OK) as up, serving(tmp_path, one_service(up.port)) as gateway:
        (tmp_path / "gateway.yaml").write_text("no longer: a configuration")
        first, second = gateway.workers
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(set(gateway.workers) - {first, second}) == 1)
        (third,) = set(gateway.workers) - {first, second}
        with gateway.only(third):
            assert await gateway.statuses(2) == [200, 200]


async def test_workers_end_when_their_supervisor_is_killed(tmp_path):
    async with answering(OK) as up, serving(tmp_path, one_service(up.port)) as gateway:
        workers = gateway.workers
        gateway.process.kill()
        await until(lambda: not any(map(runs, workers)))


# ---- the end ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_all_drain_and_the_exit_code_is_0(tmp_path, number):
    release, asked = asyncio.Event(), 0

    async def held(peer: Peer) -> None:
        nonlocal asked
        await peer.read_message()
        asked += 1
        await release.wait()
        await peer.send(OK)

    async with scripted(held) as up, serving(tmp_path, one_service(up.port)) as gateway:
        workers = gateway.workers
        under_way = []
        for worker in workers:
            with gateway.only(worker):
                under_way.append(asyncio.create_task(gateway.ask()))
                await until(lambda: asked == len(under_way))
        gateway.process.send_signal(number)
        await until(lambda: not _accepts(gateway.port))
        release.set()
        assert [(await request).status for request in under_way] == [200, 200]
        assert await gateway.ended() == 0
        assert not any(map(runs, workers))


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


async def test_a_request_that_does_not_end_is_not_waited_for_after_the_drain(tmp_path):
    async def silent(peer: Peer) -> None:
        await peer.closed()

    config = one_service  # its limits stand at the top of the file
    async with (
        scripted(silent) as up,
        serving(tmp_path, config(up.port, top="limits: {drain: 200ms}")) as gateway,
    ):
        request = asyncio.create_task(gateway.ask())
        await until(lambda: up.connections == 1)
        gateway.process.terminate()
        assert await gateway.ended() == 0
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await request


async def test_a_worker_that_hangs_is_killed(tmp_path):
    async with (
        answering(OK) as up,
        serving(tmp_path, one_service(up.port, top="limits: {drain: 100ms}")) as gateway,
    ):
        hanging, other = gateway.workers
        os.kill(hanging, signal.SIGSTOP)
        gateway.process.terminate()
        assert await gateway.ended() == 0
        assert not runs(hanging)
        assert not runs(other)


async def test_a_stop_while_workers_start_ends_all(tmp_path):
    async with answering(OK) as up, started(tmp_path, one_service(up.port)) as gateway:
        await until(lambda: len(gateway.workers) == 2 or gateway.port)
        workers = gateway.workers
        gateway.process.terminate()
        assert await gateway.ended() == 0
        assert not any(map(runs, workers))


# ---- the start ----


async def test_a_taken_address_is_said_once_and_the_exit_code_is_1(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with started(tmp_path, one_service(1), "--port", str(port)) as gateway:
            assert await gateway.ended() == 1
            assert gateway.errors == f"switchgear: can't listen on 127.0.0.1:{port}: Address already in use\n"


async def test_files_in_the_working_directory_do_not_replace_modules(tmp_path):
    (tmp_path / "asyncio.py").write_text("raise SystemExit('the wrong one')")
    async with answering(OK) as up, serving(tmp_path, one_service(up.port)) as gateway:
        assert await gateway.statuses(1) == [200]


PYTHON = """\
import os, sys

def is_first(mark):
    try:
        return not open(mark, "x").close()
    except FileExistsError:
        return False

if "switchgear.gateway.supervisor.worker" in sys.orig_argv and {condition}:
    raise LookupError("no licence")
config = {{"listen": "127.0.0.1:0", "http": {{"routes": {{"/": {{"GET": {{"services": {{"up":
    {{"url": "http://127.0.0.1:{port}/"}}}}}}}}}}}}}}
"""


async def test_workers_that_cant_start_say_why_and_the_exit_code_is_1(tmp_path):
    config = PYTHON.format(condition="True", port=1)
    async with started(tmp_path, config, name="gateway.py") as gateway:
        assert await gateway.ended() == 1
        assert gateway.errors.count("a worker can't serve: ") == 2
        assert "LookupError: no licence" in gateway.errors
        assert gateway.lines == []


async def test_one_worker_is_enough_to_serve_and_the_other_is_tried_again(tmp_path):
    mark = tmp_path / "mark"
    condition = f"is_first({str(mark)!r})"  # who gets there second finds the file
    async with (
        answering(OK) as up,
        serving(tmp_path, PYTHON.format(condition=condition, port=up.port), name="gateway.py") as gateway,
    ):
        assert await gateway.statuses(2) == [200, 200]
        await until(lambda: len(gateway.workers) == 2)
        assert gateway.errors.count("a worker can't serve: ") == 1


# ---- what they write ----


async def test_lines_of_the_access_log_are_whole(tmp_path):
    long = "/?" + "x" * 10
    paths = ["/" + letter * 12_000 for letter in "abcd"]
    async with answering(OK) as up, serving(tmp_path, one_service(up.port)) as gateway:
        for _ in range(10):
            answers = await asyncio.gather(*(gateway.ask(get(path)) for path in (*paths, long)))
            assert [answer.status for answer in answers] == [404, 404, 404, 404, 200]
        gateway.process.terminate()
        assert await gateway.ended() == 0
        logged = [line["url.path"] for line in gateway.access]
        assert sorted(logged) == sorted([*paths, "/"] * 10)


async def test_who_reads_no_output_holds_up_no_request(tmp_path):
    async with answering(OK) as up, serving(tmp_path, one_service(up.port)) as gateway:
        os.kill(gateway.process.pid, signal.SIGSTOP)
        try:
            assert await gateway.statuses(20) == [200] * 20
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
