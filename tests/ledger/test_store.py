from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger import models, store, types
from stonks_overwatch.ledger.types import (
    AccountValue,
    ActivityKind,
    AssetClass,
    Batch,
    Coverage,
    Figure,
    FxRate,
    InboxItem,
    NavPoint,
    Period,
)
from tests.builders import NOW, account, activity, batch, buy, cash, instrument, position, sell
from tests.ledger.dump import dump

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(days=7)
SINCE = date(2025, 12, 4)
TODAY = NOW.date()


def covered(since: date = SINCE, until: date = TODAY, ref: str = "1") -> Coverage:
    return Coverage("U1", ref, since, until)


def the_position(ref: str = "1") -> models.Position:
    return models.Position.objects.get(instrument__broker_ref=ref)


def derived() -> dict[str, models.Activity]:
    return {row.key: row for row in models.Activity.objects.filter(is_derived=True)}


# Twice


def rich(at: datetime = NOW) -> Batch:
    """A batch with something of everything."""
    return batch(
        [position("1", "10"), position("2", "-3", "-270"), position("3", "0", "0")],
        at=at,
        cash=[cash("100"), cash("-50", "USD")],
        partial_positions=(),
        activities=(
            buy("4", "110", date(2026, 2, 2)),
            activity(ActivityKind.DIVIDEND, date(2026, 2, 9), gross="7.31", tax="-1.1"),
            sell("1", "90", date(2026, 2, 3), ref="4"),
        ),
        coverage=(covered(), covered(ref="2")),
        values=(AccountValue("U1", "EUR", at, Decimal(500), Decimal(55), None, Decimal(1)),),
        rates=(FxRate("USD", "EUR", at.date(), Decimal("0.9")),),
        navs=(NavPoint("U1", date(2026, 3, 3), Decimal("499.99"), "EUR"),),
        periods=(Period("U1", "flex", SINCE, NOW.date(), ("trades", "cash")),),
        figures=(Figure("U1", "cash report", "ending cash", SINCE, NOW.date(), "EUR", Decimal("55.5")),),
        inbox=(InboxItem("k", "U1", "positions", "why", "{}"),),
    )


def test_a_batch_recorded_twice_changes_nothing() -> None:
    first = store.record(rich())
    before = dump()
    again = store.record(rich())
    assert dump() == before
    assert (first.activities_new, first.activities_known, first.inbox) == (3, 0, 1)
    assert (again.activities_new, again.activities_known, again.inbox) == (0, 3, 0)


def test_the_same_state_later_changes_only_the_times_of_asking() -> None:
    store.record(rich())
    times = ["updated_at", "told", "positions_at", "cash_at", "reported_as_of"]
    before = dump(without=times)
    later = rich(NOW + timedelta(hours=1))
    store.record(later)
    assert dump(without=times) == before


def test_counts_say_what_came() -> None:
    counts = store.record(rich())
    assert (counts.accounts, counts.positions) == (1, 2)


def test_every_digit_is_kept() -> None:
    quantity, price = "0.123456789012345678", Decimal("185.17599487304688123456789")
    store.record(batch([position("1", quantity, "98765432109876543210.123456789", price=price)]))
    row = the_position()
    assert (row.quantity, row.price) == (Decimal(quantity), price)
    assert row.cost_basis == Decimal("98765432109876543210.123456789")


def test_a_batch_that_fails_leaves_nothing() -> None:
    store.record(batch([position("1")]))
    before = dump()
    broken = batch([position("1", "99")], at=LATER, activities=(buy("1", "1", account="unknown"),))
    with pytest.raises(KeyError):
        store.record(broken)
    assert dump() == before


# Positions


def test_a_position_missing_from_a_complete_list_is_closed() -> None:
    store.record(batch([position("1"), position("2")]))
    store.record(batch([position("2")], at=LATER))
    row = the_position("1")
    assert (row.is_open, row.quantity, row.closed_at, row.changed_at) == (False, Decimal(0), LATER, LATER)
    assert (row.market_value, row.exposure, row.cost_basis) == (Decimal(0), Decimal(0), Decimal(0))
    assert the_position("2").is_open


