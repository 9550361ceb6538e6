from datetime import date, timedelta
from decimal import Decimal
from itertools import cycle

import pytest

from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger import models
from stonks_overwatch.ledger.types import SETTLEMENT
from stonks_overwatch.reports import periods
from stonks_overwatch.reports.attribution import attribution
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.explain import Arguments, explain
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.performance import performance, returns_by_period
from stonks_overwatch.reports.periods import Days
from stonks_overwatch.reports.risk import comparison, risk
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders as made
from tests.reports.packing import pack
from tests.reports.recombining import recombined

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
FIRST = date(2026, 3, 2)  # a Monday


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def portfolio() -> models.Instrument:
    """Three days in two currencies, reckoned by hand below.

    Day 0: 1,000 EUR and 500 USD come in at 0.90: 1,450. Day 1: 10 shares at 20 USD bought with a fee of 1
    USD, rate 0.92, close 21 USD. Day 2: a dividend of 6 USD less 1.5 of tax, interest of 3 EUR, a fee of 2
    EUR, rate 0.95, close 22 USD.
    """
    account = made.account(updated_at=made.NOW)
    share = made.instrument("ABC", "USD")
    made.activity(account, "deposit", day(0), gross="1000")
    made.activity(account, "deposit", day(0), currency="USD", gross="500")
    made.activity(account, "buy", day(1), share, quantity="10", price="20", gross="-200", fee="-1")
    made.activity(account, "dividend", day(2), share, gross="6", tax="-1.5")
    made.activity(account, "interest", day(2), gross="3")
    made.activity(account, "fee", day(2), gross="-2")
    for number, rate, close in ((0, "0.90", "20"), (1, "0.92", "21"), (2, "0.95", "22")):
        made.rate("USD", "EUR", rate, day(number))
        made.price(share, close, day(number))
    pack()
    return share


def test_the_bridge_tells_every_part_of_the_change() -> None:
    portfolio()
    found = performance(EUR, day(1), day(2))
    # Begin: 1000 + 500 x 0.90 = 1450. End: 1000 + 3 - 2 = 1001 EUR; 500 - 201 + 4.5 = 303.5 USD in cash and
    # 220 USD in shares: 1001 + 523.5 x 0.95 = 1498.325.
    assert (found.begin_nav, found.end_nav) == (Decimal(1450), Decimal("1498.325"))
    bridge = found.bridge
    # Fees 1 x 0.92 + 2; tax 1.5 x 0.95; income 6 x 0.95 + 3.
    assert (bridge.fees, bridge.taxes, bridge.income) == (Decimal("-2.92"), Decimal("-1.42"), Decimal("8.70"))
    # Currency: 500 x 0.02 on day 1, (299 + 210) x 0.03 on day 2.
    assert bridge.currency == Decimal(10) + Decimal("15.27")
    # Market: 10 x (21 - 20) x 0.92 + 10 x (22 - 21) x 0.95.
    assert bridge.market == Decimal("9.20") + Decimal("9.50")
    parts = (bridge.market, bridge.income, bridge.fees, bridge.taxes, bridge.currency, bridge.other)
    assert Decimal(1450) + sum(part for part in parts if part is not None) == Decimal("1498.325")
    # Of the tax of 1.425, half a cent is rounded away.
    assert bridge.other == Decimal("-0.005")


def test_the_return_is_linked_daily_and_before_tax_on_demand() -> None:
    portfolio()
    found = performance(EUR, day(1), day(2))
    # Day 1: 1000 + (500 - 201 + 210) x 0.92 = 1468.28. Tax of day 2: 1.5 x 0.95 = 1.425.
    assert float(found.twr or 0) == pytest.approx(1498.325 / 1450 - 1, abs=1e-10)
    untaxed = 1468.28 / 1450 * (1498.325 + 1.425) / 1468.28 - 1
    assert float(found.twr_before_tax or 0) == pytest.approx(untaxed, abs=1e-10)
    assert found.twr_annualized is None


def test_a_year_is_annualised_only_beyond_365_days() -> None:
    account = made.account(updated_at=made.NOW)
    start = made.TODAY - timedelta(days=730)
    made.activity(account, "deposit", start, gross="100")
    made.activity(account, "interest", made.TODAY, gross="21")
    pack()
    found = performance(EUR, start + timedelta(days=1))
    assert found.twr == Decimal("0.21")
    assert found.twr_annualized == Decimal("0.1")
    assert found.xirr == Decimal("0.1")
    assert performance(EUR, made.TODAY - timedelta(days=364)).twr_annualized is None


def test_without_known_contributions_there_is_no_return_but_the_values_stand() -> None:
    account = made.account(updated_at=made.NOW, opened_on=date(2020, 1, 1))
    made.nav(account, "100", day(0))
    made.nav(account, "104", day(2))
    found = performance(EUR)
    assert (found.begin_nav, found.end_nav) == (Decimal(100), Decimal(104))
    unknown = (found.net_contribution, found.twr, found.xirr, found.modified_dietz, found.bridge.other)
    assert set(unknown) == {None}
    assert found.complete_since is None


def test_where_no_day_has_a_value_all_days_there_are_are_shown() -> None:
    account = made.account(updated_at=made.NOW)
    made.activity(account, "deposit", day(-3), gross="100")
    pack(is_cash_told=False)
    found = performance(EUR)
    # The series begins at the end of the day before the first activity.
    assert (found.start, found.end) == (day(-3), day(2))
    assert (found.begin_nav, found.end_nav, found.twr) == (None, None, None)


