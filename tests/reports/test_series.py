from datetime import date, timedelta
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models, packed
from stonks_overwatch.ledger.types import SETTLEMENT
from stonks_overwatch.reports.daily import Group, daily_total
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.series import SeriesDocument, series
from tests.reports import builders as made
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
FRIDAY, SATURDAY, SUNDAY = date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)
MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)


def by_day(document: SeriesDocument) -> dict[date, list[float | None]]:
    """Value, net contribution and index of each day."""
    return {
        on: [None if number is None else float(number) for number in row]
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


def told_in_full(account: models.Account, since: date, until: date) -> None:
    """Statements tell everything that moved money on these days."""
    for topic in ("cash", "transfers"):
        models.Period.objects.create(account=account, source="flex", topic=topic, since=since, until=until)


def test_the_value_is_cash_and_positions_at_the_days_prices() -> None:
    deposit_and_purchase()
    pack()
    days = by_day(series(EUR))
    # 1000; then 499 cash and 10 shares at 50, 55, 54. The index: 999/1000, 1049/999, 1039/1049.
    assert days[FRIDAY] == [1000, 1000, 1]
    assert days[SATURDAY] == [1000, 0, 1]
    assert days[MONDAY] == [999, 0, 0.999]
    assert days[TUESDAY] == [1049, 0, 1.049]
    assert days[WEDNESDAY] == [1039, 0, 1.039]
    assert min(days) == FRIDAY - timedelta(days=1)


def test_a_price_is_carried_for_seven_days_and_then_the_value_is_unknown() -> None:
    account = made.account(updated_at=made.NOW + timedelta(days=7))
    share = made.instrument()
    made.activity(account, "buy", WEDNESDAY, share, quantity="1", gross="-10")
    made.activity(account, "deposit", WEDNESDAY, gross="10")
    made.price(share, "10", WEDNESDAY - timedelta(days=1))
    pack()
    document = series(EUR)
    days = by_day(document)
    assert days[WEDNESDAY + timedelta(days=6)][0] == 10
    assert days[WEDNESDAY + timedelta(days=7)] == [None, 0, None]
    assert document.carried[document.dates.index(WEDNESDAY)]


def test_a_split_changes_no_value_on_a_day_without_a_price() -> None:
    # 10 shares at 60; three for one on Tuesday, priced again on Wednesday at 20.
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", FRIDAY, gross="600")
    made.activity(account, "buy", FRIDAY, share, quantity="10", gross="-600")
    made.activity(account, "split", TUESDAY, share, quantity="20")
    made.price(share, "60", FRIDAY)
    made.price(share, "20", WEDNESDAY)
    pack()
    assert {row[0] for day, row in by_day(series(EUR)).items() if day >= FRIDAY} == {600}


def test_a_split_told_as_a_ratio_is_the_same() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", FRIDAY, gross="600")
    made.activity(account, "buy", FRIDAY, share, quantity="10", gross="-600")
    made.activity(account, "split", TUESDAY, share, ratio=Decimal(3))
    made.price(share, "60", FRIDAY)
    made.price(share, "20", WEDNESDAY)
    pack()
    assert {row[0] for day, row in by_day(series(EUR)).items() if day >= FRIDAY} == {600}


def test_a_series_goes_on_from_before_a_split_whose_old_price_is_carried() -> None:
    # 10 shares at 60, three for one 36 days ago; the price of 37 days ago is carried for a week, then 20.
    account, share = made.account(updated_at=made.NOW), made.instrument()
    ago = [made.TODAY - timedelta(days=number) for number in range(61)]
    made.activity(account, "deposit", ago[60], gross="600")
    made.activity(account, "buy", ago[60], share, quantity="10", gross="-600")
    made.activity(account, "split", ago[36], share, quantity="20")
    for number in (60, 53, 46, 39, 37):
        made.price(share, "60", ago[number])
    for number in (29, 22, 15, 8, 1):
        made.price(share, "20", ago[number])
    pack()
    before = series(EUR)
    made.price(share, "20", made.TODAY)
    packed.prices_changed({share.pk: made.TODAY})
    after = series(EUR)
    assert set(before.nav[1:]) == set(after.nav[1:]) == {600}


def test_a_series_goes_on_with_the_profit_of_a_future() -> None:
    # Bought at 100, multiplier 5, 60 days ago; 2 above that since: 10. The last day it is 3 above: 15.
    account, future = made.account(updated_at=made.NOW), made.instrument(asset_class="future", multiplier=5)
    ago = [made.TODAY - timedelta(days=number) for number in range(61)]
    made.activity(account, "deposit", ago[60], gross="50")
    made.activity(account, "buy", ago[60], future, quantity="1", price="100", gross="0")
    for number in range(60, -1, -5):
        made.price(future, "102", ago[number])
    pack()
    before = series(EUR)
    models.Price.objects.filter(instrument=future, on=made.TODAY).update(close=Decimal(103))
    packed.prices_changed({future.pk: made.TODAY})
    after = series(EUR)
    assert made.figures(*before.nav[1:]) == (60,) * 61
    assert made.figures(*after.nav[1:]) == (*(60,) * 60, 65)


def test_an_exchange_takes_cash_of_one_currency_and_gives_it_in_the_other_both_ways() -> None:
    account = made.account(updated_at=made.NOW)
    euros, dollars = (
        made.instrument(code, code, asset_class="cash", broker_ref=code) for code in ("EUR", "USD")
    )
    made.activity(account, "deposit", FRIDAY, gross="1000")
    made.activity(account, "fx", MONDAY, dollars, currency="EUR", gross="-100", quantity="125")
    made.activity(account, "fx", TUESDAY, euros, currency="USD", gross="-25", quantity="22")
    made.rate("USD", "EUR", "0.8", MONDAY)
    made.rate("USD", "EUR", "0.9", TUESDAY)
    pack()
    days = by_day(series(EUR))
    # 900 + 125 x 0.8; 922 + 100 x 0.9.
    assert days[MONDAY][:2] == [1000, 0]
    assert days[TUESDAY][:2] == [1012, 0]


def test_securities_transferred_in_are_a_contribution_at_the_days_value() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "transfer_in", MONDAY, share, quantity="4")
    made.price(share, "25", MONDAY)
    pack()
    assert by_day(series(EUR))[MONDAY] == [100, 100, 1]


