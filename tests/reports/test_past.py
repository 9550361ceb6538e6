"""Holdings of an earlier day: today's state without what happened since."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.ledger.models import Account, Period
from stonks_overwatch.reports.holdings import Holding, holdings
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import TODAY

pytestmark = pytest.mark.django_db
OPENED, BOUGHT, DAY, SOLD = date(2026, 1, 5), date(2026, 1, 12), date(2026, 2, 2), date(2026, 2, 9)


def on(day: date, **more: Any) -> Scope:
    return Scope("EUR", as_of=day, **more)


def only(scope: Scope) -> Holding:
    (row,) = holdings(scope).holdings
    return row


def story(**instrument: Any) -> None:
    """Opened with 10 that cost 100, bought 10 for 140, sold 5 for 80: 15 are left today."""
    account, share = builders.account(), builders.instrument(**instrument)
    builders.position(account, share, "15", "20", cost="190")
    builders.activity(
        account, "opening", OPENED, share, quantity="10", cost="100", gross="0", is_derived=True
    )
    builders.activity(account, "buy", BOUGHT, share, quantity="10", gross="-140")
    builders.activity(account, "sell", SOLD, share, quantity="-5", gross="80")
    builders.price(share, "16", date(2026, 1, 30))


def test_the_past_has_the_quantity_price_cost_and_profit_of_its_day() -> None:
    """On 2 February: 10 + 10 = 20, at Friday's 16 worth 320, with a cost of 100 + 140 = 240."""
    story()
    row = only(on(DAY))
    assert row.quantity == 20
    assert (row.price, row.price_as_of) == (Decimal(16), date(2026, 1, 30))
    assert row.market_value == row.market_value_base == 320
    assert row.cost_basis == 240
    assert row.average_cost == 12
    assert row.unrealized_pnl == 80
    assert row.realized_pnl_base == 0
    assert holdings(on(DAY)).as_of == DAY


def test_the_day_of_the_last_update_is_the_latest_state() -> None:
    story()
    assert only(on(TODAY)) == only(Scope("EUR"))
    assert only(on(date(2026, 12, 31))).quantity == 15


def test_a_price_of_more_than_a_week_before_is_none() -> None:
    story()
    row = only(on(date(2026, 2, 7)))
    assert row.quantity == 20
    assert row.price is None
    assert row.market_value is None
    assert holdings(on(date(2026, 2, 7))).totals.unknown == 1


def test_before_the_opening_the_quantity_is_unknown() -> None:
    story()
    document = holdings(on(date(2026, 1, 4)))
    (row,) = document.holdings
    assert row.quantity is None
    assert row.market_value is None
    assert document.totals.unknown == 1


def test_what_was_bought_later_is_absent() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "10")
    builders.activity(account, "buy", BOUGHT, share, quantity="10", gross="-100")
    assert holdings(on(date(2026, 1, 11))).holdings == ()


def test_what_was_sold_since_is_there_again() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "0")
    builders.activity(account, "buy", BOUGHT, share, quantity="10", gross="-100")
    builders.activity(account, "sell", SOLD, share, quantity="-10", gross="130")
    assert only(on(DAY)).quantity == 10
    assert holdings(Scope("EUR")).holdings == ()


def test_a_split_since_is_taken_back() -> None:
    account, share = builders.account(), builders.instrument()
    builders.position(account, share, "40")
    builders.activity(account, "buy", BOUGHT, share, quantity="10", gross="-100")
    builders.activity(account, "split", SOLD, share, quantity="30")
    row = only(on(DAY))
    assert row.quantity == 10
    assert row.cost_basis == 100


@pytest.mark.parametrize(
    ("asset_class", "value"),
    [("stock", Decimal(320)), ("cfd", Decimal(80)), ("future", None), ("cash", Decimal(0))],
)
def test_each_class_adds_to_nav_what_it_is(asset_class: str, value: Decimal | None) -> None:
    story(asset_class=asset_class)
    row = only(on(DAY))
    assert row.market_value == value
    assert row.exposure_base == 320


def test_amounts_are_converted_at_the_rate_of_the_day() -> None:
    builders.rate("USD", "EUR", "0.9", date(2026, 1, 30))
    builders.rate("USD", "EUR", "0.8")
    story(currency="USD")
    assert only(on(DAY)).market_value_base == Decimal(320) * Decimal("0.9")


def with_cash(currency: str = "EUR", amount: str = "70", **more: Any) -> Account:
    """Reported since 5 January, when 100 EUR opened it; 30 were taken out on 9 February."""
    account = builders.account(cash_since=datetime(2026, 1, 5, 9, tzinfo=UTC), **more)
    builders.cash(account, currency, amount)
    builders.activity(account, "opening", OPENED, gross="100", is_derived=True)
    return account


