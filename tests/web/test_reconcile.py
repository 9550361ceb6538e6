"""The page that holds our figures against the broker's."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stonks_overwatch.ledger.models import Account, CashBalance, Figure, Period, Position
from tests.reports import builders
from tests.reports.builders import NOW
from tests.web.conftest import Configure
from tests.web.test_pages import text

pytestmark = pytest.mark.django_db
SINCE, UNTIL = date(2026, 2, 1), date(2026, 2, 28)


def figure(account: Account, section: str, name: str, amount: str, **more: Any) -> None:
    """A figure of the statement of February 2026, in euro."""
    values = {"since": SINCE, "until": UNTIL, "currency": "EUR", **more}
    Figure.objects.create(account=account, section=section, name=name, amount=Decimal(amount), **values)


@pytest.fixture
def account(configure: Configure) -> Account:
    """100 EUR, then a dividend of 5 on 10 February, of which the statement tells a cent more."""
    configure()
    holder = builders.account(
        reported_nav=Decimal(105), reported_cash=Decimal(105), reported_as_of=NOW, cash_since=NOW
    )
    builders.cash(holder, "EUR", "105")
    builders.activity(holder, "opening", date(2026, 1, 31), gross="100", is_derived=True)
    share = builders.instrument("AAA", broker_ref="42")
    builders.activity(holder, "dividend", date(2026, 2, 10), share, gross="5", description="AAA DIVIDEND")
    for topic in ("cash", "trades"):
        Period.objects.create(account=holder, source="flex", topic=topic, since=SINCE, until=UNTIL)
    figure(holder, "CashReport", "dividends", "5.01")
    figure(holder, "CashReport", "startingCash", "100")
    figure(holder, "CashReport", "endingCash", "105.01")
    return holder


def page(reader: Client, query: str = "") -> str:
    answer = reader.get(f"/reconcile{query}")
    assert answer.status_code == 200
    return text(answer)


@pytest.mark.usefixtures("account")
def test_what_differs_comes_first_with_the_row_that_explains_it(reader: Client) -> None:
    shown = page(reader)
    assert "U1" in shown
    assert "2 differ" in shown
    first = shown[shown.index("Figure by figure") :]
    assert first.index("Dividends EUR") < first.index("NAV")
    assert "1 Feb 2026 to 28 Feb 2026" in shown
    assert "10 Feb 2026: AAA DIVIDEND , computed 5" in shown
    assert "−0.01" in shown


def test_amounts_have_their_currency_and_quantities_none(reader: Client, account: Account) -> None:
    share = builders.instrument("BBB", broker_ref="77", currency="USD")
    builders.position(account, share, quantity="3", market_value="60")
    shown = page(reader)
    assert "Cash EUR latest computed 105.00 EUR , reported 105.00 EUR" in shown
    assert "NAV latest computed" in shown
    quantity = shown[shown.index("Quantity BBB 77") :]
    assert "computed 0 , reported 3" in quantity[:80]


@pytest.mark.usefixtures("account")
def test_differences_alone(reader: Client) -> None:
    shown = page(reader, "?show=differences")
    assert "Dividends EUR" in shown
    assert "NAV" not in shown


def test_an_account_that_agrees_says_so(reader: Client, account: Account) -> None:
    Figure.objects.filter(name__in=("dividends", "endingCash")).delete()
    assert "agrees" in page(reader)
    assert "Nothing differs." in page(reader, "?show=differences")


@pytest.mark.usefixtures("account")
def test_a_day_that_nothing_is_told_of_says_so(reader: Client) -> None:
    shown = page(reader, "?from=2026-02-05&to=2026-02-05")
    assert "The broker tells nothing of these days that could be compared." in shown


@pytest.mark.usefixtures("account")
def test_a_day_of_a_statement_shows_that_statement(reader: Client) -> None:
    shown = page(reader, "?from=2026-02-28&to=2026-02-28")
    assert "Dividends EUR" in shown


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("query", ["?page=-1&show=1", "?page=99999", "?from=2026-03-01"])
def test_whatever_the_address_asks_for_there_is_a_page(reader: Client, query: str) -> None:
    assert "By account" in page(reader, query)


@pytest.mark.usefixtures("account")
def test_an_unknown_account_is_told(reader: Client) -> None:
    assert reader.get("/reconcile?account=U9").status_code == 404


@pytest.mark.usefixtures("account")
def test_the_table_as_a_file_has_the_day_and_the_rows(reader: Client) -> None:
    answer = reader.get("/reconcile?csv=figures&show=differences")
    lines = answer.content.decode().splitlines()
    assert lines[0] == (
        "account,broker,figure,since,on,computed,reported,difference,agrees,within,begins_on,rows"
    )
    dividend = next(line for line in lines if "dividends EUR" in line)
    assert dividend.startswith("U1,ibkr,dividends EUR,2026-02-01,2026-02-28,5,5.01,-0.01,False,,2026-02-10,")


def test_the_brokers_return_is_shown_with_ours(reader: Client, account: Account) -> None:
    figure(account, "ChangeInNAV", "twr", "5")
    shown = page(reader)
    assert "Time-weighted return" in shown
    assert "+5.0000%" in shown.replace(" %", "%")


def test_the_page_asks_as_often_for_many_statements_as_for_one(reader: Client, account: Account) -> None:
    page(reader)  # stores the daily series
    with CaptureQueriesContext(connection) as few:
        page(reader)
    for month in range(1, 13):
        days = {"since": date(2025, month, 1), "until": date(2025, month, 28)}
        figure(account, "CashReport", "endingCash", "1", **days)
        figure(account, "ChangeInNAV", "endingValue", "1", **days)
    with CaptureQueriesContext(connection) as many:
        page(reader)
    assert len(many) == len(few) <= 60


def test_before_anything_is_stored_the_page_leads_to_the_beginning(
    configure: Configure, reader: Client
) -> None:
    configure("{}")
    assert reader.get("/reconcile").headers["Location"] == "/welcome"


def test_counts_of_thousands_are_grouped(reader: Client, account: Account) -> None:
    Figure.objects.bulk_create(
        Figure(
            account=account, section="CashReport", name="dividends", since=SINCE, until=UNTIL,
            currency=f"{number:03}", amount=Decimal(0),
        )
        for number in range(1000)
    )  # fmt: skip
    shown = page(reader)
    assert "1,005 2 differ" in shown
    assert "1–30 of 1,005" in shown


@pytest.mark.usefixtures("account")
def test_a_sync_at_work_is_told_beside_the_differences(reader: Client) -> None:
    run = builders.run("running", step="Statement of 2025-01-01 to 2025-12-31")
    shown = page(reader)
    assert "A sync is at work (Statement of 1 Jan 2025 to 31 Dec 2025)" in shown
    assert "Look again when it has ended." in shown
    told = reader.get("/api/v1/reconcile").json()["unread"]
    assert told["next_step"] == "Look again when it has ended."
    run.status = "ok"
    run.save()
    assert "A sync is at work" not in page(reader)
    assert reader.get("/api/v1/reconcile").json()["unread"] is None


@pytest.mark.usefixtures("account")
def test_days_that_no_statement_tells_of_are_named(reader: Client) -> None:
    Account.objects.update(opened_on=date(2025, 1, 1))
    assert "no statement is read yet that tells all from 1 Jan 2025 to 31 Jan 2026" in page(reader)
    Account.objects.update(opened_on=SINCE)
    assert "no statement is read yet" not in page(reader)


@pytest.mark.usefixtures("account")
def test_that_the_statement_of_the_last_days_is_not_out_yet_is_told_where_the_latest_state_differs(
    reader: Client,
) -> None:
    assert "no statement is read yet" not in page(reader)
    CashBalance.objects.update(amount=Decimal(99))
    assert "no statement is read yet that tells of the days after 28 Feb 2026" in page(reader)
    assert "the next sync brings it" in page(reader)
    Account.objects.update(updated_at=datetime(2026, 2, 28, 23, tzinfo=UTC))
    assert "no statement is read yet" not in page(reader)


def test_that_futures_are_settled_before_the_statement_is_out_is_told_where_one_is_held(
    reader: Client, account: Account
) -> None:
    told = "The profit of its futures is in its cash each evening"
    CashBalance.objects.update(amount=Decimal(99))
    assert told not in page(reader)
    future = builders.instrument("FUT", asset_class="future", multiplier=Decimal(5))
    before = datetime(2026, 2, 27, tzinfo=UTC)
    builders.position(account, future, "0", "100", is_open=False, changed_at=before)
    assert told not in page(reader)
    Position.objects.update(changed_at=datetime(2026, 3, 2, tzinfo=UTC))
    assert told in page(reader)
    Position.objects.update(is_open=True, changed_at=before)
    assert told in page(reader)
    Account.objects.update(updated_at=datetime(2026, 2, 28, 23, tzinfo=UTC))
    assert told not in page(reader)