def test_the_percent_of_a_bond_and_the_multiplier_of_an_option_are_counted() -> None:
    account = made.account(updated_at=made.NOW)
    bond = made.instrument("BND", asset_class="bond", quote_factor=Decimal("0.01"))
    option = made.instrument("OPT", asset_class="option", multiplier=Decimal(100))
    made.activity(account, "transfer_in", MONDAY, bond, quantity="1000")
    made.activity(account, "transfer_in", MONDAY, option, quantity="-1")
    made.price(bond, "98.5", MONDAY)
    made.price(option, "2.5", MONDAY)
    pack()
    assert by_day(series(EUR))[MONDAY][0] == 985 - 250


def test_a_future_is_worth_the_profit_that_is_not_in_cash() -> None:
    # Bought at 100, multiplier 5: 102 is a profit of 10; 8 of it arrive in cash on Tuesday.
    account = made.account(updated_at=made.NOW)
    future = made.instrument("FUT", asset_class="future", multiplier=Decimal(5))
    made.activity(account, "deposit", FRIDAY, gross="50")
    made.activity(account, "buy", MONDAY, future, quantity="1", price="100", gross="0", fee="-2")
    made.activity(account, "other", TUESDAY, future, gross="8")
    made.price(future, "102", MONDAY)
    pack()
    days = by_day(series(EUR))
    assert days[MONDAY][0] == 50 - 2 + 10
    assert days[TUESDAY][0] == 50 - 2 + 10


def test_profit_of_futures_that_went_to_cash_in_sum_counts_once() -> None:
    account = made.account(updated_at=made.NOW)
    future = made.instrument("FUT", asset_class="future", multiplier=Decimal(5))
    made.activity(account, "deposit", FRIDAY, gross="50")
    made.activity(account, "buy", MONDAY, future, quantity="1", price="100", gross="0")
    made.activity(account, "other", MONDAY, booked_on=TUESDAY, subtype=SETTLEMENT, gross="10")
    made.price(future, "102", MONDAY)
    made.price(future, "103", WEDNESDAY)
    pack()
    days = by_day(series(EUR))
    assert [days[on][0] for on in (MONDAY, TUESDAY, WEDNESDAY)] == [60, 60, 65]


def test_other_currencies_count_at_the_rate_of_each_day() -> None:
    account = made.account(updated_at=made.NOW)
    made.activity(account, "deposit", MONDAY, currency="USD", gross="100")
    made.rate("USD", "EUR", "0.9", MONDAY)
    made.rate("EUR", "USD", "1.25", TUESDAY)  # the inverse: 0.8
    pack()
    days = by_day(series(EUR))
    assert days[MONDAY] == [90, 90, 1]
    assert days[TUESDAY][0] == pytest.approx(80)
    assert days[WEDNESDAY][2] == pytest.approx(80 / 90)


