"""Fees and taxes: kinds, sums by hand, and what they are of the value."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.types import Activity, ActivityKind
from stonks_overwatch.reports import charges
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.fees import fees
from stonks_overwatch.reports.scope import Scope
from tests import builders as ledger
from tests.reports import builders
from tests.reports.builders import NOW, figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")
DAY = date(2026, 2, 2)


@pytest.fixture
def holder() -> models.Account:
    return builders.account()


def test_nothing_stored_is_an_empty_document() -> None:
    document = fees(EURO)
    assert figures(document.charges, document.totals.net_base, document.totals.of_value) == ((), 0, None)


def test_every_charge_has_its_kind(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.activity(
        holder, "buy", DAY, share, quantity="10", price="12", gross="-120", fee="-1.5", tax="-0.6"
    )
    builders.activity(holder, "dividend", DAY, share, gross="20", fee="-0.2", tax="-3")
    builders.activity(holder, "tax", DAY, share, gross="-4", subtype="withholding tax")
    builders.activity(holder, "fee", DAY, gross="-5", subtype="market data")
    builders.activity(holder, "fee", DAY, gross="-7")
    document = fees(EURO)
    assert {row.key: row.net_base for row in document.by_kind} == {
        "commission": Decimal("-1.5"),
        "transaction tax": Decimal("-0.6"),
        "other fee": Decimal("-7.2"),
        "withholding tax": -7,
        "market data": -5,
    }
    # fees 1.5 + 0.2 + 5 + 7 = 13.7; taxes 0.6 + 3 + 4 = 7.6
    assert document.totals.gross_base == Decimal("-13.7")
    assert document.totals.tax_base == Decimal("-7.6")
    assert document.totals.net_base == Decimal("-21.3")


def test_what_was_given_back_lowers_the_sum(holder: models.Account) -> None:
    builders.activity(holder, "fee", DAY, gross="-5")
    builders.activity(holder, "fee", DAY, gross="2", subtype="commission credit")
    assert fees(EURO).totals.net_base == -3


def test_interest_paid_is_no_fee(holder: models.Account) -> None:
    builders.activity(holder, "interest", DAY, gross="-12", subtype="debit interest")
    assert fees(EURO).charges == ()


def recorded(*moves: tuple[ActivityKind, date, str]) -> None:
    """An account with the money that moved, and the cash that it left."""
    activities = tuple(
        ledger.activity(kind, on, gross=gross, ref=None, key=f"{on}") for kind, on, gross in moves
    )
    left = sum(Decimal(gross) for _, _, gross in moves)
    store.record(ledger.batch(None, cash=[ledger.cash(str(left))], activities=activities))


def test_charges_are_of_the_average_value_of_their_days() -> None:
    """1,212 put in, 12 taken on 2 February, 400 put in on 6 February.

    From 1 to 10 February: 1,212 on one day, 1,200 on four, 1,600 on five: 14,012 / 10 = 1,401.20.
    """
    recorded(
        (ActivityKind.DEPOSIT, date(2026, 1, 20), "1212"),
        (ActivityKind.FEE, DAY, "-12"),
        (ActivityKind.DEPOSIT, date(2026, 2, 6), "400"),
    )
    totals = fees(EURO, date(2026, 2, 1), date(2026, 2, 10)).totals
    assert figures(totals.average_nav_base, totals.valued_days) == (Decimal("1401.2"), 10)
    assert totals.of_value == Decimal(12) / Decimal("1401.2")
    assert totals.of_value_yearly == totals.of_value * 365 / 10


def test_a_month_is_measured_by_its_own_value() -> None:
    recorded(
        (ActivityKind.DEPOSIT, date(2025, 12, 1), "1000"),
        (ActivityKind.FEE, date(2026, 1, 31), "-10"),
        (ActivityKind.FEE, date(2026, 2, 28), "-11"),
    )
    months = {row.key: row.of_value for row in fees(EURO, date(2026, 1, 1)).by_month}
    # January: 30 days of 1,000 and one of 990; February: 27 of 990 and one of 979
    assert months["2026-01"] == 10 / (Decimal(30 * 1000 + 990) / 31)
    assert months["2026-02"] == 11 / (Decimal(27 * 990 + 979) / 28)


def test_without_any_known_value_the_share_is_unknown() -> None:
    holder = builders.account(cash_since=NOW)
    builders.cash(holder, "EUR", "5")
    builders.activity(holder, "opening", date(2026, 1, 1), gross="100", is_derived=True, sources=())
    builders.activity(holder, "fee", DAY, gross="-12")
    totals = fees(EURO, DAY, DAY).totals
    assert figures(totals.average_nav_base, totals.of_value, totals.valued_days) == (None, None, 0)


def test_months_without_a_charge_are_there(holder: models.Account) -> None:
    builders.activity(holder, "fee", date(2025, 12, 5), gross="-1")
    builders.activity(holder, "fee", date(2026, 2, 5), gross="-2")
    rows = fees(EURO).by_month
    assert [figures(row.key, row.net_base) for row in rows] == [
        ("2025-12", -1),
        ("2026-01", 0),
        ("2026-02", -2),
        ("2026-03", 0),
    ]


def test_a_charge_is_found_by_its_name_among_those_of_its_activity_alone(holder: models.Account) -> None:
    builders.activity(holder, "fee", DAY, gross="-5", subtype="market data", key="a b")
    builders.activity(holder, "buy", DAY, builders.instrument("KO"), fee="-1", tax="-2", key="c")
    charges = fees(EURO).charges
    for charge in charges:
        found = list(charges.named(key_of(charge)))
        assert charge in found
        assert len(found) < len(charges)
    assert not list(charges.named("ibkr:nobody:a b fee"))


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is of past months is added up once and stored."""
    monkeypatch.setattr(charges, "_MANY", 1)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (None, date(2024, 5, 17)),
        (date(2023, 2, 28), date(2025, 3, 1)),
        (date(2023, 12, 31), date(2024, 12, 31)),
        (date(2024, 1, 1), date(2024, 1, 1)),
        (date(2025, 4, 1), date(2026, 1, 31)),
        (date(2025, 12, 8), None),
    ],
)
def test_the_charges_of_a_period_are_those_of_its_days(start: date | None, end: date | None) -> None:
    """Every ninth day of three years a fee of 1.01, 2.01 ..., of accounts and instruments in turn."""
    holders = [builders.account("U1"), builders.account("U2")]
    papers = [builders.instrument(name) for name in ("KO", "PEP", "MNST")]
    told = []
    for number in range(120):
        on, fee = date(2023, 1, 1) + timedelta(days=9 * number), -number - Decimal("1.01")
        builders.activity(holders[number % 2], "buy", on, papers[number % 3], fee=str(fee))
        told.append((on, f"U{number % 2 + 1}", ("KO", "PEP", "MNST")[number % 3], fee))
    for _ in range(2):  # the first time stores what the second reads
        document = fees(EURO, start, end)
        own = [row for row in told if (start or row[0]) <= row[0] <= (end or row[0])]
        assert document.totals.gross_base == sum(fee for *_, fee in own)
        for rows, key in (
            (document.by_month, lambda row: f"{row[0]:%Y-%m}"),
            (document.by_year, lambda row: f"{row[0]:%Y}"),
            (document.by_account, lambda row: row[1]),
            (document.by_instrument, lambda row: row[2]),
        ):
            sums = {name: sum(row[3] for row in own if key(row) == name) for name in map(key, own)}
            assert {row.key: row.gross_base for row in rows if row.gross_base} == sums
        assert [(row.on, row.account, row.symbol, row.fee) for row in document.charges] == own[::-1]
        assert document.start == (start or own[0][0])
    assert models.Checkpoint.objects.exists()


