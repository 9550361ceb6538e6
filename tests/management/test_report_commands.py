"""The commands that show what is stored: a table on a terminal, a document with --json."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, load_command_class

from stonks_overwatch.errors import LotsRefusedError, UnknownFigureError
from tests.reports import builders
from tests.running import command

pytestmark = pytest.mark.django_db


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> str:
        call_command(*arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def portfolio() -> None:
    """Worth 1,234,567.891 JPY in shares and 100 EUR of cash, 1 JPY = 0.006 EUR."""
    builders.rate("JPY", "EUR", "0.006")
    account = builders.account("U1", reported_nav=Decimal("7507.41"))
    share = builders.instrument("7203", "JPY", broker_ref="42")
    builders.position(account, share, "2.125", "580972.65458823529", cost="1000000")
    builders.position(account, builders.instrument("GONE"), "3", None)
    builders.cash(account, "EUR", "100")
    builders.activity(
        account, "opening", date(2026, 1, 5), share, quantity="2.125", gross="0", is_derived=True, sources=()
    )
    builders.activity(account, "deposit", date(2026, 2, 2), gross="100")


@pytest.mark.usefixtures("portfolio")
def test_holdings_are_a_table_with_totals(printed: Any) -> None:
    lines = printed("holdings").splitlines()
    row = next(line for line in lines if "7203" in line).split()
    # 1234566.891 x 0.006 = 7407.40; in percent of 7507.40
    assert row[:2] == ["U1", "7203"]
    assert "2.125" in row
    assert "7,407.40" in row
    assert "98.67" in row
    assert "unknown" in next(line for line in lines if "GONE" in line).split()
    assert lines[-1].startswith("NAV 7,507.40 EUR, as of 2026-03-04 12:00")
    assert lines[-1].endswith("1 unknown and not included")


@pytest.mark.usefixtures("portfolio")
def test_amounts_have_the_digits_of_their_currency(printed: Any) -> None:
    assert "1,251,234" in printed("holdings", "--base", "JPY")  # 100 EUR are 16,667 JPY


@pytest.mark.usefixtures("portfolio")
def test_a_day_is_shown_without_a_time(printed: Any) -> None:
    assert printed("holdings", "--as-of", "2026-02-02").splitlines()[-1].startswith("NAV ")
    assert "as of 2026-02-02" in printed("holdings", "--as-of", "2026-02-02")
    assert "00:00" not in printed("holdings", "--as-of", "2026-02-02")


@pytest.mark.usefixtures("portfolio")
def test_allocation_is_a_table_with_its_total(printed: Any) -> None:
    lines = printed("allocation", "--by", "currency").splitlines()
    assert [line.split()[0] for line in lines] == ["currency", "--------", "JPY", "EUR", "total"]
    assert lines[-1].split()[1] == "7,507.40"


@pytest.mark.usefixtures("portfolio")
def test_activities_are_narrowed_down_by_day_and_kind(printed: Any) -> None:
    assert len(printed("activities").splitlines()) == 4
    deposits = printed("activities", "--from", "2026-02-01", "--to", "2026-02-28", "--kind", "deposit")
    (line,) = deposits.splitlines()[2:]
    assert line.split() == ["2026-02-02", "U1", "deposit", "EUR", "100.00", "web-api"]


@pytest.mark.usefixtures("portfolio")
def test_reconcile_says_whether_it_agrees_and_where_not(printed: Any) -> None:
    lines = printed("reconcile").splitlines()
    assert lines[0] == "U1: does not agree"
    assert next(line for line in lines if line.startswith("NAV")).split() == [
        "NAV",
        "unknown",
        "7,507.41",
        "unknown",
    ]
    assert next(line for line in lines if "7203" in line).split()[-3:] == ["2.125", "2.125", "0"]


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("name", ["holdings", "allocation", "activities", "reconcile"])
def test_json_is_one_document(name: str, printed: Any) -> None:
    assert json.loads(printed(name, "--json"))


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("allocation", {"by": "asset_class", "slices": [], "total_base": "0"}),
        ("activities", {"activities": []}),
        ("reconcile", {"accounts": [], "unread": None}),
    ],
)
def test_nothing_stored_is_an_empty_document(name: str, document: dict[str, Any], printed: Any) -> None:
    assert json.loads(printed(name, "--json")) == document


def test_an_empty_data_folder_is_no_error(tmp_path: Path) -> None:
    ended = command(tmp_path, "holdings", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["accounts"] == []


@pytest.mark.parametrize("name", ["holdings", "activities", "reconcile"])
def test_nothing_stored_says_what_to_do(name: str, printed: Any) -> None:
    assert "stonks-overwatch sync" in printed(name)


def test_an_unknown_account_is_an_error_of_two_lines(tmp_path: Path) -> None:
    ended = command(tmp_path, "holdings", "--account", "U9", "--json")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "error: No stored account matches account U9.",
        "next step: Run stonks-overwatch sync first.",
    ]


@pytest.mark.parametrize(
    "arguments",
    [["allocation", "--by", "colour"], ["activities", "--kind", "gift"], ["holdings", "--as-of", "tomorrow"]],
)
def test_a_wrong_argument_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load_command_class("stonks_overwatch", arguments[0]).run_from_argv(["stonks-overwatch", *arguments])
    assert end.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.fixture
def sold() -> None:
    """Bought 10 for 100 and 10 for 150, sold 5 for 70; 15 are left at 12."""
    account, share = builders.account("U1"), builders.instrument("ABC")
    builders.position(account, share, "15", cost="200")
    builders.activity(account, "buy", date(2025, 1, 7), share, quantity="10", gross="-100", key="first")
    builders.activity(account, "buy", date(2026, 2, 3), share, quantity="10", gross="-150", key="second")
    builders.activity(account, "sell", date(2026, 3, 3), share, quantity="-5", gross="70", key="sale")


@pytest.mark.usefixtures("sold")
def test_lots_are_a_table_with_their_sum(printed: Any) -> None:
    lines = printed("lots").splitlines()
    assert lines[2].split() == [
        "U1", "ABC", "fifo", "2025-01-07", "421", "5", "EUR", "50.00", "50.00", "60.00", "10.00", "0.00",
    ]  # fmt: skip
    assert lines[-1].startswith("Unrealized -20.00 EUR, as of 2026-03-04")


@pytest.mark.usefixtures("sold")
def test_realized_gains_are_tables_by_lot_and_year(printed: Any) -> None:
    lots, years, total = printed("realized").strip().split("\n\n")
    assert lots.splitlines()[2].split() == [
        "2026-03-03", "U1", "ABC", "2025-01-07", "420", "5", "EUR", "70.00", "50.00", "20.00", "20.00",
        "0.00",
    ]  # fmt: skip
    assert years.splitlines()[2].split() == ["2026", "1", "70.00", "50.00", "20.00", "0.00", "20.00"]
    assert total == "Realized 20.00 EUR"
    assert printed("realized", "--year", "2020").strip() == "Nothing was closed in 2020."


@pytest.mark.usefixtures("sold")
def test_a_sale_is_tried_by_each_method(printed: Any) -> None:
    lines = printed("lots", "--what-if", "ABC", "10", "--price", "16").splitlines()
    assert lines[0] == "10 ABC of account U1 at 16 EUR, before commission:"
    assert [line.split()[0] for line in lines[4:]] == ["fifo", "lifo", "hifo", "average"]
    assert lines[4].split() == ["fifo", "2", "125.00", "160.00", "35.00", "35.00"]


@pytest.mark.usefixtures("sold")
def test_the_method_of_an_account_is_set_and_used_from_then_on(printed: Any) -> None:
    printed("lots", "--set-method", "lifo", "--account", "U1")
    assert json.loads(printed("realized", "--json"))["totals"]["gain_base"] == "-5"
    assert json.loads(printed("holdings", "--json"))["holdings"][0]["cost_basis"] == "175"


@pytest.mark.usefixtures("sold")
def test_lots_are_chosen_and_given_free(printed: Any) -> None:
    printed("lots", "--set-method", "specific")
    printed("lots", "--choose", "ibkr:U1:sale", "ibkr:U1:second", "5", "--account", "U1")
    assert json.loads(printed("realized", "--json"))["totals"]["gain_base"] == "-5"
    printed("lots", "--choose", "sale", "second", "0", "--account", "U1")
    assert json.loads(printed("realized", "--json"))["totals"]["gain_base"] == "20"


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize(
    "arguments", [("--what-if", "ABC", "many"), ("--what-if", "ABC", "99"), ("--choose", "sale", "x", "1")]
)
def test_what_does_not_fit_the_lots_is_refused(printed: Any, arguments: tuple[str, ...]) -> None:
    with pytest.raises(LotsRefusedError):
        printed("lots", *arguments)


@pytest.mark.usefixtures("portfolio")
def test_a_figure_is_explained_with_its_inputs_and_rates(printed: Any) -> None:
    # 1234566.891 JPY (to the digits of the price) at 0.006 EUR for one JPY
    told = printed("explain", "holdings.holdings.market_value_base", "--row", "ibkr 42 U1")

    assert told.startswith("Value, 7203: 7407.4")
    assert "product: value × EUR for one JPY" in told
    assert "rate: 0.006 EUR for one JPY of 2026-03-04" in told


@pytest.mark.usefixtures("portfolio")
def test_an_explanation_is_one_document_with_the_value_of_the_report(printed: Any) -> None:
    told = json.loads(printed("explain", "holdings.totals.nav_base", "--json"))
    report = json.loads(printed("holdings", "--json"))

    assert told["value"] == report["totals"]["nav_base"]
    assert [one["name"] for one in told["inputs"]] == [
        "investments",
        "cash",
        "accrued interest and dividends",
    ]


@pytest.mark.usefixtures("portfolio")
def test_a_figure_that_no_report_has_is_an_error() -> None:
    with pytest.raises(UnknownFigureError):
        call_command("explain", "holdings.totals.luck")


@pytest.mark.usefixtures("portfolio")
def test_an_address_copied_from_a_page_is_a_figure_too(printed: Any) -> None:
    address = "http://127.0.0.1:8000/explain/holdings.groups.market_value_base?base=EUR&each=1&row=stock"
    told = json.loads(printed("explain", address, "--json"))

    assert told["subject"] == "stock"
    assert told["address"] == "/explain/holdings.groups.market_value_base?base=EUR&each=1&row=stock"
    same = ("explain", "holdings.groups.market_value_base", "--each", "--row", "stock", "--json")
    assert json.loads(printed(*same))["value"] == told["value"]


@pytest.mark.usefixtures("portfolio")
def test_what_an_address_cannot_ask_is_refused_with_its_name() -> None:
    with pytest.raises(UnknownFigureError, match="only"):
        call_command("explain", "series.nav", "--only", "colour=red")
