"""What each page of the app costs: server time, queries and size, in this process, without the network."""

import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from django.test import Client

from stonks_overwatch import memory

ROUNDS = 9
SLOW = 1.0  # seconds: a page that takes longer is not asked for so often
PAGES = (
    "dashboard", "holdings", "performance", "income", "fees", "contributions", "cash", "realized",
    "activities", "diversification", "exposures", "targets", "accounts", "reconcile", "import", "sync",
    "settings", "welcome",
)  # fmt: skip
EXPLAINED = ("dashboard.totals.nav_base", "holdings.totals.market_value_base")


class Cost(NamedTuple):
    """Seconds are of the processor, medians: `shown` of a page, `anew` of the first after a change.

    `queries` are those of the first after a change.
    """

    page: str
    status: int
    shown: float
    anew: float
    queries: int
    size: int  # bytes

    def __str__(self) -> str:
        return (
            f"the first after a change {self.anew * 1000:.0f} ms and {self.queries} queries; "
            f"status {self.status}, {self.size / 1000:.0f} kB"
        )


def costs() -> Iterator[Cost]:
    """Of every page, on the database of the settings; Django has to be set up."""
    from django.db import connection  # noqa: PLC0415  # after the set-up
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    client = Client(headers={"host": "localhost"})
    client.get("/")
    memory.settle()  # as the app does, once it has started
    for page in _addresses():
        client.get(page)  # what is stored once, the lots and the daily series, is stored from here on
        client.get(page)
        _change(str(connection.settings_dict["NAME"]), ROUNDS)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(page)
        number = len(queries)
        shown, anew = [], []
        began = time.perf_counter()
        for round_ in range(ROUNDS):
            shown.append(_seconds(client, page))
            _change(str(connection.settings_dict["NAME"]), round_)
            anew.append(_seconds(client, page))
            if time.perf_counter() - began > SLOW * ROUNDS:
                break
            client.get(page)
        yield Cost(
            page,
            answer.status_code,
            statistics.median(shown),
            statistics.median(anew),
            number,
            len(answer.content),
        )


def _addresses() -> list[str]:
    from django.urls import reverse  # noqa: PLC0415

    from stonks_overwatch.ledger.models import Position  # noqa: PLC0415

    held = Position.objects.open().order_by("id").values_list("instrument_id", flat=True)[:1]
    return [
        *map(reverse, PAGES),
        *(reverse("instrument", args=[number]) for number in held),
        *(reverse("explain", args=[figure]) for figure in EXPLAINED),
    ]


def _seconds(client: Client, page: str) -> float:
    started = time.process_time()
    client.get(page)
    return time.process_time() - started


def _change(file: str, number: int) -> None:
    """Commit something, without which reports that were worked out would still hold."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as opened:
        opened.execute(f"PRAGMA user_version = {number + 1}")