def test_an_empty_complete_list_closes_everything() -> None:
    store.record(batch([position("1"), position("2")]))
    store.record(batch([], at=LATER))
    assert not models.Position.objects.open().exists()


def test_an_account_without_an_answer_is_left_as_it_was() -> None:
    store.record(batch([position("1")], cash=[cash("5")]))
    before = dump(without=["updated_at", "told"])
    store.record(batch(None, cash=None, at=LATER))
    assert dump(without=["updated_at", "told"]) == before


def test_an_incomplete_list_updates_and_closes_nothing() -> None:
    store.record(batch([position("1"), position("2")]))
    store.record(batch(None, at=LATER, partial_positions=(position("1", "7"), position("3"))))
    assert [the_position(ref).quantity for ref in "123"] == [Decimal(7), Decimal(10), Decimal(10)]
    assert models.Position.objects.open().count() == 3


def test_a_zero_quantity_is_a_closed_position() -> None:
    store.record(batch([position("1", "0", "0", price=Decimal(12))]))
    row = the_position()
    assert (row.is_open, row.market_value, row.average_cost, row.closed_at) == (False, Decimal(0), None, NOW)


def test_a_closed_position_can_be_opened_again() -> None:
    store.record(batch([position("1")]))
    store.record(batch([], at=LATER))
    store.record(batch([position("1", "4")], at=LATER + timedelta(days=1)))
    row = the_position()
    assert (row.is_open, row.quantity, row.closed_at) == (True, Decimal(4), None)


def test_a_change_is_known_to_lie_between_two_reports() -> None:
    store.record(batch([position("1", "10")]))
    store.record(batch([position("1", "10")], at=LATER))
    assert the_position().changed_at == NOW
    store.record(batch([position("1", "7")], at=LATER + timedelta(days=1)))
    row = the_position()
    assert (row.changed_after, row.changed_at) == (LATER, LATER + timedelta(days=1))


def test_the_first_complete_list_is_the_anchor_and_stays_it() -> None:
    store.record(batch([position("1", "10", "100")]))
    store.record(batch([position("1", "7", "70"), position("2", "5")], at=LATER))
    first, new = the_position("1"), the_position("2")
    assert (first.anchor_quantity, first.anchor_cost, first.anchor_at) == (Decimal(10), Decimal(100), NOW)
    # What the first list did not name was not there.
    assert (new.anchor_quantity, new.anchor_cost, new.anchor_at) == (Decimal(0), Decimal(0), NOW)


def test_an_incomplete_list_is_no_anchor() -> None:
    store.record(batch(None, partial_positions=(position("1", "10"), position("2", "5"))))
    assert the_position("1").anchor_at is None
    assert derived()["opening:1"].quantity == Decimal(10)
    store.record(batch([position("1", "11")], at=LATER))
    first, missing = the_position("1"), the_position("2")
    assert (first.anchor_quantity, first.anchor_at) == (Decimal(11), LATER)
    assert (missing.anchor_quantity, missing.is_open) == (Decimal(0), False)
    assert list(derived()) == ["opening:1"]


def test_two_accounts_hold_the_same_instrument_apart() -> None:
    store.record(
        replace(
            batch([position("1", "10")], accounts=(account("U1"), account("U2", "USD"))),
            positions={"U1": (position("1", "10"),), "U2": (position("1", "3", account="U2"),)},
        )
    )
    store.record(batch([], at=LATER))
    held = {row.account.account: row.quantity for row in models.Position.objects.select_related("account")}
    assert held == {"U1": Decimal(0), "U2": Decimal(3)}


# Instruments


