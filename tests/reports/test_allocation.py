from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.reports.allocation import BY, By, allocation
from stonks_overwatch.reports.documents import total
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")


def values(by: By) -> dict[str, Decimal | None]:
    return {row.key: row.value_base for row in allocation(EUR, by).slices}


@pytest.fixture
def portfolio() -> None:
    """In EUR, 1 USD = 0.8 EUR: shares 240, an ETF of 100 USD = 80, a future's profit 30, cash 50, accrued 2.

    NAV 402.
    """
    builders.rate("USD", "EUR", "0.8")
    one, two = builders.account("U1"), builders.account("D1", broker="degiro")
    share = builders.instrument("AAA", country="DE", sector="Technology", exchange="IBIS")
    builders.position(one, share, "10", "12")
    builders.position(two, share, "10", "12")
    builders.position(one, builders.instrument("ETF", "USD", asset_class="etf", country="IE"), "5", "20")
    builders.position(
        one, builders.instrument("FUT", asset_class="future"), "1", "5000", market_value=Decimal(30)
    )
    builders.cash(one, "EUR", "60", accrued_interest=Decimal(2))
    builders.cash(two, "EUR", "-10")


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("asset_class", {"stock": 240, "etf": 80, "cash": 52, "future": 30}),
        ("currency", {"EUR": 322, "USD": 80}),
        ("country", {"DE": 240, "IE": 80, "cash": 52, "unknown": 30}),
        ("sector", {"Technology": 240, "unknown": 110, "cash": 52}),
        ("exchange", {"IBIS": 240, "unknown": 110, "cash": 52}),
        ("account", {"U1": 292, "D1": 110}),
        ("broker", {"ibkr": 292, "degiro": 110}),
    ],
)
def test_nav_is_spread_without_rest(by: By, expected: dict[str, int]) -> None:
    document = allocation(EUR, by)
    assert {row.key: row.value_base for row in document.slices} == expected
    assert [row.key for row in document.slices] == list(expected)
    assert document.total_base == 402


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("by", BY)
def test_the_weights_add_up_to_one(by: By) -> None:
    weights = total(row.weight for row in allocation(EUR, by).slices)
    assert weights.value is not None
    assert abs(weights.value - 1) < Decimal("1e-20")


def test_a_short_position_and_a_loan_are_negative_slices() -> None:
    account = builders.account()
    builders.position(account, builders.instrument("AAA"), "10", "20")
    builders.position(account, builders.instrument("BBB", asset_class="option"), "-1", "50", cost="-60")
    builders.cash(account, "EUR", "-50")
    document = allocation(EUR, "asset_class")
    assert [(row.key, row.value_base, row.weight) for row in document.slices] == [
        ("stock", Decimal(200), Decimal(2)),
        ("cash", Decimal(-50), Decimal("-0.5")),
        ("option", Decimal(-50), Decimal("-0.5")),
    ]


def test_a_slice_of_which_nothing_is_known_has_no_value() -> None:
    account = builders.account()
    builders.position(account, builders.instrument("AAA"), "10", "12")
    builders.position(account, builders.instrument("BBB", asset_class="warrant"), "10", None)
    # Neither more than a loan nor less: it comes last.
    builders.cash(account, "EUR", "-5")
    assert list(values("asset_class").items()) == [("stock", 120), ("cash", -5), ("warrant", None)]
    assert allocation(EUR, "asset_class").total_base == 115


def test_futures_reported_as_one_amount_are_a_future_of_their_currency() -> None:
    account = builders.account()
    builders.position(account, builders.instrument("ES", asset_class="future"), "1", "5", market_value=None)
    builders.cash(account, "EUR", "100", futures_pnl=Decimal(20))
    assert values("asset_class") == {"cash": 100, "future": 20}
    assert values("currency") == {"EUR": 120}
    by_place: tuple[By, ...] = ("country", "sector", "exchange")
    for by in by_place:
        assert values(by) == {"cash": 100, "unknown": 20}


def test_nothing_stored_has_no_slices() -> None:
    document = allocation(EUR, "sector")
    assert document.slices == ()
    assert document.total_base == 0


def test_it_asks_the_database_no_more_than_holdings(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    account = builders.account()
    for index in range(100):
        builders.position(account, builders.instrument(f"S{index}"))
    allocation(EUR, "currency")  # works the lots out
    with django_assert_num_queries(7):
        allocation(EUR, "currency")
