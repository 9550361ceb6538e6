from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.dashboard import DayChange, dashboard
from stonks_overwatch.reports.explain import Arguments, explain
from stonks_overwatch.reports.explain.asked import asked_in
from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import NOW, TODAY
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
UNKNOWN = DayChange(value_base=None, fraction=None, since=None)


def worth(name: str, amount: str, currency: str = "EUR", **more: Any) -> Account:
    """An account that holds nothing but cash."""
    account = builders.account(name, currency, **more)
    builders.cash(account, currency, amount)
    return account


def test_the_totals_are_those_of_holdings() -> None:
    account = worth("U1", "50")
    builders.position(account, builders.instrument(), "10", "12")
    document = dashboard(EUR)
    assert document.totals == holdings(EUR).totals
    assert document.positions == 1
    assert document.as_of == NOW


def test_the_days_change_is_against_the_brokers_last_end_of_day() -> None:
    """100 at the end of Tuesday, 110 now: +10, a tenth."""
    account = worth("U1", "110")
    builders.nav(account, "90", MONDAY)
    builders.nav(account, "100", TUESDAY)
    document = dashboard(EUR)
    change = DayChange(value_base=Decimal(10), fraction=Decimal("0.1"), since=TUESDAY)
    assert document.day_change == change
    assert document.accounts[0].day_change == change


def test_a_value_of_today_is_no_end_of_a_day() -> None:
    account = worth("U1", "110")
    builders.nav(account, "100", TUESDAY)
    builders.nav(account, "109", TODAY)
    assert dashboard(EUR).day_change.value_base == 10


def test_without_an_end_of_day_the_change_is_unknown() -> None:
    worth("U1", "110")
    assert dashboard(EUR).day_change == UNKNOWN


def test_an_end_of_day_of_more_than_a_week_ago_is_none() -> None:
    account = worth("U1", "110")
    builders.nav(account, "100", date(2026, 2, 24))
    assert dashboard(EUR).day_change == UNKNOWN


def test_one_account_without_a_change_leaves_the_whole_unknown() -> None:
    builders.nav(worth("U1", "110"), "100", TUESDAY)
    worth("U2", "50")
    document = dashboard(EUR)
    assert document.accounts[0].day_change.value_base == 10
    assert document.day_change == UNKNOWN


def test_the_change_of_two_accounts_is_in_the_base_currency_with_the_move_of_rates() -> None:
    """U1 100 to 110 EUR. U2 100 USD at 0.9 = 90 EUR to 100 USD at 0.8 = 80 EUR. 190 to 190: none."""
    builders.rate("USD", "EUR", "0.9", TUESDAY)
    builders.rate("USD", "EUR", "0.8", TODAY)
    builders.nav(worth("U1", "110"), "100", TUESDAY)
    builders.nav(worth("U2", "100", "USD"), "100", TUESDAY)
    document = dashboard(EUR)
    assert [row.day_change.value_base for row in document.accounts] == [Decimal(10), Decimal(-10)]
    assert document.day_change == DayChange(value_base=Decimal(0), fraction=Decimal(0), since=TUESDAY)


def test_without_the_earlier_rate_the_change_is_at_todays() -> None:
    builders.rate("XYZ", "EUR", "0.8", TODAY)
    builders.nav(worth("U1", "110", "XYZ"), "100", TUESDAY)
    assert dashboard(EUR).day_change.value_base == 8
    told = explain("dashboard.accounts.day_change.value_base", Arguments(base="EUR", row=("ibkr U1",)))
    assert [one.value for one in told.inputs] == [88, 80]
    assert [(rate.rate, rate.for_day) for rate in told.rates] == [(Decimal("0.8"), TODAY)]


def test_the_series_sums_the_accounts_and_ends_with_now() -> None:
    one, two = worth("U1", "110"), worth("U2", "55")
    for account, navs in ((one, ("100", "105")), (two, ("50", "52"))):
        builders.nav(account, navs[0], MONDAY)
        builders.nav(account, navs[1], TUESDAY)
    series = dashboard(EUR).series
    assert series.dates == (MONDAY, TUESDAY, TODAY)
    assert series.nav == (Decimal(150), Decimal(157), Decimal(165))