def test_a_whole_description_replaces_what_was_known_and_erases_nothing() -> None:
    store.record(batch([position("1")], instruments=(instrument("1", name="Old", country="US"),)))
    store.record(batch([position("1")], instruments=(instrument("1", name="New"),)))
    row = models.Instrument.objects.get()
    assert (row.name, row.country) == ("New", "US")


def test_a_part_of_a_description_fills_gaps_only() -> None:
    store.record(
        batch([position("1")], instruments=(instrument("1", name="Share", asset_class=AssetClass.ETF),))
    )
    part = instrument("1", name="SHR", sector="Technology", is_whole=False)
    store.record(batch([position("1")], instruments=(part,)))
    row = models.Instrument.objects.get()
    assert (row.name, row.asset_class, row.sector) == ("Share", "etf", "Technology")


def test_the_first_to_tell_the_class_replaces_an_unknown_instrument() -> None:
    unknown = instrument("1", name="x", asset_class=AssetClass.OTHER, is_whole=False)
    store.record(batch([position("1")], instruments=(unknown,)))
    store.record(batch([position("1")], instruments=(instrument("1", name="Share", is_whole=False),)))
    row = models.Instrument.objects.get()
    assert (row.name, row.asset_class) == ("Share", "stock")


def test_what_an_instrument_is_called_does_not_depend_on_the_order_of_its_sources() -> None:
    def told(name: str, *, until: date | None = None, **more: Any) -> Batch:
        """An answer of the broker, or a statement up to a day; all were got in one run."""
        found = batch(None, instruments=(instrument("1", name=name, **more),))
        if until is None:
            return found
        periods = (Period("U1", "flex", SINCE, until, ("trades",)),)
        return replace(found, told_at=NOW + timedelta(minutes=1), periods=periods)

    answer = told("Share of today", sector="Technology")
    early = told("Share of old", until=TODAY - timedelta(days=400), isin="US0000010016")
    late = told("Share as of late", until=TODAY - timedelta(days=1), country="US")
    for sources, name in (((answer, early, late), "Share of today"), ((early, late), "Share as of late")):
        for order in permutations(sources):
            store.clear("ibkr")
            for one in order:
                store.record(one)
            row = models.Instrument.objects.get()
            assert (row.name, row.isin, row.country) == (name, "US0000010016", "US")


# Cash, rates, prices, values


def test_a_currency_missing_from_a_complete_ledger_is_zero() -> None:
    store.record(batch(cash=[cash("100"), cash("50", "USD")]))
    store.record(batch(cash=[cash("90")], at=LATER))
    amounts = dict(models.CashBalance.objects.values_list("currency", "amount"))
    assert amounts == {"EUR": Decimal(90), "USD": Decimal(0)}


def test_an_incomplete_ledger_updates_and_clears_nothing() -> None:
    store.record(batch(cash=[cash("100"), cash("50", "USD")]))
    store.record(batch(cash=None, partial_cash=(cash("90"),), at=LATER))
    amounts = dict(models.CashBalance.objects.values_list("currency", "amount"))
    assert amounts == {"EUR": Decimal(90), "USD": Decimal(50)}


def test_the_price_of_a_day_is_the_last_one_seen_that_day() -> None:
    def priced(price: str, at: datetime) -> Batch:
        return batch([position("1", price=Decimal(price), priced_at=at)], at=at)

    store.record(priced("12", NOW))
    store.record(priced("13", NOW + timedelta(hours=2)))
    store.record(priced("14", LATER))
    closes = dict(models.Price.objects.values_list("on", "close"))
    assert closes == {NOW.date(): Decimal(13), LATER.date(): Decimal(14)}


