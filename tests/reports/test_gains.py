"""The document of realized gains: lot by lot, by year, by instrument."""

from datetime import date

import pytest

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.realized import InstrumentGains, realized, realized_between
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
Y24, Y25, Y26 = date(2024, 3, 5), date(2025, 3, 5), date(2026, 3, 3)


def values(*figures: object) -> list[object]:
    """For comparing: a Decimal equals a whole number."""
    return list(figures)


def story() -> None:
    """AAA bought in 2024 and 2025, sold in 2025 and 2026; BBB sold short and covered in 2026."""
    account = builders.account()
    aaa, bbb = builders.instrument("AAA"), builders.instrument("BBB")
    for share in (aaa, bbb):
        builders.position(account, share, "0")
    builders.activity(account, "buy", Y24, aaa, quantity="10", gross="-100", fee="-1")
    builders.activity(account, "buy", Y25, aaa, quantity="10", gross="-200")
    builders.activity(account, "sell", date(2025, 3, 6), aaa, quantity="-10", gross="150", fee="-1")
    builders.activity(account, "sell", Y26, aaa, quantity="-10", gross="190")
    builders.activity(account, "sell", date(2026, 1, 5), bbb, quantity="-10", gross="100")
    builders.activity(account, "buy", Y26, bbb, quantity="10", gross="-80")


def test_every_lot_has_both_days_proceeds_cost_and_gain() -> None:
    story()
    short, late, early = realized(EUR).lots
    assert values(early.acquired_on, early.disposed_on, early.days) == [Y24, date(2025, 3, 6), 366]
    assert values(early.proceeds, early.cost, early.gain, early.is_long_term) == [149, 101, 48, True]
    assert values(late.proceeds, late.cost, late.gain, late.is_long_term) == [190, 200, -10, False]
    assert values(short.side, short.quantity, short.proceeds, short.cost, short.gain) == [
        "short", -10, 100, 80, 20,
    ]  # fmt: skip
    assert short.is_long_term is False


def test_the_years_and_instruments_sum_to_the_whole() -> None:
    story()
    document = realized(EUR)
    assert [values(row.year, row.lots, row.gain_base) for row in document.by_year] == [
        [2026, 2, 10],
        [2025, 1, 48],
    ]
    assert [values(row.symbol, row.gain_base) for row in document.by_instrument] == [
        ["AAA", 38],
        ["BBB", 20],
    ]
    assert list(vars(document.by_instrument[0])) == list(InstrumentGains.model_fields)
    totals = document.totals
    assert values(totals.lots, totals.gain_base, totals.proceeds_base, totals.cost_base) == [3, 58, 439, 381]
    assert values(totals.long_term_base, totals.short_term_base) == [48, 10]
    effects = values(totals.price_effect_base, totals.currency_effect_base, totals.cross_effect_base)
    assert effects == [58, 0, 0]


def test_one_year_is_looked_at_beside_the_sums_of_all() -> None:
    story()
    document = realized(EUR, 2025)
    assert [lot.gain for lot in document.lots] == [48]
    assert [row.symbol for row in document.by_instrument] == ["AAA"]
    assert [row.year for row in document.by_year] == [2026, 2025]
    assert document.totals.gain_base == 48


def test_a_page_of_lots_has_the_sums_of_all() -> None:
    story()
    document = realized(EUR, page=(1, 2))
    assert [lot.gain for lot in document.lots] == [-10]
    assert document.totals.lots == 3


def test_an_earlier_day_shows_what_was_closed_by_then() -> None:
    story()
    document = realized(Scope("EUR", as_of=Y25.replace(year=2025, month=12)))
    assert document.totals.gain_base == 48
    assert [row.year for row in document.by_year] == [2025]


def test_another_method_changes_the_gains() -> None:
    story()
    assert realized(EUR, 2025, Method.LIFO).totals.gain_base == 149 - 200


def test_unknown_gains_are_counted_and_left_out() -> None:
    story()
    builders.rate("USD", "EUR", "0.8", Y26)
    account, share = builders.account("U2"), builders.instrument("CCC", "USD")
    builders.position(account, share, "0")
    builders.activity(account, "opening", Y24, share, quantity="0.5", is_derived=True)
    builders.activity(account, "sell", Y26, share, quantity="-0.5", gross="10")
    document = realized(EUR)
    assert values(document.totals.unknown, document.totals.gain_base) == [1, 58]
    assert [row.symbol for row in document.by_instrument] == ["AAA", "BBB", "CCC"]
    unknown = next(lot for lot in document.lots if lot.symbol == "CCC")
    assert values(unknown.gain, unknown.acquired_on, unknown.proceeds) == [None, None, 10]
    assert (unknown.side, unknown.is_estimate, document.totals.estimates) == ("long", False, 0)
    assert values(*realized_between(EUR, Y26, Y26)) == [10, False]


def test_what_was_realized_between_two_days_holds_both_and_of_some_holdings_theirs() -> None:
    story()
    sold = date(2025, 3, 6)
    for start, end, gain in ((sold, Y26, 58), (date(2025, 3, 7), Y26, 10), (sold, date(2026, 3, 2), 48)):
        assert values(*realized_between(EUR, start, end)) == [gain, False]
    assert values(*realized_between(EUR, sold, Y26, only=Group("instrument", "BBB"))) == [20, False]


def test_a_currency_of_choice_converts_each_day_by_itself() -> None:
    builders.rate("EUR", "USD", "2", Y24)
    builders.rate("EUR", "USD", "3", date(2025, 3, 6))
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "0")
    builders.activity(account, "buy", Y24, share, quantity="1", gross="-100")
    builders.activity(account, "sell", date(2025, 3, 6), share, quantity="-1", gross="110")
    # 110 × 3 − 100 × 2 = 130: price 10 × 2, currency 100 × 1, cross 10 × 1.
    (lot,) = realized(Scope("USD")).lots
    assert lot.gain_base == 130
    assert values(lot.price_effect_base, lot.currency_effect_base, lot.cross_effect_base) == [20, 100, 10]


def test_nothing_closed_is_an_empty_document() -> None:
    builders.account()
    document = realized(EUR)
    assert values(document.lots, document.by_year, document.totals.gain_base) == [(), (), 0]
