"""An export, imported into an empty database, gives the same figures."""

import json
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from stonks_overwatch.errors import ExportError
from stonks_overwatch.exports import ACTIVITIES, DETAILS, PRICES, RATES, export
from stonks_overwatch.imports import in_order
from stonks_overwatch.imports.canonical import ACTIVITY_COLUMNS
from stonks_overwatch.ledger import models
from tests.conftest import StartSandbox
from tests.imports.files import Row, activities_file, figures, prices_file, rates_file, take, undone
from tests.imports.strategies import closes, ledgers, rates
from tests.reports import builders
from tests.running import command

pytestmark = pytest.mark.django_db


def take_export(folder: Path) -> None:
    for path in in_order(sorted(folder.iterdir())):
        take(path, now=datetime(2026, 3, 5, tzinfo=UTC))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ledgers, priced=closes, rated=rates)
def test_export_and_import_give_the_same_figures(
    rows: list[Row], priced: list[Any], rated: list[Any]
) -> None:
    found: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def original() -> None:
            take(activities_file(folder, *rows))
            take(prices_file(folder, *priced))
            take(rates_file(folder, *rated))
            assert export(folder / "out").left_out == 0
            found.append(figures())

        def copied() -> None:
            take_export(folder / "out")
            found.append(figures())

        undone(original)
        undone(copied)
    assert found[0] == found[1]


def test_what_a_broker_told_comes_back_with_its_times_lots_and_terms(tmp_path: Path) -> None:
    account = builders.account("U1", "EUR", opened_on=date(2023, 5, 1), alias="Mine")
    option = builders.instrument(
        "TSLA", "USD", asset_class="option", multiplier=Decimal(100), name="TSLA 250620C250", right="call",
        strike=Decimal(250), expires_on=date(2025, 6, 20),
    )  # fmt: skip
    share = builders.instrument("TSLA", "USD", isin="US88160R1014", country="US", sector="Cars")
    at = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    builders.activity(
        account, "buy", at.date(), option, quantity="2", price="5", gross="-1000", fee="-1.3", trade_at=at,
        settlement_date=date(2026, 3, 3), key="trade:1", description="Bought 2",
    )  # fmt: skip
    builders.activity(
        account,
        "opening",
        date(2026, 1, 1),
        share,
        quantity="-3",
        price="200",
        cost="-600",
        gross="0",
        is_derived=True,
        sources=(),
    )
    builders.activity(account, "sell", date(2026, 3, 3), share, quantity="-1", is_derived=True, sources=())
    builders.activity(account, "deposit", date(2026, 1, 1), gross="-50", key="reversal")
    builders.activity(account, "dividend", date(2026, 3, 3), share, key="unknown")
    builders.price(option, "6", date(2026, 3, 4))
    builders.rate("USD", "EUR", "0.9")

    done = export(tmp_path)
    assert done.left_out == 1
    for table in (
        models.ActivitySource,
        models.Activity,
        models.Price,
        models.FxRate,
        models.Instrument,
        models.Account,
    ):
        table.objects.all().delete()
    take_export(tmp_path)

    copied = models.Account.objects.get()
    assert (copied.account, copied.currency, copied.alias, copied.opened_on) == (
        "U1",
        "EUR",
        "Mine",
        date(2023, 5, 1),
    )
    held = {row.instrument.asset_class: row for row in models.Position.objects.select_related("instrument")}
    assert held["option"].quantity == Decimal(2)
    assert held["option"].market_value == Decimal(1200)
    assert held["option"].instrument.symbol == "TSLA"
    assert held["option"].instrument.expires_on == date(2025, 6, 20)
    assert held["stock"].quantity == Decimal(-4)
    assert held["stock"].instrument.country == "US"
    trade = models.Activity.objects.get(key="id:trade:1")
    assert (trade.trade_at, trade.settlement_date, trade.fee) == (at, date(2026, 3, 3), Decimal("-1.3"))
    opening = models.Activity.objects.get(kind="opening")
    assert (opening.quantity, opening.cost) == (Decimal(-3), Decimal(-600))
    assert models.CashBalance.objects.get(currency="EUR").amount == Decimal(-50)
    assert models.CashBalance.objects.get(currency="USD").amount == Decimal("-1001.3")


def test_the_files_have_the_canonical_columns_and_nothing_that_a_spreadsheet_runs(tmp_path: Path) -> None:
    account = builders.account("=1+1")
    builders.activity(account, "deposit", gross="5", description="@SUM(A1)", key="-2")

    export(tmp_path)

    header, row = (tmp_path / ACTIVITIES).read_text().splitlines()
    assert header == ",".join(ACTIVITY_COLUMNS)
    assert row == "2026-03-04,'=1+1,deposit,,,,,,,EUR,5,,,,'-2,'@SUM(A1)"
    assert (tmp_path / PRICES).read_text() == "date,symbol,isin,currency,close\n"
    assert (tmp_path / RATES).read_text() == "date,base,quote,rate\n"
    assert (tmp_path / DETAILS).exists()
    assert {path.name for path in tmp_path.iterdir()} == {ACTIVITIES, PRICES, RATES, DETAILS}


def test_of_two_prices_of_a_day_the_imported_one_is_exported(tmp_path: Path) -> None:
    share = builders.instrument("ABC")
    builders.price(share, "10", date(2026, 3, 4))
    models.Price.objects.create(
        instrument=share, on=date(2026, 3, 4), close="11", currency="EUR", source="csv", is_imported=True
    )

    export(tmp_path)

    assert (tmp_path / PRICES).read_text().splitlines()[1:] == ["2026-03-04,ABC,,EUR,11"]


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ExportError, match="cannot be written"):
        export(tmp_path / "file")


def test_a_synced_account_comes_back_to_the_cent_and_no_file_holds_a_secret(
    sandbox: StartSandbox, tmp_path: Path
) -> None:
    server = sandbox()
    here, there = tmp_path / "here", tmp_path / "there"
    config = {"STONKS_OVERWATCH_CONFIG": str(server.config_file), "IBIND_OAUTH1A_REST_URL": server.rest_url}
    for words in (["sync"], ["backup", str(tmp_path / "copy.sqlite3")], ["export", str(tmp_path / "out")]):
        assert command(here, *words, **config).returncode == 0
    files = sorted((tmp_path / "out").iterdir())
    assert command(there, "import", *map(str, files)).returncode == 0

    told = [json.loads(command(folder, "holdings", "--json").stdout) for folder in (here, there)]
    for document in told:
        for row in document["holdings"]:
            del row["broker"], row["broker_ref"], row["price_as_of"], row["weight"]
    assert len(told[0]["holdings"]) > 3
    assert told[1]["holdings"] == told[0]["holdings"]
    assert told[1]["cash"] == told[0]["cash"]

    secrets = json.loads(server.config_file.read_text())["ibkr"]["credentials"].values()
    kept = b"".join(file.read_bytes() for file in (tmp_path / "copy.sqlite3", *files))
    assert not [word for word in secrets if isinstance(word, str) and word.encode() in kept]