def test_a_period_outside_of_what_is_known_is_unknown() -> None:
    portfolio()
    found = performance(EUR, date(2020, 1, 1), day(2))
    assert found.twr is None
    assert found.begin_nav is None
    assert found.complete_since == day(-1)
    # So is one that ends before it begins.
    assert performance(EUR, day(2), day(1)).end_nav is None
    assert attribution(EUR, day(2), day(1)).twr is None
    assert risk(EUR, day(2), day(1)).days == 0
    beside = comparison(EUR, "ABC", date(2020, 1, 1), day(2))
    assert (beside.start, beside.end, beside.dates) == (date(2020, 1, 1), day(2), ())
    assert [part.symbol for part in beside.parts] == ["ABC"]
    assert beside.why.startswith("Not everything is known on all of these days.")


def test_nothing_stored_has_no_figures() -> None:
    found = performance(EUR, day(1), day(2))
    assert (found.start, found.end, found.end_nav, found.twr) == (day(1), day(2), None, None)
    added = attribution(EUR, day(1), day(2))
    assert (added.base_currency, added.holdings, added.count, added.unknown) == ("EUR", (), 0, 0)
    assert returns_by_period(EUR).periods == ()
    assert risk(EUR).days == 0
    assert comparison(EUR, "IDX").dates == ()


def test_the_json_has_the_fields_of_the_contract() -> None:
    portfolio()
    written = performance(EUR).model_dump(mode="json", by_alias=True)
    assert list(written) == [
        "from", "to", "base_currency", "begin_nav", "end_nav", "net_contribution", "twr", "twr_annualized",
        "xirr", "modified_dietz", "bridge", "risk", "complete_since", "bridge_is_estimate",
    ]  # fmt: skip
    assert list(written["bridge"]) == ["market", "income", "fees", "taxes", "currency", "other"]
    assert list(written["risk"]) == ["volatility", "max_drawdown", "sharpe", "sortino", "beta"]


def test_what_the_holdings_and_the_rest_added_is_the_return() -> None:
    share = portfolio()
    document = attribution(EUR, day(1), day(2))
    (row,) = document.holdings
    assert row.broker_ref == share.broker_ref
    # Day 1: 210 x 0.92 less 201 x 0.92 paid = 8.28. Day 2: 220 x 0.95 - 193.2 + 4.5 x 0.95 = 20.075.
    assert (row.begin_base, row.end_base, row.paid_base) == (Decimal(0), Decimal(209), Decimal("184.92"))
    assert row.gain_base == Decimal("28.355")
    assert not row.is_estimate
    assert not document.rest_is_estimate
    added = 8.28 / 1450 + 1468.28 / 1450 * 20.075 / 1468.28
    assert float(row.contribution or 0) == pytest.approx(added, abs=1e-10)
    assert document.twr is not None
    assert float((row.contribution or 0) + (document.rest or 0)) == pytest.approx(
        float(document.twr), abs=1e-9
    )


def valued_by_the_broker(account: models.Account, on: date, nav: str, accrued: str | None = None) -> None:
    """A row of the statement's value by day; without accruals it has a total alone."""
    made.nav(account, nav, on)
    for name, amount in (("total", nav), ("dividendAccruals", accrued)):
        if amount is not None:
            models.Figure.objects.create(
                account=account,
                section="EquitySummaryInBase",
                name=name,
                since=on,
                until=on,
                currency=account.currency,
                amount=Decimal(amount),
            )


def test_the_bridge_of_days_that_the_broker_valued_tells_prices_rates_and_accruals_apart() -> None:
    # 1,000 USD, half of it in 10 shares bought at 50 USD, which have no price since. The broker: at the
    # begin 500 + 10 x 60 USD at 0.90 = 990; at the end 500 + 10 x 66 USD at 0.95 = 1102, and 6 USD declared.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW)
    share = made.instrument("ABC", "USD")
    made.cash(account, "USD", "500", accrued_dividends=Decimal(6))
    made.activity(account, "deposit", day(-20), currency="USD", gross="1000")
    made.activity(account, "buy", day(-20), share, quantity="10", price="50", gross="-500")
    for number, rate in ((-20, "0.90"), (-14, "0.90"), (-7, "0.90"), (0, "0.90"), (1, "0.95")):
        made.rate("USD", "EUR", rate, day(number))
    valued_by_the_broker(account, day(0), "990")
    valued_by_the_broker(account, day(2), "1107.70", accrued="5.70")
    pack()
    found = performance(EUR, day(1), day(2))
    # Currency: 500 USD in cash and the shares at the price they were bought for, x 0.05.
    assert found.bridge.currency == 50
    assert found.bridge.market == 1102 - 990 - 50
    assert found.bridge.other == Decimal("5.70")
    # The shares may have been worth something else on the evening before the rate changed.
    assert found.bridge_is_estimate
    told = explain("performance.bridge.currency", Arguments(base="EUR", start=day(1), end=day(2)))
    assert told.is_estimate
    assert told.note.startswith("An estimate: ")


@pytest.mark.parametrize(
    ("currency", "rates", "days_with_a_price"),
    [
        ("EUR", ("0.90", "0.95"), ()),  # no rate moves what it is worth
        ("USD", ("0.90", "0.90"), ()),  # the rate did not move
        ("USD", ("0.90", "0.95"), (0, 1)),  # its price of the evening is known
    ],
)
def test_the_split_into_prices_and_rates_is_exact_where_no_old_price_meets_a_change_of_a_rate(
    currency: str, rates: tuple[str, str], days_with_a_price: tuple[int, ...]
) -> None:
    account = made.account(updated_at=made.NOW, cash_since=made.NOW)
    share = made.instrument("ABC", currency)
    made.cash(account, "USD", "500", accrued_dividends=Decimal(6))
    made.activity(account, "deposit", day(-20), currency="USD", gross="500")
    made.activity(account, "deposit", day(-20), currency=currency, gross="500")
    made.activity(account, "buy", day(-20), share, quantity="10", price="50", gross="-500")
    for number in (-20, -14, -7, 0):
        made.rate("USD", "EUR", rates[0], day(number))
    made.rate("USD", "EUR", rates[1], day(1))
    for number in days_with_a_price:
        made.price(share, "60", day(number))
    valued_by_the_broker(account, day(0), "990")
    valued_by_the_broker(account, day(2), "1107.70", accrued="5.70")
    pack()
    found = performance(EUR, day(1), day(2))
    assert found.bridge.currency is not None
    assert not found.bridge_is_estimate
    assert not explain(
        "performance.bridge.market", Arguments(base="EUR", start=day(1), end=day(2))
    ).is_estimate