def test_prices_of_past_days_are_stored_and_of_two_of_a_day_the_statements_counts() -> None:
    told = types.precedence(NOW, in_statement=True)
    prices = (
        types.Price("1", date(2025, 12, 31), Decimal(9), told),
        types.Price("1", NOW.date(), Decimal("12.5"), told),
    )
    store.record(batch([position("1", price=Decimal(12), priced_at=NOW)], prices=prices))
    store.record(batch([position("1", price=Decimal(13), priced_at=NOW)]))
    closes = dict(models.Price.objects.values_list("on", "close"))
    assert closes == {date(2025, 12, 31): Decimal(9), NOW.date(): Decimal("12.5")}


def test_a_missing_price_is_no_price() -> None:
    store.record(batch([position("1", price=None)]))
    assert not models.Price.objects.exists()
    assert the_position().price is None


def test_imported_prices_and_rates_stay() -> None:
    store.record(rich())
    models.Price.objects.update(is_imported=True, close=Decimal(1))
    models.FxRate.objects.update(is_imported=True, rate=Decimal(1))
    store.record(rich())
    imported = models.Price.objects.filter(is_imported=True)
    assert set(imported.values_list("close", flat=True)) == {Decimal(1)}
    assert models.FxRate.objects.get(is_imported=True).rate == Decimal(1)


def test_the_accounts_own_figures_are_kept() -> None:
    store.record(rich())
    row = models.Account.objects.get()
    assert (row.reported_nav, row.reported_cash, row.reported_as_of) == (Decimal(500), Decimal(55), NOW)
    assert (row.reported_accrued_interest, row.reported_accrued_dividends) == (None, Decimal(1))


def test_a_corrected_nav_of_a_day_replaces_it() -> None:
    for nav in ("1", "2"):
        store.record(batch(navs=(NavPoint("U1", date(2026, 3, 3), Decimal(nav), "EUR"),)))
    assert models.NavPoint.objects.get().nav == Decimal(2)


# Activities


def test_two_identical_fills_in_one_second_are_two() -> None:
    at = datetime(2026, 3, 2, 15, 30, 1, tzinfo=UTC)
    fills = (buy("4", "110", key="k:1", trade_at=at), buy("4", "110", key="k:2", trade_at=at))
    counts = store.record(batch([position("1", "8")], activities=fills))
    assert counts.activities_new == 2
    assert models.Activity.objects.reported().count() == 2


def test_an_activity_whose_content_changed_is_replaced_and_stays() -> None:
    store.record(batch(activities=(buy("4", "110", key="k"),)))
    counts = store.record(batch(activities=(buy("4", "111", key="k"),)))
    assert (counts.activities_new, counts.activities_known) == (0, 1)
    current = models.Activity.objects.reported().get()
    old = models.Activity.objects.get(superseded_by=current)
    assert (current.key, current.price, old.price) == ("k", Decimal(111), Decimal(110))
    store.record(batch(activities=(buy("4", "112", key="k"),)))
    prices = models.Activity.objects.filter(is_derived=False).values_list("price", flat=True)
    assert sorted(price for price in prices if price is not None) == [
        Decimal(110),
        Decimal(111),
        Decimal(112),
    ]
    assert models.Activity.objects.reported().get().price == Decimal(112)


def test_what_a_second_source_adds_enriches_the_activity_and_names_both() -> None:
    store.record(batch(activities=(buy("4", "110", key="k", refs=("trade:1",)),)))
    richer = replace(buy("4", "110", key="t1", fee="-1", refs=("trade:1", "order:9")), source="flex")
    counts = store.record(batch(activities=(richer,)))
    assert (counts.activities_new, counts.activities_known) == (0, 1)
    row = models.Activity.objects.reported().get()
    assert (row.fee, row.price, row.refs) == (Decimal(-1), Decimal(110), "order:9 trade:1")
    assert set(row.sources.values_list("source", "key")) == {("web-api", "k"), ("flex", "t1")}
    before = dump()
    store.record(batch(activities=(richer, buy("4", "110", key="k", refs=("trade:1",)))))
    assert dump() == before


