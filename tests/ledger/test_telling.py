"""The merge law through the store: batches of several sources, in any order and twice, are one ledger."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from random import Random

import pytest
from django.db.models import F, Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.merge import Told
from stonks_overwatch.ledger.types import (
    Account,
    AssetClass,
    Batch,
    Figure,
    FxRate,
    Instrument,
    NavPoint,
    Period,
    precedence,
)
from tests.ledger.test_merge import MARCH, Truth, answers, fill, lives, settled, tell, web

pytestmark = pytest.mark.django_db

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def batch(told: list[Told], periods: list[Period], at: datetime = NOW) -> Batch:
    return Batch(
        broker="ibkr",
        login="",
        fetched_at=at,
        accounts=(Account("U1", "USD"),),
        instruments=tuple(Instrument(ref, ref, ref, AssetClass.STOCK, "USD") for ref in ("1001", "1002")),
        activities=tuple(one.activity for one in told),
        periods=tuple(periods),
    )


def ledger() -> list[tuple[object, ...]]:
    """What stands, without what only the trail and the clock know."""
    rows = models.Activity.objects.filter(Q(superseded_by=None) | Q(superseded_by=F("pk")))
    return [
        (
            row.key,
            row.kind,
            row.trade_date,
            row.quantity,
            row.gross,
            row.fee,
            row.refs,
            row.conflicts,
            row.superseded_by is None,
            sorted(row.sources.values_list("source", "key")),
        )
        for row in rows.order_by("key")
    ]


def counted() -> list[Decimal | None]:
    return list(
        models.Activity.objects.current().order_by("trade_date", "key").values_list("quantity", flat=True)
    )


def test_the_web_api_today_and_a_statement_tomorrow_are_one_trade() -> None:
    store.record(batch([web()], []))
    before = models.Activity.objects.get()
    counts = store.record(batch([fill(7, fee=Decimal(-1))], [MARCH]))

    row = models.Activity.objects.get()
    assert row.pk == before.pk
    assert (counts.activities_new, counts.activities_known) == (0, 1)
    assert (row.key, row.fee) == ("trade:7/7", Decimal(-1))
    assert set(row.sources.values_list("source", flat=True)) == {"flex", "web-api"}


def test_a_statement_that_covers_a_day_takes_out_what_it_does_not_tell() -> None:
    store.record(batch([web()], []))
    assert counted() == [Decimal(10)]

    store.record(batch([], [MARCH]))

    assert counted() == []
    assert models.Activity.objects.get().sources.get().source == "web-api"


def test_it_counts_again_when_the_statement_tells_it_after_all() -> None:
    store.record(batch([web()], []))
    store.record(batch([], [MARCH]))
    store.record(batch([fill(7)], [MARCH]))

    assert counted() == [Decimal(10)]
    assert len(ledger()) == 1


def test_a_conflict_keeps_both_values() -> None:
    store.record(batch([web(price=Decimal("100.5"))], []))
    store.record(batch([fill(7)], [MARCH]))

    row = models.Activity.objects.get()
    assert row.price == Decimal(100)
    assert row.conflicts == '[{"field": "price", "values": [["flex", "100"], ["web-api", "100.5"]]}]'


def test_two_rows_that_turn_out_to_be_one_trade_become_one() -> None:
    confirmed = fill(source="flex-confirmations", key="trade:7/", refs=("trade:7",), price=Decimal(101))
    store.record(batch([web(trade_date=date(2025, 3, 4))], []))
    store.record(batch([confirmed], []))
    assert len(counted()) == 2

    store.record(batch([fill(7)], [MARCH]))

    assert counted() == [Decimal(10)]
    assert len(models.Activity.objects.get().sources.all()) == 3


def test_keys_can_change_places() -> None:
    first, second = (
        web(1, quantity=Decimal(3), gross=Decimal(-300)),
        web(2, quantity=Decimal(4), gross=Decimal(-400)),
    )
    store.record(batch([first, second], []))
    swapped = [
        web(1, quantity=Decimal(4), gross=Decimal(-400)),
        web(2, quantity=Decimal(3), gross=Decimal(-300)),
    ]

    store.record(batch(swapped, [], NOW + timedelta(days=1)))

    assert sorted(filter(None, counted())) == [Decimal(3), Decimal(4)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives(), answers(), st.randoms(use_true_random=False))
def test_any_order_of_batches_is_one_ledger(
    life: list[Truth], asked: list[tuple[str, date, date]], chance: Random
) -> None:
    parts = [tell(life, how, since, until) for how, since, until in asked]

    def recorded(order: list[tuple[list[Told], list[Period]]]) -> list[tuple[object, ...]]:
        store.clear("ibkr")
        for told, periods in order:
            store.record(batch(told, periods))
        return ledger()

    whole = recorded([([one for told, _ in parts for one in told], [p for _, ps in parts for p in ps])])
    assert recorded(parts) == whole
    assert recorded(parts[::-1]) == whole
    assert recorded(chance.sample([*parts, *parts], 2 * len(parts))) == whole
    seen = [e for e in life if any(since <= e.on <= until for _, since, until in asked)]
    assert sorted(filter(None, counted())) == sorted(Decimal(e.quantity) for e in seen)


def test_a_days_value_rate_and_figure_are_a_statements_and_then_the_later_ones() -> None:
    day = date(2025, 3, 3)

    def told(amount: int, at: datetime, *, in_statement: bool) -> Batch:
        rank, value = precedence(at, in_statement=in_statement), Decimal(amount)
        return replace(
            batch([], [], at),
            navs=(NavPoint("U1", day, value, "USD", rank),),
            rates=(FxRate("EUR", "USD", day, value, rank),),
            figures=(Figure("U1", "CashReport", "endingCash", day, day, "USD", value, precedence=rank),),
        )

    batches = [
        told(1, NOW - timedelta(days=2), in_statement=True),
        told(2, NOW - timedelta(days=1), in_statement=True),
        told(3, NOW, in_statement=False),
    ]
    for order in permutations([*batches, batches[0]]):
        for table in (models.NavPoint, models.FxRate, models.Figure):
            table.objects.all().delete()
        for one in order:
            store.record(one)

        assert models.NavPoint.objects.get().nav == Decimal(2)
        assert models.FxRate.objects.get().rate == Decimal(2)
        assert models.Figure.objects.get().amount == Decimal(2)


def test_sums_over_days_count_the_same_in_any_order_and_beside_other_news() -> None:
    def one(since: date, until: date, amount: int) -> Batch:
        return batch([settled(since, until, amount)], [])

    year = date(2024, 1, 1), date(2024, 12, 31)
    sums = [
        one(*year, 900),
        one(date(2024, 12, 27), date(2025, 1, 1), 7),
        one(date(2025, 1, 1), date(2025, 1, 1), 5),
        batch([fill(7)], []),
    ]
    for order in permutations(sums):
        models.Activity.objects.all().delete()
        for told in (*order, sums[0]):
            store.record(told)

        counts = models.Activity.objects.current().exclude(subtype="").order_by("trade_date")
        assert list(counts.values_list("gross", flat=True)) == [Decimal(900), Decimal(5)]

    # A trade in the midst of the year brings none of the sums back.
    store.record(batch([fill(8, trade_date=date(2024, 12, 28))], []))
    assert models.Activity.objects.current().exclude(subtype="").count() == 2
