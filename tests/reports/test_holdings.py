import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.errors import UnknownAccountError
from stonks_overwatch.reports.holdings import Holding, HoldingsDocument, holdings
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import NOW

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")


def only(document: HoldingsDocument) -> Holding:
    (row,) = document.holdings
    return row


def test_the_document_has_the_promised_keys_in_their_order() -> None:
    account = builders.account()
    builders.position(account, builders.instrument())
    builders.cash(account, "EUR", "1")
    document: dict[str, Any] = json.loads(holdings(EUR).model_dump_json())
    assert list(document) == ["as_of", "base_currency", "accounts", "holdings", "cash", "totals"]
    assert list(document["accounts"][0]) == ["account", "broker", "nav", "nav_base", "currency"]
    assert list(document["holdings"][0]) == [
        "account",
        "broker",
        "symbol",
        "name",
        "asset_class",
        "isin",
        "broker_ref",
        "currency",
        "quantity",
        "multiplier",
        "price",
        "price_as_of",
        "market_value",
        "market_value_base",
        "exposure_base",
        "cost_basis",
        "cost_basis_base",
        "average_cost",
        "unrealized_pnl",
        "unrealized_pnl_base",
        "realized_pnl_base",
        "weight",
        "country",
        "sector",
        "exchange",
    ]
    assert list(document["cash"][0]) == ["account", "currency", "amount", "amount_base"]
    assert list(document["totals"]) == [
        "market_value_base",
        "cash_base",
        "accrued_base",
        "nav_base",
        "unrealized_pnl_base",
        "realized_pnl_base",
        "unknown",
    ]


def test_rows_are_of_all_their_fields_and_of_the_right_kinds() -> None:
    builders.position(builders.account(), builders.instrument())
    row = only(holdings(EUR))
    assert Holding(**vars(row)) == row
    assert list(vars(row)) == list(Holding.model_fields)


def test_nothing_stored_is_an_empty_document_and_no_error() -> None:
    document = holdings(EUR)
    assert document.as_of is None
    assert (document.accounts, document.holdings, document.cash) == ((), (), ())
    assert document.totals.nav_base == 0
    assert document.totals.unknown == 0


def test_two_accounts_in_two_currencies_add_up() -> None:
    """By hand, 1 USD = 0.8 EUR:

    U1 (EUR): 10 x 12 = 120 EUR; 2.125 x 40 = 85 USD = 68 EUR; cash 50 EUR and -10 USD = -8 EUR;
    accrued 1.50 EUR interest and 2.50 USD dividends = 2 EUR. NAV 120 + 68 + 42 + 3.5 = 233.50 EUR.
    U2 (USD): 5 x 20 = 100 USD = 80 EUR; cash 100 EUR = 125 USD. NAV 225 USD = 180 EUR.
    """
    builders.rate("USD", "EUR", "0.8")
    builders.rate("EUR", "USD", "1.25")
    one, two = builders.account("U1", "EUR"), builders.account("U2", "USD")
    builders.position(one, builders.instrument("AAA", "EUR"), "10", "12", cost="100")
    builders.position(one, builders.instrument("BBB", "USD"), "2.125", "40", cost="90")
    builders.position(two, builders.instrument("CCC", "USD"), "5", "20", cost="60")
    builders.cash(one, "EUR", "50", accrued_interest=Decimal("1.50"))
    builders.cash(one, "USD", "-10", accrued_dividends=Decimal("2.50"))
    builders.cash(two, "EUR", "100")

    document = holdings(EUR)

    assert [(row.account, row.nav, row.nav_base, row.currency) for row in document.accounts] == [
        ("U1", Decimal("233.5"), Decimal("233.5"), "EUR"),
        ("U2", Decimal(225), Decimal(180), "USD"),
    ]
    totals = document.totals
    assert totals.market_value_base == Decimal(120) + 68 + 80
    assert totals.cash_base == Decimal(50) - 8 + 100
    assert totals.accrued_base == Decimal("3.5")
    assert totals.nav_base == Decimal("413.5")
    assert totals.unrealized_pnl_base == Decimal(20) - 4 + 32  # 20 EUR, -5 USD, 40 USD
    assert totals.unknown == 0
    assert [(row.symbol, row.market_value_base) for row in document.holdings] == [
        ("AAA", Decimal(120)),
        ("BBB", Decimal(68)),
        ("CCC", Decimal(80)),
    ]
    assert document.holdings[1].quantity == Decimal("2.125")
    assert document.holdings[2].weight == Decimal(80) / Decimal("413.5")
    assert [(row.account, row.currency, row.amount, row.amount_base) for row in document.cash] == [
        ("U1", "EUR", Decimal(50), Decimal(50)),
        ("U1", "USD", Decimal(-10), Decimal(-8)),
        ("U2", "EUR", Decimal(100), Decimal(100)),
    ]


def test_the_same_in_another_base_currency() -> None:
    builders.rate("USD", "EUR", "0.8")
    builders.rate("CHF", "EUR", "1.1")
    builders.position(builders.account(), builders.instrument("BBB", "USD"), "2", "40")
    # 80 USD = 64 EUR = 64 / 1.1 CHF
    row = only(holdings(Scope("CHF")))
    assert row.market_value_base is not None
    assert round(row.market_value_base, 10) == Decimal("58.1818181818")


def test_a_missing_price_is_unknown_and_not_zero() -> None:
    account = builders.account()
    builders.position(account, builders.instrument("AAA"), "10", "12")
    builders.position(account, builders.instrument("BBB"), "10", None)
    document = holdings(EUR)
    assert document.holdings[1].market_value is None
    assert document.holdings[1].unrealized_pnl is None
    assert document.holdings[1].weight is None
    assert document.totals.nav_base == 120
    assert document.totals.unknown == 1


