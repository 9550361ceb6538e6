"""The page of returns: figures, filters in the address, tables as CSV."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stonks_overwatch.ledger.models import Account, Instrument
from stonks_overwatch.web.performance import TABLES, heat
from tests.reports import builders as made
from tests.reports.packing import pack
from tests.web.conftest import Configure
from tests.web.test_pages import text

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def portfolio(configure: Configure) -> Instrument:
    """1,000 put in 60 days ago; 10 shares at 50, now 60: 1,100. A benchmark that lost a tenth."""
    configure()
    account = made.account(updated_at=datetime.now(UTC))
    share, index = made.instrument("ABC"), made.instrument("IDX", isin="IE0000000001")
    made.activity(account, "deposit", ago(60), gross="1000")
    made.activity(account, "buy", ago(60), share, quantity="10", price="50", gross="-500")
    for days in range(60, -1, -1):
        made.price(share, "60" if days < 30 else "50", ago(days))
        made.price(index, "90" if days < 20 else "100", ago(days))
    made.run("ok", datetime.now(UTC))
    pack()
    return share


def plot(body: str, name: str) -> Any:
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', body)
    return json.loads(found[1]) if found else None


@pytest.mark.usefixtures("portfolio")
def test_the_page_shows_return_bridge_periods_and_risk(reader: Client) -> None:
    answer = reader.get("/performance?period=all")
    shown = text(answer)
    assert "+10.00% Contributions count at the start of their day; after fees and after tax" in shown
    assert "Net contribution +1,000.00 EUR" in shown
    assert "Market +100.00 EUR" in shown
    assert "Everything +10.00%" in shown
    assert "Volatility sample deviation of daily returns × √252" in shown
    assert "From 4" in shown  # some forty weekdays
    values = plot(answer.content.decode(), "value-plot")
    assert values["series"][0]["values"][-1] == "1100.00"
    assert values["series"][1]["values"][-1] == "1000.00"


@pytest.mark.usefixtures("portfolio")
def test_the_figures_are_those_of_the_json(reader: Client) -> None:
    document = reader.get("/api/v1/performance").json()
    assert Decimal(document["twr"]) == Decimal("0.1")
    assert "+10.00%" in text(reader.get("/performance?period=all"))
    assert Decimal(reader.get("/api/v1/series").json()["nav"][-1]) == 1100


@pytest.mark.usefixtures("portfolio")
def test_a_benchmark_in_the_address_stands_beside_the_portfolio(reader: Client) -> None:
    answer = reader.get("/performance?period=all&benchmark=IE0000000001")
    shown = text(answer)
    assert "Return +10.00% −10.00%" in shown
    assert "1,100.00 EUR 900.00 EUR" in shown
    assert "A price return: no dividend of it is known in these days." in shown
    assert len(plot(answer.content.decode(), "growth-plot")["series"]) == 2


@pytest.mark.usefixtures("portfolio")
def test_prices_alone_can_be_asked_for_and_taken_back(reader: Client) -> None:
    answer = reader.get("/performance?period=all&benchmark=IE0000000001&price_return=1")
    assert "A price return: dividends are left out. Reinvest the dividends that are known" in text(answer)
    assert "benchmark=IE0000000001&amp;price_return=1" in answer.content.decode()


@pytest.mark.usefixtures("portfolio")
def test_a_benchmark_without_prices_is_explained(reader: Client) -> None:
    answer = reader.get("/performance?benchmark=NONE")
    assert answer.status_code == 400
    assert "No prices are stored of an instrument NONE." in text(answer)


def test_what_each_holding_added_comes_after_the_page(reader: Client, portfolio: Instrument) -> None:
    assert "Work it out" in text(reader.get("/performance?period=all"))
    part = reader.get("/performance?period=all&part=holdings", headers={"HX-Request": "true"})
    body = part.content.decode()
    assert "<main" not in body
    assert "ABC" in body
    assert "+10.00%" in body
    assert "ABC" in text(reader.get("/performance?period=all&part=holdings"))


def test_of_many_holdings_those_that_added_most_and_least_are_shown(
    reader: Client, portfolio: Instrument
) -> None:
    holder = Account.objects.get()
    made.activity(holder, "deposit", ago(50), gross="2400")
    for number in range(1, 25):  # each bought at 100, and now at 101 to 124
        share = made.instrument(f"S{number:02}")
        made.activity(holder, "buy", ago(50), share, quantity="1", price="100", gross="-100")
        for days in range(50, 0, -7):
            made.price(share, "100", ago(days))
        made.price(share, f"{100 + number}", ago(0))
    pack()
    shown = text(reader.get("/performance?period=all&part=holdings"))
    listed = shown[shown.index("What each holding added") :]
    assert "20 of 25 holdings; the CSV has all." in listed
    most, least = listed.split("Added least")
    # ABC gained 100.
    assert most.index("ABC") < most.index("S24") < most.index("S16")
    assert "S15" not in listed
    assert "S01" in least


def test_one_holding_can_be_looked_at_alone(reader: Client, portfolio: Instrument) -> None:
    shown = text(reader.get(f"/performance?period=all&only=instrument={portfolio.broker_ref}"))
    assert "+20.00%" in shown
    assert "Only ABC, as if in an account of its own" in shown
    assert "Show everything" in shown


@pytest.mark.usefixtures("portfolio")
def test_a_group_that_was_never_held_is_said_to_be_none(reader: Client) -> None:
    shown = text(reader.get("/performance?only=asset_class=cfd"))
    assert "Never held There is no activity in CFDs." in shown
    assert "Show everything" in shown


@pytest.mark.usefixtures("portfolio")
def test_days_of_ones_own_and_tax_are_in_the_address(reader: Client) -> None:
    shown = text(reader.get(f"/performance?from={ago(29)}&to={ago(10)}&tax=before"))
    assert "before tax" in shown
    assert "Chosen days" in shown
    assert reader.get("/performance?period=nonsense").status_code == 200


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(
    ("days", "why"),
    [
        ("from=nonsense", "'nonsense' is not a day, so it is left out."),
        ("from=2026-05-01&to=2025-01-01", "The days end (1 Jan 2025) before they begin (1 May 2026)"),
        ("from=2900-01-01", "Nothing is known of these days, so they are left out. Choose days from"),
    ],
)
def test_days_that_cannot_be_used_are_left_out_and_said(days: str, why: str, reader: Client) -> None:
    answer = reader.get(f"/performance?{days}&period=nonsense")
    assert answer.status_code == 400
    assert why in text(answer)
    assert "Time-weighted return" in text(answer)
    # No file of other days than those asked for.
    assert reader.get(f"/performance?{days}&csv=days")["Content-Type"].startswith("text/html")


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there_as_csv(reader: Client, name: str) -> None:
    answer = reader.get(f"/performance?period=all&benchmark=IDX&csv={name}")
    assert answer["Content-Disposition"] == f'attachment; filename="performance-{name}.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows
    if name == "days":
        assert (rows[-1]["on"], rows[-1]["nav"], rows[-1]["twr_index"]) == (TODAY.isoformat(), "1100", "1.1")


def test_without_days_the_page_says_what_is_missing(configure: Configure, reader: Client) -> None:
    configure()
    made.account(updated_at=datetime.now(UTC))
    assert "No returns yet" in text(reader.get("/performance"))


def test_with_the_brokers_values_alone_returns_are_unknown(configure: Configure, reader: Client) -> None:
    configure()
    account = made.account(updated_at=datetime.now(UTC), opened_on=ago(900))
    for days in (20, 10, 0):
        made.nav(account, str(100 + days), ago(days))
    shown = text(reader.get("/performance?period=all"))
    assert "Returns need to know every deposit and withdrawal." in shown
    assert "Value at end 100.00 EUR" in shown


@pytest.mark.usefixtures("portfolio")
def test_the_page_asks_the_database_little(reader: Client) -> None:
    reader.get("/performance")
    with CaptureQueriesContext(connection) as queries:
        reader.get("/performance")
    assert len(queries) <= 25


@pytest.mark.parametrize(
    ("value", "shade"),
    [("0.004", "heat-p0"), ("0.03", "heat-p2"), ("-0.06", "heat-n3"), ("-0.01", "heat-n1")],
)
def test_a_month_is_shaded_by_its_return(value: str, shade: str) -> None:
    assert heat(Decimal(value)) == shade
