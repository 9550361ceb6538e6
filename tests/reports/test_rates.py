from datetime import date, timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from stonks_overwatch.reports.rates import Rates
from tests.reports import builders

ON = date(2026, 3, 4)
# No reference rates of the ECB can exist yet on such a day.
FAR = date(2090, 1, 9)


def rates(*rows: tuple[str, str, str], on: date = FAR) -> Rates:
    return Rates([(base, quote, on, Decimal(units)) for base, quote, units in rows])


def test_a_currency_in_itself_is_one() -> None:
    assert Rates([]).rate("USD", "USD", FAR) == 1


def test_the_brokers_rate_of_the_day_is_taken_as_it_is() -> None:
    assert rates(("USD", "EUR", "0.8612345678901")).rate("USD", "EUR", FAR) == Decimal("0.8612345678901")


def test_the_opposite_pair_is_inverted() -> None:
    assert rates(("USD", "EUR", "0.8")).rate("EUR", "USD", FAR) == Decimal("1.25")


def test_two_currencies_cross_through_a_common_one() -> None:
    # 1 GBP = 1.2 EUR and 1 USD = 0.8 EUR, so 1 GBP = 1.2 / 0.8 = 1.5 USD
    known = rates(("GBP", "EUR", "1.2"), ("USD", "EUR", "0.8"))
    assert known.rate("GBP", "USD", FAR) == Decimal("1.5")


def test_a_newer_opposite_rate_wins_over_an_older_own_one() -> None:
    known = Rates(
        [
            ("USD", "EUR", FAR - timedelta(days=3), Decimal("0.9")),
            ("EUR", "USD", FAR, Decimal("1.25")),
        ]
    )
    assert known.rate("USD", "EUR", FAR) == Decimal("0.8")
    assert known.rate("USD", "EUR", FAR - timedelta(days=1)) == Decimal("0.9")


def test_a_rate_of_seven_days_ago_counts_and_one_of_eight_days_does_not() -> None:
    known = rates(("USD", "EUR", "0.8"))
    assert known.rate("USD", "EUR", FAR + timedelta(days=7)) == Decimal("0.8")
    assert known.rate("USD", "EUR", FAR + timedelta(days=8)) is None


def test_a_rate_of_a_later_day_is_never_used() -> None:
    assert rates(("USD", "EUR", "0.8")).rate("USD", "EUR", FAR - timedelta(days=1)) is None


def test_a_rate_of_zero_is_no_rate() -> None:
    assert rates(("USD", "EUR", "0")).rate("USD", "EUR", FAR) is None


def test_without_a_broker_the_ecb_knows() -> None:
    # The ECB published 1 EUR = 1.3759 USD on Friday 28 March 2014.
    assert Rates([]).rate("EUR", "USD", date(2014, 3, 28)) == Decimal("1.3759")


def test_the_ecbs_friday_holds_over_the_weekend() -> None:
    assert Rates([]).rate("EUR", "USD", date(2014, 3, 30)) == Decimal("1.3759")


def test_two_currencies_cross_through_the_euro_of_the_ecb() -> None:
    # 28 March 2014: 1 EUR = 1.3759 USD = 140.9 JPY, so 1 USD = 140.9 / 1.3759 JPY
    found = Rates([]).rate("USD", "JPY", date(2014, 3, 28))
    assert found is not None
    assert round(found, 6) == Decimal("102.405698")


def test_a_currency_that_nobody_quotes_is_unknown() -> None:
    assert Rates([]).rate("XAU", "EUR", ON) is None


def test_the_broker_wins_over_the_ecb() -> None:
    known = rates(("EUR", "USD", "1.5"), on=date(2014, 3, 28))
    assert known.rate("EUR", "USD", date(2014, 3, 28)) == Decimal("1.5")


def test_an_unknown_amount_stays_unknown() -> None:
    assert rates(("USD", "EUR", "0.8")).convert(None, "USD", "EUR", FAR) is None


@pytest.mark.django_db
def test_stored_rates_of_the_days_and_the_week_before_are_read_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    builders.rate("USD", "EUR", "0.8", ON)
    builders.rate("CHF", "EUR", "1.1", ON - timedelta(days=7))
    with django_assert_num_queries(1):
        known = Rates.between(ON, ON)
        assert known.rate("USD", "EUR", ON) == Decimal("0.8")
        assert known.rate("CHF", "USD", ON) == Decimal("1.375")