def test_a_replaced_activity_still_names_its_sources() -> None:
    store.record(batch(activities=(buy("4", "110", key="k", refs=("trade:1",)),)))
    store.record(batch(activities=(replace(buy("4", "111", key="t", refs=("trade:1",)), source="flex"),)))
    row = models.Activity.objects.reported().get()
    assert set(row.sources.values_list("source", flat=True)) == {"web-api", "flex"}


def test_an_unknown_value_replaces_no_known_one() -> None:
    store.record(batch(activities=(buy("4", "110", key="k", fee="-1"),)))
    store.record(batch(activities=(buy("4", "110", key="k"),)))
    assert models.Activity.objects.reported().get().fee == Decimal(-1)


# Coverage


def ranges() -> list[tuple[date, date]]:
    return list(models.Coverage.objects.order_by("since").values_list("since", "until"))


def test_ranges_that_meet_become_one_in_any_order() -> None:
    parts = [(1, 10), (11, 20), (15, 25), (28, 30)]
    for order in permutations(parts):
        store.clear("ibkr")
        for first, last in order:
            days = covered(date(2026, 1, first), date(2026, 1, last))
            store.record(batch([position("1")], coverage=(days,)))
        assert ranges() == [(date(2026, 1, 1), date(2026, 1, 25)), (date(2026, 1, 28), date(2026, 1, 30))]


def test_a_position_shows_the_range_that_its_anchor_lies_in() -> None:
    store.record(batch([position("1")], coverage=(covered(SINCE, NOW.date()),)))
    store.record(batch([position("1")], coverage=(covered(date(2026, 6, 1), date(2026, 6, 9)),)))
    row = the_position()
    assert (row.covered_since, row.covered_until) == (SINCE, NOW.date())


def test_coverage_waits_for_a_position_that_is_opened_later() -> None:
    store.record(batch([], instruments=(instrument("1"),), coverage=(covered(),)))
    assert not models.Position.objects.exists()
    store.record(batch([position("1")], at=LATER))
    assert the_position().covered_since == SINCE


# What is worked out


def test_the_ledger_starts_with_what_activities_do_not_explain() -> None:
    store.record(
        batch(
            [position("1", "10", "1000")],
            coverage=(covered(),),
            activities=(buy("4", "110", date(2026, 2, 2)),),
        )
    )
    row = derived()["opening:1"]
    # 10 − 4 = 6 before; they cost 1000 − 4 × 110 = 560.
    assert (row.kind, row.quantity, row.cost) == ("opening", Decimal(6), Decimal(560))
    assert row.trade_date == SINCE - timedelta(days=1)
    assert row.gross == 0


def test_an_unexplained_change_goes_when_an_activity_explains_it() -> None:
    store.record(batch([position("1", "10")]))
    store.record(batch([position("1", "7")], at=LATER))
    change = derived()["derived:change:1"]
    assert (change.kind, change.quantity, change.gross) == ("sell", Decimal(-3), None)
    store.record(batch([position("1", "7")], at=LATER, activities=(sell("3", "120", date(2026, 3, 10)),)))
    assert list(derived()) == ["opening:1"]
    assert derived()["opening:1"].quantity == Decimal(10)


def test_a_position_sold_between_two_reports_is_gone_from_positions_and_present_in_activities() -> None:
    store.record(batch([position("1", "10")]))
    store.record(batch([], at=LATER, activities=(sell("10", "13", date(2026, 3, 10)),)))
    assert not models.Position.objects.open().exists()
    row = models.Activity.objects.reported().get()
    assert (row.kind, row.quantity) == ("sell", Decimal(-10))


def test_what_is_bought_after_the_first_report_is_no_opening() -> None:
    store.record(batch([position("1")]))
    store.record(batch([position("1"), position("2", "5")], at=LATER))
    assert sorted(derived()) == ["derived:change:2", "opening:1"]


def test_what_was_sold_before_the_first_report_was_there_once() -> None:
    store.record(batch([], coverage=(covered(),), activities=(sell("4", "110", date(2026, 2, 2)),)))
    assert derived()["opening:1"].quantity == Decimal(4)
    assert the_position().is_open is False


