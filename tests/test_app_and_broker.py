"""The app while it syncs: it begins by itself, ends at once, and leaves no process and no lock behind."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from tests.running import COMMAND, App, app, command, environment


def wait_until(holds: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def runs(data: Path) -> list[tuple[str, str]]:
    """Status and error code of every run so far, oldest first."""
    with closing(sqlite3.connect(data / "db.sqlite3", timeout=20)) as database:
        return database.execute(
            "SELECT status, error_code FROM stonks_overwatch_syncrun ORDER BY id"
        ).fetchall()


def count(data: Path, table: str) -> int:
    with closing(sqlite3.connect(data / "db.sqlite3", timeout=20)) as database:
        (rows,) = database.execute(f"SELECT COUNT(*) FROM stonks_overwatch_{table}").fetchone()
    return int(rows)


def child_of(running: App) -> int:
    """The only child process of the app."""
    (child,) = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return int(child)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def variables(broker: Sandbox) -> dict[str, str]:
    return {
        "IBIND_OAUTH1A_REST_URL": broker.rest_url,
        "STONKS_OVERWATCH_CONFIG": str(broker.config_file),
    }


def test_the_app_syncs_by_itself_what_is_due(sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    with app(tmp_path, **variables(sandbox("small"))):
        wait_until(lambda: runs(tmp_path / "data") == [("ok", "")])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sync_that_hangs_does_not_hold_up_the_end_and_is_marked_at_the_next_run(
    number: signal.Signals, sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    broker = sandbox("small")
    broker.faults.add(Fault("stall", "GET portfolio/accounts", seconds=300))
    with app(tmp_path, **variables(broker)) as running:
        wait_until(lambda: any(call.path == "portfolio/accounts" for call in broker.calls))
        assert running.end(number, seconds=3) == 0
        assert running.errors == []
    assert runs(tmp_path / "data") == [("running", "")]
    broker.faults.clear()
    assert command(tmp_path, "sync", **variables(broker)).returncode == 0
    assert runs(tmp_path / "data") == [("failed", "interrupted"), ("ok", "")]


def test_sync_on_the_command_line_waits_for_the_run_of_the_app_and_tells_its_outcome(
    sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    broker = sandbox("small")
    broker.faults.add(Fault("slow", "GET portfolio/*/summary", seconds=3))
    with app(tmp_path, **variables(broker)):
        wait_until(lambda: runs(tmp_path / "data") == [("running", "")])
        ended = command(tmp_path, "sync", "--json", **variables(broker))
    assert ended.returncode == 0
    (run,) = json.loads(ended.stdout)["runs"]
    assert (run["status"], run["counts"]["positions"]) == ("ok", 6)
    assert runs(tmp_path / "data") == [("ok", "")]


def test_ctrl_c_ends_the_command_sync_and_says_that_the_run_was_ended(
    sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    broker = sandbox("small")
    broker.faults.add(Fault("stall", "GET portfolio/accounts", seconds=300))
    # What is started in the background of a shell ignores SIGINT and hands that down; a terminal's does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [*COMMAND, "sync"], env=environment(tmp_path, **variables(broker)), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: any(call.path == "portfolio/accounts" for call in broker.calls))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert runs(tmp_path / "data") == [("failed", "interrupted")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_broker_of_the_demo_ends_with_the_app_however_that_ends(
    number: signal.Signals, tmp_path: Path
) -> None:
    with app(tmp_path, "--demo") as running:
        child = child_of(running)
        assert is_alive(child)
        assert running.end(number, seconds=3) == (-number if number == signal.SIGKILL else 0)
        wait_until(lambda: not is_alive(child), seconds=5)
        assert running.errors == []


def test_the_demo_has_data_of_its_own_and_syncs_at_once(tmp_path: Path) -> None:
    with app(tmp_path, "--demo"):
        demo = tmp_path / "data" / "demo"
        wait_until(lambda: count(demo, "position") > 60, seconds=60)  # the statements of ten years follow
        assert runs(demo) == [("running", "")]
    assert not (tmp_path / "data" / "db.sqlite3").exists()
    assert not (tmp_path / "config.json").exists()
