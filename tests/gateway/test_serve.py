"""`switchgear serve` as a process: its address, its exit codes, and its memory under large bodies."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 90.0
MIB = 1 << 20


@contextlib.contextmanager
def serving(tmp_path: Path, config: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A gateway process and its port."""
    file = tmp_path / "gateway.yaml"
    file.write_text(config)
    command = [sys.executable, "-m", "switchgear", "serve", str(file), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(2 * PATIENCE, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"switchgear listening on http://127\.0\.0\.1:(\d+)\n", line)
        assert found, line + (process.stderr.read() if process.stderr and not line else "")
        yield process, int(found[1])
    finally:
        process.kill()
        process.communicate()
        watchdog.cancel()


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "switchgear", "serve", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def routes(port: int) -> str:
    return f'log: {{access: false}}\nhttp: {{routes: {{/x: {{ALL: {{services: {{up: {{url: "http://127.0.0.1:{port}"}}}}}}}}}}}}\n'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(tmp_path: Path, number: signal.Signals):
    with (
        serving(tmp_path, routes(9)) as (process, port),
        socket.create_connection(("127.0.0.1", port), PATIENCE) as client,
    ):
        client.sendall(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 404")
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0


def test_a_port_that_is_taken_exits_1(tmp_path: Path):
    (tmp_path / "g.yaml").write_text(routes(9))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(str(tmp_path / "g.yaml"), "--port", str(port))
    assert result.returncode == 1
    assert f"can't listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_configuration_exits_2_with_its_mistakes(tmp_path: Path):
    (tmp_path / "g.yaml").write_text("http: {routes: {}}\nlisten: nonsense:x\n")
    result = run(str(tmp_path / "g.yaml"))
    assert result.returncode == 2
    assert f"{tmp_path / 'g.yaml'}:2:" in result.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_certificates_that_are_not_there_are_a_mistake(tmp_path: Path, workers: str):
    (tmp_path / "g.yaml").write_text(f"tls: {{cert: {tmp_path}/none, key: k}}\n{routes(9)}")
    result = run(str(tmp_path / "g.yaml"), "--port", "0", "--workers", workers)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"switchgear: tls.cert and tls.key: {tmp_path}/none can't be read: No such file or directory\n"
    )


def test_a_log_that_can_not_be_opened_is_named(tmp_path: Path):
    log = tmp_path / "none" / "access.log"
    (tmp_path / "g.yaml").write_text(routes(9).replace("access: false", f"access: {log}"))
    result = run(str(tmp_path / "g.yaml"), "--port", "0")
    assert (result.returncode, result.stderr) == (1, f"switchgear: {log}: No such file or directory\n")


# ---- large bodies


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) * 1024


def serve_large(server: socket.socket, size: int) -> None:
    """Answers two requests: 200 MB down, then 200 MB up."""
    piece = b"x" * 65536
    connection, _ = server.accept()
    with connection:
        connection.settimeout(PATIENCE)
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            connection.sendall(piece)
        left = size - len(head(connection))
        while left:
            left -= len(connection.recv(min(left, 1 << 20)))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(1)


def head(connection: socket.socket) -> bytes:
    """Reads a head, and returns what of the body came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece
        data += piece
    return data.partition(b"\r\n\r\n")[2]


def test_200_mb_either_way_take_less_than_20_mb_of_memory(tmp_path: Path):
    size = 200 * MIB
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        upstream = threading.Thread(target=serve_large, args=(server, size))
        upstream.start()
        with serving(tmp_path, routes(server.getsockname()[1])) as (process, port):
            before = resident(process.pid)
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                left, highest = size - len(head(client)), 0
                while left:
                    before_piece = left // (4 * MIB)
                    left -= len(client.recv(min(left, 1 << 20)))
                    if left // (4 * MIB) != before_piece:
                        highest = max(highest, resident(process.pid))
                client.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(50):
                    client.sendall(b"x" * (4 * MIB))
                    highest = max(highest, resident(process.pid))
                assert client.recv(4096).endswith(b"ok")
            assert highest - before < 20 * MIB
        upstream.join(PATIENCE)
