"""The sandbox as a process of its own: its options, how it says where it is, and how it ends."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from stonks_overwatch.services.brokers.ibkr.sandbox import PRESETS, SCENARIOS, Sandbox, preset


def add_arguments(parser: argparse.ArgumentParser, directory: Path | None = None) -> None:
    """The options of `serve`; `--directory` must be given unless there is one to fall back to."""
    parser.add_argument(
        "--directory",
        type=Path,
        default=directory,
        required=directory is None,
        help="where the fake user's keys and config.json are kept; made at the first start",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="demo")
    parser.add_argument(
        "--today", type=date.fromisoformat, help="the last day of the script (YYYY-MM-DD); now if not given"
    )
    parser.add_argument(
        "--fault",
        action="append",
        choices=sorted(PRESETS),
        default=[],
        metavar="NAME",
        help=f"a fault from the start on, may be repeated: {', '.join(sorted(PRESETS))}",
    )
    parser.add_argument(
        "--no-pace", action="store_true", help="never answer 429 to calls that come too early"
    )
    parser.add_argument(
        "--flex",
        action="store_true",
        help="config.json names the Flex Web Service too; its address is flex_url "
        "(STONKS_OVERWATCH_IBKR_FLEX_URL)",
    )
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes too")


def serve(options: argparse.Namespace, announce: Callable[[Sandbox], None]) -> None:
    """Run until SIGTERM, SIGINT or the end of standard input; `announce` is called once it answers.

    Raises: SystemExit when it is ended; PortBusyError, ConfigError and DemoError as `Sandbox.start`.
    """
    with _ended_by_signals():
        if options.with_parent:
            threading.Thread(target=_end_with_standard_input, daemon=True).start()
        with Sandbox.start(
            options.directory,
            options.port,
            options.scenario,
            options.today,
            pace=not options.no_pace,
            flex=options.flex,
        ) as sandbox:
            for name in options.fault:
                sandbox.faults.add(preset(name))
            announce(sandbox)
            threading.Event().wait()


def as_json(sandbox: Sandbox) -> str:
    """One line that tells another process how to reach it."""
    return json.dumps(
        {
            "rest_url": sandbox.rest_url,
            "flex_url": sandbox.flex_url,
            "config": str(sandbox.config_file),
            "control": sandbox.control_url,
            "portal": sandbox.portal_url,
        }
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: sys.exit(0)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _end_with_standard_input() -> None:
    # The descriptor itself: a thread that holds sys.stdin's lock would break the interpreter's exit.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
