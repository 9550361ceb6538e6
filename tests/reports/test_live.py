"""What is held at other prices: every figure reckoned by hand from the stored one and the quote."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.ledger.types import BalanceNow, LedgerNow, Quote, QuoteKind
from stonks_overwatch.reports.holdings import Holding, holdings, valuation
from stonks_overwatch.reports.live import Now, at, largest
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
THEN = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)


def quoted(*pairs: tuple[models.Instrument, str]) -> Now:
    """The state with these prices."""
    quotes = {
        (of.broker, of.broker_ref): Quote(of.broker_ref, Decimal(price), THEN, QuoteKind.LIVE)
        for of, price in pairs
    }
    return at(valuation(EUR), quotes)


def streamed(
    nav: str | None = None,
    traded_at: datetime | None = None,
    **balances: tuple[str | None, str | None, str | None],
) -> Now:
    """The state of U1 with amount, accruals and rate of these currencies, and no quote."""
    told = {
        currency: BalanceNow(
            amount=builders.number(amount),
            accrued=builders.number(accrued),
            rate=builders.number(rate),
            at=THEN,
        )
        for currency, (amount, accrued, rate) in balances.items()
    }
    ledger = LedgerNow(told, None if nav is None else Decimal(nav), traded_at)
    return at(valuation(EUR), {}, {("ibkr", "U1"): ledger})


def dollars() -> models.Account:
    """10 shares at 20 USD, 100 USD and 50 EUR in cash, 4 USD accrued; 0.80 EUR for one USD: NAV 293.20."""
    account = builders.account(currency="EUR")
    builders.position(account, builders.instrument("AAPL", "USD"), "10", "20", "150")
    builders.cash(account, "USD", "100", accrued_dividends=Decimal(4))
    builders.cash(account, "EUR", "50")
    builders.rate("USD", "EUR", "0.80")
    return account


def only(now: Now) -> Holding:
    (row,) = now.holdings
    return row


def test_a_share_in_another_currency_moves_everything_that_depends_on_it() -> None:
    """2.125 shares from 230.50 to 240.75 USD at 0.86 EUR per USD.

    Value 2.125 x 240.75 = 511.59375 USD = 439.970625 EUR; before 489.8125 USD = 421.23875 EUR; so NAV
    rises by 18.731875 EUR. Profit 489.8125 - 400 + 21.78125 = 111.59375 USD = 95.970625 EUR.
    """
    account = builders.account(currency="EUR")
    share = builders.instrument("AAPL", "USD")
    builders.position(account, share, "2.125", "230.5", "400")
    builders.cash(account, "EUR", "1000")
    builders.rate("USD", "EUR", "0.86")

    now = quoted((share, "240.75"))
    row = only(now)

    assert (row.price, row.price_as_of) == (Decimal("240.75"), THEN)
    assert (row.market_value, row.market_value_base) == (Decimal("511.59375"), Decimal("439.970625"))
    assert (row.unrealized_pnl, row.unrealized_pnl_base) == (Decimal("111.59375"), Decimal("95.970625"))
    assert now.totals.nav_base == Decimal("1439.970625")
    assert now.totals.market_value_base == Decimal("439.970625")
    assert now.totals.cash_base == Decimal(1000)
    assert now.totals.unrealized_pnl_base == Decimal("95.970625")
    assert now.whole_change == Decimal("18.731875")
    assert now.navs == {("ibkr", "U1"): (Decimal("1439.970625"), Decimal("1439.970625"))}
    assert row.weight == Decimal("439.970625") / Decimal("1439.970625")
    # What is stored is as it was.
    assert holdings(EUR).totals.nav_base == Decimal("1421.23875")
    assert models.Position.objects.get().price == Decimal("230.5")


def test_each_account_gets_its_own_change_in_its_own_currency() -> None:
    """An account kept in USD: 10 x (13 - 12) EUR = 10 EUR, and 1 EUR is 1.25 USD there."""
    share = builders.instrument("ABC", "EUR")
    for name, currency in (("U1", "EUR"), ("U2", "USD")):
        builders.position(builders.account(name, currency), share, "10", "12")
    builders.rate("EUR", "USD", "1.25")

    now = quoted((share, "13"))

    assert now.navs["ibkr", "U1"] == (Decimal(130), Decimal(130))
    assert now.navs["ibkr", "U2"] == (Decimal("162.50"), Decimal(130))
    assert now.whole_change == Decimal(20)


def test_a_short_position_loses_when_the_price_rises() -> None:
    """-10 from 12 to 13: the value falls from -120 to -130."""
    share = builders.instrument()
    builders.position(builders.account(), share, "-10", "12", "-100")

    now = quoted((share, "13"))

    assert only(now).market_value == Decimal(-130)
    assert now.whole_change == Decimal(-10)


@pytest.mark.parametrize(
    ("asset_class", "more", "price", "value"),
    [
        # A bond of 10,000 face from 98.5 % to 99 %: 9,900.
        ("bond", {"quote_factor": Decimal("0.01")}, "99", "9900"),
        # Two options on 100 shares each would be 10,000 x 100 x 99: only the multiplier counts.
        ("option", {"multiplier": Decimal(100)}, "99", "99000000"),
        ("crypto", {}, "99.25", "992500"),
    ],
)
def test_multipliers_and_quotes_in_percent_count(
    asset_class: str, more: dict[str, Any], price: str, value: str
) -> None:
    held = builders.instrument("X", asset_class=asset_class, **more)
    builders.position(builders.account(), held, "10000", "98.5", "9000")

    assert only(quoted((held, price))).market_value == Decimal(value)


@pytest.mark.parametrize("asset_class", ["future", "cfd"])
def test_what_is_carried_as_profit_adds_only_its_move(asset_class: str) -> None:
    """2 contracts of 50 from 5,000 to 5,010: NAV rises by 2 x 50 x 10 = 1,000, the notional is 501,000."""
    held = builders.instrument("ES", asset_class=asset_class, multiplier=Decimal(50))
    builders.position(builders.account(), held, "2", "5000", "499700", market_value=Decimal(300))

    now = quoted((held, "5010"))
    row = only(now)

    assert (row.market_value, row.exposure, row.unrealized_pnl) == (
        Decimal(1300),
        Decimal(501000),
        Decimal(1300),
    )
    assert now.whole_change == Decimal(1000)


def test_a_quote_in_pence_is_read_in_pounds() -> None:
    share = builders.instrument("SHEL", "GBP")
    builders.position(builders.account(), share, "50", "27.25", "1225")
    builders.rate("GBP", "EUR", "1.15")

    assert only(quoted((share, "2735"))).price == Decimal("27.35")
    assert only(quoted((share, "27.35"))).price == Decimal("27.35")


@pytest.mark.parametrize("price", ["1.2", "120", "0", "-1"])
def test_a_quote_that_cannot_be_of_what_is_stored_is_left_out(price: str) -> None:
    """Ten to one is a split that no sync has brought yet: with the old quantity it would be wrong."""
    share = builders.instrument()
    builders.position(builders.account(), share, "10", "12")

    now = quoted((share, price))

    assert not now.holdings
    assert not now.quotes
    assert now.totals.nav_base == Decimal(120)


def test_an_option_may_move_as_far_as_it_likes() -> None:
    option = builders.instrument("O", asset_class="option", multiplier=Decimal(100))
    builders.position(builders.account(), option, "1", "0.05", "5")

    assert only(quoted((option, "2.5"))).market_value == Decimal(250)


def test_a_position_whose_figures_do_not_add_up_is_left_as_it_is() -> None:
    share = builders.instrument()
    builders.position(builders.account(), share, "10", "12", market_value=Decimal(90), exposure=Decimal(90))

    assert not quoted((share, "13")).holdings


@pytest.mark.parametrize("unknown", ["price", "market_value", "exposure"])
def test_what_is_not_known_stays_unknown(unknown: str) -> None:
    share = builders.instrument()
    builders.position(builders.account(), share, "10", "12")
    models.Position.objects.update(**{unknown: None})

    assert not quoted((share, "13")).holdings


def test_without_an_exchange_rate_nothing_is_said() -> None:
    share = builders.instrument("X", "XAU")
    builders.position(builders.account(), share, "10", "12")

    assert not quoted((share, "13")).holdings


def test_an_unknown_cost_keeps_the_profit_unknown() -> None:
    share = builders.instrument()
    builders.position(builders.account(), share, "10", "12", None)

    row = only(quoted((share, "13")))

    assert row.market_value == Decimal(130)
    assert row.unrealized_pnl is None


def test_a_currency_pair_is_not_followed() -> None:
    pair = builders.instrument("EUR.USD", "USD", asset_class="cash")
    builders.position(builders.account(), pair, "10000", "1.1", market_value=Decimal(0))
    builders.rate("USD", "EUR", "0.86")

    assert not quoted((pair, "1.2")).holdings
    assert largest("ibkr", "", "EUR", 90) == []


def test_the_largest_of_a_login_come_first_and_no_more_than_asked() -> None:
    """5 x 100 = 500, 40 x 20 = 800, -90 x 10 = -900 EUR; the future counts with its notional."""
    account = builders.account()
    other = builders.account("U9", login="second")
    small = builders.instrument("A")
    middle = builders.instrument("B")
    short = builders.instrument("C")
    future = builders.instrument("F", asset_class="future", multiplier=Decimal(50))
    builders.position(account, small, "5", "100")
    builders.position(account, middle, "40", "20")
    builders.position(account, short, "-90", "10")
    builders.position(account, future, "1", "5000", market_value=Decimal(3))
    builders.position(other, builders.instrument("Z"), "1000", "1000")

    assert largest("ibkr", "", "EUR", 3) == [future.broker_ref, short.broker_ref, middle.broker_ref]


def test_balances_and_exchange_rates_move_what_depends_on_them() -> None:
    """At 0.90: shares 180, profit 50 USD = 45; cash 130 USD = 117 and 50 EUR; accrued 5 USD = 4.50 EUR."""
    dollars()

    now = streamed(nav="351.5", USD=("130", "5", "0.90"), EUR=("50", "0", "1"))

    row = only(now)
    assert (row.price, row.market_value, row.market_value_base) == (Decimal(20), Decimal(200), Decimal(180))
    assert row.unrealized_pnl_base == Decimal(45)
    totals = now.totals
    assert (totals.cash_base, totals.accrued_base) == (Decimal(167), Decimal("4.5"))
    assert totals.nav_base == Decimal("351.5")
    assert now.whole_change == Decimal("351.5") - Decimal("293.2")
    assert now.navs == {("ibkr", "U1"): (Decimal("351.5"), Decimal("351.5"))}
    assert [(cash.currency, cash.amount, cash.amount_base) for cash in now.cash] == [
        ("USD", Decimal(130), Decimal(117))
    ]
    assert row.weight == Decimal(180) / Decimal("351.5")
    assert not now.unsynced


def test_an_account_kept_in_another_currency_is_converted_at_its_own_rates() -> None:
    """Kept in USD: 80 EUR are 100 USD at 1.25 and 120 USD at 1.50, and so 1 USD is 0.6667 EUR."""
    account = builders.account("U1", "USD")
    builders.cash(account, "EUR", "80")
    builders.cash(account, "USD", "60")
    builders.rate("EUR", "USD", "1.25")

    now = streamed(EUR=("80", None, "1.50"), USD=("60", None, "1"))

    assert now.navs["ibkr", "U1"] == (Decimal(180), Decimal(120))


def test_after_a_trade_the_cash_waits_for_the_quantity() -> None:
    """5 more shares were paid with 100 USD: both come with a sync, and until then the value is unharmed."""
    account = dollars()
    later = account.updated_at + timedelta(seconds=5)

    now = streamed(nav="293.2", traded_at=later, USD=("0", "4", "0.80"))

    assert now.unsynced == {("ibkr", "U1")}
    assert now.totals.nav_base == Decimal("293.2")
    assert not now.cash
    # One that the sync has brought already is none.
    assert not streamed(nav="293.2", traded_at=account.updated_at, USD=("100", "4", "0.80")).unsynced


def test_cash_that_the_brokers_own_value_does_not_follow_was_paid_for_something() -> None:
    dollars()

    assert streamed(nav="293.2", USD=("0", "4", "0.80")).unsynced == {("ibkr", "U1")}
    # Where its own value is not told, nobody knows: the cash stays, and nothing is said of a trade.
    unknown = streamed(USD=("0", "4", "0.80"))
    assert (unknown.totals.cash_base, unknown.unsynced) == (Decimal(130), frozenset())
    # A fee is too little to tell: without a trade seen it counts.
    assert streamed(nav="295", USD=("99.5", "4", "0.80")).totals.cash_base == Decimal("129.6")
    # A withdrawal takes it along.
    assert streamed(nav="213.2", USD=("0", "4", "0.80")).totals.nav_base == Decimal("213.2")


@pytest.mark.parametrize("rate", ["0", "-1", "80", "0.008", None])
def test_a_rate_that_cannot_be_meant_is_left_out(rate: str | None) -> None:
    dollars()
    assert streamed(nav="293.2", USD=("100", "4", rate)).totals.nav_base == Decimal("293.2")


def test_a_balance_that_is_not_told_stays() -> None:
    dollars()
    now = streamed(nav="330", USD=(None, None, "0.90"))
    assert now.totals.cash_base == Decimal(140)
    assert now.totals.accrued_base == Decimal("3.6")