def test_the_split_is_an_estimate_when_a_price_is_too_old_on_a_later_day_alone() -> None:
    # The price of day -7 holds to the begin, the end of day 0; day 1 has none, and the rate changes on day 2.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW)
    share = made.instrument("ABC", "USD")
    made.cash(account, "USD", "0", accrued_dividends=Decimal(0))
    made.activity(account, "deposit", day(-20), currency="USD", gross="500")
    made.activity(account, "buy", day(-20), share, quantity="10", price="50", gross="-500")
    made.price(share, "60", day(-7))
    made.price(share, "60", day(2))
    for number, rate in ((-20, "0.90"), (-14, "0.90"), (-7, "0.90"), (0, "0.90"), (2, "0.95")):
        made.rate("USD", "EUR", rate, day(number))
    for number, nav in ((0, "540"), (1, "540"), (2, "570")):
        valued_by_the_broker(account, day(number), nav, accrued="0")
    pack()
    found = performance(EUR, day(1), day(2))
    assert made.figures(found.bridge.currency, found.bridge.market) == (30, 0)
    assert found.bridge_is_estimate


def test_where_what_came_in_had_no_price_yet_prices_and_rates_cannot_be_told_apart() -> None:
    # Worth 1,000 USD as the broker says when it came; the rate changes on day 1, the first price is of day 2.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW)
    share = made.instrument("ABC", "USD")
    made.cash(account, "USD", "0", accrued_dividends=Decimal(0))
    made.activity(account, "transfer_in", day(0), share, quantity="10", value=Decimal(1000))
    made.price(share, "100", day(2))
    made.rate("USD", "EUR", "0.90", day(0))
    made.rate("USD", "EUR", "0.95", day(1))
    for number, nav in ((0, "900"), (1, "950"), (2, "950")):
        valued_by_the_broker(account, day(number), nav, accrued="0")
    pack()
    found = performance(EUR, day(1), day(2))
    assert made.figures(found.begin_nav, found.end_nav) == (900, 950)
    assert made.figures(found.bridge.currency, found.bridge.market, found.bridge.other) == (None, None, 50)


def test_a_value_without_its_accruals_leaves_the_effect_of_prices_unknown() -> None:
    account = made.account(updated_at=made.NOW, cash_since=made.NOW)
    share = made.instrument("ABC")
    made.cash(account, "EUR", "500", accrued_dividends=Decimal(6))
    made.activity(account, "deposit", day(-20), gross="1000")
    made.activity(account, "buy", day(-20), share, quantity="10", price="50", gross="-500")
    made.nav(account, "990", day(0))
    made.nav(account, "1107.70", day(2))
    pack()
    found = performance(EUR, day(1), day(2)).bridge
    assert (found.market, found.currency, found.other) == (None, None, Decimal("117.70"))


def test_a_holding_without_prices_for_days_has_moved_evenly_between_two() -> None:
    # 10 shares at 10 until day -5, at 14 on day -1: 10 a day, as the broker's values have it, of 100 and,
    # after 100 came in on day -3, of 210: 0.1 + 1.1 x 30 / 210.
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", day(-12), gross="100")
    made.activity(account, "buy", day(-12), share, quantity="10", gross="-100")
    made.activity(account, "deposit", day(-3), gross="100")
    made.price(share, "10", day(-12))
    made.price(share, "14", day(-1))
    for number, nav in ((-4, "110"), (-3, "220"), (-2, "230")):
        made.nav(account, nav, day(number))
    pack()
    document = attribution(EUR, day(-10), day(2))
    (row,) = document.holdings
    assert row.gain_base == 40
    assert float(row.contribution or 0) == pytest.approx(0.1 + 1.1 * 30 / 210, abs=1e-9)
    assert document.rest is not None
    assert abs(document.rest) < Decimal("1e-9")
    assert row.is_estimate
    assert document.rest_is_estimate
    assert document.unknown == 0


def test_a_future_that_was_closed_is_worth_nothing_and_its_profit_is_cash() -> None:
    # Bought at 100 and sold at 103, multiplier 5: 15 USD, at 0.90 on the day 13.50 EUR. The broker tells the
    # profit that went to cash in sum. On the day after, its cash gains with the dollar, and no future does.
    account = made.account(updated_at=made.NOW)
    future = made.instrument("FUT", "USD", asset_class="future", multiplier=Decimal(5))
    made.activity(account, "deposit", day(-1), currency="USD", gross="100")
    made.activity(account, "buy", day(0), future, quantity="1", price="100", gross="0")
    made.activity(account, "sell", day(1), future, quantity="-1", price="103", gross="0")
    made.activity(account, "other", day(1), currency="USD", subtype=SETTLEMENT, gross="15")
    made.price(future, "101", day(0))
    for number, rate in ((-1, "0.90"), (0, "0.90"), (1, "0.90"), (2, "0.95")):
        made.rate("USD", "EUR", rate, day(number))
    pack()
    both, after = attribution(EUR, day(0), day(2)), attribution(EUR, day(2), day(2))
    (row,) = both.holdings

    assert made.figures(row.begin_base, row.end_base, row.paid_base) == (0, 0, Decimal("-13.5"))
    assert row.gain_base == Decimal("13.5")
    assert row.contribution == Decimal("0.15")
    assert after.holdings == ()
    # 115 USD gain 0.05 EUR each, on what 100 USD were worth at 0.90: 5.75 / 90, all of it of the cash.
    assert both.twr is not None
    assert float(both.rest or 0) == pytest.approx(5.75 / 90, abs=1e-9)
    alone = performance(EUR, day(0), day(2), only=Group("asset_class", "future"))
    assert made.figures(alone.end_nav, alone.net_contribution) == (0, Decimal("-13.5"))
    told = explain(
        "attribution.holdings.paid_base", Arguments(base="EUR", start=day(0), end=day(2), row=(key_of(row),))
    )
    assert sum(one.value or 0 for one in told.inputs) == Decimal("-13.5")


