from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.reports.accounts import account_rows
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import NOW
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")


def test_an_account_shows_its_parts_in_the_base_currency() -> None:
    """100 USD of shares = 80 EUR, 50 USD of cash = 40, 5 USD accrued = 4: NAV 155 USD = 124 EUR."""
    builders.rate("USD", "EUR", "0.8")
    account = builders.account(
        "U2", "USD", alias="Long term", kind="INDIVIDUAL", login="main", reported_nav=Decimal(155),
        reported_as_of=NOW,
    )  # fmt: skip
    share = builders.instrument("AAA", "USD")
    builders.position(account, share, "5", "20", cost="90")
    builders.cash(account, "USD", "50", accrued_dividends=Decimal(5))
    builders.activity(account, "buy", of=share, quantity="5", gross="-90")
    pack()
    (row,) = account_rows(EUR).accounts
    assert (row.account, row.alias, row.kind, row.login) == ("U2", "Long term", "INDIVIDUAL", "main")
    assert (row.currency, row.nav, row.nav_base) == ("USD", Decimal(155), Decimal(124))
    assert (row.market_value_base, row.cash_base, row.accrued_base) == (Decimal(80), Decimal(40), Decimal(4))
    assert row.unrealized_pnl_base == 8
    assert (row.positions, row.activities, row.unknown) == (1, 1, 0)
    assert (row.reported_nav, row.reported_as_of, row.updated_at) == (Decimal(155), NOW, NOW)
    assert row.weight == 1


def test_an_unknown_figure_is_counted_where_it_is() -> None:
    one, two = builders.account("U1"), builders.account("U2")
    builders.position(one, builders.instrument("AAA"), "1", None)
    builders.position(two, builders.instrument("BBB"), "1", "10")
    assert [(row.account, row.unknown, row.nav) for row in account_rows(EUR).accounts] == [
        ("U1", 1, None),
        ("U2", 0, Decimal(10)),
    ]


def test_the_same_id_at_two_brokers_is_two_accounts() -> None:
    for broker, amount in (("ibkr", "10"), ("degiro", "30")):
        account = builders.account("1", broker=broker)
        builders.position(account, builders.instrument(broker_ref="1", broker=broker), "1", amount)
    document = account_rows(EUR)
    assert [(row.broker, row.nav, row.positions) for row in document.accounts] == [
        ("degiro", Decimal(30), 1),
        ("ibkr", Decimal(10), 1),
    ]
    assert [row.weight for row in document.accounts] == [Decimal("0.75"), Decimal("0.25")]


def test_the_number_of_queries_does_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for index in range(20):
        builders.position(builders.account(f"U{index}"), builders.instrument(f"S{index}"))
    account_rows(EUR)  # works the lots out
    with django_assert_num_queries(8):
        assert len(account_rows(EUR).accounts) == 20