def test_activities_that_come_before_any_list_of_positions_wait_for_it() -> None:
    trades = (buy("4", "110", date(2026, 2, 2)), sell("3", "50", date(2026, 2, 2), ref="2"))
    store.record(batch(None, cash=None, activities=trades))
    assert derived() == {}
    store.record(batch([position("1", "10")], at=LATER))
    assert {key: row.quantity for key, row in derived().items()} == {
        "opening:1": Decimal(6),
        "opening:2": Decimal(3),
    }


def test_cash_starts_with_what_activities_do_not_explain() -> None:
    dividend = activity(ActivityKind.DIVIDEND, date(2026, 2, 9), gross="7.31", tax="-1.10")
    store.record(batch([position("1")], cash=[cash("100")], coverage=(covered(),), activities=(dividend,)))
    row = derived()["opening:cash:EUR"]
    assert (row.gross, row.currency, row.instrument) == (Decimal("93.79"), "EUR", None)
    assert row.trade_date == SINCE - timedelta(days=1)


def test_a_trade_after_the_anchor_on_its_day_moves_cash_after_it_too() -> None:
    trade = buy("4", "12", NOW.date(), gross="-48")
    store.record(batch([position("1", "10")], cash=[cash("100")]))
    store.record(batch([position("1", "14")], cash=[cash("52")], at=LATER, activities=(trade,)))
    assert derived()["opening:cash:EUR"].gross == Decimal(100)
    assert derived()["opening:1"].quantity == Decimal(10)


def test_a_currency_that_came_later_was_zero_at_first() -> None:
    store.record(batch(cash=[cash("100")]))
    store.record(batch(cash=[cash("100"), cash("50", "USD")], at=LATER))
    assert list(derived()) == ["opening:cash:EUR"]


# In any order, in any parts

days = st.integers(0, 85)
fills = st.lists(st.tuples(st.sampled_from(["1", "2"]), st.integers(-5, 5).filter(bool), days), max_size=8)


def told(fill: tuple[str, int, int], number: int) -> types.Activity:
    ref, quantity, day = fill
    return buy(
        str(quantity),
        "100",
        SINCE + timedelta(days=day),
        ref=ref,
        key=f"{fill}:{number}",
        gross=str(-quantity * 100),
    )


def fresh(parts: Iterable[Iterable[types.Activity]]) -> dict[str, list[Any]]:
    """The ledger after these parts, each in a batch of its own."""
    store.clear("ibkr")
    models.Instrument.objects.all().delete()
    for part in parts:
        both = (covered(), covered(ref="2"))
        refs = (instrument("1"), instrument("2"))
        store.record(
            batch(
                [position("1"), position("2", "3")],
                cash=[cash("1000")],
                activities=tuple(part),
                coverage=both,
                instruments=refs,
            )
        )
    return dump()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fills, st.randoms(use_true_random=False), st.integers(0, 8), st.integers(0, 8))
def test_any_order_and_any_overlapping_parts_give_one_ledger(
    drawn: list[tuple[str, int, int]], chance: Any, cut: int, overlap: int
) -> None:
    activities = [told(fill, drawn[:n].count(fill)) for n, fill in enumerate(drawn)]
    mixed = chance.sample(activities, len(activities))
    whole = fresh([activities])
    assert fresh([mixed]) == whole
    assert fresh([mixed[: cut + overlap], mixed[cut:], activities]) == whole


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fills, st.integers(-5, 15))
def test_openings_activities_and_changes_are_the_reported_quantities(
    drawn: list[tuple[str, int, int]], latest: int
) -> None:
    store.clear("ibkr")
    activities = tuple(told(fill, drawn[:n].count(fill)) for n, fill in enumerate(drawn))
    store.record(batch([position("1"), position("2", "3")], cash=[cash("1000")]))
    store.record(
        batch(
            [position("1", str(latest))],
            cash=[cash("900")],
            at=LATER,
            activities=activities,
            coverage=(covered(),),
        )
    )
    for row in models.Position.objects.select_related("instrument"):
        moves = models.Activity.objects.current().filter(instrument=row.instrument)
        assert sum((m.quantity or Decimal(0) for m in moves), Decimal(0)) == row.quantity
    anchored = models.Activity.objects.current().filter(currency="EUR", trade_date__lte=NOW.date())
    assert sum((m.gross or Decimal(0) for m in anchored), Decimal(0)) == Decimal(1000)


