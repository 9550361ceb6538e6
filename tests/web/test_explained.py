"""Every figure on every page has an address that explains it, and is the one of the JSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.web import holdings_table
from stonks_overwatch.web.templatetags import figures
from tests.reports import builders, portfolio
from tests.reports.packing import pack
from tests.reports.recombining import recombined
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db

# Put before each number that a filter of the pages makes, to find them again in the page.
MARK = "\ue000"
PAGES = (
    "/",
    "/?account=U1",
    "/holdings",
    "/holdings?account=each",
    "/holdings?page=2",
    "/holdings?q=apple",
    "/accounts",
    "/reconcile",
    "/activities",
    "/performance?period=3M",
    "/realized",
    "/income?period=all",
    "/fees?period=all",
    "/contributions?period=all",
    "/cash?period=3m",
    "/diversification?by=sector&key=Tech",
    "/diversification?by=country&key=cash",
    "/exposures",
    "/targets",
    "/targets?by=instrument&money=5000",
    "/realized?method=average",
)
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Shown:
    """One number of a page: what stands there, and its address; None where there is none."""

    text: str
    address: str | None
    where: str = field(repr=False, default="")


class Reader(HTMLParser):
    """Reads the numbers of a page and finds their addresses as the page's script does."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, str]]] = []
        self.shown: list[Shown] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self.stack:
            if self.stack.pop()[0] == tag:
                return

    def handle_data(self, data: str) -> None:
        if MARK in data and not any(tag in ("script", "option") for tag, _ in self.stack):
            where = " > ".join(f"{tag}.{attrs.get('class', '')}" for tag, attrs in self.stack[-5:])
            self.shown.append(Shown(data.strip(), self.address(), where))

    def nearest(self, *names: str) -> tuple[str, str] | None:
        for _, attrs in reversed(self.stack):
            for name in names:
                if name in attrs:
                    return name, attrs[name]
        return None

    def address(self) -> str | None:
        for tag, attrs in reversed(self.stack):
            if tag == "a" and attrs.get("href", "").startswith("/explain/"):
                return attrs["href"]
        table, row = self.nearest("data-rows", "data-explain"), self.nearest("data-row", "data-of")
        figure, names = self.nearest("data-x", "data-live"), self.nearest("data-names")
        if not (table and figure):
            return None
        name: str | None = figure[1]
        if figure[0] == "data-live":
            pairs = dict(pair.split(":") for pair in (names[1] if names else "").split())
            name = pairs.get(figure[1])
        if name is None:
            return None
        path, _, query = table[1].partition("?")
        words = [query, urlencode({"row": row[1]}) if row else ""]
        return f"{path}.{name}?{'&'.join(word for word in words if word)}"


def numbers(reader: Client, page: str) -> list[Shown]:
    body = reader.get(page).content.decode()
    told = Reader()
    told.feed(body)
    return told.shown


@pytest.fixture
def _portfolio(configure: Configure) -> None:
    configure()
    portfolio.fill()


@pytest.fixture
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = figures._text
    monkeypatch.setattr(figures, "_text", lambda *args, **more: MARK + plain(*args, **more))
    monkeypatch.setattr(holdings_table, "PAGE_SIZE", 3)  # so that there is a second page


def pages() -> Iterator[str]:
    yield from PAGES
    yield from (f"/instrument/{pk}" for pk in Instrument.objects.values_list("pk", flat=True)[:2])
    yield f"/instrument/{Instrument.objects.get(symbol='ASML').pk}?sell=3&at=640.5"


@pytest.fixture
def _known(configure: Configure) -> None:
    """Sixty days of which everything is known: two deposits, a share that rises, a dividend, a benchmark."""
    configure()
    account = builders.account(updated_at=datetime.now(UTC))
    share, index = builders.instrument("ABC"), builders.instrument("IDX", isin="IE0000000001")
    day = portfolio.day
    builders.activity(account, "deposit", day(60), gross="1000")
    builders.activity(account, "buy", day(60), share, quantity="10", price="50", gross="-500", fee="-1")
    builders.activity(account, "deposit", day(25), gross="200")
    builders.activity(account, "dividend", day(10), share, gross="12", tax="-2")
    for ago in range(60, -1, -1):
        builders.price(share, f"{50 + (60 - ago) % 7}", day(ago))
        builders.price(index, f"{100 - ago % 5}", day(ago))
    builders.run("ok", datetime.now(UTC))
    pack()


@pytest.mark.usefixtures("_known", "_marked")
def test_returns_and_their_days_are_explained_each_by_itself() -> None:
    all_days, month = "period=all&benchmark=IE0000000001", "period=1M&part=holdings&tax=before"
    checked((f"/performance?{all_days}", f"/performance?{month}"), 120)


