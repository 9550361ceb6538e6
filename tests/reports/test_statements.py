"""Statements against the ledger: they close to the cent, and a fault of a cent is found on its day.

The statements are the sandbox's: they are replayed from its script, independently of the ledger.
"""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from stonks_overwatch.imports import import_file
from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.models import Activity, Figure
from stonks_overwatch.reports.broker_returns import broker_returns
from stonks_overwatch.reports.explain import explain
from stonks_overwatch.reports.explain.asked import Arguments, asked_in
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.reconcile import AccountLines, Line, reconcile
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.services.brokers.ibkr.sandbox.books import SECTIONS, Style, statement
from stonks_overwatch.services.brokers.ibkr.sandbox.scenarios import small
from tests.reports import builders
from tests.reports.recombining import recombined

pytestmark = pytest.mark.django_db
MAIN = "U7654321"
TODAY = date(2026, 3, 4)
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
UNTIL = date(2026, 3, 3)
SINCE = small(TODAY).holders[MAIN].opened_on
EUR = Scope("EUR")


@pytest.fixture(scope="module")
def told() -> str:
    return statement(small(TODAY), SINCE, UNTIL, NOW, Style())


@pytest.fixture(scope="module")
def without_funds() -> str:
    """The same without the statement of funds, as most queries have it."""
    sections = tuple(name for name in SECTIONS if name != "StmtFunds")
    return statement(small(TODAY), SINCE, UNTIL, NOW, Style(sections=sections))


def compared(text: str, folder: Path) -> AccountLines:
    file = folder / "statement.xml"
    file.write_text(text)
    result = import_file(file, now=NOW)
    assert not result.refused
    (account,) = reconcile(EUR).accounts
    return account


def differing(account: AccountLines) -> dict[str, Line]:
    return {line.name: line for line in account.lines if not line.agrees}


def first(text: str, tag: str, **wanted: str) -> str:
    """The first row of this kind with these fields."""
    rows: list[str] = re.findall(rf"<{tag} [^>]*/>", text)
    return next(row for row in rows if all(f'{name}="{value}"' in row for name, value in wanted.items()))


