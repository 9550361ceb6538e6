"""What was put in and taken out: cash, securities at the day's value, transfers between own accounts."""

from datetime import date
from decimal import Decimal

import pytest

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.contributions import contributions
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders
from tests.reports.builders import figures

pytestmark = pytest.mark.django_db

EURO = Scope("EUR")
DAY = date(2026, 2, 2)


@pytest.fixture
def holder() -> models.Account:
    return builders.account()


def test_nothing_stored_is_an_empty_document() -> None:
    assert contributions(EURO).flows == ()


def test_deposits_and_withdrawals_add_up_by_month(holder: models.Account) -> None:
    builders.rate("USD", "EUR", "0.8", date(2026, 1, 9))
    builders.activity(holder, "deposit", date(2025, 12, 1), gross="1000")
    builders.activity(holder, "deposit", date(2026, 1, 9), gross="500", currency="USD")
    builders.activity(holder, "withdrawal", date(2026, 1, 20), gross="-300")
    document = contributions(EURO)
    # 1,000 + 500 × 0.8 − 300 = 1,100
    assert document.totals.gross_base == 1100
    assert figures(document.totals.in_base, document.totals.out_base) == (1400, -300)
    months = [figures(row.key, row.gross_base, row.total_base) for row in document.by_month]
    assert months[:2] == [("2025-12", 1000, 1000), ("2026-01", 100, 1100)]


def test_securities_count_with_the_value_that_the_broker_tells(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.activity(holder, "transfer_in", DAY, share, quantity="10", value=Decimal(125))
    (flow,) = contributions(EURO).flows
    assert figures(flow.amount, flow.amount_base, flow.is_internal) == (125, 125, False)


def test_securities_without_a_value_count_with_the_price_of_the_day(holder: models.Account) -> None:
    share = builders.instrument("KO")
    builders.price(share, "11", date(2026, 1, 30))
    builders.price(share, "13", date(2026, 2, 3))
    builders.activity(holder, "transfer_in", DAY, share, quantity="10")
    builders.activity(holder, "transfer_out", DAY, share, quantity="-2", price="12")
    document = contributions(EURO)
    assert {row.kind: row.amount for row in document.flows} == {"transfer_in": 110, "transfer_out": -24}
    assert document.totals.gross_base == 86


def test_each_transfer_counts_with_the_last_price_of_its_own_week(holder: models.Account) -> None:
    # A bond in percent and an option on a hundred: 1,000 × 98.5 % and 2 × 100 × 1.5; 1,000 × 99 % a month on.
    bond = builders.instrument("T", asset_class="bond", quote_factor=Decimal("0.01"))
    option = builders.instrument("KO", asset_class="option", multiplier=Decimal(100))
    later = date(2026, 3, 2)
    builders.price(bond, "98.5", date(2026, 1, 26))  # seven days before
    builders.price(option, "1.5", DAY)
    builders.price(bond, "99", later)
    builders.activity(holder, "transfer_in", DAY, bond, quantity="1000")
    builders.activity(holder, "transfer_in", DAY, option, quantity="2")
    builders.activity(holder, "transfer_in", later, bond, quantity="1000")
    document = contributions(EURO)
    amounts = {(flow.symbol, flow.on): flow.amount for flow in document.flows}
    assert amounts == {("T", DAY): 985, ("KO", DAY): 300, ("T", later): 990}
    assert [figures(row.key, row.total_base) for row in document.by_month] == [
        ("2026-02", 1285),
        ("2026-03", 2275),
    ]


def test_securities_without_any_price_are_unknown_and_counted(holder: models.Account) -> None:
    share, other = builders.instrument("KO"), builders.instrument("PEP")
    builders.price(share, "11", date(2026, 1, 25))  # eight days before
    models.Price.objects.create(instrument=other, on=DAY, close=Decimal(9), currency="USD", source="test")
    builders.activity(holder, "transfer_in", date(2026, 1, 5), share, quantity="1")
    builders.activity(holder, "transfer_in", DAY, share, quantity="10")
    builders.activity(holder, "transfer_out", DAY, other, quantity="-10")  # priced in another currency
    builders.activity(holder, "deposit", DAY, gross="5")
    document = contributions(EURO)
    totals = document.totals
    assert figures(totals.gross_base, totals.in_base, totals.out_base, totals.unknown) == (5, 5, None, 3)
    assert [row.key for row in document.by_kind] == ["deposit", "transfer_in", "transfer_out"]
    # Nothing is known of January; the sum goes on from nothing.
    months = [figures(row.key, row.gross_base, row.in_base, row.total_base) for row in document.by_month]
    assert months[:2] == [("2026-01", None, None, 0), ("2026-02", 5, 5, 5)]


def test_a_transfer_between_own_accounts_counts_nowhere(holder: models.Account) -> None:
    other = builders.account("U2")
    share = builders.instrument("KO")
    builders.activity(holder, "transfer_out", DAY, share, quantity="-10", value=Decimal(-120))
    builders.activity(other, "transfer_in", date(2026, 2, 4), share, quantity="10", value=Decimal(123))
    builders.activity(holder, "transfer_out", DAY, gross="-50")
    builders.activity(other, "transfer_in", DAY, gross="50")
    builders.activity(holder, "deposit", DAY, gross="7")
    document = contributions(EURO)
    assert document.totals.gross_base == 7
    assert document.totals.internal == 4
    assert [flow.is_internal for flow in document.flows].count(True) == 4


def test_the_same_transfer_seen_from_one_account_is_external(holder: models.Account) -> None:
    other = builders.account("U2")
    builders.activity(holder, "transfer_out", DAY, gross="-50")
    builders.activity(other, "transfer_in", DAY, gross="50")
    assert contributions(Scope("EUR", account="U2")).totals.gross_base == 50


@pytest.mark.parametrize(("arrived", "internal"), [(date(2026, 2, 9), 2), (date(2026, 2, 10), 0)])
def test_transfers_of_different_amounts_or_more_than_a_week_apart_are_not_one(
    holder: models.Account, arrived: date, internal: int
) -> None:
    other = builders.account("U2")
    builders.activity(holder, "transfer_out", DAY, gross="-50")
    builders.activity(other, "transfer_in", DAY, gross="49")
    builders.activity(other, "transfer_in", DAY, gross="50", currency="USD")
    builders.activity(holder, "transfer_in", DAY, gross="50")
    builders.activity(other, "transfer_in", arrived, gross="50")
    assert contributions(EURO).totals.internal == internal
    # The other side may lie outside of the days that are looked at.
    assert contributions(EURO, DAY, DAY).totals.internal == internal // 2


def test_the_first_and_the_last_day_of_a_period_are_in_it(holder: models.Account) -> None:
    for day, amount in ((1, "1"), (2, "20"), (3, "300"), (4, "4000")):
        builders.activity(holder, "deposit", date(2026, 2, day), gross=amount)
    document = contributions(EURO, date(2026, 2, 2), date(2026, 2, 3))
    assert document.totals.gross_base == 320
    assert (document.start, document.end) == (date(2026, 2, 2), date(2026, 2, 3))
    assert contributions(EURO).start == date(2026, 2, 1)


def test_trades_dividends_and_opening_balances_are_no_contributions(holder: models.Account) -> None:
    builders.activity(holder, "dividend", DAY, builders.instrument("KO"), gross="5")
    builders.activity(holder, "opening", DAY, gross="1000", is_derived=True, sources=())
    assert contributions(EURO).flows == ()
