import signal
import socket
import stat
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.running import app, command


def status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as err:
        return err.code


def test_without_a_configuration_the_app_starts_and_says_where_it_is(tmp_path: Path) -> None:
    with app(tmp_path) as running:
        assert running.output == [f"Stonks Overwatch is at {running.address} (Ctrl-C ends it)\n"]
        assert status(running.address) == 200


def test_the_app_listens_on_127_0_0_1_alone(tmp_path: Path) -> None:
    with app(tmp_path) as running:
        port = int(running.address.rpartition(":")[2])
        # 127.0.0.2 is this machine too, but another address: only a program that listens on all answers.
        with closing(socket.socket()) as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_app_at_once_and_without_a_word(number: signal.Signals, tmp_path: Path) -> None:
    with app(tmp_path) as running:
        assert running.end(number, seconds=3) == 0
        assert running.errors == []


def test_a_second_start_on_the_same_data_works(tmp_path: Path) -> None:
    for _ in range(2):
        with app(tmp_path) as running:
            assert status(running.address) == 200
            running.end()
    assert not (tmp_path / "data" / "backups").exists()


def test_a_start_after_a_kill_works(tmp_path: Path) -> None:
    with app(tmp_path) as running:
        running.end(signal.SIGKILL)
    with app(tmp_path) as running:
        assert status(running.address) == 200


def test_a_busy_port_is_one_sentence_and_a_next_step(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        ended = command(tmp_path, "run", "--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: Port {port} cannot be used (Address already in use).\n"
        f"next step: Name another one: make run port={port + 1} (or run --port {port + 1}).\n"
    )


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "8000.5"])
def test_what_is_no_port_is_a_usage_error(port: str, tmp_path: Path) -> None:
    assert command(tmp_path, "run", "--port", port).returncode == 2


def test_everything_in_the_data_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    with app(tmp_path) as running:
        status(running.address)
        running.end()
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_data_folder_that_cannot_be_made_is_one_sentence_and_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    ended = command(tmp_path, "run")
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"error: The data folder {tmp_path / 'data'} cannot be written to (File exists).",
        "next step: Make it writable for you, or name another folder in STONKS_OVERWATCH_DATA_DIR.",
    ]


def test_a_page_that_listens_for_progress_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with app(tmp_path) as running, urllib.request.urlopen(f"{running.address}/events", timeout=30) as stream:
        assert stream.readline() == b"retry: 2000\n"
        assert running.end(seconds=3) == 0
        assert running.errors == []
