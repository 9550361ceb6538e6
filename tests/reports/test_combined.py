from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stonks_overwatch.reports.combined import combined
from stonks_overwatch.reports.holdings import Holding, holdings
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db


def one_of_two(first: dict[str, object], second: dict[str, object]) -> Holding:
    """The combined holding of one instrument that two accounts hold."""
    held = builders.instrument("AAA")
    builders.position(builders.account("U1"), held, **first)  # type: ignore[arg-type]
    builders.position(builders.account("U2"), held, **second)  # type: ignore[arg-type]
    rows = combined(holdings(Scope("EUR")).holdings)
    assert len(rows) == 1
    return rows[0]


def test_amounts_of_the_accounts_are_summed() -> None:
    row = one_of_two(
        {"quantity": "10", "price": "12", "cost": "100", "average_cost": Decimal(10)},
        {"quantity": "2.5", "price": "12", "cost": "20", "average_cost": Decimal(8)},
    )

    assert row.account == "U1, U2"
    assert row.quantity == Decimal("12.5")
    assert row.market_value == 150  # 12.5 × 12
    assert row.cost_basis == 120
    assert row.unrealized_pnl == 30
    assert row.average_cost == Decimal("9.6")  # 120 / 12.5
    assert row.weight == 1


def test_a_sum_is_unknown_as_soon_as_one_part_is() -> None:
    row = one_of_two(
        {"quantity": "10", "price": "12", "cost": "100"}, {"quantity": "1", "price": None, "cost": "9"}
    )

    assert row.market_value is None
    assert row.unrealized_pnl_base is None
    assert row.cost_basis == 109
    assert row.price == 12


def test_the_newest_price_is_shown() -> None:
    row = one_of_two(
        {"price": "12", "priced_at": datetime(2026, 3, 4, 9, tzinfo=UTC)},
        {"price": "13", "priced_at": datetime(2026, 3, 4, 10, tzinfo=UTC)},
    )

    assert row.price == 13


def test_long_in_one_account_and_short_in_the_other_has_no_average_cost() -> None:
    row = one_of_two(
        {"quantity": "10", "cost": "100", "average_cost": Decimal(10)},
        {"quantity": "-4", "cost": "-44", "average_cost": Decimal(11)},
    )

    assert row.quantity == 6
    assert row.average_cost is None


def test_different_instruments_of_one_name_stay_apart() -> None:
    holder = builders.account("U1")
    for _ in range(2):
        builders.position(holder, builders.instrument("AAA"))

    assert len(combined(holdings(Scope("EUR")).holdings)) == 2
