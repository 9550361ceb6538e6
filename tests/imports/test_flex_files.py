"""Flex statements as files: imported, again, in any order, undone, made anew."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F, Q
from django.test import Client

from stonks_overwatch import imports, sync
from stonks_overwatch.imports import FileResult, flex_files, import_file, undo
from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.types import Account, AssetClass, Batch, CashBalance, Instrument, Position
from stonks_overwatch.reports.accounts import account_rows
from stonks_overwatch.reports.dashboard import dashboard
from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.scope import Scope

pytestmark = pytest.mark.django_db

GOLDEN = Path(__file__).parents[1] / "golden" / "flex"
FILES = sorted(GOLDEN.glob("*.xml"))
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def imported(name: str, **options: str) -> FileResult:
    return import_file(GOLDEN / f"{name}.xml", now=NOW, **options)  # type: ignore[arg-type]


def ledger() -> dict[str, list[tuple[object, ...]]]:
    """Everything that was told, without rows' numbers and times of recording."""
    stands = models.Activity.objects.filter(Q(superseded_by=None) | Q(superseded_by=F("pk")))
    activity = [
        "account__account", "key", "instrument__broker_ref", "kind", "subtype", "trade_date", "quantity",
        "price", "currency", "gross", "fee", "tax", "group", "conflicts", "is_derived",
    ]  # fmt: skip
    columns = {
        models.FxRate: ["base", "quote", "on", "rate"],
        models.NavPoint: ["account__account", "on", "nav", "currency"],
        models.Period: ["account__account", "source", "topic", "since", "until"],
        models.Figure: ["account__account", "section", "name", "since", "until", "ref", "amount"],
        models.InboxItem: ["key", "reason"],
        models.Position: ["account__account", "instrument__broker_ref", "quantity", "cost_basis", "is_open"],
        models.CashBalance: ["account__account", "currency", "amount"],
    }
    found = {"Activity": sorted(stands.values_list(*activity), key=repr)}
    for table, names in columns.items():
        found[table.__name__] = sorted(table._default_manager.values_list(*names), key=repr)
    found["sources"] = sorted(models.ActivitySource.objects.values_list("activity__key", "source", "key"))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_imported_again_changes_nothing(file: Path) -> None:
    first = import_file(file, now=NOW)
    before = ledger()
    again = import_file(file, now=NOW + timedelta(days=1))

    assert first.kind == "flex"
    assert not first.refused
    assert first.new == models.Activity.objects.reported().count()
    assert (again.new, again.known, again.inbox) == (0, first.new, first.inbox)
    assert again.number is None
    assert ledger() == before


def record_all(files: Iterable[Path]) -> dict[str, list[tuple[object, ...]]]:
    store.clear("ibkr")
    models.Instrument.objects.all().delete()
    models.Import.objects.all().delete()
    for file in files:
        import_file(file, now=NOW)
    return ledger()


def test_overlapping_statements_in_any_order_are_one_ledger() -> None:
    together = [GOLDEN / f"{name}.xml" for name in ("trades", "confirmations", "unknown_words")]
    whole = record_all(together)

    for order in permutations(together):
        assert record_all(order) == whole
    # The confirmations are the same trades: they are named beside the statement.
    trade = models.Activity.objects.get(key="trade:5001/9001")
    assert set(trade.sources.values_list("source", flat=True)) == {"flex", "flex-confirmations"}


def test_a_dry_run_tells_what_would_happen_and_stores_nothing() -> None:
    result = import_file(GOLDEN / "trades.xml", now=NOW, dry_run=True)

    assert result.new == 13
    assert not models.Activity.objects.exists()
    assert not models.Account.objects.exists()


def test_what_is_done_of_a_long_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LONG", 0)
    monkeypatch.setattr(flex_files, "_MEGABYTE", 100)
    told: list[tuple[str, int, int]] = []

    import_file(GOLDEN / "trades.xml", now=NOW, progress=lambda *step: told.append(step))

    size = (GOLDEN / "trades.xml").stat().st_size // 100
    assert told[0] == ("trades.xml: megabytes read", size, size)
    assert told[-1][0].endswith("rows are being stored")


def test_rows_for_the_inbox_are_told_with_their_line_and_reason() -> None:
    result = imported("cash")

    lines = (GOLDEN / "cash.xml").read_text().splitlines()
    unusual = next(n for n, line in enumerate(lines, start=1) if 'type="Loyalty"' in line)
    empty = next(n for n, line in enumerate(lines, start=1) if "no amount" in line)
    assert [(row.line, row.reason) for row in result.inbox] == [
        (unusual, "type 'Loyalty' is not known; its kind is guessed from the words in it"),
        (empty, "the row has no amount"),
    ]
    assert "Corporate Actions" in result.note


@pytest.mark.parametrize("content", ["<FlexQueryResponse><a>", "<FlexQueryResponse/>", "<a><FlexStatement"])
def test_a_file_that_is_no_whole_statement_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken.xml"
    file.write_text(content)

    result = import_file(file, now=NOW)

    assert result.refused
    assert not models.Import.objects.exists()