def test_a_missing_cost_leaves_the_profit_unknown_and_is_counted() -> None:
    builders.position(builders.account(), builders.instrument(), "10", "12", cost=None)
    document = holdings(EUR)
    assert document.totals.nav_base == 120
    assert document.totals.unrealized_pnl_base is None
    assert document.totals.unknown == 1


def test_a_base_currency_without_rates_leaves_everything_unknown_and_counted() -> None:
    account = builders.account()
    builders.position(account, builders.instrument(), "10", "12")
    builders.cash(account, "EUR", "5")
    document = holdings(Scope("XAU"))
    assert only(document).market_value == 120
    assert only(document).market_value_base is None
    assert document.accounts[0].nav == 125
    assert document.accounts[0].nav_base is None
    assert document.totals.nav_base is None
    assert document.totals.unknown == 2


def test_a_short_position_lowers_nav() -> None:
    account = builders.account()
    builders.position(account, builders.instrument(), "-3", "10", cost="-36")
    builders.cash(account, "EUR", "100")
    document = holdings(EUR)
    assert only(document).market_value == -30
    assert only(document).unrealized_pnl == 6
    assert document.accounts[0].nav == 70
    assert only(document).weight == Decimal(-30) / 70


def test_an_option_counts_with_its_multiplier_and_carries_its_terms() -> None:
    option = builders.instrument(
        "SPY",
        asset_class="option",
        multiplier=Decimal(100),
        strike=Decimal(440),
        right="call",
        expires_on=date(2027, 1, 15),
        underlying_symbol="SPY",
    )
    builders.position(builders.account(), option, "-1", "95.70", cost="-5801")
    row = only(holdings(EUR))
    assert row.market_value == -9570
    assert (row.strike, row.right, row.expires_on) == (Decimal(440), "call", date(2027, 1, 15))


def test_a_future_adds_the_profit_it_carries_and_shows_its_notional_as_exposure() -> None:
    account = builders.account()
    future = builders.instrument("ES", asset_class="future", multiplier=Decimal(50))
    builders.position(account, future, "2", "5000", cost="499000", market_value=Decimal(1000))
    builders.cash(account, "EUR", "100", futures_pnl=Decimal(1000))
    document = holdings(EUR)
    assert only(document).market_value == 1000
    assert only(document).exposure_base == 500000
    assert document.accounts[0].nav == 1100


def test_futures_that_cannot_be_told_apart_count_as_one_amount() -> None:
    """IBKR says 250 for two futures together: 100 of cash and 250 are 350, and nothing is unknown."""
    account = builders.account()
    for symbol in ("ES", "NQ"):
        future = builders.instrument(symbol, asset_class="future")
        builders.position(account, future, "1", "5000", cost="4900", market_value=None)
    builders.cash(account, "EUR", "100", futures_pnl=Decimal(250))
    document = holdings(EUR)
    assert document.accounts[0].nav == 350
    assert document.totals.market_value_base == 250
    assert document.totals.unknown == 0
    assert [row.market_value for row in document.holdings] == [None, None]


def test_variation_of_a_future_closed_today_still_counts() -> None:
    builders.cash(builders.account(), "EUR", "100", futures_pnl=Decimal(-40))
    assert holdings(EUR).accounts[0].nav == 60


def test_a_closed_position_is_not_shown() -> None:
    builders.position(builders.account(), builders.instrument(), "0", "12", cost="0")
    assert holdings(EUR).holdings == ()


def test_a_currency_that_is_used_up_is_left_out() -> None:
    account = builders.account()
    builders.cash(account, "EUR", "0", accrued_interest=Decimal(3))
    document = holdings(EUR)
    assert document.cash == ()
    assert document.totals.accrued_base == 3


def test_a_scope_names_an_account_or_a_broker() -> None:
    for name, broker in (("U1", "ibkr"), ("U2", "ibkr"), ("D1", "degiro")):
        builders.cash(builders.account(name, broker=broker), "EUR", "10")
    assert [row.account for row in holdings(Scope("EUR", account="U2")).accounts] == ["U2"]
    assert [row.account for row in holdings(Scope("EUR", broker="degiro")).accounts] == ["D1"]
    assert [row.account for row in holdings(EUR).accounts] == ["D1", "U1", "U2"]


def test_an_account_that_is_not_stored_is_an_error_that_names_the_stored_ones() -> None:
    builders.account("U1")
    with pytest.raises(UnknownAccountError) as raised:
        holdings(Scope("EUR", account="U9"))
    assert "U9" in raised.value.what
    assert "U1 (ibkr)" in raised.value.next_step


def test_the_document_is_as_old_as_its_oldest_account() -> None:
    old = datetime(2026, 3, 1, 8, tzinfo=UTC)
    builders.account("U1", updated_at=old)
    builders.account("U2", updated_at=NOW)
    assert holdings(EUR).as_of == old


def test_an_account_that_stopped_updating_is_valued_at_the_rates_of_its_last_day() -> None:
    account = builders.account(updated_at=datetime(2026, 2, 2, 8, tzinfo=UTC))
    builders.rate("USD", "EUR", "0.7", date(2026, 2, 2))
    builders.rate("USD", "EUR", "0.8")
    builders.account("U2")
    builders.cash(account, "USD", "100")
    assert holdings(EUR).accounts[0].nav == 70


@pytest.mark.parametrize("positions", [10, 1000])
def test_the_number_of_queries_does_not_grow_with_the_positions(
    positions: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    account = builders.account()
    for index in range(positions):
        builders.position(account, builders.instrument(f"S{index}"))
    holdings(EUR)  # works the lots out
    with django_assert_num_queries(7):
        assert len(holdings(EUR).holdings) == positions