@pytest.mark.usefixtures("few_are_many")
def test_a_fee_that_is_booked_a_month_later_is_one_of_its_own_month() -> None:
    january, march = date(2026, 1, 30), date(2026, 3, 2)

    def record(day: int, *more: Activity) -> list[Decimal | None]:
        one = ledger.activity(ActivityKind.FEE, january, gross="-1", ref=None, key="one")
        now = ledger.activity(ActivityKind.DEPOSIT, march, gross="9", ref=None, key="two")
        at = datetime(2026, 3, day, tzinfo=UTC)
        store.record(ledger.batch(None, cash=None, at=at, activities=(one, now, *more)))
        return [row.net_base for row in fees(EURO).by_month]

    late = ledger.activity(
        ActivityKind.FEE, january, gross="-2", ref=None, key="three", booked_on=date(2026, 2, 5)
    )
    assert record(3) == [-1, 0, 0]
    assert record(4, late) == [-3, 0, 0]


def test_charges_that_are_months_apart_are_read_together(holder: models.Account) -> None:
    for month in range(40):
        builders.activity(holder, "fee", date(2022 + month // 12, month % 12 + 1, 5), gross=f"-{month}")
    charges_of = fees(EURO).charges
    with CaptureQueriesContext(connection) as few:
        assert [row.fee for row in charges_of[:1]] == [-39]
    with CaptureQueriesContext(connection) as many:
        assert [row.fee for row in charges_of[5:35]] == [-month for month in range(34, 4, -1)]
    assert len(many) == len(few)
