"""Dividends and interest: sums by hand, payments with their trail, yields, what is to come."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.income import IncomeDocument, income
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import TODAY, figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")


def dividend(
    holder: models.Account, of: models.Instrument | None, on: date, gross: str, tax: str = "0", **more: Any
) -> None:
    """A dividend and, where there is one, its tax, as one payment."""
    group = f"payment:{on}"
    builders.activity(holder, "dividend", on, of, gross=gross, **{"group": group, **more})
    if tax != "0":
        builders.activity(
            holder, "tax", on, of, gross=tax, **{"subtype": "withholding tax", "group": group, **more}
        )


def bought(holder: models.Account, of: models.Instrument, quantity: str, on: date) -> None:
    builders.activity(holder, "buy", on, of, quantity=quantity, price="10", gross="-100")


@pytest.fixture
def holder() -> models.Account:
    return builders.account()


def in_year(document: IncomeDocument, key: str) -> Decimal | None:
    return next(row.net_base for row in document.by_year if row.key == key)


def test_nothing_stored_is_an_empty_document() -> None:
    document = income(EURO)
    assert figures(document.payments, document.by_month, document.totals.net_base) == ((), (), 0)


def test_amounts_are_converted_at_the_rate_of_their_own_day(holder: models.Account) -> None:
    share = builders.instrument("KO", "USD")
    builders.rate("USD", "EUR", "0.9", date(2026, 1, 15))
    builders.rate("USD", "EUR", "0.8", date(2026, 2, 16))
    dividend(holder, share, date(2026, 1, 15), "100", "-15")
    dividend(holder, share, date(2026, 2, 16), "100", "-15")
    document = income(EURO)
    # 100 × 0.9 + 100 × 0.8 = 170; 15 × 0.9 + 15 × 0.8 = 25.50
    assert document.totals.gross_base == 170
    assert document.totals.tax_base == Decimal("-25.5")
    assert document.totals.net_base == Decimal("144.5")
    # January to March, the month of the account's last update, without a gap
    assert [figures(row.key, row.net_base) for row in document.by_month] == [
        ("2026-01", Decimal("76.5")),
        ("2026-02", 68),
        ("2026-03", 0),
    ]


def test_the_rate_booked_with_a_payment_comes_first(holder: models.Account) -> None:
    builders.rate("USD", "EUR", "0.9", date(2026, 2, 16))
    dividend(holder, builders.instrument("KO", "USD"), date(2026, 2, 16), "100", fx_rate="0.85")
    assert income(EURO).totals.gross_base == 85


def test_an_amount_without_a_rate_is_unknown_and_counted(holder: models.Account) -> None:
    dividend(holder, builders.instrument("X", "XAU"), date(2026, 2, 16), "3")
    dividend(holder, builders.instrument("Y"), date(2026, 2, 16), "7")
    totals = income(EURO).totals
    assert figures(totals.gross_base, totals.unknown) == (7, 1)


def test_a_reversal_and_a_new_booking_are_one_payment_with_its_trail(holder: models.Account) -> None:
    share = builders.instrument("KO")
    for on, gross in ((date(2026, 1, 15), "100"), (date(2026, 2, 20), "-100"), (date(2026, 2, 20), "90")):
        builders.activity(holder, "dividend", on, share, gross=gross, group="action:7")
    for on, tax in ((date(2026, 1, 15), "-15"), (date(2026, 2, 20), "15"), (date(2026, 2, 20), "-13.5")):
        builders.activity(holder, "tax", on, share, gross=tax, group="action:7", subtype="withholding tax")
    (payment,) = income(EURO).payments
    assert figures(payment.on, payment.gross, payment.tax, payment.net) == (
        date(2026, 1, 15),
        90,
        Decimal("-13.5"),
        Decimal("76.5"),
    )
    assert len(payment.rows) == 6
    assert sum((row.gross or Decimal(0) for row in payment.rows), Decimal(0)) == 90


def test_a_payment_in_lieu_that_becomes_a_dividend_moves_from_one_kind_to_the_other(
    holder: models.Account,
) -> None:
    share = builders.instrument("KO")
    group = "action:9"
    builders.activity(
        holder, "dividend", date(2026, 1, 5), share, gross="50", subtype="payment in lieu", group=group
    )
    builders.activity(
        holder, "dividend", date(2026, 2, 5), share, gross="-50", subtype="payment in lieu", group=group
    )
    builders.activity(holder, "dividend", date(2026, 2, 5), share, gross="50", group=group)
    by_kind = {row.key: row.net_base for row in income(EURO).by_kind}
    assert by_kind == {"payment_in_lieu": 0, "dividend": 50}


def test_a_return_of_capital_is_listed_and_is_no_income(holder: models.Account) -> None:
    share = builders.instrument("KO")
    dividend(holder, share, date(2026, 1, 15), "100", "-15")
    builders.activity(
        holder, "dividend", date(2026, 1, 15), share, gross="40", subtype="return of capital",
        group="payment:2026-01-15",
    )  # fmt: skip
    # Told the other way round, the tax is of the dividend too.
    for kind, gross in (("return of capital", "8"), ("", "20")):
        builders.activity(holder, "dividend", date(2026, 2, 16), share, subtype=kind, group="b", gross=gross)
    builders.activity(
        holder, "tax", date(2026, 2, 16), share, gross="-3", subtype="withholding tax", group="b"
    )
    document = income(EURO)
    assert document.totals.net_base == 85 + 17
    assert document.totals.return_of_capital_base == 48
    assert {figures(row.kind, row.tax) for row in document.payments} == {
        ("dividend", -15), ("dividend", -3), ("return_of_capital", 0),
    }  # fmt: skip


def test_interest_received_and_paid_are_told_apart(holder: models.Account) -> None:
    builders.activity(holder, "interest", date(2026, 1, 5), gross="30", subtype="credit interest")
    builders.activity(holder, "interest", date(2026, 1, 5), gross="-12", subtype="debit interest")
    builders.activity(holder, "interest", date(2026, 2, 5), gross="-1")
    totals = income(EURO).totals
    assert figures(totals.interest_received_base, totals.interest_paid_base, totals.net_base) == (30, -13, 17)


def test_a_tax_of_no_stated_kind_is_withheld_only_with_its_payment(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.activity(holder, "dividend", date(2026, 1, 5), share, gross="20")
    builders.activity(holder, "tax", date(2026, 1, 5), share, gross="-3")
    builders.activity(holder, "tax", date(2026, 2, 5), share, gross="-9")  # a stamp duty
    assert income(EURO).totals.tax_base == -3


def test_a_withheld_tax_whose_payment_nobody_told_is_one_by_itself(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.activity(holder, "tax", date(2026, 1, 5), share, gross="-3", subtype="withholding tax")
    document = income(EURO)
    assert [figures(row.kind, row.gross, row.tax) for row in document.payments] == [
        ("withholding_tax", 0, -3)
    ]
    assert document.totals.net_base == -3


def test_a_tax_in_the_row_of_the_dividend_counts_like_one_of_its_own(holder: models.Account) -> None:
    builders.activity(holder, "dividend", date(2026, 1, 5), builders.instrument("KO"), gross="20", tax="-3")
    totals = income(EURO).totals
    assert figures(totals.gross_base, totals.tax_base, totals.net_base) == (20, -3, 17)


def test_growth_is_over_the_whole_year_and_month_before_when_a_period_begins_within_them(
    holder: models.Account,
) -> None:
    # 2017: 100 in March, 30 and 20 in September. From the middle of September 2018: 60, then 15.
    share = builders.instrument()
    for on, gross in (
        (date(2017, 3, 1), "100"),
        (date(2017, 9, 1), "30"),
        (date(2017, 9, 20), "20"),
        (date(2018, 9, 20), "60"),
        (date(2018, 12, 1), "15"),
    ):
        dividend(holder, share, on, gross)
    document = income(EURO, date(2018, 9, 15))
    growth = {row.key: row.growth for row in (*document.by_year, *document.by_month)}
    assert growth["2018"] == Decimal("-0.5")  # 75 after 150
    assert growth["2018-09"] == Decimal("0.2")  # 60 after 50


def test_growth_compares_a_year_with_the_year_before(holder: models.Account) -> None:
    share = builders.instrument("KO")
    dividend(holder, share, date(2024, 6, 3), "100")
    dividend(holder, share, date(2025, 6, 2), "110")
    document = income(EURO)
    assert next(row.growth for row in document.by_year if row.key == "2025") == Decimal("0.1")
    assert next(row.growth for row in document.by_year if row.key == "2024") is None
    # In the 365 days to 4 March 2026 and in those before.
    assert document.totals.growth == Decimal("0.1")


def test_a_period_leaves_out_what_was_booked_outside(holder: models.Account) -> None:
    share = builders.instrument("KO")
    for on in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1)):
        dividend(holder, share, on, "10")
    document = income(EURO, date(2026, 1, 1), date(2026, 1, 31))
    assert document.totals.gross_base == 20
    assert [row.key for row in document.by_month] == ["2026-01"]


def test_accounts_and_currencies_have_their_parts(holder: models.Account) -> None:
    other = builders.account("U2", "USD")
    builders.rate("USD", "EUR", "0.5", date(2026, 2, 2))
    dividend(holder, builders.instrument("A"), date(2026, 2, 2), "60")
    dividend(other, builders.instrument("B", "USD"), date(2026, 2, 2), "80")
    document = income(EURO)
    assert {row.key: row.net_base for row in document.by_account} == {"U1": 60, "U2": 40}
    assert {row.key: row.share for row in document.by_currency} == {
        "EUR": Decimal("0.6"),
        "USD": Decimal("0.4"),
    }
    assert income(Scope("EUR", account="U2")).totals.net_base == 40


def test_a_tax_that_only_statements_tell_is_unknown_until_one_covers_the_day() -> None:
    """Connected on 10 February: dividends of that time come without their taxes."""
    holder = builders.account(cash_since=datetime(2026, 2, 10, tzinfo=UTC))
    share = builders.instrument("KO")
    builders.activity(holder, "dividend", date(2026, 2, 16), share, gross="100")
    document = income(EURO)
    assert figures(document.totals.gross_base, document.totals.tax_base) == (100, None)
    assert figures(document.totals.net_base, document.totals.unknown) == (None, 1)
    assert figures(document.payments[0].gross, document.payments[0].net) == (100, None)

    statement = models.Period.objects.create(
        account=holder, source="flex", topic="cash", since=date(2026, 2, 17), until=date(2026, 2, 28)
    )
    assert income(EURO).totals.net_base is None
    # Both its first and its last day are told in full.
    for since, until in ((date(2026, 2, 16), date(2026, 2, 28)), (date(2026, 2, 1), date(2026, 2, 16))):
        models.Period.objects.filter(pk=statement.pk).update(since=since, until=until)
        assert income(EURO).totals.net_base == 100

    builders.activity(holder, "dividend", date(2026, 3, 2), share, gross="50", group="a")
    builders.activity(
        holder, "tax", date(2026, 3, 2), share, gross="-5", group="a", subtype="withholding tax"
    )
    assert income(EURO).totals.net_base == 145


# What is held


def test_the_yield_takes_the_quantity_held_now(holder: models.Account) -> None:
    """5 units received 10 in June; 10 are held now: 20 a year. Value 120, cost 100."""
    share = builders.instrument("KO")
    builders.position(holder, share, "10", "12", "100")
    bought(holder, share, "5", date(2024, 1, 2))
    dividend(holder, share, date(2024, 6, 3), "8")
    dividend(holder, share, date(2025, 6, 2), "10")
    bought(holder, share, "5", date(2025, 9, 1))
    (row,) = income(EURO).holdings
    assert row.annual_gross_base == 20
    assert row.trailing_yield == Decimal(20) / 120
    assert row.yield_on_cost == Decimal("0.2")
    assert row.growth == Decimal("0.25")  # 2.00 a unit after 1.60


def test_what_pays_most_comes_first_and_half_a_unit_pays_too(holder: models.Account) -> None:
    # Half a unit got 1 in each of two years; ten got 8 once, after two payments of 4 the year before.
    for symbol, quantity in (("FEW", "0.5"), ("MANY", "10")):
        share = builders.instrument(symbol)
        builders.position(holder, share, quantity, "12", "100")
        bought(holder, share, quantity, date(2023, 1, 2))
    few, many = models.Instrument.objects.order_by("symbol")
    for on in (date(2025, 3, 4), date(2025, 9, 1)):  # the first one a year ago
        dividend(holder, few, on, "1")
    for on, gross in ((date(2024, 6, 3), "4"), (date(2024, 12, 2), "4"), (date(2025, 6, 2), "8")):
        dividend(holder, many, on, gross)
    document = income(EURO)
    rows = [figures(row.symbol, row.annual_gross_base, row.growth) for row in document.holdings]
    # One payment after two is no growth of a payment.
    assert rows == [("MANY", 8, None), ("FEW", 1, 0)]
    assert document.start == date(2024, 6, 3)


def test_a_split_since_the_payment_changes_no_yield(holder: models.Account) -> None:
    """5 units before a split of 2 for 1 are the 10 of now: the 10 they got are the year's."""
    share = builders.instrument("KO")
    builders.position(holder, share, "10", "12", "100")
    bought(holder, share, "5", date(2024, 1, 2))
    dividend(holder, share, date(2025, 6, 2), "10")
    builders.activity(holder, "split", date(2025, 9, 1), share, quantity="5")
    (row,) = income(EURO).holdings
    assert row.annual_gross_base == 10