@pytest.mark.usefixtures("_portfolio", "_marked")
def test_every_figure_is_explained_by_itself_and_can_be_worked_out_again() -> None:
    checked(pages(), 300)


def checked(shown_on: Iterable[str], least: int) -> None:
    """Each number of the pages has an address, whose headline it is, and whose inputs give it."""
    reader = Client(headers={"host": "127.0.0.1"})
    wrong: list[str] = []
    told: dict[str, Any] = {}
    for page in shown_on:
        for one in numbers(reader, page):
            if one.address is None:
                wrong.append(f"{page}: {one.text} in {one.where} has no address")
                continue
            if one.address not in told:
                answer = reader.get(f"/api/v1{one.address}")
                told[one.address] = json.loads(answer.content) if answer.status_code == 200 else None
            explanation = told[one.address]
            if explanation is None or not is_told(one.text, explanation):
                value = explanation and explanation["value"]
                wrong.append(f"{page}: {one.text} in {one.where} is {value} at {one.address}")
    wrong += [
        f"{address} is not {explanation['how']} of {explanation['formula']}"
        for address, explanation in told.items()
        if explanation and not is_worked_out(reader, address, explanation)
    ]

    assert not wrong, "\n".join(wrong)
    assert len(told) > least


def is_worked_out(reader: Client, address: str, explanation: dict[str, Any]) -> bool:
    """Whether the explanation alone gives the figure; to the cent for parts that are told in whole cents."""
    if explanation["how"] == "reported":
        return True
    inputs = explanation["inputs"]
    if explanation["pages"] > 1:
        file = reader.get(f"{address}&csv=inputs").content.decode()
        inputs = list(csv.DictReader(io.StringIO(file)))
    rows = [
        (
            one["name"],
            Decimal(one["value"]) if one["value"] else None,
            date.fromisoformat(one["as_of"][:10]) if one["as_of"] else None,
        )
        for one in inputs
    ]
    value = Decimal(explanation["value"])
    given = recombined(explanation["how"], explanation["formula"], rows, explanation["title"], value)
    slack = Decimal("0.005") if ".bridge." in address else Decimal("1e-6") + abs(value) / 10**9
    return given is not None and abs(given - value) <= slack


def is_told(text: str, explanation: dict[str, Any]) -> bool:
    """Whether the text is the value, rounded to as many digits as stand there."""
    number = text.replace(MARK, "|").partition("|")[2].split("\N{NO-BREAK SPACE}")[0].split(" ")[0]
    digits = number.rstrip("%").replace(",", "").replace("\N{MINUS SIGN}", "-").lstrip("+")
    if explanation["value"] is None:
        return False
    value = Decimal(explanation["value"])
    scaled = value * 100 if number.endswith("%") and explanation["unit"] == "fraction" else value
    decimals = len(digits.partition(".")[2])
    return abs(scaled - Decimal(digits)) <= Decimal(1).scaleb(-decimals) / 2


@pytest.mark.usefixtures("_portfolio")
def test_the_page_of_an_explanation_leads_on_to_its_inputs() -> None:
    reader = Client(headers={"host": "127.0.0.1"})
    body = reader.get("/explain/holdings.totals.nav_base").content.decode()

    assert "investments + cash + accrued interest and dividends" in body
    assert 'href="/explain/holdings.totals.cash_base?base=EUR"' in body


@pytest.mark.usefixtures("_portfolio")
def test_the_page_of_a_figure_of_an_earlier_day_says_the_day() -> None:
    reader = Client(headers={"host": "127.0.0.1"})
    answer = reader.get("/explain/holdings.totals.nav_base?as_of=2025-03-02")

    assert answer.status_code == 200
    assert "<dt>As of</dt><dd>2 Mar 2025</dd>" in answer.content.decode()


@pytest.mark.usefixtures("_portfolio")
def test_the_inputs_are_a_file_too() -> None:
    reader = Client(headers={"host": "127.0.0.1"})
    lines = reader.get("/explain/holdings.totals.nav_base?csv=inputs").content.decode().splitlines()

    assert lines[0] == "name,value,unit,as_of,source,explanation"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "investments",
        "cash",
        "accrued interest and dividends",
    ]


@pytest.mark.usefixtures("_portfolio")
@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "holdings.nonsense",
        "holdings.holdings.weight",
        "holdings.holdings.weight?row=nobody",
        "holdings.totals.nav_base?account=nobody",
        "series.nav?row=1900-01-01",
    ],
)
def test_an_unknown_figure_is_said_with_what_there_is(address: str) -> None:
    reader = Client(headers={"host": "127.0.0.1"})

    assert reader.get(f"/explain/{address}").status_code == 404
    answer = reader.get(f"/api/v1/explain/{address}")
    assert answer.status_code == 404
    assert json.loads(answer.content)["error"]["next_step"]
