"""Prints how fast files are imported, new and known: `python -m bench.imports S`, M or L."""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from bench import synthetic


def main(size: str) -> None:
    with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
        folder = Path(name)
        files = synthetic.write(folder, synthetic.SIZES[size])
        os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder / "data")
        os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "config.json")
        os.environ["DJANGO_SETTINGS_MODULE"] = "stonks_overwatch.settings"

        import django  # noqa: PLC0415  # after the variables that its settings read

        django.setup()
        from stonks_overwatch import database  # noqa: PLC0415
        from stonks_overwatch.imports import import_file  # noqa: PLC0415

        database.prepare()
        for what in ("new", "known"):
            rows, took = 0, 0.0
            for file in (files.activities, files.prices, files.fx):
                started = time.perf_counter()
                result = import_file(file)
                seconds = time.perf_counter() - started
                if result.refused or getattr(result, what) != result.rows:
                    sys.exit(f"{file.name}: {result}")
                say(f"{size} {what} {result.kind}", result.rows, seconds)
                rows, took = rows + result.rows, took + seconds
            say(f"{size} {what} together", rows, took)
        sys.stdout.write(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n")
        sys.stdout.write(f"database {(folder / 'data' / 'db.sqlite3').stat().st_size / 1e6:.0f} MB\n")


def say(what: str, rows: int, seconds: float) -> None:
    sys.stdout.write(f"{what:24} {rows:>9,} rows {seconds:>8.2f} s {rows / seconds:>10,.0f} rows/s\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