def field(row: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', row)
    assert found
    return found[1]


def a_cent_off(text: str, row: str, name: str) -> str:
    changed = Decimal(field(row, name)) + Decimal("0.01")
    return text.replace(row, re.sub(rf'\b{name}="[^"]*"', f'{name}="{changed}"', row, count=1))


def test_a_whole_statement_closes_to_the_cent(told: str, tmp_path: Path) -> None:
    account = compared(told, tmp_path)
    assert differing(account) == {}
    assert account.agrees
    names = {line.name.split(" ")[0] for line in account.lines}
    assert {"NAV", "cash", "quantity", "market", "cost", "unrealized", "dividends", "commissions"} <= names


def test_a_cent_in_a_dividend_is_found_in_its_row(told: str, tmp_path: Path) -> None:
    row = first(told, "CashTransaction", type="Dividends")
    found = differing(compared(a_cent_off(told, row, "amount"), tmp_path))
    number, on = field(row, "transactionID"), date.fromisoformat(field(row, "reportDate"))
    for name in ("dividends USD", "cash USD"):
        line = found[name]
        assert line.difference == Decimal("0.01")
        assert line.first_on == on
        assert [suspect.activity for suspect in line.suspects] == [f"ibkr:{MAIN}:cash:{number}"]
        assert f"first on {on}" in line.what
    assert set(found) <= {"dividends USD", "cash USD", "dividends, all in EUR", "NAV", "cash"}


def test_a_cent_in_a_commission_is_found_in_its_trade(told: str, tmp_path: Path) -> None:
    row = first(told, "Trade", currency="USD")
    found = differing(compared(a_cent_off(told, row, "ibCommission"), tmp_path))
    line = found["commissions USD"]
    assert line.difference == Decimal("0.01")
    assert line.first_on == date.fromisoformat(field(row, "reportDate"))
    assert [suspect.activity for suspect in line.suspects] == [
        f"ibkr:{MAIN}:trade:{field(row, 'tradeID')}/{field(row, 'transactionID')}"
    ]
    # What was bought for a cent less cost a cent less.
    assert any(name.startswith("cost basis") for name in found)


def test_a_missing_row_is_found_with_its_day_and_amount(told: str, tmp_path: Path) -> None:
    row = first(told, "CashTransaction", type="Withholding Tax")
    found = differing(compared(told.replace(row, ""), tmp_path))
    amount, on = Decimal(field(row, "amount")), date.fromisoformat(field(row, "reportDate"))
    assert found["withholding tax USD"].difference == -amount
    cash = found["cash USD"]
    assert (cash.difference, cash.first_on) == (-amount, on)
    (suspect,) = cash.suspects
    assert (suspect.activity, suspect.ours, suspect.theirs) == (None, None, amount)
    assert field(row, "transactionID") in suspect.text


def test_a_missing_trade_is_found_in_quantity_and_cash(told: str, tmp_path: Path) -> None:
    row = first(told, "Trade", currency="USD")
    found = differing(compared(told.replace(row, ""), tmp_path))
    line = found[f"quantity {field(row, 'symbol')} ({field(row, 'conid')})"]
    assert line.difference == -Decimal(field(row, "quantity"))
    assert found["cash USD"].first_on == date.fromisoformat(field(row, "reportDate"))


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("markPrice", {"market value", "unrealized P&L", "NAV"}),
        ("positionValue", {"market value", "NAV"}),
        ("costBasisMoney", {"cost basis"}),
        ("fifoPnlUnrealized", {"unrealized P&L"}),
        ("position", {"quantity", "market value", "cost basis", "unrealized P&L", "NAV"}),
    ],
)
def test_a_cent_in_a_position_is_found_in_its_line(
    told: str, tmp_path: Path, name: str, groups: set[str]
) -> None:
    row = first(told, "OpenPosition")
    found = differing(compared(a_cent_off(told, row, name), tmp_path))
    assert found
    paper = f"{field(row, 'symbol')} ({field(row, 'conid')})"
    assert {line.group for line in found.values()} <= groups
    assert all(line.name in (f"{line.group} {paper}", "NAV") for line in found.values())
    assert {line.on for line in found.values()} <= {UNTIL, None}


def test_a_cent_in_a_day_of_the_statements_nav_is_found_on_that_day(told: str, tmp_path: Path) -> None:
    row = first(told, "EquitySummaryByReportDateInBase", reportDate=f"{UNTIL:%Y%m%d}")
    found = differing(compared(a_cent_off(told, row, "total"), tmp_path))
    (line,) = found.values()
    assert (line.name, line.on) == ("NAV", UNTIL)
    # Rates have six decimals, which leaves a tenth of a cent open beside the one that is off.
    assert line.difference is not None
    assert abs(abs(line.difference) - Decimal("0.01")) < Decimal("0.001")


def test_without_a_statement_of_funds_the_rows_that_can_be_it_are_named(
    without_funds: str, tmp_path: Path
) -> None:
    row = first(without_funds, "CashTransaction", type="Other Fees")
    found = differing(compared(a_cent_off(without_funds, row, "amount"), tmp_path))
    line = found["fees EUR"]
    assert line.difference == Decimal("0.01")
    key = f"ibkr:{MAIN}:cash:{field(row, 'transactionID')}"
    assert key in [suspect.activity for suspect in line.suspects]


def test_a_cent_in_the_ledger_itself_is_found(told: str, tmp_path: Path) -> None:
    assert compared(told, tmp_path).agrees
    dividend = Activity.objects.filter(kind="dividend").earliest("trade_date")
    assert dividend.gross is not None
    Activity.objects.filter(pk=dividend.pk).update(gross=dividend.gross - Decimal("0.01"))
    packed.activities_changed([(dividend.account_id, dividend.booked_on or dividend.trade_date)])
    (account,) = reconcile(EUR).accounts
    line = differing(account)["dividends USD"]
    assert line.difference == Decimal("-0.01")
    assert [suspect.activity for suspect in line.suspects] == [f"ibkr:{MAIN}:{dividend.key}"]


