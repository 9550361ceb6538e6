"""Cash by currency at the ends of months: worked back from balances that the broker told."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.balances import cash_over_time
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import TOPICS
from tests.reports import builders
from tests.reports.builders import figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")


def statement(holder: models.Account, since: str, until: str, **ending: str) -> None:
    """A statement of all topics with the cash at its end, by currency."""
    for topic in TOPICS:
        models.Period.objects.create(account=holder, source="flex", topic=topic, since=since, until=until)
    for currency, amount in ending.items():
        models.Figure.objects.create(
            account=holder, section="CashReport", name="endingCash", since=until, until=until,
            currency=currency, amount=Decimal(amount),
        )  # fmt: skip


def amounts(currency: str = "EUR", start: date | None = None) -> dict[date, Decimal | None]:
    document = cash_over_time(EURO, start)
    return {row.on: row.amount for row in document.balances if row.currency == currency}


def test_nothing_stored_is_an_empty_document() -> None:
    document = cash_over_time(EURO)
    assert figures(document.days, document.now, document.total_base) == ((), (), 0)


def test_month_ends_are_the_next_told_balance_without_what_moved_since() -> None:
    """300 at the end of February; 50 came on 10 February, 20 left on 20 January."""
    holder = builders.account()
    builders.cash(holder, "EUR", "300")
    statement(holder, "2025-12-01", "2026-02-28", EUR="300")
    builders.activity(holder, "deposit", date(2026, 2, 10), gross="50")
    builders.activity(holder, "withdrawal", date(2026, 1, 20), gross="-20")
    assert amounts() == {
        date(2025, 12, 31): 270,
        date(2026, 1, 31): 250,
        date(2026, 2, 28): 300,
        date(2026, 3, 4): 300,
    }


def test_a_day_that_no_statement_covers_is_unknown() -> None:
    holder = builders.account()
    builders.cash(holder, "EUR", "300")
    statement(holder, "2026-02-01", "2026-02-28", EUR="300")
    assert amounts(start=date(2025, 12, 15)) == {
        date(2025, 12, 31): None,
        date(2026, 1, 31): 300,
        date(2026, 2, 28): 300,
        date(2026, 3, 4): 300,
    }


def test_from_the_first_report_on_the_ledger_tells_where_it_explains_the_balance() -> None:
    holder = builders.account(cash_since=datetime(2026, 1, 15, tzinfo=UTC))
    builders.cash(holder, "EUR", "300")
    builders.activity(holder, "opening", date(2026, 1, 14), gross="250", is_derived=True, sources=())
    builders.activity(holder, "deposit", date(2026, 2, 10), gross="50")
    assert amounts()[date(2026, 1, 31)] == 250
    builders.activity(holder, "deposit", date(2026, 2, 11), gross="1")  # now nothing adds up
    assert amounts()[date(2026, 1, 31)] is None


def test_a_balance_is_in_the_base_currency_at_the_rate_of_its_day() -> None:
    holder = builders.account()
    builders.cash(holder, "USD", "100")
    statement(holder, "2026-01-01", "2026-02-28", USD="100")
    builders.rate("USD", "EUR", "0.9", date(2026, 1, 30))
    builders.rate("USD", "EUR", "0.8", date(2026, 2, 27))
    totals = {row.on: row.total_base for row in cash_over_time(EURO).days}
    assert totals[date(2026, 1, 31)] == 90
    assert totals[date(2026, 2, 28)] == 80


def test_now_is_by_account_and_currency_with_its_part_of_all_cash() -> None:
    holder = builders.account()
    builders.cash(holder, "EUR", "300", settled=Decimal(290))
    builders.cash(builders.account("U2"), "EUR", "100")
    builders.cash(holder, "CHF", "0")
    rows = [figures(row.account, row.amount, row.settled, row.weight) for row in cash_over_time(EURO).now]
    assert rows == [
        ("U1", 300, 290, Decimal("0.75")),
        ("U2", 100, None, Decimal("0.25")),
    ]
