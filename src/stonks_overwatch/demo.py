"""The demo: the same program on another data folder, with the local sandbox in the broker's place."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stonks_overwatch import paths
from stonks_overwatch.errors import DemoError


def choose_folders() -> None:
    """Point this process, from now on, at the demo's own data and configuration."""
    folder = paths.data_dir() / "demo"
    os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder)
    os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "sandbox" / "config.json")


def is_on() -> bool:
    """Whether this process works on the demo's folders."""
    return paths.config_file() == paths.data_dir() / "sandbox" / "config.json"


@contextmanager
def sandbox() -> Iterator[None]:
    """Run the sandbox beside this process and send this process's calls to the broker there."""
    folder = paths.config_file().parent
    with sandbox_process(folder, "--scenario", "demo", "--flex") as addresses:
        os.environ["IBIND_OAUTH1A_REST_URL"] = addresses["rest_url"]
        os.environ["STONKS_OVERWATCH_IBKR_FLEX_URL"] = addresses["flex_url"]
        yield


@contextmanager
def sandbox_process(folder: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """The addresses of a sandbox that runs as a child process and has its files in the folder.

    The child ends when its standard input closes, so it does not outlive this process however that ends.
    Raises: DemoError if it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "stonks_overwatch.services.brokers.ibkr.sandbox"]
    command += ["--directory", str(folder), "--with-parent", *arguments]
    errors = folder / "sandbox.log"
    with errors.open("wb") as stderr:
        # In a group of its own: Ctrl-C is for this process, which ends the child after itself.
        child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, process_group=0
        )
    try:
        ready = child.stdout.readline() if child.stdout else b""
        if not ready:
            raise DemoError("The made-up IBKR did not start.", next_step=f"Read why in {errors}.")
        yield json.loads(ready)
    finally:
        child.terminate()
        try:
            child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            child.kill()