@pytest.mark.parametrize("is_closed_in_full", [True, False])
def test_profit_that_an_open_future_closed_before_is_cash_and_no_part_of_it(is_closed_in_full: bool) -> None:
    # Multiplier 5. One that was bought at 100 is sold at 103 on day -1: 15 USD, in cash. Another one, bought
    # at 103 after it or at 100 together with it, is at 104 on day 1, a profit of 5 or 20 USD, 4.50 or 18 EUR
    # at 0.90; on day 2 it is at 105, 10 or 25 USD at 0.95. The 15 USD gain 0.75 EUR with the dollar: as cash.
    account = made.account(updated_at=made.NOW)
    future = made.instrument("FUT", "USD", asset_class="future", multiplier=Decimal(5))
    made.activity(account, "deposit", day(-3), currency="USD", gross="100")
    first = "1" if is_closed_in_full else "2"
    made.activity(account, "buy", day(-2), future, quantity=first, price="100", gross="0")
    made.activity(account, "sell", day(-1), future, quantity="-1", price="103", gross="0")
    if is_closed_in_full:
        made.activity(account, "buy", day(-1), future, quantity="1", price="103", gross="0")
    made.activity(account, "other", day(-1), currency="USD", subtype=SETTLEMENT, gross="15")
    for number, close in ((-2, "100"), (-1, "103"), (1, "104"), (2, "105")):
        made.price(future, close, day(number))
    for number, rate in ((-3, "0.90"), (1, "0.90"), (2, "0.95")):
        made.rate("USD", "EUR", rate, day(number))
    pack()
    whole, last = attribution(EUR, day(-2), day(2)), attribution(EUR, day(2), day(2))
    begin, end = (Decimal("4.5"), Decimal("9.5")) if is_closed_in_full else (18, Decimal("23.75"))

    assert made.figures(last.holdings[0].begin_base, last.holdings[0].end_base) == (begin, end)
    assert made.figures(last.holdings[0].gain_base, last.holdings[0].paid_base) == (end - begin, 0)
    assert made.figures(whole.holdings[0].end_base, whole.holdings[0].paid_base) == (end, Decimal("-13.5"))
    # 100 USD and the 15 gain 0.05 EUR each, and what the day before was worth in all is what it is over.
    assert float(last.rest or 0) == pytest.approx(5.75 / (103.5 + float(begin)), abs=1e-9)
    alone = performance(EUR, day(2), day(2), only=Group("asset_class", "future"))
    assert made.figures(alone.begin_nav, alone.end_nav, alone.net_contribution) == (begin, end, 0)
    asked = Arguments(base="EUR", start=day(2), end=day(2), row=(key_of(last.holdings[0]),))
    for name, value in (("begin_base", begin), ("end_base", end)):
        assert sum(one.value or 0 for one in explain(f"attribution.holdings.{name}", asked).inputs) == value


def test_securities_transferred_are_put_into_their_group_and_its_rates_matter_from_then_on() -> None:
    # 10 units at 10 XXA come on day 0, at 0.50 EUR each; nobody knows an earlier rate. Two go on day 1, at
    # 12 XXA and 0.60: 14.40. What is left is 8 x 12 x 0.60.
    account = made.account(updated_at=made.NOW)
    share = made.instrument("ABC", "XXA")
    made.activity(account, "deposit", day(-5), gross="100")
    made.activity(account, "transfer_in", day(0), share, quantity="10")
    made.activity(account, "transfer_out", day(1), share, quantity="-2")
    for number, rate, close in ((0, "0.50", "10"), (1, "0.60", "12")):
        made.rate("XXA", "EUR", rate, day(number))
        made.price(share, close, day(number))
    pack()
    found = performance(EUR, day(-3), day(1), only=Group("instrument", "ABC"))

    assert made.figures(found.begin_nav, found.end_nav) == (0, Decimal("57.6"))
    assert found.net_contribution == 50 - Decimal("14.4")
    # 100 XXA at a rate that grew by 0.10; 10 units at a price that grew by 2, at 0.60.
    assert made.figures(found.bridge.currency, found.bridge.market, found.bridge.other) == (10, 12, 0)
    # From the day it came; flows count at the start of their day: 50 - 14.40 = 35.60 at the begin of day 1.
    assert float(performance(EUR, day(1), day(1), only=Group("instrument", "ABC")).twr or 0) == pytest.approx(
        57.6 / 35.6 - 1
    )


def test_a_loss_of_the_day_on_which_all_is_sold_can_be_worked_out_again() -> None:
    # 1,000 the evening before; sold for 100: 100 / 1,000 - 1. In a year it would be all.
    account = made.account(updated_at=made.NOW)
    share = made.instrument("OLD")
    made.activity(account, "deposit", day(0), gross="1000")
    made.activity(account, "buy", day(0), share, quantity="10", gross="-1000")
    made.activity(account, "sell", day(1), share, quantity="-10", gross="100")
    made.price(share, "100", day(0))
    pack()
    asked = Arguments(base="EUR", start=day(1), end=day(1), only="instrument=OLD")
    for name in ("twr", "twr_before_tax"):
        told = explain(f"performance.{name}", asked)
        assert told.value is not None
        inputs = [(one.name, one.value, one.as_of) for one in told.inputs]
        given = recombined(told.how, told.formula, inputs, told.title, told.value)
        assert float(given or 0) == pytest.approx(-0.9)
        assert float(told.value) == pytest.approx(-0.9)
    assert explain("performance.xirr", asked).value == -1


