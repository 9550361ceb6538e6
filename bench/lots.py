"""Prints how fast lots are matched: `python -m bench.lots`, 100,000 trades in 1,000 instruments."""

import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

import numpy as np

from stonks_overwatch.engine import lots as engine
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.matching import NOTHING_TOLD, Terms, matched
from stonks_overwatch.ledger.types import Activity, ActivityKind

ROWS, INSTRUMENTS, DAYS = 100_000, 1_000, 3_650


def main() -> None:
    drawn = random.Random(1)  # noqa: S311  # the same trades every time
    activities = []
    held = [0] * INSTRUMENTS
    for row in range(ROWS):
        instrument = row % INSTRUMENTS
        size, price = drawn.randint(1, 100), Decimal(drawn.randint(100, 10_000)) / 100
        is_sale = held[instrument] > size and drawn.random() < 0.45
        quantity = -size if is_sale else size
        held[instrument] += quantity
        activities.append(
            Activity(
                account="U1",
                key=str(row),
                source="",
                kind=ActivityKind.SELL if is_sale else ActivityKind.BUY,
                trade_date=date(2016, 1, 1) + timedelta(days=row * DAYS // ROWS),
                currency="USD",
                broker_ref=str(instrument),
                quantity=Decimal(quantity),
                gross=-quantity * price,
                fee=Decimal(-1),
            )
        )
    terms = {str(number): Terms(currency="USD") for number in range(INSTRUMENTS)}
    activities.sort(key=lambda activity: int(activity.broker_ref or 0))
    trades = engine.Trades(
        np.array([int(a.broker_ref or 0) for a in activities]),
        np.array([float(a.quantity or 0) for a in activities]),
        np.array([1 - float(a.gross or 0) for a in activities]),
        np.ones(ROWS),
        np.zeros(ROWS, dtype=np.bool_),
    )
    say("arrays, FIFO", lambda: engine.fifo(trades))
    say("arrays, average", lambda: engine.average(trades))
    for method in (Method.FIFO, Method.HIFO, Method.AVERAGE):
        told = replace(NOTHING_TOLD, methods={"U1": method})
        say(f"exact, {method}", partial(matched, activities, terms, told))


def say(what: str, work: Callable[[], object]) -> None:
    took = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    sys.stdout.write(f"{what:16} {statistics.median(took) * 1000:>9.1f} ms\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
