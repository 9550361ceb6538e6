"""The sandbox as a process: one line of JSON, and an end at once and without a trace."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

MODULE = [sys.executable, "-m", "stonks_overwatch.services.brokers.ibkr.sandbox"]
COMMAND = [sys.executable, "-m", "stonks_overwatch", "sandbox"]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(sandbox_directory: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that is gone after the test."""
    with ExitStack() as ended:

        def begin(command: list[str], *options: str, **settings: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [*command, "--directory", str(sandbox_directory), "--scenario", "small", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"STONKS_OVERWATCH_DATA_DIR": str(tmp_path)},
                **settings,
            )
            ended.enter_context(process)
            ended.callback(process.kill)
            return process

        yield begin


def ready(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    line: dict[str, str] = json.loads(process.stdout.readline())
    return line


@pytest.mark.parametrize("command", [MODULE, [*COMMAND, "--json"]], ids=["module", "command"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_where_it_is_and_ends_on_a_signal(
    start: Start, command: list[str], number: signal.Signals, sandbox_directory: Path
) -> None:
    process = start(command)
    told = ready(process)
    assert set(told) >= {"rest_url", "config", "control"}
    assert told["config"] == str(sandbox_directory / "config.json")
    assert requests.get(f"{told['control']}faults", timeout=5).json() == []
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_ends_with_its_parent_if_asked_to(start: Start) -> None:
    process = start(MODULE, "--with-parent")
    ready(process)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def test_it_ends_while_an_answer_is_awaited(start: Start) -> None:
    process = start(MODULE, "--fault", "stall")
    told = ready(process)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{told['rest_url']}tickle", timeout=0.2)
    process.terminate()
    assert process.wait(timeout=10) == 0


def test_faults_and_pace_are_options(start: Start) -> None:
    process = start(MODULE, "--fault", "unavailable", "--fault", "slow", "--no-pace", "--today", "2026-03-04")
    faults = requests.get(f"{ready(process)['control']}faults", timeout=5).json()
    assert [fault["name"] for fault in faults] == ["unavailable", "slow"]


def test_the_command_says_how_to_use_it(start: Start) -> None:
    process = start(COMMAND)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    assert any("export IBIND_OAUTH1A_REST_URL=http://127.0.0.1:" in line for line in lines)
    assert any("export STONKS_OVERWATCH_CONFIG=" in line for line in lines)


def test_a_port_that_is_taken_is_told_in_two_lines(start: Start) -> None:
    first = start(MODULE)
    port = ready(first)["rest_url"].split(":")[2].split("/")[0]
    second = start(MODULE, "--port", port)
    out, err = second.communicate(timeout=10)
    assert (second.returncode, out) == (1, "")
    assert err.startswith(f"error: Port {port} cannot be used")
    assert "next step:" in err


def test_a_wrong_option_is_a_usage_error(start: Start) -> None:
    process = start(MODULE, "--fault", "no_such_fault")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "login_401" in err


def test_it_needs_neither_django_nor_ibind() -> None:
    code = (
        "import sys; import stonks_overwatch.services.brokers.ibkr.sandbox.process;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'django', 'ibind', 'numpy'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
