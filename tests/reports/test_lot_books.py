"""Lots that were worked out are kept until something they come from changes."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger import packed, store
from stonks_overwatch.ledger.models import Account, ClosedLot, FxRate, LotBook
from stonks_overwatch.reports.realized import realized
from stonks_overwatch.reports.scope import Scope
from tests.builders import NOW, batch, buy, instrument, sell
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
JAN, FEB = date(2026, 1, 5), date(2026, 2, 3)


def gain(scope: Scope = EUR) -> Decimal | None:
    return realized(scope).totals.gain_base


def closed_in_dollars() -> None:
    builders.rate("USD", "EUR", "0.5", JAN)
    builders.rate("USD", "EUR", "0.5", FEB)
    account, share = builders.account(), builders.instrument(currency="USD")
    builders.position(account, share, "0")
    builders.activity(account, "buy", JAN, share, quantity="1", gross="-100")
    builders.activity(account, "sell", FEB, share, quantity="-1", gross="120")


def test_the_second_look_matches_nothing_again(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    closed_in_dollars()
    assert gain() == 10
    with django_assert_num_queries(8):
        assert gain() == 10
    assert ClosedLot.objects.count() == 1


def test_a_new_activity_is_in_the_next_look() -> None:
    store.record(batch(None, activities=(buy("2", "10", JAN), sell("1", "12", FEB))))
    assert gain() == 2
    store.record(batch(None, activities=(sell("1", "15", FEB, key="another"),), at=NOW + timedelta(hours=1)))
    assert gain() == 7


def test_a_batch_without_news_leaves_them() -> None:
    news = batch(None, activities=(buy("2", "10", JAN), sell("1", "12", FEB)))
    store.record(news)
    assert gain() == 2
    kept = list(LotBook.objects.values_list("pk", flat=True))
    store.record(news)
    assert list(LotBook.objects.values_list("pk", flat=True)) == kept


def test_an_instrument_described_anew_changes_them() -> None:
    trades = (buy("2", "10", JAN), sell("1", "12", FEB))
    store.record(batch(None, activities=trades, instruments=(instrument("1"),)))
    assert gain() == 2
    store.record(batch(None, instruments=(instrument("1", multiplier=Decimal(100)),)))
    assert gain() == 200


def test_another_rate_of_a_day_they_were_made_with_changes_them() -> None:
    closed_in_dollars()
    assert gain() == 10
    FxRate.objects.filter(on=FEB).update(rate=Decimal("0.6"))
    packed.rates_changed({("USD", "EUR"): FEB})
    assert gain() == 120 * Decimal("0.6") - 50


def test_a_rate_of_a_later_day_leaves_them() -> None:
    closed_in_dollars()
    assert gain() == 10
    builders.rate("USD", "EUR", "0.9")
    packed.rates_changed({("USD", "EUR"): builders.TODAY})
    assert LotBook.objects.count() == 1


def test_each_currency_and_method_has_its_own() -> None:
    closed_in_dollars()
    assert gain() == 10
    assert gain(Scope("USD")) == 20
    Account.objects.update(lot_method="average")
    assert gain() == 10
    assert set(LotBook.objects.values_list("base", "method")) == {
        ("EUR", "fifo"), ("USD", "fifo"), ("EUR", "average"),
    }  # fmt: skip


def test_a_rebuild_keeps_the_method_that_was_chosen() -> None:
    store.record(batch(None, activities=(buy("2", "10", JAN),)))
    Account.objects.update(lot_method="hifo")
    store.clear("ibkr")
    store.record(batch(None, activities=(buy("2", "10", JAN),)))
    assert Account.objects.get().lot_method == "hifo"
