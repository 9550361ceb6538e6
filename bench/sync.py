"""Prints what a sync of 5,000 positions costs: `python -m bench.sync`, the first one and one after it.

The made-up IBKR is a process of its own and keeps the real one's pace, so that the clock says nothing.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from stonks_overwatch import demo


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
        folder = Path(name)
        os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder / "data")
        os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "sandbox" / "config.json")
        os.environ["DJANGO_SETTINGS_MODULE"] = "stonks_overwatch.settings"
        with demo.sandbox_process(folder / "sandbox", "--scenario", "large") as addresses:
            os.environ["IBIND_OAUTH1A_REST_URL"] = addresses["rest_url"]

            import django  # noqa: PLC0415  # after the variables that its settings read

            django.setup()
            measure()


def measure() -> None:
    from stonks_overwatch import config, database, sync  # noqa: PLC0415
    from stonks_overwatch.ledger.models import Position  # noqa: PLC0415

    database.prepare()
    (login,) = config.load().ibkr
    for what in ("first sync", "sync after it"):
        started, used = time.perf_counter(), time.process_time()
        run = sync.run("ibkr", login)
        processor, clock = time.process_time() - used, time.perf_counter() - started
        subject = f"{what} of {Position.objects.open().count():,} positions, processor"
        sys.stdout.write(f"{subject:56} {processor:>9.2f} s        3 s; clock {clock:.0f} s, {run.status}\n")
        sys.stdout.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{'its peak memory':56} {peak:>9.0f} MB\n")


if __name__ == "__main__":
    main()
