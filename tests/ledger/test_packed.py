"""The blocks beside the rows: always those that making all of them anew would give."""

import struct
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from math import isnan

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.engine.valuation import Kind
from stonks_overwatch.ledger import models, packed, store
from stonks_overwatch.ledger.types import ActivityKind, FxRate
from tests.builders import NOW, activity, batch, buy, cash, instrument, position
from tests.reports import builders as made

pytestmark = pytest.mark.django_db
FIRST = date(2026, 1, 5)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def numbers(block: bytes) -> list[float | None]:
    found = struct.unpack(f"{len(block) // 8}d", block)
    return [None if isnan(number) else number for number in found]


def closes() -> tuple[date, list[float | None]] | None:
    row = models.PriceSeries.objects.first()
    return None if row is None else (row.first_on, numbers(bytes(row.closes)))


def recent() -> tuple[date, list[float | None]] | None:
    row = models.RecentPrices.objects.first()
    return None if row is None else (row.first_on, numbers(bytes(row.closes)))


def test_every_day_has_a_place_and_days_without_a_price_are_unknown() -> None:
    share = made.instrument()
    made.price(share, "10", day(0))
    made.price(share, "11.5", day(3))
    packed.prices_changed({share.pk: day(0)})
    assert closes() == recent() == (day(0), [10.0, None, None, 11.5])


def test_the_last_days_are_kept_by_themselves_as_well() -> None:
    share = made.instrument()
    for number in range(0, packed.RECENT_DAYS + 3, 2):
        made.price(share, str(number + 1), day(number))
    packed.prices_changed({share.pk: day(0)})
    whole, last = closes(), recent()
    assert whole is not None
    assert last == (day(3), whole[1][3:])
    assert len(last[1]) == packed.RECENT_DAYS


def test_an_imported_price_counts_before_the_brokers_of_the_same_day() -> None:
    share = made.instrument()
    for close, is_imported in (("9", True), ("10", False)):
        models.Price.objects.create(
            instrument=share, on=FIRST, close=Decimal(close), currency="EUR", is_imported=is_imported
        )
    packed.prices_changed({share.pk: FIRST})
    assert closes() == (FIRST, [9.0])


def test_a_price_in_another_currency_than_the_instruments_is_left_out() -> None:
    share = made.instrument()
    models.Price.objects.create(instrument=share, on=FIRST, close=Decimal(9), currency="USD")
    packed.prices_changed({share.pk: FIRST})
    assert closes() is None


@given(
    st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(1, 9))), min_size=1, max_size=25)
)
@few
def test_blocks_that_follow_changes_are_those_of_all_rows(changes: list[tuple[int, int | None]]) -> None:
    with transaction.atomic():
        share = made.instrument()
        for number, close in changes:
            models.Price.objects.filter(on=day(number)).delete()
            if close is not None:
                made.price(share, str(close), day(number))
            packed.prices_changed({share.pk: day(number)})
        followed = closes(), recent()
        models.PriceSeries.objects.all().delete()
        models.RecentPrices.objects.all().delete()
        packed.prices_changed({share.pk: date.min})
        assert followed == (closes(), recent())
        transaction.set_rollback(True)


def series_until(last: date) -> models.DailySeries:
    """A stored series of every account of the ledger."""
    account = models.Account.objects.first()
    assert account is not None
    return models.DailySeries.objects.create(
        account=account,
        base="EUR",
        first_on=FIRST,
        columns=b"",
        valid_until=last,
        checkpoint_on=FIRST,
        checkpoint=b"",
    )


def test_stored_days_are_forgotten_from_the_first_that_differs() -> None:
    made.account()
    share = made.instrument()
    for number in range(4):
        made.price(share, "10", day(number))
    packed.prices_changed({share.pk: FIRST})
    stored = series_until(day(9))
    packed.prices_changed({share.pk: FIRST})
    stored.refresh_from_db()
    assert stored.valid_until == day(9)  # nothing differs
    models.Price.objects.filter(on=day(2)).update(close=Decimal(12))
    packed.prices_changed({share.pk: FIRST})
    stored.refresh_from_db()
    assert stored.valid_until == day(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda: store.record(batch([position()], activities=(buy("10", "10", day(40)),))),
        lambda: store.record(batch([position()], rates=(FxRate("EUR", "USD", day(40), Decimal("1.1")),))),
    ],
)
def test_the_store_says_what_changed(change: Callable[[], object]) -> None:
    store.record(batch([position()], cash=[cash("5")]))
    stored = series_until(date(2026, 12, 31))
    change()
    stored.refresh_from_db()
    assert stored.valid_until < day(40)


def test_recording_the_same_again_forgets_nothing() -> None:
    told = batch([position()], activities=(buy("10", "10", day(3)),), cash=[cash("5")])
    store.record(told)
    stored = series_until(date(2026, 12, 31))
    store.record(told)
    stored.refresh_from_db()
    assert stored.valid_until == date(2026, 12, 31)


def test_an_activity_is_packed_under_the_month_in_which_it_counts() -> None:
    told = activity(
        ActivityKind.DIVIDEND, date(2026, 1, 30), ref="1", gross="3", tax="-1", booked_on=date(2026, 2, 2)
    )
    store.record(batch(None, cash=None, activities=(told,), at=NOW))
    block = models.ActivityBlock.objects.get()
    assert block.month == date(2026, 2, 1)
    row = dict(zip(packed.COLUMNS, numbers(bytes(block.rows)), strict=True))
    assert (row["day"], row["trade_day"]) == (date(2026, 2, 2).toordinal(), date(2026, 1, 30).toordinal())
    assert (row["gross"], row["fee"], row["tax"], row["quantity"]) == (3.0, None, -1.0, None)
    assert packed.currency_code(int(row["currency"] or 0)) == "EUR"


def test_engine_and_ledger_number_the_kinds_alike() -> None:
    numbers = {kind.name: number for kind, number in packed.KINDS.items()} | {"SETTLEMENT": packed.SETTLED}
    assert numbers == {kind.name: kind.value for kind in Kind}


def test_a_series_is_not_stored_over_a_change_that_it_does_not_know() -> None:
    made.account()
    stored = series_until(day(9))
    since = packed.clock()
    packed.forget(None, day(4))
    stored.valid_until = day(20)
    packed.keep([stored], since)
    stored.refresh_from_db()
    assert stored.valid_until == day(3)
    stored.valid_until = day(20)
    packed.keep([stored], packed.clock())
    stored.refresh_from_db()
    assert stored.valid_until == day(20)


def test_an_instrument_that_counts_in_another_way_makes_its_series_anew() -> None:
    store.record(batch([position()], cash=[cash("5")]))
    series_until(date(2026, 12, 31))
    store.record(
        batch([position()], cash=[cash("5")], instruments=(instrument("1", multiplier=Decimal(100)),))
    )
    assert not models.DailySeries.objects.exists()
