"""Prints how long it takes to work everything out anew: `python -m bench.refresh S M L`, or all without one.

From the database to the daily series, the time-weighted and money-weighted returns of 19 periods and open
lots, first in first out, on a ledger of bench.synthetic that is imported first: in a process that is warm, in
a new one, and after one new day; then the pages. Seconds of the clock and of the processor: other work may be
running beside it.
"""

import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from bench import synthetic

ROUNDS = 9
PERIODS = 19
GOALS = {"S": "", "M": "0.06 s", "L": "0.4 s"}
PAGES = ("", "holdings", "performance", "income", "fees", "contributions", "realized", "diversification")


def main(sizes: list[str]) -> None:
    took = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
            folder = Path(name)
            child(folder, "load", size)
            took[size] = float(child(folder, "warm", size).splitlines()[-1])
            child(folder, "new", size)
            child(folder, "pages", size)
    if {"S", "L"} <= took.keys():
        growth = synthetic.SIZES["L"].activities / synthetic.SIZES["S"].activities
        slope = math.log(took["L"] / took["S"]) / math.log(growth)
        say("slope of the whole refresh against size (1 is linear)", f"{slope:.2f}", "")


def child(folder: Path, step: str, size: str) -> str:
    """One step in a process of its own, so that its memory is its own."""
    started = time.perf_counter()
    ended = subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, "-m", "bench.refresh", "--step", step, size, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    sys.stdout.write("\n".join(line for line in ended.stdout.splitlines() if not line.startswith("=")) + "\n")
    if step == "new":
        say(
            f"{size}: the same with the start of Python",
            f"{time.perf_counter() - started:.2f} s",
            "0.8 s at L",
        )
    return ended.stdout.replace("=", "")


def run_step(step: str, size: str, folder: Path) -> None:
    os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(folder / "data")
    os.environ["STONKS_OVERWATCH_CONFIG"] = str(folder / "config.json")
    os.environ["DJANGO_SETTINGS_MODULE"] = "stonks_overwatch.settings"

    import django  # noqa: PLC0415  # after the variables that its settings read

    django.setup()
    STEPS[step](size, folder)


def load(size: str, folder: Path) -> None:
    from stonks_overwatch import database  # noqa: PLC0415
    from stonks_overwatch.imports import import_file  # noqa: PLC0415

    database.prepare()
    files = synthetic.write(folder, synthetic.SIZES[size])
    for what, goal in (("import", "30,000"), ("import of what is known", "60,000")):
        rows, took = 0, 0.0
        for file in (files.activities, files.prices, files.fx):
            started = time.perf_counter()
            result = import_file(file)
            seconds = time.perf_counter() - started
            rows, took = rows + result.rows, took + seconds
            say(f"{size}: {what}, {file.name}", f"{result.rows / seconds:,.0f} rows/s", "")
        say(f"{size}: {what}, {rows:,} rows", f"{rows / took:,.0f} rows/s", f"{goal} at L")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"{size}: peak memory of the imports", f"{memory:.0f} MB", "")


def refresh() -> None:
    """Everything, from the rows and blocks in the database."""
    from stonks_overwatch.ledger.models import DailySeries  # noqa: PLC0415
    from stonks_overwatch.reports import periods  # noqa: PLC0415
    from stonks_overwatch.reports.daily import daily_total  # noqa: PLC0415
    from stonks_overwatch.reports.performance import known_days, measured  # noqa: PLC0415
    from stonks_overwatch.reports.scope import Scope  # noqa: PLC0415

    DailySeries.objects.all().delete()
    daily = daily_total(Scope(synthetic.BASE))
    if daily is None:
        sys.exit("The ledger is empty.")
    known = known_days(daily)
    begin = known.first - periods.DAY
    for name in [*periods.STANDARD, *periods.years(begin, known.last)][:PERIODS]:
        measured(daily, synthetic.BASE, periods.standard(name, begin, known.last))
    for account in daily.accounts:
        open_lots(account.pk)


