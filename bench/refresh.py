"""Prints how long it takes to work everything out: `python -m bench.refresh S M L`, or all without one.

On a ledger of bench.synthetic that is imported first. All that is measured is what pages and commands call:

- the whole refresh: from the database to the daily series (made anew), the time-weighted and money-weighted
  returns of 19 periods, and the cost of all open lots, first in first out: in a process that is warm, with
  the lots as they are stored and with all of them matched anew; in a new one; and after one new day;
- lots: all of them matched anew, exactly, and stored; and those alone that activities of one day concern;
- holdings (by FIFO and by average cost) and allocation as reports, and the pages.

Before each round the database is written to: nothing is answered from what a round before left in memory.
Medians, seconds of the clock and of the processor: other work may be running beside it. At the end stands how
each grows with size: the slope of its logarithm (processor) against that of the number of activities.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from bench import synthetic

ROUNDS, FEW_ROUNDS = 9, 3
PERIODS = 19
GOALS = {"S": "", "M": "0.06 s", "L": "0.4 s"}
_NOTED = "="  # begins a line for the parent process: what, and its seconds of the processor


def main(sizes: list[str]) -> None:
    from bench import peers  # noqa: PLC0415  # not in the processes that are measured

    noted: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="stonks-overwatch-bench-") as name:
            folder = Path(name)
            for step in STEPS:
                for what, seconds in child(folder, step, size):
                    noted[what][size] = seconds
            for row in peers.compare(size, folder):
                say(*row)
    for what, by_size in noted.items():
        if len(by_size) > 1:
            activities = [synthetic.SIZES[size].activities for size in by_size]
            slope = np.polyfit(np.log(activities), np.log(list(by_size.values())), 1)[0]
            say(f"slope of: {what}", f"{slope:.2f}", "1 is linear")


def child(folder: Path, step: str, size: str) -> list[tuple[str, float]]:
    """One step in a process of its own, so that its memory is its own; return what it noted."""
    started = time.perf_counter()
    ended = subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, "-m", "bench.refresh", "--step", step, size, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    noted = []
    for line in ended.stdout.splitlines(keepends=True):
        if line.startswith(_NOTED):
            what, _, seconds = line.removeprefix(_NOTED).partition("\t")
            noted.append((what, float(seconds)))
        else:
            sys.stdout.write(line)
    if step == "new":
        took = f"{time.perf_counter() - started:.2f} s"
        say(f"{size}: the same with the start of Python", took, "0.8 s at L")
    return noted


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
    # Elsewhere: what is held while they are written is more than what an import takes.
    written = [sys.executable, "-m", "bench.synthetic", size, str(folder)]
    subprocess.run(written, check=True)  # noqa: S603  # ourselves
    files = synthetic.in_folder(folder)
    for what, goal in (("import", "30,000"), ("import of what is known", "60,000")):
        rows, took, used = 0, 0.0, 0.0
        for file in (files.activities, files.prices, files.fx):
            started, before = time.perf_counter(), time.process_time()
            result = import_file(file)
            clock, processor = time.perf_counter() - started, time.process_time() - before
            rows, took, used = rows + result.rows, took + clock, used + processor
            say_rate(f"{size}: {what}, {file.name}", result.rows, clock, processor, goal)
        say_rate(f"{size}: {what}, {rows:,} rows", rows, took, used, goal)
        sys.stdout.write(f"{_NOTED}{what}\t{used}\n")
    say(f"{size}: peak memory of the imports", f"{peak():.0f} MB", "")


def refresh() -> None:
    """Everything from the rows and blocks in the database; lots are matched where none are stored."""
    from stonks_overwatch.ledger.models import DailySeries  # noqa: PLC0415
    from stonks_overwatch.reports import periods  # noqa: PLC0415
    from stonks_overwatch.reports.daily import daily_total  # noqa: PLC0415
    from stonks_overwatch.reports.lot_books import lot_books  # noqa: PLC0415
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
    lot_books(daily.accounts, synthetic.BASE).positions()


def warm(size: str, _: Path) -> None:
    from stonks_overwatch.ledger import packed  # noqa: PLC0415
    from stonks_overwatch.ledger.lots import Method  # noqa: PLC0415
    from stonks_overwatch.ledger.models import Account, Activity, DailySeries, LotBook  # noqa: PLC0415
    from stonks_overwatch.reports.allocation import allocation  # noqa: PLC0415
    from stonks_overwatch.reports.daily import daily_total  # noqa: PLC0415
    from stonks_overwatch.reports.holdings import holdings  # noqa: PLC0415
    from stonks_overwatch.reports.lot_books import lot_books  # noqa: PLC0415
    from stonks_overwatch.reports.scope import Scope  # noqa: PLC0415

    scope, accounts = Scope(synthetic.BASE), list(Account.objects.all())

    def lots() -> None:
        lot_books(accounts, synthetic.BASE)

    def no_lots() -> None:
        LotBook.objects.all().delete()

    report(size, "all lots matched anew", lots, before=no_lots, rounds=FEW_ROUNDS)
    traded = Activity.objects.filter(kind="sell").latest("trade_date")
    news = [(traded.account_id, traded.trade_date)]
    report(size, "lots after one new day", lots, before=lambda: packed.activities_changed(news))
    report(size, "the whole refresh, warm", refresh, before=touch, goal=GOALS[size])
    report(size, "the same with all lots matched anew", refresh, before=no_lots, rounds=FEW_ROUNDS)

    # A day later than all that is stored: what the accounts' series lack is one day.
    last = DailySeries.objects.latest("valid_until").valid_until
    Account.objects.update(updated_at=f"{last + timedelta(days=1)} 12:00+00:00")

    def forget() -> None:
        DailySeries.objects.update(valid_until=last)

    report(size, "series after one new day", lambda: daily_total(scope), before=forget, goal="20 ms")
    report(size, "series with nothing new", lambda: daily_total(scope), before=touch)
    report(size, "holdings with FIFO", lambda: holdings(scope), before=touch)
    holdings(scope, Method.AVERAGE)  # these lots are matched once
    report(size, "holdings with average cost", lambda: holdings(scope, Method.AVERAGE), before=touch)
    report(size, "allocation by country", lambda: allocation(scope, "country"), before=touch)
    say(f"{size}: peak memory of all these", f"{peak():.0f} MB", "")


def new(size: str, _: Path) -> None:
    started = time.perf_counter()
    refresh()
    say(f"{size}: the whole refresh in a new process", f"{time.perf_counter() - started:.2f} s", "0.8 s at L")
    say(f"{size}: its peak memory", f"{peak():.0f} MB", "300 MB at L")


def pages(size: str, _: Path) -> None:
    from bench import served  # noqa: PLC0415  # Django's test client, which no other step needs

    goal = {"M": "30 ms; ", "L": "60 ms; "}.get(size, "")
    for cost in served.costs():
        say(f"{size}: page {cost.page}", f"{cost.shown * 1000:.0f} ms", f"{goal}{cost}")


def report(
    size: str,
    what: str,
    work: Callable[[], object],
    before: Callable[[], object],
    *,
    rounds: int = ROUNDS,
    goal: str = "",
) -> None:
    """Measure, print, and note for the slope."""
    clock, processor = measure(work, before, rounds)
    say(f"{size}: {what}", f"{clock * 1000:,.0f} ms", f"processor {processor * 1000:,.0f} ms; {goal}")
    sys.stdout.write(f"{_NOTED}{what}\t{processor}\n")


def measure(
    work: Callable[[], object], before: Callable[[], object] | None = None, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Medians in seconds, after a first round that does not count: of the clock and of the processor."""
    clock, processor = [], []
    for _ in range(rounds + 1):
        if before is not None:
            before()
        started, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(clock[1:]), statistics.median(processor[1:])


def touch() -> None:
    """Change the database, and nothing that is worked out from it."""
    from django.db.models import F  # noqa: PLC0415

    from stonks_overwatch.ledger.models import SeriesClock  # noqa: PLC0415

    SeriesClock.objects.update(ticks=F("ticks") + 1)


def peak() -> float:
    """The most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say_rate(what: str, rows: int, clock: float, processor: float, goal: str) -> None:
    say(what, f"{rows / clock:,.0f} rows/s", f"{goal} at L; by the processor {rows / processor:,.0f}")


def say(what: str, figure: str, goal: str) -> None:
    sys.stdout.write(f"{what:56} {figure:>16}   {goal}".rstrip(" ;") + "\n")
    sys.stdout.flush()


STEPS: dict[str, Callable[[str, Path], None]] = {"load": load, "warm": warm, "new": new, "pages": pages}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        run_step(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main(sys.argv[1:] or list(synthetic.SIZES))