def test_a_day_that_one_account_has_no_value_for_is_unknown() -> None:
    one, two = worth("U1", "110"), worth("U2", "55")
    builders.nav(one, "100", MONDAY)
    builders.nav(one, "105", TUESDAY)
    builders.nav(two, "52", TUESDAY)
    assert dashboard(EUR).series.nav == (None, Decimal(157), Decimal(165))


def test_accounts_whose_history_is_not_read_yet_are_named() -> None:
    builders.nav(worth("U1", "110"), "100", MONDAY)
    worth("U2", "55")
    series = dashboard(EUR).series
    assert series.nav == (None, Decimal(165))
    assert series.accounts_without == ("U2",)


def test_an_account_that_files_alone_tell_of_has_a_series_by_our_own_valuation() -> None:
    account = worth("U1", "100", cash_since=NOW)
    builders.activity(account, "deposit", MONDAY, gross="90")
    builders.activity(account, "interest", TUESDAY, gross="10")
    pack()
    series = dashboard(EUR).series
    assert series.dates == (MONDAY, TUESDAY, TODAY)
    assert series.nav == (Decimal(90), Decimal(100), Decimal(100))
    change = dashboard(EUR).accounts[0].day_change
    assert builders.figures(change.value_base, change.since) == (0, TUESDAY)
    asked = Arguments(base="EUR")
    for figure, row in (("accounts.day_change.value_base", "ibkr U1"), ("series.nav", str(MONDAY))):
        told = explain(f"dashboard.{figure}", asked.but(row=(row,)))
        of_day = told.inputs[-1]
        name, words = asked_in(of_day.explanation or "")
        assert of_day.value == explain(name, Arguments(**words)).value == (90 if row == str(MONDAY) else 100)


def test_an_account_counts_from_the_day_it_was_opened() -> None:
    one, two = worth("U1", "110"), worth("U2", "55", opened_on=TUESDAY)
    builders.nav(one, "100", MONDAY)
    builders.nav(one, "105", TUESDAY)
    builders.nav(two, "52", TUESDAY)
    assert dashboard(EUR).series.nav == (Decimal(100), Decimal(157), Decimal(165))


def test_a_day_without_a_rate_is_unknown() -> None:
    builders.rate("XYZ", "EUR", "0.5", TUESDAY)
    account = worth("U1", "110", "XYZ")
    builders.nav(account, "100", MONDAY)
    builders.nav(account, "104", TUESDAY)
    assert dashboard(EUR).series.nav == (None, Decimal(52), Decimal(55))


def test_a_value_of_now_that_is_not_whole_is_no_point() -> None:
    account = worth("U1", "110")
    builders.nav(account, "100", MONDAY)
    builders.position(account, builders.instrument(), "10", None)
    assert dashboard(EUR).series.dates == (MONDAY,)


def test_a_part_that_is_not_known_now_leaves_the_change_unknown() -> None:
    account = worth("U1", "110")
    builders.nav(account, "100", TUESDAY)
    builders.position(account, builders.instrument(), "10", None)
    assert dashboard(EUR).day_change == UNKNOWN


def test_an_unknown_cost_changes_neither_the_series_nor_the_change() -> None:
    account = worth("U1", "110")
    builders.nav(account, "100", TUESDAY)
    builders.position(account, builders.instrument(), "1", "5", cost=None)
    document = dashboard(EUR)
    assert document.day_change.value_base == 15
    assert document.series.nav == (Decimal(100), Decimal(115))


def test_the_dashboard_of_an_earlier_day_ends_there() -> None:
    account = worth("U1", "110", cash_since=datetime(2026, 1, 5, 9, tzinfo=UTC))
    builders.activity(account, "opening", date(2026, 1, 5), gross="110", is_derived=True)
    builders.nav(account, "100", MONDAY)
    builders.nav(account, "105", TUESDAY)
    document = dashboard(Scope("EUR", as_of=TUESDAY))
    assert document.series.dates == (MONDAY, TUESDAY)
    assert document.day_change.since == MONDAY


def test_cash_is_summed_per_currency_largest_first() -> None:
    builders.rate("USD", "EUR", "0.8")
    one, two = worth("U1", "30"), worth("U2", "20")
    builders.cash(one, "USD", "100")
    builders.cash(two, "USD", "-10")
    rows = dashboard(EUR).cash
    assert [(row.currency, row.amount, row.amount_base) for row in rows] == [
        ("USD", Decimal(90), Decimal(72)),
        ("EUR", Decimal(50), Decimal(50)),
    ]


