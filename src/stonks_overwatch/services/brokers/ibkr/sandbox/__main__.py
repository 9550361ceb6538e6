"""`python -m stonks_overwatch.services.brokers.ibkr.sandbox`: the sandbox as a process of its own."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from stonks_overwatch.errors import StonksError
from stonks_overwatch.services.brokers.ibkr.sandbox import PRESETS, SCENARIOS, Sandbox, preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--directory", type=Path, required=True, help="where the fake user's keys and config.json are kept"
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="demo")
    parser.add_argument(
        "--today", type=date.fromisoformat, help="the last day of the script (YYYY-MM-DD), now if not given"
    )
    parser.add_argument("--fault", action="append", choices=sorted(PRESETS), default=[], metavar="NAME",
                        help=f"a fault from the start, may be repeated: {', '.join(sorted(PRESETS))}")  # fmt: skip
    parser.add_argument(
        "--no-pace", action="store_true", help="never answer 429 for calls that come too early"
    )
    parser.add_argument("--with-parent", action="store_true", help="also stop when standard input closes")


def start(options: argparse.Namespace) -> Sandbox:
    """Start what the options say. Raises OSError if the port is taken, ConfigError as Sandbox.start."""
    sandbox = Sandbox.start(
        options.directory, options.port, options.scenario, options.today, pace=not options.no_pace
    )
    for name in options.fault:
        sandbox.faults.add(preset(name))
    return sandbox


def describe(sandbox: Sandbox) -> str:
    """One line of JSON: how another process reaches it."""
    return json.dumps(
        {"rest_url": sandbox.rest_url, "config": str(sandbox.config_file), "control": sandbox.control_url}
    )


def wait(*, with_parent: bool) -> None:
    """Return on SIGTERM or SIGINT, and when standard input closes if asked to."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if with_parent:
        threading.Thread(target=_read_to_the_end, args=(stop,), daemon=True).start()
    stop.wait()


def _read_to_the_end(stop: threading.Event) -> None:
    # The descriptor itself: a daemon thread inside sys.stdin's lock would break the interpreter's exit.
    while os.read(0, 4096):
        pass
    stop.set()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        sandbox = start(options)
    except (StonksError, OSError) as err:
        sys.stderr.write(f"error: {err}\n")
        return 1
    with sandbox:
        sys.stdout.write(describe(sandbox) + "\n")
        sys.stdout.flush()
        wait(with_parent=options.with_parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