def open_lots(account: int) -> float:
    """Cost of all that is open in one account, from its packed activities."""
    from stonks_overwatch.engine import lots  # noqa: PLC0415
    from stonks_overwatch.engine.valuation import Contents, Events, Kind, whole  # noqa: PLC0415
    from stonks_overwatch.ledger import packed  # noqa: PLC0415
    from stonks_overwatch.ledger.models import ActivityBlock  # noqa: PLC0415

    width = len(packed.COLUMNS)
    blocks = list(ActivityBlock.objects.filter(account=account).values_list("rows", flat=True))
    contents = Contents.of(blocks, width)
    events = Events.unpacked(blocks, width, whole(contents.instruments), whole(contents.currencies))
    is_split = (events.kind == Kind.SPLIT) & ~np.isnan(events.ratio)
    events = events.only(
        ((np.isin(events.kind, (Kind.BUY, Kind.SELL))) | is_split) & (events.instrument >= 0)
    )
    events = events.only(np.argsort(events.instrument, kind="stable"))
    is_split = events.kind == Kind.SPLIT
    money = events.gross + np.nan_to_num(events.fee) + np.nan_to_num(events.tax)
    trades = lots.Trades(
        instrument=events.instrument,
        quantity=np.where(is_split, 0.0, events.quantity),
        money=np.where(is_split, 0.0, -money),
        ratio=np.where(is_split, events.ratio, 1.0),
        is_at_cost=np.zeros(events.instrument.size, dtype=np.bool_),
    )
    return float(lots.fifo(trades).open_cost.sum())


def warm(size: str, _: Path) -> None:
    from stonks_overwatch.ledger.models import Account, DailySeries  # noqa: PLC0415
    from stonks_overwatch.reports.daily import daily_total  # noqa: PLC0415
    from stonks_overwatch.reports.scope import Scope  # noqa: PLC0415

    refresh()
    clock, processor = measure(refresh)
    say(f"{size}: the whole refresh, warm", f"{clock:.3f} s", f"{GOALS[size]}; processor {processor:.3f} s")

    # A day later than all that is stored: what the accounts' series lack is one day.
    last = DailySeries.objects.latest("valid_until").valid_until
    Account.objects.update(updated_at=f"{last + timedelta(days=1)} 12:00+00:00")

    def forget() -> None:
        DailySeries.objects.update(valid_until=last)

    clock, processor = measure(lambda: daily_total(Scope(synthetic.BASE)), before=forget)
    say(f"{size}: after one new day", f"{clock * 1000:.0f} ms", f"20 ms; processor {processor * 1000:.0f} ms")
    clock, processor = measure(lambda: daily_total(Scope(synthetic.BASE)))
    say(f"{size}: with nothing new", f"{clock * 1000:.0f} ms", f"processor {processor * 1000:.0f} ms")
    sys.stdout.write(f"={measure(refresh)[1]}\n")


def new(size: str, _: Path) -> None:
    started = time.perf_counter()
    refresh()
    say(f"{size}: the whole refresh in a new process", f"{time.perf_counter() - started:.2f} s", "0.8 s at L")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"{size}: its peak memory", f"{peak:.0f} MB", "300 MB at L")


def pages(size: str, _: Path) -> None:
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    client = Client(headers={"host": "localhost"})
    for page in PAGES:
        client.get(f"/{page}")
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(f"/{page}")
        number = len(queries)
        clock, processor = measure(lambda page=page: client.get(f"/{page}"))  # type: ignore[misc]
        say(
            f"{size}: page /{page}",
            f"{clock * 1000:.0f} ms",
            f"30 ms at M, 60 at L; processor {processor * 1000:.0f} ms, status {answer.status_code}, "
            f"{number} queries, {len(answer.content) / 1000:.0f} kB",
        )


def measure(work: Callable[[], object], before: Callable[[], object] | None = None) -> tuple[float, float]:
    """Medians in seconds: of the clock and of the processor."""
    clock, processor = [], []
    for _ in range(ROUNDS):
        if before is not None:
            before()
        started, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(clock), statistics.median(processor)


def say(what: str, figure: str, goal: str) -> None:
    sys.stdout.write(f"{what:56} {figure:>16}   {goal}\n")
    sys.stdout.flush()


STEPS: dict[str, Callable[[str, Path], None]] = {"load": load, "warm": warm, "new": new, "pages": pages}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        run_step(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main(sys.argv[1:] or list(synthetic.SIZES))
