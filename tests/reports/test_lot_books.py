"""Lots that were worked out are kept until something they come from changes."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger import packed, store
from stonks_overwatch.ledger.lots import RETURN_OF_CAPITAL, Method
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ClosedLots,
    FxRate,
    GainSum,
    Instrument,
    LotBook,
    LotMark,
    OpenLot,
    Price,
)
from stonks_overwatch.reports import lot_books as kept
from stonks_overwatch.reports.books import books
from stonks_overwatch.reports.realized import realized
from stonks_overwatch.reports.scope import Scope
from tests.builders import NOW, batch, buy, instrument, sell
from tests.reports import builders
from tests.reports.packing import pack

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
    assert ClosedLots.objects.count() == 1


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
    assert not LotMark.objects.exists()


def test_what_an_activity_does_not_concern_stays_as_it_was_stored() -> None:
    account = builders.account()
    first, second = builders.instrument("A"), builders.instrument("B")
    for share in (first, second):
        builders.activity(account, "buy", JAN, share, quantity="2", gross="-20")
        builders.activity(account, "sell", FEB, share, quantity="-1", gross="12")
    pack()
    assert gain() == 4
    rows = dict(ClosedLots.objects.values_list("instrument_id", "pk"))
    builders.activity(account, "sell", FEB, second, quantity="-1", gross="15")
    packed.activities_changed([(account.pk, FEB), (account.pk, JAN)])
    Activity.objects.filter(instrument=first).update(gross=0)  # nobody told of it
    LotMark.objects.filter(instrument=first).delete()
    assert gain() == 9
    assert ClosedLots.objects.get(instrument=first).pk == rows[first.pk]


def test_what_is_gone_with_its_instrument_is_in_no_sum() -> None:
    account = builders.account()
    first, second = builders.instrument("A"), builders.instrument("B")
    for share in (first, second):
        builders.activity(account, "buy", JAN, share, quantity="2", gross="-20")
        builders.activity(account, "sell", FEB, share, quantity="-1", gross="12")
    pack()
    assert gain() == 4
    Activity.objects.filter(instrument=first).delete()
    packed.activities_changed([(account.pk, JAN), (account.pk, FEB)])
    first.delete()
    assert gain() == 2


def stored(read: kept.Stored) -> list[list[tuple[Any, ...]]]:
    """All that is kept of lots, by values; what is tied, by what it is tied with."""
    rows: list[list[tuple[Any, ...]]] = [[*read.closed()]]
    for table in (OpenLot, GainSum, LotMark):
        names = [f.attname for f in table._meta.fields if f.attname not in ("id", "book_id")]
        found = table._default_manager.values_list("book__account_id", "book__method", *names)
        rows.append(sorted(found, key=repr))
    return rows


class Story:
    """Two accounts in which everything happens that ties instruments and accounts together."""

    def __init__(self, chance: random.Random, happenings: Sequence[str]) -> None:
        self.chance, self.happenings = chance, happenings
        self.accounts = [builders.account(name, lot_method="fifo") for name in ("U1", "U2")]
        self.shares = [
            builders.instrument(name, currency, isin=f"US{name * 9}0")
            for name, currency in (("A", "EUR"), ("B", "USD"), ("C", "USD"), ("D", "EUR"))
        ]
        self.calls = builders.instrument("CALL", "USD", right="call", asset_class="option")
        for on in map(self.day, range(0, 40, 4)):
            builders.rate("USD", "EUR", str(Decimal(chance.randint(80, 99)) / 100), on)
            builders.price(self.shares[0], str(chance.randint(10, 30)), on)
        for _ in range(12):
            self.happens()
        pack()

    def day(self, number: int | None = None) -> date:
        return date(2025, 12, 12) + timedelta(days=self.chance.randint(0, 39) if number is None else number)

    def happens(self) -> None:
        """Something more is told, for one of several days."""
        chance, on = self.chance, self.day()
        account, other = chance.sample(self.accounts, 2)
        one, two = chance.sample(self.shares, 2)
        group = f"event-{chance.randint(1, 9)}"
        units = chance.randint(1, 9)
        told: list[Activity] = []

        def add(kind: str, of: Instrument, quantity: int, holder: Account = account, **more: Any) -> None:
            told.append(builders.activity(holder, kind, on, of, quantity=str(quantity), **more))

        match chance.choice(self.happenings):
            case "b":
                add("buy", one, units, gross=str(-units * chance.randint(5, 20)), fee="-1")
            case "s":
                add("sell", one, -units, gross=str(units * chance.randint(5, 20)), fee="-1")
            case "split":
                add("split", one, units, group=group)
            case "merger":
                add("corporate_action", one, -units, group=group, subtype="merger")
                add("corporate_action", two, units * 2, group=group, subtype="merger")
            case "spin":
                text = f"A({self.shares[0].isin}) SPINOFF 1 FOR 4"
                child: dict[str, Any] = {"subtype": "spinoff", "description": text, "value": Decimal(units)}
                add("corporate_action", self.shares[chance.randint(1, 3)], units, group=group, **child)
            case "back":
                paid = builders.activity(account, "dividend", on, one, subtype=RETURN_OF_CAPITAL, gross="7")
                told.append(paid)
            case "over":
                add("transfer_out", one, -units, group=group)
                add("transfer_in", one, units, other, group=group)
            case _:
                add("buy", self.calls, units, gross=str(-units))
                add("sell", self.calls, -units, group=group, subtype="exercise", price="0")
                add("buy", two, units, group=group, subtype="exercise", gross=str(-units * 10))
        packed.activities_changed({(row.account_id, on) for row in told})

    def changes(self) -> None:
        """Something else is told, taken back, or known of another day."""
        match self.chance.choice(("more", "more", "less", "changed", "rate", "price", "units")):
            case "more":
                self.happens()
            case "rate":
                self.known(FxRate, "rate", "0.5")
            case "price":
                self.known(Price, "close", "17")
            case "units":
                share = self.chance.choice(self.shares)
                Instrument.objects.filter(pk=share.pk).update(multiplier=self.chance.randint(1, 3))
                packed.instruments_changed("ibkr", [share.pk])
            case what:
                row = self.chance.choice(list(Activity.objects.order_by("pk")))
                days = {(row.account_id, row.trade_date)}
                if what == "less":
                    row.delete()
                else:
                    row.trade_date, row.group = self.day(), None
                    row.save()
                    days.add((row.account_id, row.trade_date))
                packed.activities_changed(days)

    def known(self, table: Any, name: str, number: str) -> None:
        row = self.chance.choice(list(table.objects.order_by("pk")))
        table.objects.filter(pk=row.pk).update(**{name: Decimal(number)})
        if table is FxRate:
            packed.rates_changed({(row.base, row.quote): row.on})
        else:
            packed.prices_changed({row.instrument_id: row.on})


TRADES = (*"bbss",)
EVERYTHING = (*"bbbss", "split", "merger", "spin", "over", "back", "use")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(30782, Method.FIFO, EVERYTHING)
@given(
    st.integers(0, 2**32),
    st.sampled_from([Method.FIFO, Method.AVERAGE]),
    st.sampled_from([EVERYTHING, TRADES, (*TRADES * 4, "split", "back")]),
)
def test_what_is_worked_out_again_in_part_is_what_the_whole_gives(
    seed: int, method: Method, happenings: Sequence[str]
) -> None:
    def now() -> list[list[tuple[Any, ...]]]:
        kept.lot_books(story.accounts[:1], "EUR", None, method)
        read = kept.lot_books(story.accounts, "EUR", None, method)
        assert isinstance(read, kept.Stored)
        return stored(read)

    with transaction.atomic():
        story = Story(random.Random(seed), happenings)
        kept.lot_books(story.accounts, "EUR", None, method)
        for _ in range(4):
            story.changes()
            in_part = now()
            LotBook.objects.all().delete()
            assert in_part == now()
        live = kept.Live(books(story.accounts, "EUR", None, method), {a.pk: method for a in story.accounts})
        read = kept.lot_books(story.accounts, "EUR", None, method)
        assert (live.open(), live.closed()) == (read.open(), read.closed())
        for page in (slice(0, 2), slice(1, 4), slice(3, 99)):
            assert read.closed(page=page) == live.closed()[page]
        assert sorted(live.gains(), key=repr) == sorted(read.gains(), key=repr)
        # Where nothing was chosen, that is first in, first out too; and one event is booked after the other.
        chosen = books(story.accounts, "EUR", None, Method.SPECIFIC)
        assert repr(sorted(books(story.accounts, "EUR").lots.items())) == repr(sorted(chosen.lots.items()))
        transaction.set_rollback(True)


def test_lots_of_several_years_are_paged_newest_first_with_the_keys_as_they_were() -> None:
    account, share = builders.account(), builders.instrument()
    builders.activity(account, "buy", JAN, share, quantity="9", gross="-90", key="one\ttwo\\n")
    days = [date(year, 2, month) for year in (2026, 2027, 2029) for month in (1, 2, 3)]
    for number, on in enumerate(days):
        builders.activity(account, "sell", on, share, quantity="-1", gross=str(number), key=f"{number}\nü")
    read = kept.lot_books([account], "EUR")
    sold = [(row.close.closed_on, row.close.opened_by, row.close.closed_by) for row in read.closed()]
    assert sold == [(on, "one\ttwo\\n", f"{number}\nü") for number, on in enumerate(days)][::-1]
    for start in range(10):
        for stop in range(start, 11):
            assert read.closed(page=slice(start, stop)) == read.closed()[start:stop]


def test_each_currency_and_method_has_its_own() -> None:
    closed_in_dollars()
    assert gain() == 10
    assert gain(Scope("USD")) == 20
    Account.objects.update(lot_method="average")
    assert gain() == 10
    assert set(LotBook.objects.values_list("base", "method")) == {
        ("EUR", "fifo"), ("USD", "fifo"), ("EUR", "average"),
    }  # fmt: skip


def test_lots_that_two_work_out_at_the_same_time_are_there_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is shown while another process works out the same: its lots must still be found."""
    closed_in_dollars()
    account, others = Account.objects.get(), []

    def meanwhile(*asked: Any) -> Any:
        monkeypatch.setattr(kept, "books", books)
        others.append(kept.lot_books([account], "EUR"))
        return books(*asked)

    monkeypatch.setattr(kept, "books", meanwhile)
    mine = kept.lot_books([account], "EUR")
    (other,) = others
    for read in (mine, other):
        assert [row.close.realized_pnl_base for row in read.closed()] == [10]
        assert [row.gain_base for row in read.gains()] == [10]


def test_an_account_that_comes_later_leaves_the_lots_of_others_to_who_reads_them() -> None:
    closed_in_dollars()
    first = kept.lot_books([Account.objects.get()], "EUR")
    later = builders.account("U2")
    builders.activity(later, "buy", JAN, Instrument.objects.get(), quantity="3", gross="-300")
    pack()
    second = kept.lot_books(list(Account.objects.all()), "EUR")
    assert [row.close.realized_pnl_base for row in first.closed()] == [10]
    assert first.closed() == second.closed()
    assert [row.lot.quantity for row in second.open()] == [3]


def test_a_rebuild_keeps_the_method_that_was_chosen() -> None:
    store.record(batch(None, activities=(buy("2", "10", JAN),)))
    Account.objects.update(lot_method="hifo")
    store.clear("ibkr")
    store.record(batch(None, activities=(buy("2", "10", JAN),)))
    assert Account.objects.get().lot_method == "hifo"
