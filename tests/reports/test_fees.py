"""Fees and taxes: kinds, sums by hand, and what they are of the value."""

from datetime import date
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.fees import fees
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")
DAY = date(2026, 2, 2)


@pytest.fixture
def holder() -> models.Account:
    return builders.account()


def test_nothing_stored_is_an_empty_document() -> None:
    document = fees(EURO)
    assert figures(document.charges, document.totals.net_base, document.totals.of_value) == ((), 0, None)


def test_every_charge_has_its_kind(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.activity(
        holder, "buy", DAY, share, quantity="10", price="12", gross="-120", fee="-1.5", tax="-0.6"
    )
    builders.activity(holder, "dividend", DAY, share, gross="20", fee="-0.2", tax="-3")
    builders.activity(holder, "tax", DAY, share, gross="-4", subtype="withholding tax")
    builders.activity(holder, "fee", DAY, gross="-5", subtype="market data")
    builders.activity(holder, "fee", DAY, gross="-7")
    document = fees(EURO)
    assert {row.key: row.net_base for row in document.by_kind} == {
        "commission": Decimal("-1.5"),
        "transaction tax": Decimal("-0.6"),
        "other fee": Decimal("-7.2"),
        "withholding tax": -7,
        "market data": -5,
    }
    # fees 1.5 + 0.2 + 5 + 7 = 13.7; taxes 0.6 + 3 + 4 = 7.6
    assert document.totals.gross_base == Decimal("-13.7")
    assert document.totals.tax_base == Decimal("-7.6")
    assert document.totals.net_base == Decimal("-21.3")


def test_what_was_given_back_lowers_the_sum(holder: models.Account) -> None:
    builders.activity(holder, "fee", DAY, gross="-5")
    builders.activity(holder, "fee", DAY, gross="2", subtype="commission credit")
    assert fees(EURO).totals.net_base == -3


def test_interest_paid_is_no_fee(holder: models.Account) -> None:
    builders.activity(holder, "interest", DAY, gross="-12", subtype="debit interest")
    assert fees(EURO).charges == ()


def test_charges_are_of_the_average_value_of_their_days(holder: models.Account) -> None:
    """12 taken in ten days, values of 1,000 and 1,400: 12 / 1,200 = 1 %, a year 1 % × 365 / 10."""
    builders.nav(holder, "1000", date(2026, 2, 3))
    builders.nav(holder, "1400", date(2026, 2, 9))
    builders.activity(holder, "fee", DAY, gross="-12")
    totals = fees(EURO, date(2026, 2, 1), date(2026, 2, 10)).totals
    assert figures(totals.average_nav_base, totals.valued_days) == (1200, 2)
    assert totals.of_value == Decimal("0.01")
    assert totals.of_value_yearly == Decimal("0.365")


def test_a_day_on_which_an_account_has_no_value_is_not_averaged(holder: models.Account) -> None:
    other = builders.account("U2")
    for on in (date(2026, 2, 3), date(2026, 2, 4)):
        builders.nav(holder, "1000", on)
    builders.nav(other, "500", date(2026, 2, 3))
    builders.activity(holder, "fee", DAY, gross="-15")
    totals = fees(EURO).totals
    assert figures(totals.average_nav_base, totals.valued_days) == (1500, 1)


def test_values_are_averaged_in_the_base_currency(holder: models.Account) -> None:
    builders.rate("EUR", "USD", "2", date(2026, 2, 3))
    builders.nav(holder, "1000", date(2026, 2, 3))
    builders.activity(holder, "fee", date(2026, 2, 3), gross="-10")
    totals = fees(Scope("USD")).totals
    assert figures(totals.net_base, totals.average_nav_base, totals.of_value) == (-20, 2000, Decimal("0.01"))


def test_months_without_a_charge_are_there(holder: models.Account) -> None:
    builders.activity(holder, "fee", date(2025, 12, 5), gross="-1")
    builders.activity(holder, "fee", date(2026, 2, 5), gross="-2")
    rows = fees(EURO).by_month
    assert [figures(row.key, row.net_base) for row in rows] == [
        ("2025-12", -1),
        ("2026-01", 0),
        ("2026-02", -2),
        ("2026-03", 0),
    ]