def test_an_unknown_purchase_makes_cash_and_value_unknown() -> None:
    account = made.account(updated_at=made.NOW)
    share = made.instrument()
    made.activity(account, "deposit", FRIDAY, gross="1000")
    made.activity(account, "buy", TUESDAY, share, quantity="1", is_derived=True)
    made.price(share, "10", TUESDAY)
    told_in_full(account, FRIDAY, WEDNESDAY)
    pack()
    days = by_day(series(EUR))
    assert days[MONDAY][0] == 1000
    assert days[TUESDAY][0] is None


def test_where_cash_was_never_told_no_value_is_known() -> None:
    # What there was beside the deposit is known to nobody: 1,000 would be a guess.
    account = deposit_and_purchase()
    pack(is_cash_told=False)
    assert {tuple(row) for row in by_day(series(EUR)).values()} == {(None, None, None)}
    # Statements say what was put in, and nothing of what was there.
    told_in_full(account, FRIDAY, WEDNESDAY)
    pack(is_cash_told=False)
    assert by_day(series(EUR))[FRIDAY] == [None, 1000, None]
    # Of the share all is known: bought for 501 with its fee, worth 500, 550 and 540.
    share = daily_total(EUR, Group("instrument", "ABC"))
    assert share is not None
    assert share.total.nav[-3:].tolist() == [500, 550, 540]


def test_days_before_a_balance_of_unknown_origin_are_not_known() -> None:
    # Held since before: the series begins with it, and it is no contribution.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW - timedelta(days=2))
    made.cash(account, "EUR", "20")
    share = made.instrument()
    made.activity(account, "opening", MONDAY, share, quantity="5", gross="0")
    made.activity(account, "opening", MONDAY, gross="20")
    made.price(share, "10", MONDAY)
    made.price(share, "11", TUESDAY)
    pack()
    document = series(EUR)
    days = by_day(document)
    assert days[SUNDAY] == [None, None, None]
    assert days[MONDAY] == [70, None, 1]
    assert days[TUESDAY] == [75, 0, pytest.approx(75 / 70)]


def test_the_brokers_values_serve_days_that_we_cannot_value() -> None:
    account = made.account(updated_at=made.NOW, cash_since=made.NOW, opened_on=date(2020, 1, 1))
    made.cash(account, "EUR", "100", accrued_interest=Decimal(0))
    made.nav(account, "100", MONDAY)
    made.nav(account, "104", WEDNESDAY)
    pack()
    document = series(EUR)
    days = by_day(document)
    assert days[MONDAY] == [100, None, None]
    assert days[TUESDAY] == [100, None, None]
    assert days[WEDNESDAY][0] == 104
    assert set(document.sources) == {"broker"}
    assert document.carried == (False, True, False)


@pytest.mark.parametrize(
    ("cash", "transfers", "is_since_friday"),
    [
        ([(SATURDAY, WEDNESDAY)], [(SATURDAY, WEDNESDAY)], True),
        ([(SATURDAY, MONDAY), (TUESDAY, WEDNESDAY)], [(SATURDAY, WEDNESDAY)], True),
        ([(SATURDAY, TUESDAY), (MONDAY, MONDAY)], [(SATURDAY, TUESDAY), (MONDAY, WEDNESDAY)], True),
        ([(SATURDAY, SUNDAY), (TUESDAY, WEDNESDAY)], [(SATURDAY, WEDNESDAY)], False),
        ([(SATURDAY, WEDNESDAY)], [(TUESDAY, WEDNESDAY)], False),
    ],
)
def test_with_statements_the_brokers_values_have_returns(
    cash: list[tuple[date, date]], transfers: list[tuple[date, date]], is_since_friday: bool
) -> None:
    # 100 at Monday's end, 50 paid in on Tuesday, 153 at its end: 153/150. Wednesday 156: 156/153.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW, opened_on=date(2020, 1, 1))
    made.cash(account, "EUR", "150", accrued_interest=Decimal(0))
    made.activity(account, "opening", FRIDAY, gross="100")
    made.activity(account, "deposit", TUESDAY, gross="50")
    for topic, ranges in (("cash", cash), ("transfers", transfers)):
        for since, until in ranges:
            models.Period.objects.create(
                account=account, source="flex", topic=topic, since=since, until=until
            )
    for on, value in ((FRIDAY, "98"), (MONDAY, "100"), (TUESDAY, "153"), (WEDNESDAY, "156")):
        made.nav(account, value, on)
    pack()
    days = by_day(series(EUR))
    assert days[TUESDAY][:2] == [153, 50]
    since_monday = 153 / 150 * 156 / 153
    assert days[WEDNESDAY][2] == pytest.approx(100 / 98 * since_monday if is_since_friday else since_monday)