def test_securities_that_come_in_meanwhile_add_what_they_gained_since() -> None:
    # 1,000 in cash. 10 shares come on day 1, worth 190 as the broker says, at 20 that evening, 22 on day 2;
    # 4 of them leave on day 2, at that day's price: 6 × 22 = 132, and 132 + 88 − 190 = 30 are gained.
    account, share = made.account(updated_at=made.NOW), made.instrument("ABC")
    made.activity(account, "deposit", day(0), gross="1000")
    made.activity(account, "transfer_in", day(1), share, quantity="10", value=Decimal(190))
    made.activity(account, "transfer_out", day(2), share, quantity="-4")
    for number, close in ((1, "20"), (2, "22")):
        made.price(share, close, day(number))
    pack()
    document = attribution(EUR, day(1), day(2))
    (row,) = document.holdings
    assert made.figures(row.begin_base, row.end_base, row.paid_base, row.gain_base) == (0, 132, 102, 30)
    # Of 1,190 on day 1 the gain is 10; of 1,200 − 88 at the start of day 2 it is 1,132 − 1,112 = 20.
    grown = 1200 / 1190
    assert float(row.contribution or 0) == pytest.approx(10 / 1190 + grown * 20 / 1112, abs=1e-9)
    assert float(document.twr or 0) == pytest.approx(grown * 1132 / 1112 - 1, abs=1e-9)
    assert document.rest == pytest.approx(0, abs=Decimal("1e-9"))


def test_a_gain_and_a_loss_that_make_nothing_together_are_both_told() -> None:
    # 200 in two shares: one goes from 100 to 110, the other to 90; then both stand still.
    account = made.account(updated_at=made.NOW)
    made.activity(account, "deposit", day(0), gross="200")
    for symbol, close in (("UP", "110"), ("DOWN", "90")):
        share = made.instrument(symbol)
        made.activity(account, "buy", day(0), share, quantity="1", gross="-100")
        made.price(share, "100", day(0))
        made.price(share, close, day(1))
    pack()
    document = attribution(EUR, day(1), day(2))
    added = [(row.symbol, row.contribution) for row in document.holdings]
    assert added == [("UP", Decimal("0.05")), ("DOWN", Decimal("-0.05"))]
    assert made.figures(document.twr, document.rest) == (0, 0)


def test_gains_of_a_day_that_ends_with_nothing_are_in_the_return_too() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", day(0), gross="100")
    made.activity(account, "buy", day(0), share, quantity="1", gross="-100")
    made.activity(account, "sell", day(2), share, quantity="-1", gross="110")
    made.activity(account, "withdrawal", day(2), gross="-110")
    made.price(share, "100", day(0))
    pack()
    document = attribution(EUR, day(1), day(2))
    assert document.twr == Decimal("0.1")
    assert document.holdings[0].contribution == Decimal("0.1")


def test_a_benchmark_without_prices_says_which_days_lack_them_and_is_known_after_them() -> None:
    account = made.account(updated_at=made.NOW)
    made.activity(account, "deposit", day(-30), gross="1000")
    index = made.instrument("IDX", isin="IE0000000001")
    # Carried for seven days, a price of day -25 holds to day -18; the next one is of day -10.
    for number, close in ((-30, "50"), (-25, "55"), (-10, "44"), (-3, "48.4")):
        made.price(index, close, day(number))
    pack()
    across = comparison(EUR, "IE0000000001", day(-28), day(2))
    after = comparison(EUR, "IE0000000001", day(-8), day(2))

    assert across.benchmark_return is None
    assert across.why == (
        "IDX has no price, or its currency no rate, of the last seven days from 13 Feb 2026 to 19 Feb 2026. "
        "Import its prices (docs/Import.md), or look at days that have some."
    )
    assert after.benchmark_return == Decimal("0.1")
    assert after.why == ""
    # Day -3 holds to day 4; without it the gap does not end.
    models.Price.objects.filter(instrument=index, on=day(-3)).delete()
    pack()
    assert "from 28 Feb 2026 to 4 Mar 2026" in comparison(EUR, "IE0000000001", day(-8), day(2)).why


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (day(-5), None, (day(-5), day(2))),  # its last price holds to day -13: the days that there are
        (day(9), None, (day(9), day(9))),
        (None, day(-30), (day(-30), day(-30))),
        (None, None, (day(-20), day(-13))),
    ],
)
def test_days_of_which_nothing_is_known_are_in_their_order(
    start: date | None, end: date | None, shown: tuple[date, date]
) -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument("OLD")
    made.activity(account, "deposit", day(-20), gross="100")
    made.activity(account, "buy", day(-20), share, quantity="1", gross="-100")
    made.price(share, "100", day(-20))
    pack()
    document = performance(EUR, start, end, only=Group("instrument", "OLD"))

    assert (document.start, document.end) == shown
    assert (document.twr is None) == (start is not None or end is not None)


def test_a_holding_without_a_price_at_the_end_says_so() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument("ABC")
    made.activity(account, "deposit", day(-20), gross="100")
    made.activity(account, "buy", day(-20), share, quantity="1", gross="-100")
    made.price(share, "100", day(-20))
    other = made.instrument("XYZ")
    made.activity(account, "transfer_in", day(-20), other, quantity="1")
    for number, close in ((-20, "50"), (-13, "50"), (-6, "50"), (1, "49")):
        made.price(other, close, day(number))
    for number in range(-20, 3):
        made.nav(account, "100", day(number))
    pack()
    document = attribution(EUR, day(-18), day(2))
    # What is known comes first, a loss too.
    known, row = document.holdings

    assert made.figures(known.symbol, known.gain_base, known.is_estimate) == ("XYZ", -1, False)
    assert (row.contribution, document.rest, document.unknown) == (None, None, 1)
    # What is not known is no estimate.
    assert (row.is_estimate, document.rest_is_estimate) == (False, False)
    assert row.why == (
        "No price, or no rate, of the seven days up to 4 Mar 2026 is known. "
        "Import its prices (docs/Import.md), or look at days that have some."
    )


