"""What closing positions earned, as holdings show it."""

from datetime import date
from decimal import Decimal

import pytest

from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
JAN, FEB = date(2026, 1, 5), date(2026, 2, 2)


def realized(scope: Scope = EUR) -> Decimal | None:
    return holdings(scope).totals.realized_pnl_base


def test_what_was_never_sold_has_realized_nothing() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share)
    builders.activity(account, "opening", JAN, share, quantity="10", cost="100", gross="0", is_derived=True)
    document = holdings(EUR)
    assert document.holdings[0].realized_pnl_base == 0
    assert document.totals.realized_pnl_base == 0


def test_a_sale_earns_its_proceeds_minus_the_cost_of_the_first_lot_and_both_commissions() -> None:
    """Bought 10 at 10 with 1 commission: 101, so 4 cost 40.40. Sold 4 at 15 with 1 commission: 59. 18.60."""
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "6")
    builders.activity(account, "buy", JAN, share, quantity="10", price="10", gross="-100", fee="-1")
    builders.activity(account, "sell", FEB, share, quantity="-4", price="15", gross="60", fee="-1")
    assert holdings(EUR).holdings[0].realized_pnl_base == Decimal("18.6")
    assert realized() == Decimal("18.6")


def test_what_is_closed_counts_in_the_total() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "0")
    builders.activity(account, "buy", JAN, share, quantity="10", gross="-100")
    builders.activity(account, "sell", FEB, share, quantity="-10", gross="130")
    document = holdings(EUR)
    assert document.holdings == ()
    assert document.totals.realized_pnl_base == 30


def test_cost_and_proceeds_are_converted_at_the_rates_of_their_own_days() -> None:
    """100 USD at 0.95 are 95 EUR, 110 USD at 0.9 are 99: a gain of 4, whatever the rate is today."""
    account, share = builders.account(), builders.instrument(currency="USD")
    builders.rate("USD", "EUR", "0.95", JAN)
    builders.rate("USD", "EUR", "0.9", FEB)
    builders.rate("USD", "EUR", "0.8")
    builders.position(account, share, "0")
    builders.activity(account, "buy", JAN, share, quantity="1", gross="-100")
    builders.activity(account, "sell", FEB, share, quantity="-1", gross="110")
    assert realized() == 4


def test_the_rates_booked_with_the_trades_come_first() -> None:
    """110 × 0.85 − 100 × 0.75 = 18.5."""
    account, share = builders.account(), builders.instrument(currency="USD")
    builders.rate("USD", "EUR", "0.95", JAN)
    builders.rate("USD", "EUR", "0.9", FEB)
    builders.position(account, share, "0")
    builders.activity(account, "buy", JAN, share, quantity="1", gross="-100", fx_rate="0.75")
    builders.activity(account, "sell", FEB, share, quantity="-1", gross="110", fx_rate="0.85")
    assert realized() == Decimal("18.5")


def test_a_gain_on_an_unknown_cost_is_unknown_and_so_is_the_total() -> None:
    account, known, unknown = builders.account(), builders.instrument("AAA"), builders.instrument("BBB")
    builders.position(account, known, "5")
    builders.position(account, unknown, "5")
    for share, cost in ((known, "50"), (unknown, None)):
        builders.activity(
            account, "opening", JAN, share, quantity="10", cost=cost, gross="0", is_derived=True
        )
        builders.activity(account, "sell", FEB, share, quantity="-5", gross="60")
    document = holdings(EUR)
    # The opening of AAA cost 50, so half of it 25: 60 - 25 = 35.
    assert [row.realized_pnl_base for row in document.holdings] == [Decimal(35), None]
    assert document.totals.realized_pnl_base is None
    assert document.totals.unknown == 0


def test_a_sale_that_only_the_position_tells_of_is_unknown() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "0")
    builders.activity(account, "opening", JAN, share, quantity="10", cost="100", gross="0", is_derived=True)
    builders.activity(account, "sell", FEB, share, quantity="-10", is_derived=True)
    assert realized() is None


def test_two_accounts_keep_their_own_lots() -> None:
    one, two, share = builders.account("U1"), builders.account("U2"), builders.instrument()
    for account, cost in ((one, "-100"), (two, "-200")):
        builders.position(account, share, "0")
        builders.activity(account, "buy", JAN, share, quantity="10", gross=cost)
        builders.activity(account, "sell", FEB, share, quantity="-10", gross="150")
    assert realized(Scope("EUR", account="U1")) == 50
    assert realized(Scope("EUR", account="U2")) == -50


def test_a_replaced_sale_counts_no_more() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "0")
    builders.activity(account, "buy", JAN, share, quantity="10", gross="-100")
    right = builders.activity(account, "sell", FEB, share, quantity="-10", gross="130")
    builders.activity(account, "sell", FEB, share, quantity="-10", gross="120", superseded_by=right)
    assert realized() == 30