def test_the_day_before_the_ex_date_decides_how_many_units_were_paid(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.position(holder, share, "10", "12", "100")
    bought(holder, share, "5", date(2024, 1, 2))
    bought(holder, share, "5", date(2025, 5, 20))  # after the ex-date, before the payment
    dividend(holder, share, date(2025, 6, 2), "10", ex_date=date(2025, 5, 15))
    (row,) = income(EURO).holdings
    assert row.annual_gross_base == 20


def test_a_quantity_from_before_the_opening_is_unknown_and_so_is_the_yield(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.position(holder, share)
    builders.activity(
        holder, "opening", date(2025, 12, 31), share, quantity="10", is_derived=True, sources=()
    )
    dividend(holder, share, date(2025, 6, 2), "10")
    (row,) = income(EURO).holdings
    assert figures(row.annual_gross_base, row.trailing_yield, row.yield_on_cost) == (None, None, None)


def test_a_short_position_has_no_yield(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.position(holder, share, "-10", "12", "-100")
    builders.activity(holder, "sell", date(2024, 1, 2), share, quantity="-10", price="10")
    dividend(holder, share, date(2025, 6, 2), "-10")
    (row,) = income(EURO).holdings
    assert row.trailing_yield is None


# What is to come


def accrual(holder: models.Account, of: models.Instrument, pays: date, **amounts: str) -> None:
    for name, amount in amounts.items():
        models.Figure.objects.create(
            account=holder,
            section="OpenDividendAccruals",
            name=name,
            since=date(2026, 2, 20),
            until=pays,
            currency=of.currency,
            broker_ref=of.broker_ref,
            amount=Decimal(amount),
        )


@pytest.fixture
def payer(holder: models.Account) -> models.Instrument:
    """10 units since 2024 that paid 5 each 10 June and 10 December; tax 15 %."""
    share = builders.instrument("KO")
    builders.position(holder, share)
    bought(holder, share, "10", date(2024, 1, 2))
    for on in (date(2024, 12, 10), date(2025, 6, 10), date(2025, 12, 10)):
        dividend(holder, share, on, "5", "-0.75")
    return share


@pytest.mark.usefixtures("payer")
def test_estimates_repeat_the_seasons_of_the_last_year() -> None:
    found = income(EURO).expected
    assert [figures(row.on, row.status, row.gross, row.net) for row in found] == [
        (date(2026, 6, 10), "estimated", 5, Decimal("4.25")),
        (date(2026, 12, 10), "estimated", 5, Decimal("4.25")),
    ]


def test_what_is_declared_takes_the_place_of_its_estimate(
    holder: models.Account, payer: models.Instrument
) -> None:
    accrual(holder, payer, date(2026, 6, 16), grossAmount="6", tax="0.9", netAmount="5.1")
    found = income(EURO).expected
    assert [figures(row.on, row.status, row.gross, row.tax, row.net) for row in found] == [
        (date(2026, 6, 16), "declared", 6, Decimal("-0.9"), Decimal("5.1")),
        (date(2026, 12, 10), "estimated", 5, Decimal("-0.75"), Decimal("4.25")),
    ]
    # The ex-date is the broker's word, and of an estimate nobody said one.
    assert [row.ex_date for row in found] == [date(2026, 2, 20), None]


def test_an_accrual_that_is_payable_already_is_not_to_come(
    holder: models.Account, payer: models.Instrument
) -> None:
    accrual(holder, payer, TODAY, grossAmount="6", netAmount="6")
    assert {row.status for row in income(EURO).expected} == {"estimated"}


def test_one_payment_is_no_pattern(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.position(holder, share)
    bought(holder, share, "10", date(2024, 1, 2))
    dividend(holder, share, date(2025, 6, 10), "5")
    assert income(EURO).expected == ()


def test_a_declared_payment_takes_the_place_of_an_estimate_within_half_the_usual_gap(
    holder: models.Account,
) -> None:
    """Paid on the 10th of every month: gaps of a month, so within 15 days."""
    share = builders.instrument("KO")
    builders.position(holder, share)
    bought(holder, share, "10", date(2024, 1, 2))
    for month in range(4, 15):
        dividend(holder, share, date(2025 + (month - 1) // 12, (month - 1) % 12 + 1, 10), "5")
    accrual(holder, share, date(2026, 4, 22), grossAmount="6", netAmount="6")
    found = [(row.on, row.status) for row in income(EURO).expected]
    assert found[0] == (date(2026, 4, 22), "declared")
    assert [on for on, status in found if status == "estimated"] == [
        *(date(2026, month, 10) for month in range(5, 13)),
        *(date(2027, month, 10) for month in range(1, 3)),
    ]


def test_a_declared_payment_of_which_the_net_alone_is_told_is_worked_out(
    holder: models.Account, payer: models.Instrument
) -> None:
    accrual(holder, payer, date(2026, 6, 16), tax="0.9", fee="0.1", netAmount="5")
    accrual(holder, payer, date(2026, 12, 14), tax="0.9")
    found = [figures(row.gross, row.tax, row.net) for row in income(EURO).expected]
    assert found == [figures(6, Decimal("-0.9"), 5), figures(None, Decimal("-0.9"), None)]


def test_an_estimate_of_which_the_tax_is_not_known_has_no_net() -> None:
    holder = builders.account(cash_since=datetime(2025, 1, 1, tzinfo=UTC))
    share = builders.instrument("KO")
    builders.position(holder, share)
    bought(holder, share, "10", date(2024, 1, 2))
    for on in (date(2025, 6, 10), date(2025, 12, 10)):
        builders.activity(holder, "dividend", on, share, gross="5")
    found = [figures(row.on, row.gross, row.tax, row.net) for row in income(EURO).expected]
    assert found == [(date(2026, 6, 10), 5, None, None), (date(2026, 12, 10), 5, None, None)]


def test_the_last_day_is_in_the_sums_and_in_the_last_year(holder: models.Account) -> None:
    share = builders.instrument("KO")
    dividend(holder, share, TODAY, "7")
    dividend(holder, share, date(2025, 3, 5), "20")
    dividend(holder, share, date(2025, 3, 4), "300")  # a year ago
    totals = income(EURO).totals
    assert figures(totals.net_base, totals.trailing_net_base, totals.previous_net_base) == (327, 27, 300)


def test_nothing_comes_after_maturity_and_capital_given_back_is_no_pattern(holder: models.Account) -> None:
    bond = builders.instrument("BOND", asset_class="bond", expires_on=date(2026, 8, 1))
    fund = builders.instrument("FUND")
    for paper in (bond, fund):
        builders.position(holder, paper)
        bought(holder, paper, "10", date(2024, 1, 2))
    for on in (date(2025, 6, 10), date(2025, 12, 10)):
        builders.activity(holder, "interest", on, bond, gross="5")
        builders.activity(holder, "dividend", on, fund, gross="5", subtype="return of capital")
    assert [(row.symbol, row.on) for row in income(EURO).expected] == [("BOND", date(2026, 6, 10))]


def test_what_was_sold_pays_nothing_more(holder: models.Account) -> None:
    share = builders.instrument("KO")
    bought(holder, share, "10", date(2024, 1, 2))
    dividend(holder, share, date(2025, 6, 10), "5")
    dividend(holder, share, date(2025, 12, 10), "5")
    builders.position(holder, share, "0", None, is_open=False)
    assert income(EURO).expected == ()


def test_accruals_are_as_the_broker_tells_them(holder: models.Account) -> None:
    builders.cash(holder, "EUR", "5", accrued_dividends=Decimal("12.5"), accrued_interest=Decimal("-1.2"))
    builders.cash(holder, "USD", "5", accrued_dividends=Decimal(0))
    (row,) = income(EURO).accrued
    assert figures(row.currency, row.dividends, row.interest_base) == (
        "EUR",
        Decimal("12.5"),
        Decimal("-1.2"),
    )
