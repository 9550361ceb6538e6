"""Starts the product as a user does, as a process of its own on a data folder of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = [sys.executable, "-m", "stonks_overwatch"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The variables of a process that works in this folder alone."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "stonks_overwatch.settings",
        "STONKS_OVERWATCH_DATA_DIR": str(folder / "data"),
        "STONKS_OVERWATCH_CONFIG": str(folder / "config.json"),
        **more,
    }


def command(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`stonks-overwatch <arguments>`, run to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass
class App:
    """The app while it runs. `errors` is what it wrote to standard error so far."""

    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    is_ready: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """http://127.0.0.1:PORT, without a slash at the end."""
        line = next(line for line in self.output if "http://" in line)
        return line[line.index("http://") :].split()[0]

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 10) -> int:
        """Send the signal; return the exit status. Raises: TimeoutExpired if it is still there then."""
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)


@contextmanager
def app(folder: Path, *arguments: str, **more: str) -> Iterator[App]:
    """`stonks-overwatch run` on a free port, ready to answer; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--port", "0", *arguments],
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = App(process)

    def follow(stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            if "http://" in line:
                running.is_ready.set()
        running.is_ready.set()  # ended

    assert process.stdout is not None
    assert process.stderr is not None
    for stream, lines in ((process.stdout, running.output), (process.stderr, running.errors)):
        threading.Thread(target=follow, args=(stream, lines), daemon=True).start()
    try:
        assert running.is_ready.wait(timeout=60)
        assert process.poll() is None, "".join(running.errors)
        yield running
    finally:
        process.kill()
        process.wait()