def test_the_state_of_a_statement_is_shown_where_nothing_newer_is_known() -> None:
    imported("day_by_day")

    account = models.Account.objects.get()
    assert account.positions_at == datetime(2026, 1, 5, 23, 59, 59, tzinfo=UTC)  # as of the whole day
    held = models.Position.objects.get(instrument__broker_ref="4001")
    assert (held.quantity, held.cost_basis) == (Decimal(10), Decimal(483))
    assert models.CashBalance.objects.get(currency="EUR").amount == Decimal("597.5")
    # Two were bought; the others were there before.
    opening = models.Activity.objects.get(kind="opening", instrument__broker_ref="4001")
    assert opening.quantity == Decimal(8)


def newer_state() -> Batch:
    at = datetime(2026, 6, 30, 20, tzinfo=UTC)
    none = None
    held = Position("U3141592", "4001", Decimal(3), Decimal(60), Decimal(180), none, none, none, none, at)
    return Batch(
        broker="ibkr",
        login="main",
        fetched_at=at,
        accounts=(Account("U3141592", "EUR"),),
        instruments=(Instrument("4001", "EXE", "EXAMPLE ETF", AssetClass.ETF, "EUR"),),
        positions={"U3141592": (held,)},
        cash={"U3141592": (CashBalance("U3141592", "EUR", Decimal(7)),)},
    )


def test_an_old_statement_leaves_what_is_held_today() -> None:
    store.record(newer_state())

    imported("day_by_day")

    assert models.Position.objects.get(instrument__broker_ref="4001").quantity == Decimal(3)
    assert models.CashBalance.objects.get(currency="EUR").amount == Decimal(7)
    assert models.Account.objects.get().login == "main"
    assert models.NavPoint.objects.count() == 3


def test_a_statement_that_does_not_tell_the_currency_leaves_the_one_that_is_known(tmp_path: Path) -> None:
    store.record(newer_state())
    file = tmp_path / "bare.xml"
    file.write_text((GOLDEN / "transfers.xml").read_text().replace('currency="EUR" />', 'currency="" />', 1))

    import_file(file, now=NOW)

    assert models.Account.objects.get(account="U3141592").currency == "EUR"


def test_an_import_is_undone_as_a_whole() -> None:
    imported("cash")
    before = ledger()
    number = imported("trades").number
    assert number is not None

    undo(number, NOW)

    assert ledger() == before


def test_undoing_the_only_statement_of_an_account_takes_the_account_too() -> None:
    number = imported("day_by_day").number
    assert number is not None

    undo(number, NOW)

    assert not models.Account.objects.exists()


def test_undoing_an_import_leaves_what_another_told_too(tmp_path: Path) -> None:
    imported("trades")
    before = ledger()
    other = tmp_path / "same.xml"
    other.write_text((GOLDEN / "trades.xml").read_text() + "\n")
    number = import_file(other, now=NOW + timedelta(days=1)).number

    if number is not None:
        undo(number, NOW)

    assert ledger() == before


@pytest.mark.django_db(transaction=True)
def test_a_ledger_made_anew_has_the_imported_statements() -> None:
    for name in ("trades", "confirmations", "day_by_day"):
        imported(name)
    before = ledger()

    sync.rebuild("ibkr")

    assert ledger() == before


def test_an_account_whose_currency_no_source_tells_is_kept_in_an_unknown_one(
    tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bare.xml"
    file.write_text((GOLDEN / "orders_only.xml").read_text().replace('currency="GBP" />', "/>", 1))
    import_file(file, now=NOW)

    accounts = account_rows(Scope("EUR"))
    documents = [accounts, holdings(Scope("EUR")), dashboard(Scope("EUR"))]
    told = [document.model_dump(mode="json")["accounts"][0]["currency"] for document in documents]
    assert told == [None, None, None]
    page = client.get("/accounts").content.decode()
    assert "kept in an unknown currency" in page
    assert "XXX" not in page

    figure = f"/explain/holdings.accounts.nav?row=ibkr+{accounts.accounts[0].account}"
    explained = client.get(f"/api/v1{figure}").json()
    assert explained["unit"] is None
    assert "XXX" not in client.get(figure).content.decode()
    for command in (["holdings", "--as-of", "2026-06-30"], ["explain", figure]):
        call_command(*command)
    written = capsys.readouterr().out
    assert "(unknown currency)" in written
    assert "XXX" not in written


def test_what_a_statement_of_trades_alone_leaves_open_is_unknown_and_not_nothing(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    imported("trades")

    document = holdings(Scope("EUR"))
    assert document.as_of is None
    assert [(row.nav, row.nav_base) for row in document.accounts] == [(None, None)]
    totals = document.totals
    assert (totals.nav_base, totals.market_value_base, totals.cash_base) == (None, None, None)
    assert (totals.unrealized_pnl_base, totals.unknown) == (None, 2)
    account = account_rows(Scope("EUR")).accounts[0]
    assert (account.nav, account.unrealized_pnl_base, account.unknown) == (None, None, 2)
    for page in ("/", "/holdings"):
        assert "The positions are not known" in client.get(page).content.decode()
    for command in ("holdings", "lots", "exposures"):
        call_command(command)
        assert "What the accounts hold is not known" in capsys.readouterr().out
    call_command("reconcile")
    assert "nothing to compare" in capsys.readouterr().out