def test_the_command_finds_a_cent_that_another_program_wrote(
    told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(told, tmp_path).agrees
    for kind, found in (("dividend", "dividends USD"), ("buy", "cost basis")):
        row = Activity.objects.filter(kind=kind, currency="USD", is_derived=False).latest("trade_date")
        assert row.gross is not None
        Activity.objects.filter(pk=row.pk).update(gross=row.gross - Decimal("0.01"))
        call_command("reconcile", "--differences")
        assert found in capsys.readouterr().out


def test_what_a_statement_is_compared_with_can_be_worked_out_again(told: str, tmp_path: Path) -> None:
    account = compared(told, tmp_path)
    lines = {(line.group, ", all in " in line.name): line for line in account.lines if line.on}
    assert {("cash", False), ("dividends", False), ("dividends", True), ("commissions", True)} <= lines.keys()
    assert {(group, False) for group in _OF_POSITIONS} <= lines.keys()
    of_positions = [line for line in account.lines if line.on and line.group in _OF_POSITIONS]
    for line in (*lines.values(), *of_positions[::7]):
        asked = Arguments(base="EUR", row=(key_of(account), key_of(line)))
        explained = explain("reconcile.accounts.lines.computed", asked, size=10_000)
        inputs = [(one.name, one.value, one.as_of) for one in explained.inputs]
        assert line.computed is not None
        assert explained.how != "reported"
        given = recombined(explained.how, explained.formula, inputs, explained.title, line.computed)
        assert given == line.computed, line.what
        for one in explained.inputs:
            if one.explanation:
                name, words = asked_in(one.explanation)
                assert explain(name, Arguments(**words)).value == one.value, one
        reported = explain("reconcile.accounts.lines.reported", asked, size=10_000)
        of_rows = [row.quantity or row.amount or 0 for row in reported.rows]
        assert sum(of_rows) == line.reported, line.what


_OF_POSITIONS = ("quantity", "market value", "cost basis", "unrealized P&L", "NAV")


@pytest.mark.parametrize("asset_class", ["stock", "cfd"])
def test_what_was_realized_leads_to_the_lots(asset_class: str) -> None:
    """4 of 10 that cost 101 bring 47.50: 7.10, or 7.50 where the broker leaves the commission out."""
    account = builders.account(opened_on=date(2026, 1, 1))
    paper = builders.instrument(asset_class=asset_class)
    builders.activity(
        account, "buy", date(2026, 2, 2), paper, quantity="10", price="10", gross="-100", fee="-1"
    )
    earned = "7.10" if asset_class == "stock" else "7.50"
    builders.activity(
        account, "sell", date(2026, 2, 4), paper,
        quantity="-4.0", price="12", gross="48", fee="-0.50", realized_pnl=earned,
    )  # fmt: skip
    Figure.objects.create(
        account=account, section="CashReport", name="endingCash", since=date(2026, 2, 1), until=UNTIL,
        currency="EUR", amount=Decimal(0),
    )  # fmt: skip
    (lines,) = reconcile(EUR).accounts
    line = next(line for line in lines.lines if line.group == "realized P&L")
    asked = Arguments(base="EUR", row=(key_of(lines), key_of(line)))
    told = explain("reconcile.accounts.lines.computed", asked)

    assert line.computed == Decimal(earned)
    parts = [Decimal("7.10")] if asset_class == "stock" else [Decimal("7.10"), Decimal("0.40")]
    assert [one.value for one in told.inputs] == parts
    for of_lot in (
        told.inputs[0].explanation,
        explain("reconcile.accounts.lines.computed", asked.but(as_of=UNTIL)).inputs[0].explanation,
        # Worked out for the day alone, the lot is the same one.
        asked.but(as_of=UNTIL).address(
            "realized.lots.gain", *asked_in(told.inputs[0].explanation or "")[1]["row"]
        ),
    ):
        name, words = asked_in(of_lot or "")
        assert explain(name, Arguments(**words)).value == Decimal("7.10")
    (row,) = explain("reconcile.accounts.lines.reported", asked).rows
    assert row.what == f"sell {paper.symbol}"


def test_one_day_is_compared_alone(told: str, tmp_path: Path) -> None:
    compared(told, tmp_path)
    (day,) = reconcile(Scope("EUR", as_of=UNTIL)).accounts
    assert day.agrees
    assert {line.on for line in day.lines} <= {UNTIL, None}
    (before,) = reconcile(Scope("EUR", as_of=date(2025, 9, 1))).accounts
    assert not any(line.on for line in before.lines)


def test_statements_that_end_on_one_day_count_once(told: str, tmp_path: Path) -> None:
    compared(told, tmp_path)
    last_day = statement(small(TODAY), UNTIL, UNTIL, NOW, Style())
    assert differing(compared(last_day, tmp_path)) == {}


def test_the_first_day_that_does_not_agree_is_told(tmp_path: Path) -> None:
    """A statement of each day; a fee that one of them tells a cent too high."""
    text = statement(small(TODAY), date(2026, 1, 2), UNTIL, NOW, Style(by_day=True))
    row = first(text, "CashTransaction", type="Other Fees")
    account = compared(a_cent_off(text, row, "amount"), tmp_path)
    line = differing(account)["cash EUR"]
    assert line.on == line.first_on == date.fromisoformat(field(row, "reportDate"))
    assert line.on
    (later,) = reconcile(EUR, start=line.on + timedelta(days=1), end=UNTIL).accounts
    assert "cash EUR" in {line.name for line in later.lines}
    assert "cash EUR" not in differing(later)


def test_the_brokers_return_is_beside_ours(told: str, tmp_path: Path) -> None:
    compared(told, tmp_path)
    (row,) = broker_returns(EUR).returns
    assert (row.start, row.end) == (SINCE, UNTIL)
    assert row.agrees, row
    assert row.why == ""


def test_a_return_two_basis_points_off_is_flagged(told: str, tmp_path: Path) -> None:
    twr = re.search(r' twr="([^"]*)"', told)
    assert twr
    text = told.replace(twr[0], f' twr="{Decimal(twr[1]) + Decimal("0.02")}"')
    compared(text, tmp_path)
    (row,) = broker_returns(EUR).returns
    assert not row.agrees
    assert row.basis_points is not None
    assert round(row.basis_points) == -2
    assert row.why


def test_the_command_shows_what_differs_and_the_returns(
    told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = first(told, "CashTransaction", type="Dividends")
    compared(a_cent_off(told, row, "amount"), tmp_path)
    call_command("reconcile", "--differences")
    shown = capsys.readouterr().out
    assert f"{MAIN}: does not agree" in shown
    assert "dividends USD" in shown
    assert "quantity" not in shown
    assert f"{SINCE} to {UNTIL}" in shown
    call_command("reconcile", "--json", "--from", "2026-03-01", "--to", "2026-03-31")
    (account,) = json.loads(capsys.readouterr().out)["accounts"]
    assert set(account) == {"account", "as_of", "lines", "agrees"}
    assert all(
        set(line) == {"what", "computed", "reported", "difference", "within"} for line in account["lines"]
    )
    assert not account["agrees"]


def test_a_difference_that_rounded_rates_explain_is_shown_as_such(
    told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = first(told, "EquitySummaryByReportDateInBase", reportDate=f"{UNTIL:%Y%m%d}")
    # Rates have six decimals, which leaves some tenths of a cent of thousands of dollars open.
    off = str(Decimal(field(row, "total")) + Decimal("0.0055"))
    account = compared(told.replace(row, row.replace(field(row, "total"), off)), tmp_path)

    nav = next(line for line in account.lines if line.name == "NAV" and line.on == UNTIL)
    assert nav.agrees
    assert nav.within == "rates"
    assert Decimal("0.005") < abs(nav.difference or Decimal(0)) < Decimal("0.01")
    cash = next(line for line in account.lines if line.name == "cash USD")
    assert (cash.agrees, cash.within) == (True, None)

    call_command("reconcile")
    shown = capsys.readouterr().out
    assert "within the rounding of the broker's rates" in shown
