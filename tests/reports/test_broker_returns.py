"""The broker's returns beside ours, by hand."""

from datetime import date
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.broker_returns import BrokerReturn, broker_returns
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders as made
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
EUR = Scope("EUR")
FRIDAY, MONDAY, TUESDAY, WEDNESDAY = (date(2026, 2, 27), *(date(2026, 3, day) for day in (2, 3, 4)))


def invested(name: str = "U1", paid_in: str | None = None) -> models.Account:
    """1,000 in ten shares on Friday, then +10 %, −10 %, +10 %: 1,100, 990, 1,089. 1.1 × 0.9 × 1.1 = 1.089.

    What is paid in comes on Tuesday and stays in cash.
    """
    account, share = made.account(name, updated_at=made.NOW), made.instrument()
    made.activity(account, "deposit", FRIDAY, gross="1000")
    made.activity(account, "buy", FRIDAY, share, quantity="10", gross="-1000")
    if paid_in is not None:
        made.activity(account, "deposit", TUESDAY, gross=paid_in)
    for on, close in ((FRIDAY, "100"), (MONDAY, "110"), (TUESDAY, "99"), (WEDNESDAY, "108.9")):
        made.price(share, close, on)
    pack()
    return account


def told(account: models.Account, percent: str, since: date = MONDAY, until: date = WEDNESDAY) -> None:
    models.Figure.objects.create(
        account=account, section="ChangeInNAV", name="twr", since=since, until=until, currency="EUR",
        amount=Decimal(percent),
    )  # fmt: skip


def the_one() -> BrokerReturn:
    (row,) = broker_returns(EUR).returns
    return row


@pytest.mark.parametrize(
    ("percent", "points", "agrees"),
    [("8.90", 0, True), ("8.91", -1, True), ("8.89", 1, True), ("8.915", "-1.5", False), ("8.88", 2, False)],
)
def test_a_return_agrees_within_a_basis_point(percent: str, points: str | int, agrees: bool) -> None:
    told(invested(), percent)
    row = the_one()
    assert made.figures(row.computed, row.reported) == (Decimal("0.089"), Decimal(percent) / 100)
    assert made.figures(row.basis_points, row.agrees) == (Decimal(points), agrees)
    # Nothing is known of the broker's days.
    said = "Each day's value agrees and nothing was contributed: the broker's figure is not explained."
    assert (row.why, row.deviates_on) == ("" if agrees else said, None)


def test_of_every_account_the_returns_of_its_own_in_the_days_asked_for_newest_first() -> None:
    one, other = invested("U1"), invested("U2")
    told(one, "8.9")
    told(one, "-1", until=TUESDAY)
    told(other, "10", until=MONDAY)
    told(other, "-1", since=TUESDAY)
    rows = [(row.account, row.end, row.computed) for row in broker_returns(EUR).returns]
    wanted = [
        ("U1", WEDNESDAY, Decimal("0.089")),
        ("U2", WEDNESDAY, Decimal("-0.01")),  # 0.9 × 1.1
        ("U1", TUESDAY, Decimal("-0.01")),
        ("U2", MONDAY, Decimal("0.1")),
    ]
    assert rows == wanted
    some = broker_returns(EUR, MONDAY, TUESDAY).returns
    assert [(row.account, row.end, row.computed) for row in some] == wanted[2:]


def test_a_return_of_days_that_are_not_known_is_beside_nothing() -> None:
    told(invested(), "8.9", since=date(2026, 1, 1))
    row = the_one()
    assert (row.computed, row.basis_points, row.agrees) == (None, None, False)
    assert row.why == "Not everything is known of these days."
    # The account was opened on Friday: there is nothing before that.
    models.Account.objects.update(opened_on=FRIDAY)
    assert the_one().computed == Decimal("0.089")


def test_the_day_that_differs_most_from_the_brokers_values_is_named() -> None:
    # 100 came in on Tuesday: ours ends it with 1,090 of 1,200, the broker's with 1,092 of 1,200.
    account = invested(paid_in="100")
    for on, nav in ((FRIDAY, "1000"), (MONDAY, "1100"), (TUESDAY, "1092"), (WEDNESDAY, "1191")):
        made.nav(account, nav, on)
    told(account, "9.5")
    row = the_one()
    # (1090 − 1092) / 1200 = −16.67 basis points; on Wednesday 1189 / 1090 − 1191 / 1092 = 1.66 of them.
    assert row.deviates_on == TUESDAY
    assert row.why == (
        "Most on 2026-03-03: -16.67 basis points against the broker's values, with a contribution of 100.00 "
        "on it."
    )


def test_a_contribution_may_be_counted_at_another_time_where_all_days_agree() -> None:
    account = invested(paid_in="100")
    for on, nav in ((FRIDAY, "1000"), (MONDAY, "1100"), (TUESDAY, "1090"), (WEDNESDAY, "1189")):
        made.nav(account, nav, on)
    told(account, "9.5")
    assert the_one().why == (
        "Each day's value agrees; the broker may count contributions at another time of the day, the largest "
        "of them on 2026-03-03."
    )
