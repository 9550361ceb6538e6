"""Every table of data has a file with its rows, at an address that holds what the page was asked."""

import csv
import io
import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.test import Client

from stonks_overwatch.ledger.models import InboxItem
from tests.reports import builders, portfolio
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db
PAGES = (
    "/",
    "/holdings",
    "/accounts",
    "/activities",
    "/realized",
    "/income?period=all",
    "/fees?period=all",
    "/contributions?period=all",
    "/cash?period=all",
    "/diversification?by=sector",
    "/exposures",
    "/reconcile?account=U1",
    "/sync",
    "/explain/holdings.totals.nav_base",
)


@pytest.fixture
def _portfolio(configure: Configure) -> None:
    configure()
    portfolio.fill()
    error = {"error_code": "timeout", "error_what": "Late.", "error_next_step": "Wait."}
    builders.run("failed", datetime.now(UTC), **error)
    InboxItem.objects.create(
        broker="ibkr", section="trades", reason="No code", text="=1+1", key="1", seen_at=datetime.now(UTC)
    )


def links(body: str) -> list[str]:
    """The addresses of the files that a page leads to."""
    return [unescape(address) for address in re.findall(r'<a class="csv[^"]*" href="([^"]*)"', body)]


@pytest.mark.usefixtures("_portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_each_table_has_its_file(page: str, reader: Client) -> None:
    body = reader.get(page).content.decode()
    path = page.partition("?")[0]
    found = links(body)

    assert len(found) >= len(re.findall(r'<table class="sheet(?! settings)', body))
    for address in found:
        answer = reader.get(f"{path}{address}")
        assert answer["Content-Type"].startswith("text/csv"), address
        content = b"".join(answer) if answer.streaming else answer.content
        columns, *rows = csv.reader(io.StringIO(content.decode()))
        assert len(columns) > 1
        assert all(len(row) == len(columns) for row in rows), address


@pytest.mark.usefixtures("_portfolio")
def test_a_run_has_its_counts_and_its_error_in_columns_of_their_own(reader: Client) -> None:
    rows = list(csv.DictReader(io.StringIO(reader.get("/sync?csv=runs").content.decode())))

    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert [row["error_what"] for row in rows] == ["Late.", ""]
    assert rows[1]["counts_positions"] == "6"


@pytest.mark.usefixtures("_portfolio")
def test_what_a_spreadsheet_would_compute_is_a_text(reader: Client) -> None:
    (row,) = csv.DictReader(io.StringIO(reader.get("/sync?csv=inbox").content.decode()))

    assert row["text"] == "'=1+1"
