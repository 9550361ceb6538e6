from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.reconcile import AccountLines, Line, reconcile
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import NOW

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
OPENED, TRADED = date(2026, 1, 5), date(2026, 2, 2)


def only(scope: Scope = EUR) -> AccountLines:
    (account,) = reconcile(scope).accounts
    return account


def line(what: str) -> Line:
    return next(line for line in only().lines if line.what == what)


def story(nav: str = "210", cash: str = "90", quantity: str = "10") -> Account:
    """Opened with 150 EUR, bought 5 for 60 beside 5 that had cost 50: 10 worth 120, cash 90, NAV 210."""
    account = builders.account(
        reported_nav=Decimal(nav),
        reported_cash=Decimal(cash),
        reported_as_of=NOW,
        cash_since=datetime(2026, 1, 5, 9, tzinfo=UTC),
    )
    share = builders.instrument("AAA", broker_ref="42")
    builders.position(account, share, quantity, "12", "110")
    builders.activity(account, "opening", OPENED, share, quantity="5", cost="50", gross="0", is_derived=True)
    builders.activity(account, "opening", OPENED, gross="150", is_derived=True)
    builders.activity(account, "buy", TRADED, share, quantity="5", gross="-60")
    builders.cash(account, "EUR", cash, reported_nav=Decimal(nav))
    return account


def test_what_fits_together_agrees() -> None:
    story()
    account = only()
    assert account.agrees
    assert account.as_of == NOW
    assert [(line.what, line.computed, line.reported, line.difference) for line in account.lines] == [
        ("NAV", Decimal(210), Decimal(210), Decimal(0)),
        ("cash", Decimal(90), Decimal(90), Decimal(0)),
        ("cash EUR", Decimal(90), Decimal(90), Decimal(0)),
        ("NAV EUR", Decimal(210), Decimal(210), Decimal(0)),
        ("quantity AAA (42)", Decimal(10), Decimal(10), Decimal(0)),
        ("market value AAA (42)", Decimal(120), Decimal(120), Decimal(0)),
        ("cost basis AAA (42)", Decimal(110), Decimal(110), Decimal(0)),
        ("unrealized P&L AAA (42)", Decimal(10), Decimal(10), Decimal(0)),
    ]


def test_a_difference_under_half_a_cent_agrees_and_a_cent_does_not() -> None:
    story(nav="210.004")
    assert only().agrees
    Account.objects.update(reported_nav=Decimal("210.01"))
    assert not only().agrees
    assert line("NAV").difference == Decimal("-0.01")


def test_instruments_that_are_not_read_yet_are_told_where_something_differs() -> None:
    account = story()
    assert reconcile(EUR).unread is None
    builders.position(account, builders.instrument("BBB"), covered_since=OPENED)
    told = reconcile(EUR).unread
    assert told is not None
    assert told.what.startswith("Of U1 the transactions of 1 of 2 instruments are read")


def test_quantities_must_be_equal_to_the_last_digit() -> None:
    story(quantity="10.0001")
    assert not only().agrees
    assert line("quantity AAA (42)").difference == Decimal("-0.0001")


def test_a_change_that_no_activity_explains_is_a_difference() -> None:
    account = story(nav="90", quantity="0")
    share = account.position_set.get().instrument
    builders.activity(account, "sell", TRADED, share, quantity="-10", is_derived=True)
    assert line("quantity AAA (42)").computed == 10
    assert line("quantity AAA (42)").difference == 10
    assert not only().agrees


def test_cash_that_came_unseen_is_a_difference() -> None:
    story(nav="310", cash="190")
    assert line("cash").difference == 0
    assert line("cash EUR").difference == -100
    assert not only().agrees


def test_an_activity_with_unknown_money_after_the_first_report_leaves_cash_unknown() -> None:
    account = story()
    builders.activity(account, "buy", date(2026, 3, 5), builders.instrument("BBB"), quantity="0")
    assert line("cash EUR").computed is None
    assert line("cash EUR").difference is None
    assert not only().agrees


def test_one_before_the_first_report_is_in_the_opening_already() -> None:
    builders.activity(story(), "buy", TRADED, builders.instrument("BBB"), quantity="0")
    assert line("cash EUR").difference == 0


def test_an_unknown_price_leaves_nav_unknown() -> None:
    builders.position(story(), builders.instrument("BBB"), "0.5", None)
    assert line("NAV").computed is None
    assert line("NAV EUR").computed is None
    assert not only().agrees


def test_a_price_without_a_cost_still_reconciles() -> None:
    account = story(nav="222")
    share = builders.instrument("BBB")
    builders.position(account, share, "1", "12", cost=None)
    builders.activity(account, "opening", OPENED, share, quantity="1", gross="0", is_derived=True)
    assert line("NAV").difference == 0


def test_what_the_broker_does_not_report_has_no_line() -> None:
    account = builders.account()
    builders.cash(account, "EUR", "0")
    assert [line.what for line in only().lines] == ["cash EUR"]
    assert only().agrees


def test_foreign_cash_is_compared_in_its_own_currency_and_nav_in_the_accounts() -> None:
    """100 USD at 0.8 EUR are 80 EUR."""
    builders.rate("USD", "EUR", "0.8")
    account = builders.account(reported_nav=Decimal(80), reported_cash=Decimal(80))
    builders.cash(account, "USD", "100", reported_nav=Decimal(100))
    builders.activity(account, "opening", OPENED, currency="USD", gross="100", is_derived=True)
    assert [(line.what, line.computed) for line in only(Scope("CHF")).lines] == [
        ("NAV", Decimal(80)),
        ("cash", Decimal(80)),
        ("cash USD", Decimal(100)),
        ("NAV USD", Decimal(100)),
    ]
    assert only().agrees


def test_nav_is_compared_at_the_rates_of_the_day_it_is_of() -> None:
    """100 USD were 80 EUR on the day of the statement, which was imported weeks later, at 0.9."""
    told_at = datetime(2026, 1, 30, 21, tzinfo=UTC)
    builders.rate("USD", "EUR", "0.8", told_at.date())
    builders.rate("USD", "EUR", "0.9")
    account = builders.account(
        reported_nav=Decimal(80), reported_cash=Decimal(80), reported_as_of=told_at, cash_since=told_at
    )
    builders.cash(account, "USD", "100")
    builders.activity(account, "opening", OPENED, currency="USD", gross="100", is_derived=True)
    assert only().agrees


def test_an_earlier_day_is_held_against_the_brokers_nav_of_that_day() -> None:
    """On 2 February: 10 at 11 and 90 of cash are 200."""
    account = story()
    builders.price(account.position_set.get().instrument, "11", TRADED)
    builders.nav(account, "200", TRADED)
    day = only(Scope("EUR", as_of=TRADED))
    assert day.as_of == TRADED
    assert [(line.what, line.computed, line.difference) for line in day.lines] == [
        ("NAV", Decimal(200), Decimal(0))
    ]


def test_the_number_of_queries_does_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    account = builders.account()
    for index in range(200):
        builders.position(account, builders.instrument(f"S{index}"))
    only()  # works the lots out
    with django_assert_num_queries(15):
        assert len(only().lines) == 4 * 200