def test_the_same_money_in_a_benchmark() -> None:
    # The benchmark goes 50, 55, 44 in EUR; 1,450 is there at the begin and nothing more comes in.
    portfolio()
    index = made.instrument("IDX", isin="IE0000000001")
    for number, close in enumerate(("50", "55", "44")):
        made.price(index, close, day(number))
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.benchmark_return == Decimal("-0.12")
    assert document.benchmark_end_nav == Decimal(1450) * Decimal("0.88")
    assert document.total_return is False


def test_a_mix_is_brought_back_to_its_weights_every_day() -> None:
    portfolio()
    for symbol, closes in (("ONE", ("10", "11", "11")), ("TWO", ("10", "10", "12"))):
        index = made.instrument(symbol)
        for number, close in enumerate(closes):
            made.price(index, close, day(number))
    pack()
    # 0.75 x 1.1 + 0.25 = 1.075; then 0.75 + 0.25 x 1.2 = 1.05.
    document = comparison(EUR, "ONE:75,TWO:25", day(1), day(2))
    assert document.benchmark_return == Decimal("1.075") * Decimal("1.05") - 1
    assert [(part.symbol, part.weight) for part in document.parts] == [
        ("ONE", Decimal("0.75")),
        ("TWO", Decimal("0.25")),
    ]


def test_a_benchmark_is_the_share_and_not_its_option_unless_only_that_has_prices() -> None:
    portfolio()
    option = made.instrument("IDX", asset_class="option")
    share = made.instrument("IDX")
    for number, close in enumerate(("1", "2", "4")):
        made.price(option, close, day(number))
    pack()
    assert comparison(EUR, "IDX", day(1), day(2)).benchmark_return == 3
    for number, close in ((0, "50"), (2, "44")):
        made.price(share, close, day(number))
    pack()
    assert comparison(EUR, "IDX", day(1), day(2)).benchmark_return == Decimal("-0.12")
    for name in (" IDX:5 ,", share.broker_ref):
        assert comparison(EUR, name, day(1), day(2)).benchmark_return == Decimal("-0.12")


@pytest.mark.parametrize("named", ["NONE", "ABC:x", "ABC:-1", "ABC:0", "ABC:inf", ",", " "])
def test_a_benchmark_that_cannot_be_used_is_refused(named: str) -> None:
    portfolio()
    with pytest.raises(UnknownInstrumentError):
        comparison(EUR, named)


def test_risk_says_from_how_many_days_it_is_and_is_unknown_of_few() -> None:
    portfolio()
    found = risk(EUR, day(1), day(2))
    assert found.days == 2
    assert found.volatility is None
    assert found.max_drawdown == 0
    # Day 0 is a Monday: its return is over the value at the end of the Sunday before.
    assert [risk(EUR, day(0), day(end)).days for end in (0, 1, 2)] == [1, 2, 3]


def test_the_risk_of_the_guides_example_comes_out_of_the_ledger() -> None:
    # docs/numbers.md: +1.1 % and -0.9 % in turns on twenty weekdays beside +0.5 % and -0.5 %.
    account = made.account(updated_at=made.NOW)
    share, index = made.instrument("ABC"), made.instrument("IDX")
    made.activity(account, "transfer_in", day(-26), share, quantity="1")
    price, level, days = Decimal(100), Decimal(50), [day(number) for number in range(-26, 3)]
    turns = cycle([(Decimal("1.011"), Decimal("1.005")), (Decimal("0.991"), Decimal("0.995"))])
    for on in (on for on in days if on.weekday() < 5):
        made.price(share, str(price), on)
        made.price(index, str(level), on)
        own, other = next(turns)
        price, level = price * own, level * other
    pack()
    found = risk(EUR, day(-25), day(2), "IDX")
    assert found.days == 20
    for name, figure, digits in (
        ("volatility", 0.1629, 4),
        ("downside_deviation", 0.1010, 4),
        ("sharpe", 1.55, 2),
        ("sortino", 2.49, 2),
        ("value_at_risk", 0.009, 9),
        ("beta", 2, 9),
        ("alpha", 0.252, 9),
        ("correlation", 1, 9),
        ("tracking_error", 0.0814, 4),
        ("information_ratio", 3.09, 2),
    ):
        assert round(float(getattr(found, name)), digits) == figure, name
    assert performance(EUR, day(-25), day(2), "IDX").risk.beta == found.beta
    # The last fall begins on the day before the last.
    assert made.figures(found.max_drawdown, found.recovered_on) == (Decimal("-0.009"), None)
    assert (found.peak_on, found.trough_on) == (day(1), day(2))
    assert found.calmar is None


def test_a_fall_is_told_with_its_days() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "transfer_in", day(-4), share, quantity="1")
    for number, close in ((-4, "100"), (-3, "120"), (-1, "90"), (1, "119"), (2, "121")):
        made.price(share, close, day(number))
    pack()
    found = risk(EUR)
    assert found.max_drawdown == Decimal("-0.25")
    assert (found.peak_on, found.trough_on, found.recovered_on) == (day(-3), day(-1), day(2))


def test_standard_periods_end_on_the_last_day_and_include_their_first() -> None:
    begin, last = date(2020, 5, 17), date(2026, 3, 31)
    found = {name: periods.standard(name, begin, last) for name in periods.STANDARD}
    assert found == {
        "1D": Days(last, last),
        "1W": Days(date(2026, 3, 25), last),
        "MTD": Days(date(2026, 3, 1), last),
        "1M": Days(date(2026, 3, 1), last),  # after 28 February, the last day of that month
        "3M": Days(date(2026, 1, 1), last),
        "6M": Days(date(2025, 10, 1), last),
        "YTD": Days(date(2026, 1, 1), last),
        "1Y": Days(date(2025, 4, 1), last),
        "3Y": Days(date(2023, 4, 1), last),
        "5Y": Days(date(2021, 4, 1), last),
        "all": Days(date(2020, 5, 18), last),
    }


