"""The page of activities: what the filters let through, in which order, and the same as a file."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stonks_overwatch.ledger.models import Account
from tests.reports import builders
from tests.web.conftest import Configure
from tests.web.test_pages import text

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


@pytest.fixture
def holder(configure: Configure) -> Account:
    """One account with a purchase, a sale, a dividend and a deposit, one on each of the last days."""
    configure()
    account = builders.account(updated_at=datetime.now(UTC))
    builders.run("ok", datetime.now(UTC))
    share = builders.instrument("ASML", name="ASML Holding NV", isin="NL0010273215")
    days = [TODAY - timedelta(days=ago) for ago in range(4)]
    builders.activity(account, "deposit", days[3], gross="1000", description="from my bank")
    builders.activity(account, "buy", days[2], share, quantity="2", price="300", gross="-600", fee="-1")
    builders.activity(account, "sell", days[1], share, quantity="-1", price="310", gross="310", fee="-1")
    builders.activity(account, "dividend", days[0], share, gross="4", tax="-0.6")
    return account


def kinds(reader: Client, query: str) -> list[str]:
    answer = reader.get(f"/activities?csv=activities&{query}")
    body = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return [row["kind"] for row in csv.DictReader(io.StringIO(body))]


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["dividend", "sell", "buy", "deposit"]),
        ("sort=date", ["deposit", "buy", "sell", "dividend"]),
        ("sort=-net", ["deposit", "sell", "dividend", "buy"]),
        ("sort=quantity", ["sell", "buy", "dividend", "deposit"]),
        ("kind=buy", ["buy"]),
        ("q=asml+holding", ["dividend", "sell", "buy"]),
        ("q=BANK", ["deposit"]),
        ("q=asml+bank", []),
        ("state=derived", []),
        (f"from={TODAY - timedelta(days=2)}&to={TODAY - timedelta(days=1)}", ["sell", "buy"]),
        ("kind=nonsense&page=nonsense&sort=nonsense", ["dividend", "sell", "buy", "deposit"]),
    ],
)
def test_the_file_has_what_the_filter_lets_through_in_its_order(
    query: str, expected: list[str], reader: Client
) -> None:
    assert kinds(reader, query) == expected


@pytest.mark.usefixtures("holder")
def test_the_page_shows_the_same_with_amounts_and_sources(reader: Client) -> None:
    page = text(reader.get("/activities", {"kind": "buy"}))

    assert "ASML" in page
    assert "−601.00 EUR" in page  # 600 and a fee of 1
    assert "Web API" in page
    assert "web-api" not in page
    assert "1–1 of 1" in page


def test_what_was_replaced_counts_nowhere_and_can_be_looked_at(holder: Account, reader: Client) -> None:
    new = builders.activity(holder, "fee", gross="-2")
    builders.activity(holder, "fee", gross="-3", superseded_by=new)

    assert kinds(reader, "kind=fee") == ["fee"]
    page = text(reader.get("/activities", {"state": "replaced"}))
    assert "−3.00 EUR" in page
    assert "replaced" in page


def test_what_the_ledger_worked_out_is_marked(holder: Account, reader: Client) -> None:
    share = builders.instrument("XYZ")
    builders.activity(holder, "buy", of=share, quantity="5", is_derived=True, sources=())

    page = text(reader.get("/activities", {"state": "derived"}))

    assert "worked out" in page
    assert "position change" in page


def test_one_activity_is_found_by_its_id(holder: Account, reader: Client) -> None:
    fee = builders.activity(holder, "fee", gross="-2")

    page = text(reader.get("/activities", {"id": f"ibkr:U1:{fee.key}"}))

    assert "Only one activity" in page
    assert "1–1 of 1" in page


def test_a_text_that_a_spreadsheet_would_compute_stays_a_text(holder: Account, reader: Client) -> None:
    builders.activity(holder, "fee", gross="-2", description='=HYPERLINK("http://evil")')

    answer = reader.get("/activities?csv=activities&kind=fee")

    body = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    (row,) = csv.DictReader(io.StringIO(body))
    assert row["description"] == '\'=HYPERLINK("http://evil")'
    assert row["gross"] == "-2"


def test_a_filter_that_lets_nothing_through_says_so(holder: Account, reader: Client) -> None:
    assert holder
    assert "Nothing matches" in text(reader.get("/activities", {"q": "nothing at all"}))


def test_the_database_is_asked_as_often_for_many_activities_as_for_few(
    holder: Account, reader: Client
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = text(reader.get("/activities"))
        assert "1–" in page
        return len(captured)

    few = queries()
    for number in range(250):
        builders.activity(holder, "interest", TODAY - timedelta(days=number), gross="1")

    assert queries() == few
    assert "251–254 of 254" in text(reader.get("/activities", {"page": "99"}))
