"""Prints what the demo costs: memory of the app, second start, server time and queries of each page.

`make bench`. The sizes that the project keeps to stand beside the figures.
"""

import os
import sqlite3
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.running import App, app

from bench.served import PAGES, costs
from stonks_overwatch import demo

LONGEST_SYNC_SECONDS = 300


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
        folder = Path(name)
        started = time.perf_counter()
        with app(folder, "--demo") as running:
            seconds = wait_for_sync(folder / "data" / "demo" / "db.sqlite3")
            say("first sync of the demo", f"{seconds:.1f} s", "")
            for page in ("", *PAGES[1:]):
                read(f"{running.address}/{page}")
            now, most = memory(running)
            say("memory of the app on the demo", f"{now:.0f} MB", "under 150 MB, all pages seen")
            say("the most since its start", f"{most:.0f} MB", "under 150 MB")
            running.end()
        started = time.perf_counter()
        with app(folder, "--demo") as running:
            read(running.address)
            say("second start to the first page", f"{time.perf_counter() - started:.2f} s", "under 3 s")
            running.end()
        measure_pages(folder)


def wait_for_sync(database: Path) -> float:
    """Seconds until the first run has ended."""
    started = time.perf_counter()
    while time.perf_counter() - started < LONGEST_SYNC_SECONDS:
        with closing(sqlite3.connect(database, timeout=20)) as opened:
            rows = opened.execute("SELECT status, error_what FROM stonks_overwatch_syncrun").fetchall()
        if rows and rows[-1][0] != "running":
            if rows[-1][0] != "ok":
                say("the sync ended", rows[-1][0], rows[-1][1])
            return time.perf_counter() - started
        time.sleep(0.1)
    sys.exit("The demo's first sync did not end.")


def memory(running: App) -> tuple[float, float]:
    """What the process holds in memory, and the most it ever held, in MB, from Linux's own account of it."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    )
    now, most = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def read(address: str) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  # our own
        answer.read()


def measure_pages(folder: Path) -> None:
    os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder / "data")
    demo.choose_folders()
    os.environ["DJANGO_SETTINGS_MODULE"] = "stonks_overwatch.settings"

    import django  # noqa: PLC0415  # after the variables that its settings read

    django.setup()
    for cost in costs():
        say(f"page {cost.page}", f"{cost.shown * 1000:.0f} ms", f"under 50 ms; {cost}")


def say(what: str, figure: str, limit: str) -> None:
    sys.stdout.write(f"{what:34} {figure:>10}   {limit}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