def test_years_and_months_are_of_the_calendar() -> None:
    begin, last = date(2024, 12, 30), date(2026, 2, 3)
    assert periods.years(begin, last) == ["2026", "2025", "2024"]
    assert list(periods.months(begin, last))[:2] == ["2024-12", "2025-01"]
    assert periods.standard("2024-02", begin, last) == Days(date(2024, 2, 1), date(2024, 2, 29))
    assert periods.standard("2025", begin, last) == Days(date(2025, 1, 1), date(2025, 12, 31))
    # A month that has begun with the last day is one of them: December 2024, twelve of 2025, two of 2026.
    assert len(list(periods.months(begin, date(2026, 2, 1)))) == 15
    assert list(periods.months(date(2026, 1, 31), date(2026, 2, 1))) == ["2026-02"]
    assert list(periods.months(begin, date(2026, 1, 31)))[-1] == "2026-01"
    for name in ("2Q", "abcd", "12345", "20-01"):
        with pytest.raises(ValueError, match="not a period"):
            periods.standard(name, begin, last)


def test_returns_of_consecutive_periods_link_to_that_of_the_whole() -> None:
    portfolio()
    document = returns_by_period(EUR)
    whole = next(row for row in document.periods if row.name == "all").twr
    linked = Decimal(1)
    for row in document.months:
        assert row.twr is not None
        linked *= 1 + row.twr
    assert whole is not None
    assert abs(linked - 1 - whole) < Decimal("1e-9")
    # Everything is known since the end of day -1: the year begins with that, a longer period does not.
    (year,) = document.years
    (month,) = (row for row in document.periods if row.name == "1M")
    assert (year.start, year.end, year.twr) == (day(0), day(2), whole)
    assert (month.start, month.end, month.twr, month.end_nav) == (date(2026, 2, 5), day(2), None, None)


def test_the_published_time_weighted_return_comes_out_of_the_ledger() -> None:
    # Investopedia, "Time-Weighted Rate of Return", scenario 1: 1,000,000 is 1,162,484 when 100,000 are paid
    # in; the year ends at 1,192,328: 9.79 %.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW, opened_on=date(2000, 1, 1))
    made.cash(account, "EUR", "1100000", accrued_interest=Decimal(0))
    for topic in ("cash", "transfers"):
        models.Period.objects.create(
            account=account, source="flex", topic=topic, since=day(-4), until=made.TODAY
        )
    made.activity(account, "opening", day(-5), gross="1000000")
    made.activity(account, "deposit", day(0), gross="100000")
    for number, value in ((-5, "1000000"), (-1, "1162484"), (2, "1192328")):
        made.nav(account, value, day(number))
    pack()
    found = performance(EUR, day(-4), day(2))
    assert found.twr is not None
    assert found.twr.quantize(Decimal("0.0001")) == Decimal("0.0979")


def test_the_spreadsheets_rate_comes_out_of_the_ledger() -> None:
    # Microsoft's example of XIRR: 10,000 on 1 Jan 2008, then 2,750, 4,250, 3,250 and 2,750 back: 0.373362535.
    account = made.account(updated_at=made.NOW.replace(year=2009, month=4, day=1))
    made.activity(account, "deposit", date(2008, 1, 1), gross="10000")
    for on, amount in (
        (date(2008, 3, 1), "-2750"),
        (date(2008, 10, 30), "-4250"),
        (date(2009, 2, 15), "-3250"),
        (date(2009, 4, 1), "-2750"),
    ):
        made.activity(account, "withdrawal", on, gross=amount)
    made.activity(account, "interest", date(2009, 4, 1), gross="3000")
    pack()
    found = performance(EUR)
    assert found.xirr is not None
    assert abs(found.xirr - Decimal("0.373362535")) < Decimal("1e-8")


def test_the_published_modified_dietz_comes_out_of_the_ledger() -> None:
    # Wikipedia, "Modified Dietz method": 100, 50 paid in after the first of two years, 300 at the end: 120 %.
    account = made.account(updated_at=made.NOW.replace(year=2003, month=12, day=31))
    made.activity(account, "deposit", date(2001, 12, 30), gross="100")
    made.activity(account, "deposit", date(2002, 12, 31), gross="50")
    made.activity(account, "interest", date(2003, 12, 31), gross="150")
    pack()
    assert performance(EUR, date(2002, 1, 1)).modified_dietz == Decimal("1.2")


def paying() -> models.Instrument:
    """A fund held all the time beside the portfolio: 50, 55 and 44 EUR, and 2.20 a unit paid on day 2."""
    portfolio()
    fund = made.instrument("IDX", isin="IE0000000001")
    holder = made.account("U2", broker="degiro", updated_at=made.NOW)
    made.activity(holder, "transfer_in", day(0), fund, quantity="10")
    made.activity(holder, "dividend", day(2), fund, gross="22", tax="-3.3")
    for number, close in enumerate(("50", "55", "44")):
        made.price(fund, close, day(number))
    return fund


def test_a_benchmark_held_all_the_time_has_a_total_return() -> None:
    # (55 / 50) x ((44 + 2.2) / 55) = 0.924; 10 units pay 22, the tax on it is not the benchmark's.
    paying()
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.benchmark_return == Decimal("-0.076")
    assert (document.total_return, document.dividends) == (True, 1)


def test_the_prices_of_a_benchmark_alone_are_to_be_had() -> None:
    paying()
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2), price_return=True)
    assert document.benchmark_return == Decimal("-0.12")
    assert (document.total_return, document.dividends) == (False, 0)