# Again from what was kept


def test_a_cleared_ledger_is_the_same_when_its_batches_are_recorded_again() -> None:
    batches = [
        rich(),
        batch([position("1", "7")], cash=[cash("80")], at=LATER, partial_positions=()),
        batch(None, cash=None, at=LATER + timedelta(days=1), partial_positions=(position("5", "2"),)),
        batch([position("5", "2")], cash=[cash("80")], at=LATER + timedelta(days=2)),
    ]
    for one in batches:
        store.record(one)
    before = dump()
    store.clear("ibkr")
    for one in batches:
        store.record(one)
    assert dump() == before


def test_clearing_one_broker_leaves_the_others_and_what_was_imported() -> None:
    store.record(rich())
    store.record(batch([position("1")], broker="other"))
    kept = models.Price.objects.filter(instrument__broker="ibkr", instrument__broker_ref="1")
    kept.update(source="import")
    store.clear("ibkr")
    assert [row.broker for row in models.Account.objects.all()] == ["other"]
    assert models.Price.objects.filter(source="import").count() == 1
    assert set(models.Instrument.objects.values_list("broker", "broker_ref")) == {
        ("ibkr", "1"),
        ("other", "1"),
    }
    assert not models.Activity.objects.filter(account__broker="ibkr").exists()


def test_the_number_of_queries_does_not_grow_with_the_positions(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_max_num_queries(45):
        store.record(
            batch(
                [position(str(n)) for n in range(1, 400)],
                coverage=[covered(ref=str(n)) for n in range(1, 400)],
            )
        )


def test_values_without_margin_leave_the_margin_that_was_told() -> None:
    told = AccountValue("U1", "EUR", NOW, Decimal(500), None, None, None, cushion=Decimal("0.65"))
    store.record(batch(values=(told,)))
    later = NOW + timedelta(days=1)
    store.record(batch(at=later, values=(AccountValue("U1", "EUR", later, Decimal(600), None, None, None),)))
    account = models.Account.objects.get()
    assert (account.reported_nav, account.reported_cushion, account.reported_margin_at) == (
        Decimal(600),
        Decimal("0.65"),
        NOW,
    )


def test_a_pair_of_currencies_that_statements_do_not_list_was_not_nothing_in_them() -> None:
    pair = instrument("77", asset_class=AssetClass.CASH)
    end = NOW - timedelta(days=3)
    told = replace(
        batch([position("1")], at=end),
        told_at=end,
        periods=(Period("U1", "flex", SINCE, end.date(), ("trades",)),),
    )
    answers = [
        batch(
            [position("1"), position("77", quantity)],
            at=NOW + timedelta(hours=hour),
            instruments=(instrument("1"), pair),
        )
        for hour, quantity in enumerate(("-5611.77", "-6000"))
    ]
    for order in permutations([told, *answers]):
        store.clear("ibkr")
        for one in order:
            store.record(one)

        assert the_position("77").quantity == Decimal(-6000)
        assert {key: row.quantity for key, row in derived().items() if "77" in key} == {
            "opening:77": Decimal(-6000)
        }
        changes = models.QuantityChange.objects.filter(instrument__broker_ref="77").order_by("at")
        assert [row.quantity for row in changes] == [Decimal("-5611.77"), Decimal(-6000)]
