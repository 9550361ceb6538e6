from datetime import date, timedelta
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import SeriesDocument, series
from tests.reports import builders as made
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
FRIDAY, SATURDAY, MONDAY, TUESDAY, WEDNESDAY = (
    date(2026, 2, 27) + timedelta(days=n) for n in (0, 1, 3, 4, 5)
)


def by_day(document: SeriesDocument) -> dict[date, tuple[Decimal | None, ...]]:
    return {
        on: row
        for on, *row in zip(
            document.dates, document.nav, document.net_contribution, document.twr_index, strict=True
        )
    }


def deposit_and_purchase() -> models.Account:
    """1,000 comes in on Friday, 10 shares at 50 with a fee of 1 on Monday; 50, 55, 54 at the days' ends."""
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", FRIDAY, gross="1000")
    made.activity(account, "buy", MONDAY, share, quantity="10", price="50", gross="-500", fee="-1")
    for on, close in ((MONDAY, "50"), (TUESDAY, "55"), (WEDNESDAY, "54")):
        made.price(share, close, on)
    return account


def test_the_value_is_cash_and_positions_at_the_days_prices() -> None:
    deposit_and_purchase()
    pack()
    days = by_day(series(EUR))
    # 1000; then 499 cash and 10 shares at 50, 55, 54. The index: 999/1000, 1049/999, 1039/1049.
    assert days[FRIDAY] == [1000, 1000, 1]
    assert days[SATURDAY] == [1000, 0, 1]
    assert days[MONDAY] == [999, 0, Decimal("0.999")]
    assert days[TUESDAY] == [1049, 0, Decimal("1.049")]
    assert days[WEDNESDAY] == [1039, 0, Decimal("1.039")]
    assert min(days) == FRIDAY - timedelta(days=1)