def test_it_is_no_total_return_when_a_dividend_may_be_missing() -> None:
    # Half of it was another's on day 1, and nothing is known of what the second fund pays.
    fund = paying()
    made.price(made.instrument("TWO"), "10", day(0))
    models.Activity.objects.filter(instrument=fund, kind="transfer_in").update(trade_date=day(1))
    pack()
    assert comparison(EUR, "IE0000000001", day(1), day(2)).total_return is False
    assert comparison(EUR, "IDX:1,TWO:1", day(2), day(2)).total_return is False


def test_a_split_of_the_benchmark_moves_nothing() -> None:
    # Two for one on day 2: 55 and 22.00 are one value, of which 1.10 a new unit is paid.
    fund = paying()
    holder = models.Account.objects.get(account="U2")
    made.activity(holder, "split", day(1), fund, quantity="10")
    models.Price.objects.filter(instrument=fund, on__gte=day(1)).delete()
    made.price(fund, "27.5", day(1))
    made.price(fund, "22", day(2))
    pack()
    assert comparison(EUR, "IE0000000001", day(1), day(2)).benchmark_return == Decimal("-0.076")


def test_a_dividend_that_two_accounts_received_is_reinvested_once_on_its_ex_date() -> None:
    # The ex-date of one is day 1: (55 + 2.2) / 50 x 44 / 55; the other tells the day of payment alone.
    fund = paying()
    other = made.account("U3", updated_at=made.NOW)
    made.activity(other, "transfer_in", day(0), fund, quantity="5")
    made.activity(other, "dividend", day(2), fund, gross="11")
    models.Activity.objects.filter(kind="dividend", gross=Decimal(22)).update(ex_date=day(1))
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.dividends == 1
    assert document.benchmark_return == Decimal("57.2") / 50 * Decimal("0.8") - 1


def test_a_dividend_that_one_account_receives_on_the_day_it_sells_is_reinvested_once() -> None:
    # Both held it the evening before; the price of day 2 is without it: (44 + 2.2) / 55.
    fund = paying()
    made.activity(models.Account.objects.get(account="U2"), "sell", day(2), fund, quantity="-10", gross="440")
    other = made.account("U3", updated_at=made.NOW)
    made.activity(other, "transfer_in", day(0), fund, quantity="5")
    made.activity(other, "dividend", day(2), fund, gross="11")
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.benchmark_return == Decimal("-0.076")
    assert (document.total_return, document.dividends) == (True, 1)


def test_purchases_meanwhile_are_no_dividends_and_leave_all_of_them_known() -> None:
    # 20 units since day 1, bought in two parts: 44 is 2.20 for each.
    fund = paying()
    holder = models.Account.objects.get(account="U2")
    for _ in range(2):
        made.activity(holder, "buy", day(1), fund, quantity="5", gross="-275")
    models.Activity.objects.filter(kind="dividend", gross=Decimal(22)).update(gross=Decimal(44))
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.benchmark_return == Decimal("-0.076")
    assert (document.total_return, document.dividends) == (True, 1)


def test_of_days_on_which_it_was_not_held_no_dividend_is_known() -> None:
    # Sold on day 1, the ex-date; another account comes in on day 2 and tells of a dividend before that.
    fund = paying()
    made.activity(models.Account.objects.get(account="U2"), "sell", day(1), fund, quantity="-10", gross="550")
    models.Activity.objects.filter(kind="dividend", gross=Decimal(22)).update(ex_date=day(1))
    other = made.account("U3", updated_at=made.NOW)
    made.activity(other, "transfer_in", day(2), fund, quantity="5")
    made.activity(other, "dividend", day(2), fund, gross="10", ex_date=day(1))
    pack()
    both, first = (comparison(EUR, "IE0000000001", day(1), day(end)) for end in (2, 1))
    assert (both.total_return, both.dividends) == (False, 1)
    assert (first.total_return, first.benchmark_return) == (True, Decimal("57.2") / 50 - 1)


def test_of_two_accounts_the_one_that_received_most_tells_the_dividends() -> None:
    # The other one's statements tell that of day 2 alone.
    fund = paying()
    other = made.account("U3", updated_at=made.NOW)
    made.activity(other, "transfer_in", day(0), fund, quantity="5")
    made.activity(other, "dividend", day(1), fund, gross="5")
    made.activity(other, "dividend", day(2), fund, gross="11")
    pack()
    document = comparison(EUR, "IE0000000001", day(1), day(2))
    assert document.dividends == 2
    # (55 + 1) / 50 x (44 + 2.2) / 55
    assert document.benchmark_return == pytest.approx(
        Decimal(56) / 50 * Decimal("46.2") / 55 - 1, abs=Decimal("1e-9")
    )


def test_what_is_compared_begins_with_the_days_looked_at() -> None:
    # Of the third day: 1,468.28 at its begin and 1,498.325 at its end; the benchmark goes from 55 to 44.
    portfolio()
    index = made.instrument("IDX")
    for number, close in enumerate(("50", "55", "44")):
        made.price(index, close, day(number))
    pack()
    document = comparison(EUR, "IDX", day(2), day(2))
    grown = Decimal("1498.325") / Decimal("1468.28")
    assert document.dates == (day(1), day(2))
    assert made.figures(*document.index) == (1, pytest.approx(grown, abs=Decimal("1e-9")))
    assert made.figures(*document.benchmark_index) == (1, Decimal("0.8"))
    assert document.benchmark_nav == (Decimal("1468.28"), Decimal("1468.28") * Decimal("0.8"))
    assert document.twr == pytest.approx(grown - 1, abs=Decimal("1e-9"))
    assert made.figures(document.benchmark_return, document.end_nav) == (Decimal("-0.2"), Decimal("1498.325"))
    assert len(comparison(EUR, "IDX", day(1), day(1)).index) == 2