def test_cash_that_activities_explain_is_known_since_the_first_report() -> None:
    """70 today, 100 on 2 February."""
    builders.activity(with_cash(), "withdrawal", SOLD, gross="-30")
    document = holdings(on(DAY))
    assert document.cash[0].amount == 100
    assert document.accounts[0].nav == 100
    assert holdings(on(date(2026, 1, 5))).cash[0].amount == 100
    assert holdings(on(date(2026, 1, 4))).cash[0].amount is None


def test_cash_that_activities_do_not_explain_is_unknown_on_earlier_days() -> None:
    builders.activity(with_cash(amount="69.99"), "withdrawal", SOLD, gross="-30")
    document = holdings(on(DAY))
    assert document.cash[0].amount is None
    assert document.totals.unknown == 1


def test_opening_balances_of_instruments_say_nothing_about_cash() -> None:
    account = with_cash()
    builders.activity(account, "withdrawal", SOLD, gross="-30")
    builders.activity(
        account, "opening", SOLD, builders.instrument(), quantity="1", gross="0", is_derived=True
    )
    assert holdings(on(DAY)).cash[0].amount == 100


@pytest.mark.parametrize(
    ("periods", "amount"),
    [
        ((), None),
        ((("2026-01-01", "2026-02-20"),), Decimal(100)),
        ((("2026-01-01", "2026-02-10"), ("2026-02-11", "2026-02-20")), Decimal(100)),
        ((("2026-01-01", "2026-02-10"), ("2026-02-12", "2026-02-20")), None),
        ((("2026-01-01", "2026-02-19"),), None),
        ((("2026-02-03", "2026-02-20"),), Decimal(100)),
        ((("2026-02-04", "2026-02-20"),), None),
    ],
    ids=["none", "whole", "in two parts", "with a gap", "ends early", "starts the day after", "starts late"],
)
def test_before_the_first_report_only_whole_statements_tell_the_cash(
    periods: tuple[tuple[str, str], ...], amount: Decimal | None
) -> None:
    """The first report is of 20 February."""
    account = with_cash()
    builders.activity(account, "withdrawal", SOLD, gross="-30")
    Account.objects.update(cash_since=datetime(2026, 2, 20, 9, tzinfo=UTC))
    for since, until in periods:
        for topic in ("trades", "cash", "corporate_actions", "transfers"):
            Period.objects.create(account=account, source="flex", topic=topic, since=since, until=until)
    assert holdings(on(DAY)).cash[0].amount == amount


def test_statements_without_transfers_do_not_tell_the_cash() -> None:
    account = with_cash()
    builders.activity(account, "withdrawal", SOLD, gross="-30")
    Account.objects.update(cash_since=datetime(2026, 2, 20, 9, tzinfo=UTC))
    for topic in ("trades", "cash", "corporate_actions"):
        Period.objects.create(
            account=account, source="flex", topic=topic, since=date(2026, 1, 1), until=date(2026, 3, 1)
        )
    assert holdings(on(DAY)).cash[0].amount is None


def test_an_exchange_of_currencies_is_taken_back_in_both() -> None:
    """90 EUR for 100 USD on the 9th; today 10 EUR and 100 USD, before 100 EUR and none."""
    account = with_cash(amount="10")
    dollar = builders.instrument("USD", "USD", broker_ref="USD", asset_class="cash")
    builders.rate("USD", "EUR", "0.9", DAY)
    builders.cash(account, "USD", "100")
    builders.activity(account, "fx", SOLD, dollar, currency="EUR", gross="-90", quantity="100")
    assert [(row.currency, row.amount) for row in holdings(on(DAY)).cash] == [("EUR", Decimal(100))]
    assert holdings(on(DAY)).totals.unknown == 0


def test_accruals_of_the_past_are_unknown() -> None:
    account = builders.account(cash_since=datetime(2026, 1, 5, 9, tzinfo=UTC))
    builders.cash(account, "EUR", "100", accrued_interest=Decimal(3))
    builders.activity(account, "opening", OPENED, gross="100", is_derived=True)
    totals = holdings(on(DAY)).totals
    assert totals.accrued_base is None
    assert totals.nav_base == 100
    assert totals.unknown == 1


def test_an_account_opened_later_is_left_out() -> None:
    builders.account("U1", opened_on=OPENED)
    builders.account("U2", opened_on=SOLD)
    assert [row.account for row in holdings(on(DAY)).accounts] == ["U1"]
