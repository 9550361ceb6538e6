"""Income, fees, contributions, cash, diversification, exposures and targets, as pages and as CSV."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from stonks_overwatch.ledger import models
from stonks_overwatch.reports.booked import year_before
from stonks_overwatch.web import cashflow
from tests.reports import builders
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
TODAY = NOW.date()
PAGES = (
    "/income",
    "/fees",
    "/contributions",
    "/cash",
    "/diversification",
    "/diversification?by=country",
    "/exposures",
    "/targets",
)
TABLES = [
    *(
        ("/income", name)
        for name in (
            "months", "years", "accounts", "currencies", "kinds", "instruments", "payments", "yields",
            "expected", "accrued",
        )
    ),
    *(("/fees", name) for name in ("months", "years", "kinds", "accounts", "instruments", "charges")),
    *(("/contributions", name) for name in ("months", "years", "accounts", "instruments", "kinds", "flows")),
    *(("/cash", name) for name in ("now", "balances")),
    *(("/diversification", name) for name in ("groups", "members")),
    *(
        ("/exposures", name)
        for name in (
            "classes", "underlyings", "futures", "options", "expiries", "bonds", "ladder", "margin",
        )
    ),
    *(("/targets", name) for name in ("groups", "orders")),
]  # fmt: skip


def text(answer: Any) -> str:
    """What a reader sees: one line, single blanks."""
    body = answer.content.decode()
    main = body[body.index("<main") : body.index("</main>")]
    return " ".join(unescape(strip_tags(main.replace("<", " <"))).replace("\N{NO-BREAK SPACE}", " ").split())


def rows(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


@pytest.mark.parametrize(
    ("start", "end", "parts"),
    [
        (date(2025, 11, 27), date(2026, 11, 26), {"2025-11", "2025", "2026-11", "2026"}),
        (date(2025, 1, 1), date(2025, 12, 31), set()),
        (date(2025, 2, 1), date(2026, 1, 31), {"2025", "2026"}),
        (None, date(2026, 1, 31), {"2026"}),
        (None, None, set()),
    ],
)
def test_growth_is_told_of_whole_months_and_years_alone(
    start: date | None, end: date | None, parts: set[str]
) -> None:
    assert cashflow.cut(start, end) == parts


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def holder(configure: Configure) -> models.Account:
    configure()
    builders.run("ok", NOW)
    return builders.account(updated_at=NOW, reported_cushion=Decimal("0.65"), reported_margin_at=NOW)


@pytest.fixture
def portfolio(holder: models.Account) -> models.Account:
    """10 of a share that pays 5 twice a year, fees, a deposit, an option, a bond, cash."""
    share = builders.instrument("KO", name="Coca-Cola", country="US", sector="=cmd|' /C calc'!A0")
    builders.position(holder, share, "10", "12", "100", priced_at=NOW)
    builders.price(share, "12", TODAY)
    builders.activity(holder, "buy", days_ago(900), share, quantity="10", price="10", gross="-100", fee="-1")
    for days in (700, 520, 340, 160):
        group = f"payment:{days}"
        builders.activity(holder, "dividend", days_ago(days), share, gross="5", group=group)
        builders.activity(
            holder, "tax", days_ago(days), share, gross="-0.75", group=group, subtype="withholding tax"
        )
    builders.activity(holder, "fee", days_ago(30), gross="-2.5", subtype="market data")
    builders.activity(holder, "deposit", days_ago(60), gross="1000")
    option = builders.instrument(
        "KO", asset_class="option", multiplier=100, strike=12, right="call",
        expires_on=TODAY + timedelta(days=200), underlying_ref=share.broker_ref, underlying_symbol="KO",
    )  # fmt: skip
    builders.position(holder, option, "-1", "1", "-90")
    bond = builders.instrument(
        "DBR", asset_class="bond", quote_factor=Decimal("0.01"), description="DBR 2 1/2 08/15/46",
        expires_on=date(2046, 8, 15),
    )  # fmt: skip
    builders.position(holder, bond, "1000", "90", "900")
    builders.cash(holder, "EUR", "500")
    return holder


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_keeps_to_the_policy_and_is_small(page: str, reader: Client) -> None:
    answer = reader.get(page)
    body = answer.content.decode()
    assert answer.status_code == 200
    assert " style=" not in body
    assert "<style" not in body
    assert " onclick=" not in body
    assert len(answer.content) < 200_000


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("page", PAGES)
def test_an_account_without_anything_has_pages_that_say_so(page: str, reader: Client) -> None:
    answer = reader.get(page)
    assert answer.status_code == 200
    assert "nan" not in text(answer).lower().split()


@pytest.mark.parametrize("page", PAGES)
def test_before_the_first_sync_a_page_says_how_to_begin(
    page: str, configure: Configure, reader: Client
) -> None:
    configure()
    assert "sync" in text(reader.get(page)).lower()


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("/targets")])
def test_an_account_that_is_not_there_is_named(page: str, reader: Client) -> None:
    answer = reader.get(page, {"account": "U9"})
    assert answer.status_code == 404
    assert "U9" in text(answer)


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(("page", "table"), TABLES)
def test_every_table_is_a_csv_file(page: str, table: str, reader: Client) -> None:
    answer = reader.get(page, {"csv": table, "period": "all"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert f"{page.strip('/')}-{table}.csv" in answer["Content-Disposition"]
    header = answer.content.decode().splitlines()[0].split(",")
    assert len(header) > 2


@pytest.mark.usefixtures("portfolio")
def test_a_csv_has_every_digit_and_no_formula(reader: Client) -> None:
    payments = rows(reader.get("/income", {"csv": "payments", "period": "all"}))
    assert [row["net"] for row in payments] == ["4.25"] * 4
    groups = rows(reader.get("/diversification", {"csv": "groups", "by": "sector"}))
    assert "'=cmd|' /C calc'!A0" in [row["key"] for row in groups]


# What the pages say


@pytest.mark.usefixtures("portfolio")
def test_income_shows_what_came_and_what_is_to_come(reader: Client) -> None:
    # In the last 12 months two payments of 5, with 0.75 tax each.
    page = text(reader.get("/income"))
    assert "8.50 EUR" in page
    assert "Dividends, gross 10.00 EUR" in page
    assert "Tax withheld −1.50 EUR" in page
    assert "8.33%" in page  # 10 a year of 120
    assert page.count("estimated") >= 2


@pytest.mark.usefixtures("portfolio")
def test_the_period_is_in_the_address(reader: Client) -> None:
    assert "17.00 EUR" in text(reader.get("/income", {"period": "all"}))
    year = str(days_ago(520).year)
    own = reader.get("/income", {"period": year})
    assert f'<option value="{year}" selected>' in own.content.decode()
    assert reader.get("/income", {"period": "nonsense"}).status_code == 200


@pytest.mark.usefixtures("portfolio")
def test_the_chart_has_the_figures_of_its_table(reader: Client) -> None:
    body = reader.get("/income", {"period": "all"}).content.decode()
    found = re.search(r'<script id="income-plot" type="application/json">(.*?)</script>', body)
    assert found
    plot = json.loads(found[1])
    drawn = next(row for row in plot["series"] if row["name"] == "Dividends")
    months = rows(reader.get("/income", {"csv": "months", "period": "all"}))
    total = sum(Decimal(row["dividends_base"]) for row in months)
    assert sum(Decimal(value) for value in drawn["values"]) == total == 20


@pytest.mark.usefixtures("portfolio")
def test_fees_are_shown_by_kind(reader: Client) -> None:
    page = text(reader.get("/fees", {"period": "all"}))
    assert "Market data −2.50 EUR" in page
    assert "Commission −1.00 EUR" in page
    assert "Withholding tax" in page


@pytest.mark.usefixtures("portfolio")
def test_contributions_are_shown(reader: Client) -> None:
    assert "1,000.00 EUR" in text(reader.get("/contributions"))


@pytest.mark.usefixtures("portfolio")
def test_a_group_opens_to_its_members(reader: Client) -> None:
    page = text(reader.get("/diversification", {"by": "country", "key": "US"}))
    assert "United States" in page
    assert "Coca-Cola" in page
    assert "unknown" in page  # of the bond and the option


@pytest.mark.usefixtures("portfolio")
def test_exposures_take_the_rate_from_the_address(reader: Client) -> None:
    page = text(reader.get("/exposures", {"percent": "4,5"}))
    assert "a rate of 4.50%" in page
    assert "2.500%" in page  # the coupon
    assert "65.0%" in page  # the cushion
    for nonsense in ("abc", "NaN", "1e9"):
        assert "a rate of 3.00%" in text(reader.get("/exposures", {"percent": nonsense}))


# Targets


@pytest.mark.usefixtures("portfolio")
def test_targets_are_saved_by_the_form_and_planned_with(reader: Client) -> None:
    answer = reader.post(
        "/targets/save",
        {
            "by": "asset_class",
            "key": ["stock", "cash", ""],
            "weight": ["60", "", ""],
            "band": ["2,5", "", ""],
        },
    )
    assert answer.status_code == 302
    (row,) = models.Target.objects.all()
    assert (row.key, row.weight, row.band) == ("stock", Decimal("0.6"), Decimal("0.025"))
    page = text(reader.get("/targets", {"by": "asset_class", "money": "120"}))
    assert "buy KO" in page
    assert "below" in page


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(("weight", "what"), [("120", "not between 0 and 100"), ("many", "is no weight")])
def test_targets_that_cannot_be_wanted_are_refused_with_the_reason(
    weight: str, what: str, reader: Client
) -> None:
    answer = reader.post("/targets/save", {"by": "asset_class", "key": "stock", "weight": weight, "band": ""})
    assert answer.status_code == 409
    assert what in text(answer)
    assert not models.Target.objects.exists()


@pytest.mark.usefixtures("portfolio")
def test_targets_are_saved_with_a_token_only() -> None:
    strict = Client(headers={"host": "127.0.0.1"}, enforce_csrf_checks=True)
    assert strict.post("/targets/save", {"by": "asset_class"}).status_code == 403


# Bounded


def fill(holder: models.Account, start: int, end: int) -> None:
    for number in range(start, end):
        held = builders.instrument(f"S{number}", ("EUR", "USD")[number % 2], isin=f"XS{number}")
        builders.position(holder, held, "10", "10", "9", priced_at=NOW)
        builders.activity(holder, "buy", days_ago(800), held, quantity="10", price="9", gross="-90", fee="-1")
        for days in (400, 30, 0):  # those of past months may be kept
            builders.activity(holder, "dividend", days_ago(days), held, gross="3", group=f"p{number}:{days}")


def test_a_page_asks_as_often_and_is_as_small_for_hundreds_of_holdings(
    holder: models.Account, reader: Client
) -> None:
    builders.rate("USD", "EUR", "0.9", days_ago(800))
    builders.rate("USD", "EUR", "0.9", TODAY)
    builders.cash(holder, "EUR", "1")

    def asked(page: str) -> int:
        reader.get(page)  # keeps what can be kept for the next time
        with CaptureQueriesContext(connection) as captured:
            answer = reader.get(page, {"period": "all"})
        assert len(answer.content) < 200_000, page
        return len(captured)

    pages = [page for page in PAGES if "?" not in page]
    fill(holder, 0, 4)
    few = {page: asked(page) for page in pages}
    fill(holder, 4, 300)
    many = {page: asked(page) for page in pages}
    assert many == few
    assert max(many.values()) <= 25


def test_a_year_before_a_29_february_is_a_28th() -> None:
    assert year_before(date(2028, 2, 29)) == date(2027, 2, 28)


@pytest.mark.usefixtures("portfolio")
def test_the_price_of_a_bond_is_percent_of_face_wherever_it_stands(reader: Client) -> None:
    bond = models.Instrument.objects.get(symbol="DBR")
    account = models.Account.objects.get()
    builders.activity(account, "buy", days_ago(20), bond, quantity="1000", price="89.319", gross="-893.19")
    for page in ("/holdings", f"/instrument/{bond.pk}", "/activities?q=DBR"):
        shown = text(reader.get(page))
        assert ("90.00%" if page == "/holdings" else "89.319%") in shown, page
        assert "89.319 EUR" not in shown, page
    row = f"{bond.broker}+{bond.broker_ref}+{account.account}"
    explained = reader.get(f"/api/v1/explain/holdings.holdings.price?row={row}").json()
    assert (explained["value"], explained["unit"]) == ("90", "")
