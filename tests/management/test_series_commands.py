"""The commands of value and return over time: a table on a terminal, a document with --json."""

import json
from datetime import date
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger import models
from tests.reports import builders as made
from tests.reports.packing import pack

pytestmark = pytest.mark.django_db
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> str:
        call_command(*arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture(autouse=True)
def portfolio() -> None:
    """1,000 put in on Monday, 10 shares at 50; 55 on Tuesday: 1,050."""
    account = made.account()
    share = made.instrument("ABC", asset_class="etf")
    made.activity(account, "deposit", MONDAY, gross="1000")
    made.activity(account, "buy", MONDAY, share, quantity="10", price="50", gross="-500")
    made.price(share, "50", MONDAY)
    made.price(share, "55", TUESDAY)
    pack()


def test_series_has_a_line_per_day(printed: Any) -> None:
    lines = printed("series", "--base", "EUR", "--from", "2026-03-02").splitlines()
    assert lines[2].split() == ["2026-03-02", "1,000.00", "1,000.00", "1", "own"]
    assert lines[3].split() == ["2026-03-03", "1,050.00", "0.00", "1.05", "own"]


def test_series_as_json_has_decimals_as_texts(printed: Any) -> None:
    document = json.loads(
        printed("series", "--base", "EUR", "--from", "2026-03-03", "--to", "2026-03-03", "--json")
    )
    assert document == {
        "dates": ["2026-03-03"], "nav": ["1050"], "net_contribution": ["0"], "twr_index": ["1.05"],
    }  # fmt: skip


def test_performance_closes(printed: Any) -> None:
    document = json.loads(
        printed("performance", "--base", "EUR", "--from", "2026-03-03", "--to", "2026-03-03", "--json")
    )
    assert document["from"] == "2026-03-03"
    assert document["twr"] == "0.05"
    assert document["bridge"] == {
        "market": "50", "income": "0", "fees": "0", "taxes": "0", "currency": "0", "other": "0",
    }  # fmt: skip
    assert "time-weighted return" in printed("performance", "--base", "EUR", "--method", "average")


@pytest.mark.parametrize(("method", "gain"), [("fifo", "50.00"), ("average", "37.50")])
def test_the_realized_gains_of_the_days_are_by_the_method_asked_for(
    printed: Any, method: str, gain: str
) -> None:
    # 10 at 50 and 10 at 55; 5 are sold at 60: 5 x 10 by FIFO, 5 x (60 - 52.50) by average cost.
    account, share = models.Account.objects.get(), models.Instrument.objects.get()
    made.activity(account, "buy", TUESDAY, share, quantity="10", price="55", gross="-550")
    made.activity(account, "sell", made.TODAY, share, quantity="-5", price="60", gross="300")
    pack()
    lines = printed("performance", "--base", "EUR", "--method", method).splitlines()
    assert f"gains of lots that were closed {gain}" in [" ".join(line.split()) for line in lines]
    earlier = printed("performance", "--base", "EUR", "--method", method, "--to", "2026-03-03").splitlines()
    assert "gains of lots that were closed 0.00" in [" ".join(line.split()) for line in earlier]


def test_the_realized_gains_of_the_days_are_marked_where_one_is_an_estimate(printed: Any) -> None:
    account = models.Account.objects.get()
    share = made.instrument("OLD", "USD")
    made.rate("USD", "EUR", "0.50", TUESDAY)
    made.activity(account, "opening", TUESDAY, share, quantity="10", cost="100", gross="0", is_derived=True)
    made.activity(account, "sell", made.TODAY, share, quantity="-10", gross="140")
    pack()
    lines = [" ".join(line.split()) for line in printed("performance", "--base", "EUR").splitlines()]
    assert "gains of lots that were closed ~ 20.00" in lines


def test_performance_of_some_holdings_alone(printed: Any) -> None:
    document = json.loads(
        printed(
            "performance", "--base", "EUR", "--only", "asset_class=etf", "--from", "2026-03-03", "--to",
            "2026-03-03", "--json",
        )
    )  # fmt: skip
    assert document["twr"] == "0.1"


def test_a_period_that_ends_before_it_begins_is_a_wrong_argument() -> None:
    with pytest.raises(CommandError):
        call_command("performance", "--from", "2026-03-03", "--to", "2026-03-02")


def test_periods_attribution_risk_and_benchmark_have_tables_and_documents(printed: Any) -> None:
    assert "all" in printed("periods", "--base", "EUR")
    assert json.loads(printed("periods", "--base", "EUR", "--json"))["months"][0]["name"] == "2026-03"
    assert "together (TWR)" in printed("attribution", "--base", "EUR")
    assert json.loads(printed("attribution", "--base", "EUR", "--json"))["holdings"][0]["symbol"] == "ABC"
    assert "volatility" in printed("risk", "--base", "EUR")
    assert json.loads(printed("risk", "--base", "EUR", "--json"))["volatility"] is None
    assert "ABC" in printed("benchmark", "ABC", "--base", "EUR")
    assert json.loads(printed("benchmark", "ABC", "--base", "EUR", "--json"))["benchmark_return"] == "0.1"


def test_a_benchmark_that_is_not_stored_is_refused() -> None:
    with pytest.raises(UnknownInstrumentError):
        call_command("benchmark", "NONE", "--base", "EUR")
