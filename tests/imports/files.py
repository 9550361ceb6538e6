"""Canonical CSV for tests: rows name what matters, the rest is empty."""

import csv
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from stonks_overwatch.imports import FileResult, import_file
from stonks_overwatch.imports.canonical import ACTIVITY_COLUMNS, PRICE_COLUMNS, RATE_COLUMNS
from stonks_overwatch.ledger import models
from stonks_overwatch.reports.activities import activities
from stonks_overwatch.reports.holdings import holdings
from stonks_overwatch.reports.scope import Scope

NOW = datetime(2025, 1, 15, 12, 0, tzinfo=UTC)
APPLE = {"symbol": "AAPL", "isin": "US0378331005", "currency": "USD"}
VODAFONE = {"symbol": "VOD", "isin": "GB00BH4HKS39", "currency": "GBP"}

Row = dict[str, object]


def write(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def activities_file(folder: Path, *rows: Row, name: str = "activities.csv") -> Path:
    """Rows of account "Main" and currency "EUR" of 2024-01-02, unless they say otherwise."""
    usual = {"date": "2024-01-02", "account": "Main", "currency": "EUR"}
    return write(folder / name, ACTIVITY_COLUMNS, [usual | row for row in rows])


def prices_file(folder: Path, *rows: tuple[str, str, str, str], name: str = "prices.csv") -> Path:
    """Rows of date, symbol, currency, close."""
    columns = [column for column in PRICE_COLUMNS if column != "isin"]
    return write(folder / name, columns, [dict(zip(columns, row, strict=True)) for row in rows])


def rates_file(folder: Path, *rows: tuple[str, str, str, str], name: str = "fx.csv") -> Path:
    """Rows of date, base, quote, rate."""
    return write(folder / name, RATE_COLUMNS, [dict(zip(RATE_COLUMNS, row, strict=True)) for row in rows])


def take(path: Path, **more: Any) -> FileResult:
    """Import a file in which nothing is to be refused."""
    result = import_file(path, **{"now": NOW, **more})
    assert result.refused == ()
    return result


def reasons(path: Path, **more: Any) -> list[tuple[int, str]]:
    """Import a file in which something is to be refused: lines and reasons."""
    result = import_file(path, now=NOW, **more)
    assert (result.new, result.known, result.number) == (0, 0, None)
    return [(refusal.line, refusal.reason) for refusal in result.refused]


def figures(base: str = "EUR", account: str | None = None) -> tuple[Any, Any]:
    """Holdings with cash and totals, and activities, as their JSON documents."""
    scope = Scope(base, account=account)
    rows = activities(scope).model_dump(mode="json")["activities"]
    return holdings(scope).model_dump(mode="json"), sorted(rows, key=lambda row: str(row["id"]))


def everything() -> dict[str, Any]:
    """All that imports leave in the ledger, without the numbers that rows have in the database."""
    plain = {
        "accounts": models.Account.objects.values_list(
            "broker", "account", "currency", "opened_on", "updated_at", "cash_since"
        ),
        "instruments": models.Instrument.objects.values_list(
            "broker", "broker_ref", "symbol", "name", "asset_class", "isin", "multiplier", "quote_factor"
        ),
        "activities": models.Activity.objects.values_list(
            "account__account", "key", "kind", "instrument__broker_ref", "trade_date", "quantity", "price",
            "gross", "fee", "tax", "fx_rate", "description",
        ),
        "positions": models.Position.objects.values_list(
            "account__account", "instrument__broker_ref", "quantity", "is_open", "price", "market_value",
            "cost_basis", "average_cost", "unrealized_pnl", "priced_at",
        ),
        "cash": models.CashBalance.objects.values_list("account__account", "currency", "amount"),
        "prices": models.Price.objects.values_list("instrument__broker_ref", "on", "close", "is_imported"),
        "rates": models.FxRate.objects.values_list("base", "quote", "on", "rate", "is_imported"),
        "packed prices": models.PriceSeries.objects.values_list(
            "instrument__broker_ref", "first_on", "closes"
        ),
        "recent prices": models.RecentPrices.objects.values_list(
            "instrument__broker_ref", "first_on", "closes"
        ),
        "packed rates": models.RateSeries.objects.values_list("base", "quote", "first_on", "rates"),
        "periods": models.Period.objects.values_list("account__account", "topic", "since", "until"),
    }  # fmt: skip
    return {name: sorted(map(repr, rows)) for name, rows in plain.items()}


def undone(work: Callable[[], None]) -> None:
    """Do something in the database and take it back: for the examples of a property."""
    scope: AbstractContextManager[None] = transaction.atomic()
    with scope:
        work()
        transaction.set_rollback(True)