def test_the_brokers_latest_report_is_the_value_of_its_day_unless_a_statement_tells_one() -> None:
    account = made.account(
        opened_on=date(2020, 1, 1), reported_nav=Decimal(110), updated_at=made.NOW, reported_as_of=made.NOW
    )
    assert series(EUR).dates == ()  # one value alone makes no series
    made.nav(account, "100", MONDAY)
    assert [days[0] for days in by_day(series(EUR)).values()] == [100, 100, 110]
    made.nav(account, "111", WEDNESDAY)
    assert by_day(series(EUR))[WEDNESDAY][0] == 111


@pytest.mark.parametrize(("ended_ago", "until"), [(2, MONDAY), (8, None)])
def test_days_between_the_last_statement_and_the_first_report_end_what_is_known_until_the_next_is_out(
    ended_ago: int, until: date | None
) -> None:
    # The first sync is early in the morning: the statement of the day before comes later that day.
    account = made.account(updated_at=made.NOW, cash_since=made.NOW, opened_on=date(2020, 1, 1))
    made.cash(account, "EUR", "130", accrued_interest=Decimal(0))
    made.activity(account, "opening", WEDNESDAY, gross="30")  # what moved on Tuesday, told by nobody yet
    made.activity(account, "deposit", FRIDAY - timedelta(days=20), gross="100")
    told_in_full(account, FRIDAY - timedelta(days=21), WEDNESDAY - timedelta(days=ended_ago))
    for ago in range(25):
        made.nav(account, "100", WEDNESDAY - timedelta(days=ago))
    pack()
    days = by_day(series(EUR))
    known = [on for on, (_, _, index) in days.items() if index is not None]
    assert max(known, default=None) == until


@pytest.mark.parametrize(("euros", "dollars"), [("150", None), ("100", "7")])
def test_cash_that_activities_do_not_explain_leaves_contributions_unknown(
    euros: str, dollars: str | None
) -> None:
    account = made.account(updated_at=made.NOW, cash_since=made.NOW - timedelta(days=3))
    made.cash(account, "EUR", euros)
    if dollars is not None:
        made.cash(account, "USD", dollars)
    made.activity(account, "opening", FRIDAY, gross="100")
    pack()
    assert set(series(EUR).net_contribution) == {None}


def test_accounts_add_up_and_a_transfer_between_them_is_no_contribution_of_both() -> None:
    one, two = made.account("U1", updated_at=made.NOW), made.account("U2", updated_at=made.NOW)
    made.activity(one, "deposit", FRIDAY, gross="100")
    made.activity(one, "transfer_out", TUESDAY, gross="-40")
    made.activity(two, "transfer_in", TUESDAY, gross="40")
    pack()
    together = by_day(series(EUR))
    first, second = (by_day(series(Scope("EUR", account=name))) for name in ("U1", "U2"))
    assert together[TUESDAY] == [100, 0, 1]
    assert (first[TUESDAY][:2], second[TUESDAY][:2]) == ([60, -40], [40, 40])


def test_one_holding_alone_has_its_own_return() -> None:
    # Bought for 501 with the fee, 550 after a day; 10 of dividend, 540 after two: 550/501, 540/(550 - 10).
    deposit_and_purchase()
    share = models.Instrument.objects.get()
    made.activity(models.Account.objects.get(), "dividend", WEDNESDAY, share, gross="10")
    pack()
    days = by_day(series(EUR, only=Group("instrument", share.broker_ref)))
    assert days[MONDAY] == [500, 501, pytest.approx(500 / 501)]
    assert days[TUESDAY] == [550, 0, pytest.approx(550 / 501)]
    assert days[WEDNESDAY] == [540, -10, pytest.approx(550 / 501 * 540 / 540)]


def test_the_index_does_not_depend_on_the_days_asked_for() -> None:
    deposit_and_purchase()
    pack()
    whole, part = by_day(series(EUR)), by_day(series(EUR, TUESDAY, TUESDAY))
    assert part == {TUESDAY: whole[TUESDAY]}


def test_nothing_stored_is_an_empty_series() -> None:
    assert series(EUR).dates == ()


def test_the_json_has_the_four_fields_of_the_contract() -> None:
    deposit_and_purchase()
    pack()
    assert set(series(EUR).model_dump(mode="json")) == {"dates", "nav", "net_contribution", "twr_index"}