def test_the_largest_holdings_come_first_whether_long_or_short() -> None:
    account = worth("U1", "1000")
    for symbol, quantity in (("AAA", "1"), ("BBB", "-5"), ("CCC", "3")):
        builders.position(account, builders.instrument(symbol), quantity, "10", cost="1")
    builders.position(account, builders.instrument("DDD"), "1", None)
    assert [row.symbol for row in dashboard(EUR).top_holdings] == ["BBB", "CCC", "AAA"]


def test_realized_profit_says_from_when_it_is_complete() -> None:
    account, early, late = builders.account(), builders.instrument("AAA"), builders.instrument("BBB")
    builders.activity(account, "opening", date(2026, 1, 5), early, quantity="1", is_derived=True)
    builders.activity(account, "opening", date(2026, 2, 2), late, quantity="1", is_derived=True)
    builders.activity(account, "buy", date(2026, 1, 7), early, quantity="1")
    assert dashboard(EUR).realized_since == date(2026, 2, 2)


def test_every_login_says_when_it_last_stored_something() -> None:
    early, late = datetime(2026, 3, 4, 8, tzinfo=UTC), datetime(2026, 3, 4, 9, tzinfo=UTC)
    builders.run("partial", early)
    builders.run("failed", late, error_code="timeout", error_what="No answer.", error_next_step="Wait.")
    (login,) = dashboard(EUR).logins
    assert login.updated_at == early
    assert login.last_run.error is not None
    assert login.last_run.error.code == "timeout"


def test_nothing_stored_is_an_empty_dashboard() -> None:
    document = dashboard(EUR)
    assert document.series.dates == ()
    assert document.day_change == UNKNOWN
    assert (document.accounts, document.top_holdings, document.cash) == ((), (), ())
    assert document.realized_since is None


@pytest.mark.parametrize("size", [10, 300])
def test_the_number_of_queries_does_not_grow(
    size: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    account = worth("U1", "110")
    for index in range(size):
        builders.position(account, builders.instrument(f"S{index}"))
        builders.nav(account, "100", date.fromordinal(TUESDAY.toordinal() - index))
    dashboard(EUR)  # works the lots out
    with django_assert_num_queries(10):
        dashboard(EUR)


def test_a_drawing_has_every_day_of_the_last_year_and_the_ends_of_weeks_and_months_before() -> None:
    account = worth("U1", "110")
    days = [TUESDAY - timedelta(days=age) for age in range(800, -1, -1)]
    for on in days:
        builders.nav(account, str(on.toordinal()), on)

    series = dashboard(EUR, every_day=False).series

    cut = TUESDAY - timedelta(days=372)
    ends = {on for on in days if on.weekday() == 6 or (on + timedelta(days=1)).day == 1}
    before = sorted({days[0], cut - timedelta(days=1), *(on for on in ends if on < cut)})
    assert list(series.dates)[:-1] == before + [on for on in days if on >= cut]
    assert list(series.nav)[:-1] == [on.toordinal() for on in series.dates[:-1]]
    assert len(dashboard(EUR).series.dates) == 802


@pytest.mark.parametrize("years", [3, 5])
def test_a_drawing_has_the_day_on_which_its_ranges_begin(years: int) -> None:
    account = worth("U1", "110")
    begin = TUESDAY.replace(year=TUESDAY.year - years)
    days = [begin + timedelta(days=more) for more in range(-40, 41)]
    for on in (*days, TUESDAY):
        builders.nav(account, "100", on)

    shown = dashboard(EUR, every_day=False).series.dates

    assert {begin + timedelta(days=more) for more in range(-3, 4)} <= set(shown)
    assert len(shown) < len(days) / 2


def test_a_drawing_takes_the_day_of_a_week_on_which_every_account_has_a_value() -> None:
    one, other = worth("U1", "110"), worth("U2", "55")
    friday = date(2024, 1, 19)
    builders.nav(one, "100", friday)
    for account in (one, other):
        builders.nav(account, "50", friday - timedelta(days=1))
        builders.nav(account, "60", TUESDAY)

    series = dashboard(EUR, every_day=False).series

    assert series.dates[0] == friday - timedelta(days=1)
    assert series.nav[0] == 100
