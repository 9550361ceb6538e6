"""The commands of income, fees, contributions, cash, diversification, exposures and targets."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command, load_command_class
from django.test import Client

from stonks_overwatch.errors import TargetsError
from tests.reports import builders

pytestmark = pytest.mark.django_db

COMMANDS = ("income", "fees", "contributions", "cash", "diversification", "exposures", "targets")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> str:
        call_command(*arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def portfolio() -> None:
    """A share worth 600 with a dividend of 20 and 3 tax, a fee, a deposit, 400 cash; all in EUR."""
    holder = builders.account()
    share = builders.instrument("KO", sector="Staples")
    builders.position(holder, share, "50", "12")
    builders.activity(
        holder, "buy", date(2025, 12, 1), share, quantity="50", price="10", gross="-500", fee="-1.5"
    )
    builders.activity(holder, "dividend", date(2026, 1, 15), share, gross="20", tax="-3")
    builders.activity(holder, "deposit", date(2026, 1, 5), gross="1000")
    builders.cash(holder, "EUR", "400")


def line(text: str, start: str) -> list[str]:
    return next(row for row in text.splitlines() if row.startswith(start)).split()


@pytest.mark.usefixtures("portfolio")
def test_the_tables_show_the_sums(printed: Any) -> None:
    income = printed("income", "--from", "2026-01-01")
    assert line(income, "2026-01") == ["2026-01", "20.00", "-3.00", "17.00"]
    assert line(income, "total") == ["total", "20.00", "-3.00", "17.00"]
    assert line(income, "KO") == ["KO", "1", "20.00", "-3.00", "17.00"]
    fees = printed("fees")
    assert line(fees, "total") == ["total", "-1.50", "-3.00", "-4.50"]
    assert line(fees, "commission") == ["commission", "-1.50", "0.00", "-1.50"]
    assert line(printed("contributions"), "2026-01") == ["2026-01", "1,000.00", "0.00", "1,000.00"]
    assert line(printed("cash"), "U1") == ["U1", "EUR", "400.00", "400.00", "100.00", "%"]
    spread = printed("diversification", "--by", "sector")
    assert line(spread, "Staples") == ["Staples", "600.00", "60.00", "%"]
    assert "sector unknown: 0.00 %" in spread
    assert "gross over NAV 60.00 %" in printed("exposures")


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_the_document_that_the_api_serves(name: str, printed: Any) -> None:
    document = json.loads(printed(name, "--json"))
    served = Client(headers={"host": "127.0.0.1"}).get(f"/api/v1/{name}", {"base": "EUR"})
    assert served.status_code == 200
    assert served.json() == document


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("name", ["income", "fees", "contributions"])
def test_documents_are_by_month_account_and_instrument_with_gross_tax_and_net(
    name: str, printed: Any
) -> None:
    document = json.loads(printed(name, "--json", "--from", "2025-12-01", "--to", "2026-01-31"))
    assert (document["from"], document["to"]) == ("2025-12-01", "2026-01-31")
    for group in (*document["by_month"], *document["by_account"], document["totals"]):
        gross, tax, net = (Decimal(group[f"{part}_base"]) for part in ("gross", "tax", "net"))
        assert gross + tax == net
    assert "by_instrument" in document


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_stored_is_no_error(name: str, printed: Any) -> None:
    assert printed(name).strip()
    assert json.loads(printed(name, "--json"))


@pytest.mark.usefixtures("portfolio")
def test_targets_are_set_and_planned_with(printed: Any) -> None:
    printed("targets", "--set", "stock=0.7:0.02", "cash=0.3")
    page = printed("targets", "--money", "200")
    # 0.7 × 1,200 − 600 = 240, 0.3 × 1,200 − 400 < 0: all 200 to the share, 16 units of 12
    assert line(page, "buy ") == ["buy", "U1", "KO", "16", "192.00", "stock"]
    assert line(page, "stock")[:6] == ["stock", "600.00", "60.00", "%", "70.00", "%"]
    assert "left as cash 8.00 EUR" in page
    printed("targets", "--set")
    assert "No targets are set" in printed("targets")


@pytest.mark.usefixtures("portfolio")
def test_targets_beyond_the_whole_are_refused() -> None:
    with pytest.raises(TargetsError) as refused:
        call_command("targets", "--set", "stock=0.7", "cash=0.4")
    assert "110 %" in refused.value.what


@pytest.mark.parametrize(
    "arguments",
    [
        ["exposures", "--rate", "3"],
        ["exposures", "--rate", "much"],
        ["targets", "--money", "-5"],
        ["targets", "--set", "stock=half"],
        ["diversification", "--by", "colour"],
    ],
)
def test_a_wrong_argument_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load_command_class("stonks_overwatch", arguments[0]).run_from_argv(["stonks-overwatch", *arguments])
    assert end.value.code == 2
    assert capsys.readouterr().out == ""
