"""The pages of realized gains and of one instrument."""

from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags

from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.web.paging import ROWS
from tests.reports import builders
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db
Y24, Y25 = date(2024, 3, 5), date(2025, 6, 5)


def text(answer: Any) -> str:
    """What a reader sees: one line, single blanks."""
    body = answer.content.decode()
    main = body[body.index("<main") : body.index("</main>")]
    return " ".join(unescape(strip_tags(main.replace("<", " <"))).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def traded(configure: Configure) -> Instrument:
    """Bought 10 for 1,000 USD at 0.9, sold 4 for 500 at 0.8 a year later; 6 are left at 130."""
    configure()
    now = datetime.now(UTC)
    holder = builders.account(updated_at=now)
    share = builders.instrument("ACME", "USD", name="Acme Inc", isin="US0000000AAA")
    for units, on in (("0.9", Y24), ("0.8", Y25), ("0.8", now.date())):
        builders.rate("USD", "EUR", units, on)
    builders.position(holder, share, "6", "130", cost="600", priced_at=now)
    builders.activity(holder, "buy", Y24, share, quantity="10", price="100", gross="-1000")
    builders.activity(holder, "sell", Y25, share, quantity="-4", price="125", gross="500")
    builders.activity(holder, "dividend", Y25, share, gross="10", group="payment")
    builders.activity(holder, "tax", Y25, share, gross="-1.5", group="payment")
    builders.price(share, "120", Y24)
    builders.price(share, "125", Y25)
    return share


def test_a_year_s_gains_are_told_lot_by_lot(reader: Client, traded: Instrument) -> None:
    shown = text(reader.get("/realized?year=2025"))
    # 500 × 0.8 − 400 × 0.9 = 40: price 90, currency −40, both −10.
    assert "Realized gain, 2025 +40.00 EUR 1 lot closed" in shown
    assert "From price +90.00 EUR" in shown
    assert "From currency −40.00 EUR" in shown
    assert "From both together −10.00 EUR" in shown
    assert "5 Mar 2024 – 5 Jun 2025 457 days, more than a year" in shown
    assert f'href="/instrument/{traded.pk}"' in reader.get("/realized").content.decode()


def test_contracts_of_one_name_are_told_apart(reader: Client, traded: Instrument) -> None:
    holder = Account.objects.get()
    for strike in ("30.5", "27"):
        call = builders.instrument(
            "ACME", "USD", asset_class="option", multiplier=Decimal(100),
            right="call", strike=Decimal(strike), expires_on=date(2025, 12, 19),
        )  # fmt: skip
        builders.activity(holder, "buy", Y24, call, quantity="1", gross="-100")
        builders.activity(holder, "sell", Y25, call, quantity="-1", gross="120")
    shown = text(reader.get("/realized?year=2025"))
    for contract in ("Call 30.5 · expires 19 Dec 2025", "Call 27 · expires 19 Dec 2025"):
        assert shown.count(contract) == 2  # of the instrument and of the lot


def test_sums_of_gains_are_marked_where_one_of_them_is_an_estimate(
    reader: Client, traded: Instrument
) -> None:
    shown = "about +40.00 EUR"
    Activity.objects.filter(instrument=traded, kind="buy").update(
        kind="opening", is_derived=True, cost=Decimal(1000), gross=Decimal(0)
    )
    sums = text(reader.get("/realized"))
    assert sums.count(shown) == 4  # of all, of the year, of the instrument, of the lot
    assert "From currency ~ about −40.00 EUR" in sums
    assert shown in text(reader.get("/"))


def test_the_method_is_in_the_address(reader: Client, traded: Instrument) -> None:
    page = reader.get("/realized?method=average").content.decode()
    assert '<option value="average" selected>' in page
    assert reader.get("/realized?method=nonsense&year=x&page=0").status_code == 200


@pytest.mark.parametrize(
    ("table", "first"),
    [
        ("lots", "account,broker,symbol,name,isin"),
        ("years", "year,lots"),
        ("instruments", "symbol,name,isin"),
    ],
)
def test_every_table_of_gains_is_a_csv(reader: Client, traded: Instrument, table: str, first: str) -> None:
    answer = reader.get(f"/realized?csv={table}")
    assert answer["Content-Type"].startswith("text/csv")
    header, row, *_ = answer.content.decode().splitlines()
    assert header.startswith(first)
    assert len(row.split(",")) == len(header.split(","))


def test_an_instrument_shows_what_it_earned_and_by_what(reader: Client, traded: Instrument) -> None:
    shown = text(reader.get(f"/instrument/{traded.pk}?period=all"))
    # 6 × 130 × 0.8 − 600 × 0.9 = 84; 8.5 × 0.8 = 6.80 of dividend after tax.
    assert "Unrealized +84.00 EUR" in shown
    assert "Realized +40.00 EUR" in shown
    assert "Income +6.80 EUR" in shown
    assert "Total +130.80 EUR" in shown
    # 180 × 0.9 + 90 of the price; 600 × −0.1 − 40 of the currency; 180 × −0.1 − 10 of both.
    assert "From price +252.00 EUR" in shown
    assert "From currency −100.00 EUR" in shown
    assert "From both together −28.00 EUR" in shown


def test_the_chart_has_the_prices_the_trades_and_the_dividends(reader: Client, traded: Instrument) -> None:
    page = reader.get(f"/instrument/{traded.pk}?period=all").content.decode()
    assert '"keys": ["2024-03-05", "2025-06-05"], "values": ["120", "125"]' in page
    assert '"on": "2025-06-05", "kind": "sell", "price": "125", "quantity": "-4"' in page
    assert '"kind": "dividend", "price": null, "quantity": null, "amount": "10.00"' in page


@pytest.mark.parametrize("told", [{"ratio": "4"}, {"quantity": "18"}])
def test_the_chart_is_in_today_s_units_after_a_split(
    reader: Client, traded: Instrument, told: dict[str, Any]
) -> None:
    # 4 for 1 on 9 June 2025: 10 - 4 = 6 became 24, so 18 came; 120, 100 and 125 were for what is 4 now.
    builders.activity(Account.objects.get(), "split", date(2025, 6, 9), traded, **told)
    builders.price(traded, "32", date(2025, 6, 9))
    page = reader.get(f"/instrument/{traded.pk}?period=all").content.decode()
    assert '"keys": ["2024-03-05", "2025-06-05", "2025-06-09"], "values": ["30", "31.25", "32"]' in page
    assert '"on": "2024-03-05", "kind": "buy", "price": "25", "quantity": "10"' in page
    assert '"on": "2025-06-05", "kind": "sell", "price": "31.25", "quantity": "-4"' in page
    shown = " ".join(unescape(strip_tags(page)).split())
    assert "divided by its new units for one old: 4 on 9 Jun 2025." in shown
    prices = reader.get(f"/instrument/{traded.pk}?period=all&csv=prices").content.decode()
    assert prices.splitlines()[:2] == ["on,close,adjusted", "2024-03-05,120,30"]
    told_how = reader.get(f"/explain/instrument.prices.adjusted?instrument={traded.pk}&row=2024-03-05")
    explained = unescape(strip_tags(told_how.content.decode())).split()
    assert "Price in today's units · ACME · 2024-03-05" in " ".join(explained)


def test_a_sale_is_tried_by_each_method(reader: Client, traded: Instrument) -> None:
    shown = text(reader.get(f"/instrument/{traded.pk}?sell=2&at=150"))
    # 300 × 0.8 − 200 × 0.9 = 60.
    assert "First in, first out 1 200.00 USD 300.00 USD +100.00 USD +60.00 EUR" in shown
    assert "2 of account U1 at 150.00 USD , before commission." in shown


@pytest.mark.parametrize(("sell", "why"), [("7", "6 are open in lots"), ("x", "is not a number")])
def test_a_sale_that_cannot_be_says_why(reader: Client, traded: Instrument, sell: str, why: str) -> None:
    answer = reader.get(f"/instrument/{traded.pk}?sell={sell}")
    assert answer.status_code == 400
    assert why in text(answer)


@pytest.mark.parametrize("table", ["lots", "closed", "activities"])
def test_every_table_of_an_instrument_is_a_csv(reader: Client, traded: Instrument, table: str) -> None:
    answer = reader.get(f"/instrument/{traded.pk}?csv={table}")
    assert answer["Content-Disposition"] == f'attachment; filename="ACME-{table}.csv"'
    assert len(answer.content.decode().splitlines()) > 1


def test_an_unknown_instrument_is_not_found(reader: Client, traded: Instrument) -> None:
    assert reader.get("/instrument/999999").status_code == 404
    assert reader.get(f"/instrument/{traded.pk}?account=nobody").status_code == 404


def test_an_account_s_method_is_switched_on_the_page(reader: Client, traded: Instrument) -> None:
    builders.activity(Account.objects.get(), "buy", Y25, traded, quantity="1", gross="-125")
    answer = reader.post("/realized/method", {"account": "ibkr:U1", "method": "hifo"})
    assert (answer.status_code, answer["Location"]) == (302, "/realized#methods")
    assert Account.objects.get().lot_method == "hifo"
    # 1 that cost 125 and 3 that cost 100 are sold for 125 each.
    gains = [lot["gain"] for lot in reader.get("/api/v1/realized").json()["lots"]]
    assert sorted(gains) == ["0", "75"]
    assert reader.post("/realized/method", {"account": "ibkr:U9", "method": "hifo"}).status_code == 404


def test_pages_of_closed_lots_follow_one_another(reader: Client, configure: Configure) -> None:
    configure()
    holder, share = builders.account(updated_at=datetime.now(UTC)), builders.instrument()
    builders.position(holder, share, "0")
    count = 2 * ROWS - 5
    for number in range(count):
        builders.activity(holder, "buy", Y24, share, quantity="1", gross="-10")
        builders.activity(holder, "sell", Y25, share, quantity="-1", gross=str(number))
    assert f"1–{ROWS} of {count}" in text(reader.get("/realized"))
    assert f"{ROWS + 1}–{count} of {count}" in text(reader.get("/realized?page=2"))
    assert f"{ROWS + 1}–{count} of {count}" in text(reader.get("/realized?page=99"))
    assert len(reader.get("/realized?csv=lots").content.decode().splitlines()) == count + 1


def test_the_figures_of_the_page_are_those_of_the_json(reader: Client, traded: Instrument) -> None:
    document = reader.get("/api/v1/realized?year=2025").json()
    assert Decimal(document["totals"]["gain_base"]) == 40
    of_instrument = reader.get(f"/api/v1/instrument/{traded.pk}").json()
    assert Decimal(of_instrument["earned"]["total_base"]) == Decimal("130.8")
    assert [lot["quantity"] for lot in of_instrument["lots"]] == ["6"]
    assert reader.get("/api/v1/instrument/999999").status_code == 404
