"""Everything of the ledger as files that an import takes: canonical CSV, and JSON for what has no column.

Imported into an empty database they give the same figures; the accounts are imported ones then.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple

from stonks_overwatch.errors import ExportError
from stonks_overwatch.imports.canonical import (
    ACTIVITY_COLUMNS,
    PRICE_COLUMNS,
    RATE_COLUMNS,
    SUB_UNITS,
    guarded,
)
from stonks_overwatch.ledger import models
from stonks_overwatch.ledger.details import (
    BY_NUMBER,
    AccountDetails,
    ActivityDetails,
    Details,
    InstrumentDetails,
)
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.imported.quotes import INVERSE
from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.types import UNKNOWN_CURRENCY, ActivityKind, AssetClass

ACTIVITIES, PRICES, RATES, DETAILS = "activities.csv", "prices.csv", "fx.csv", "details.json"
_LONGEST_SYMBOL = 50
_ZERO = Decimal(0)
_OPPOSITE = {
    ActivityKind.BUY: ActivityKind.SELL,
    ActivityKind.DEPOSIT: ActivityKind.WITHDRAWAL,
    ActivityKind.TRANSFER_IN: ActivityKind.TRANSFER_OUT,
}
_OPPOSITE |= {there: back for back, there in _OPPOSITE.items()}
_OUT = {ActivityKind.SELL, ActivityKind.WITHDRAWAL, ActivityKind.TRANSFER_OUT}
_TRADES = {ActivityKind.BUY, ActivityKind.SELL}
# An import rounds what a split adds, so that a ratio of so many digits gives the very quantity.
_RATIO = Context(prec=30)


@dataclass(frozen=True, slots=True)
class Exported:
    """How many rows each file has; `left_out` counts activities whose money nobody told."""

    folder: Path
    rows: Mapping[str, int]
    left_out: int


class _Called(NamedTuple):
    """What the files call an instrument."""

    symbol: str
    isin: str
    currency: str


def export(folder: Path) -> Exported:
    """Write the four files into a folder, in the place of earlier ones. Raises: ExportError."""
    names = _names()
    books = _Activities(names)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        rows = {
            ACTIVITIES: _write(folder / ACTIVITIES, ACTIVITY_COLUMNS, books.rows()),
            PRICES: _write(folder / PRICES, PRICE_COLUMNS, _prices(names)),
            RATES: _write(folder / RATES, RATE_COLUMNS, _rates()),
        }
        found = Details(
            format="stonks-overwatch export",
            version=1,
            accounts=tuple(_accounts()),
            instruments=tuple(_instruments(names)),
            activities=tuple(books.beside),
        )
        with _written(folder / DETAILS) as file:
            file.write(found.model_dump_json(indent=1, exclude_defaults=True))
    except OSError as err:
        raise ExportError(
            f"{folder} cannot be written ({err.strerror}).", next_step="Name another folder, one of yours."
        ) from err
    rows[DETAILS] = len(found.accounts) + len(found.instruments) + len(found.activities)
    return Exported(folder, rows, books.left_out)


@contextmanager
def _written(path: Path) -> Iterator[IO[str]]:
    """A file that is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Iterable[str]]) -> int:
    """Returns: how many rows it has."""
    number = 0
    with _written(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)
            number += 1
    return number


def _names() -> dict[int, _Called]:
    """What each instrument is called: its ISIN or, without one, a symbol that nothing else has."""
    papers = models.Instrument.objects.exclude(asset_class=AssetClass.CASH)
    instruments = list(papers.order_by("broker", "broker_ref"))
    symbols = Counter((i.symbol, i.currency) for i in instruments)
    names = {}
    for instrument in instruments:
        symbol = guarded(instrument.symbol)
        is_told_apart = instrument.isin or symbols[instrument.symbol, instrument.currency] == 1
        if not symbol or not is_told_apart or len(symbol) > _LONGEST_SYMBOL:
            symbol = f"{guarded(instrument.symbol)[:20]} {instrument.broker_ref}".strip()[:_LONGEST_SYMBOL]
        names[instrument.pk] = _Called(symbol, instrument.isin or "", instrument.currency)
    return names


class _Activities:
    """The rows of activities; `beside` and `left_out` are whole when all rows were taken."""

    def __init__(self, names: Mapping[int, _Called]) -> None:
        self.names = names
        self.beside: list[ActivityDetails] = []
        self.left_out = 0
        self.held: dict[tuple[int, int], Decimal] = {}

    def rows(self) -> Iterator[list[str]]:
        found = models.Activity.objects.current().select_related("account", "instrument")
        for row in found.order_by("trade_date", "trade_at", "account__account", "key").iterator(
            chunk_size=2000
        ):
            written = self._row(row)
            if written is None:
                self.left_out += 1
                continue
            self._note(row)
            yield [written.get(column, "") for column in ACTIVITY_COLUMNS]

    def _row(self, row: models.Activity) -> dict[str, str] | None:
        """The fields by column; None where the money is not known and cannot be left empty."""
        written = {
            "date": row.trade_date.isoformat(),
            "account": guarded(row.account.account),
            "kind": row.kind,
            "currency": row.currency,
            "fee": _cost(row.fee),
            "tax": _cost(row.tax),
            "fx_rate": _number(row.fx_rate),
            "external_id": guarded(row.key.removeprefix(BY_NUMBER)),
            "note": guarded(row.description),
        }
        kind = ActivityKind(row.kind)
        if kind is ActivityKind.FX:
            return written | _exchange(row)
        called = self.names.get(row.instrument_id or 0)
        if called is not None and row.instrument is not None:
            written |= {
                "symbol": called.symbol,
                "isin": called.isin,
                "name": guarded(row.instrument.name),
                "asset_class": row.instrument.asset_class,
            }
        if called is None or row.quantity is None:
            if row.gross is None:
                return None
            is_back = kind in _OPPOSITE and row.gross and (row.gross < 0) != (kind in _OUT)
            return written | {"kind": _OPPOSITE[kind] if is_back else kind, "amount": text(row.gross)}
        return written | self._moved(row, kind)

    def _moved(self, row: models.Activity, kind: ActivityKind) -> dict[str, str]:
        """What of a row is about the quantity that it moves."""
        quantity = row.quantity or _ZERO
        key = (row.account_id, row.instrument_id or 0)
        held = self.held.get(key, _ZERO)
        self.held[key] = EXACT.add(held, quantity)
        if kind is ActivityKind.SPLIT:
            ratio = row.ratio or (EXACT.divide(self.held[key], held) if held else _ZERO)
            if ratio > 0:
                return {"quantity": text(_RATIO.plus(ratio))}
        if kind in _TRADES and row.gross is None:
            # A change that nothing explains yet: its price is not known, so it is no trade.
            kind = ActivityKind.TRANSFER_IN if quantity > 0 else ActivityKind.TRANSFER_OUT
        elif kind in _OPPOSITE and (quantity < 0) != (kind in _OUT):
            kind = _OPPOSITE[kind]
        elif kind not in _OPPOSITE and kind is not ActivityKind.OPENING:
            kind = ActivityKind.CORPORATE_ACTION
        goes_either_way = kind not in _OPPOSITE
        return {
            "kind": kind,
            "quantity": text(quantity if goes_either_way else abs(quantity)),
            "price": _number(row.price),
            "amount": text(row.gross) if row.gross or kind in _TRADES else "",
        }

    def _note(self, row: models.Activity) -> None:
        told = {name: getattr(row, name) for name in ActivityDetails.model_fields if hasattr(row, name)}
        more = ActivityDetails(
            **{**told, "account": row.account.account, "external_id": row.key.removeprefix(BY_NUMBER)}
        )
        if more != ActivityDetails(account=more.account, external_id=more.external_id):
            self.beside.append(more)


def _exchange(row: models.Activity) -> dict[str, str]:
    """An exchange of currencies."""
    return {
        "symbol": row.instrument.broker_ref if row.instrument else "",
        "quantity": _number(None if row.quantity is None else abs(row.quantity)),
        "amount": _number(row.gross),
    }


def _number(value: Decimal | None) -> str:
    return "" if value is None else text(value)


def _cost(value: Decimal | None) -> str:
    """A cost without a sign; what came in has a plus."""
    if value is None:
        return ""
    return f"+{text(value)}" if value > 0 else text(abs(value))


def _prices(names: Mapping[int, _Called]) -> Iterator[list[str]]:
    """One price of each day: the imported one where there are two."""
    for pk, called in names.items():
        rows = models.Price.objects.filter(instrument=pk).order_by("on", "is_imported")
        of_day = {
            on: [on.isoformat(), called.symbol, called.isin, currency, text(close)]
            for on, currency, close in rows.values_list("on", "currency", "close")
            if close >= 0 and currency not in SUB_UNITS
        }
        yield from of_day.values()


def _rates() -> Iterator[list[str]]:
    """One rate of each pair and day: the imported one where there are two."""
    rows = models.FxRate.objects.exclude(source=INVERSE).order_by("on", "base", "quote", "is_imported")
    found: dict[tuple[date, str, str], Decimal] = {}
    for on, base, quote, rate in rows.values_list("on", "base", "quote", "rate"):
        found[on, base, quote] = rate
    for (on, base, quote), rate in found.items():
        if rate > 0 and base != quote:
            yield [on.isoformat(), base, quote, text(rate)]


def _accounts() -> Iterator[AccountDetails]:
    for row in models.Account.objects.order_by("broker", "account"):
        yield AccountDetails(
            account=row.account,
            currency=None if row.currency == UNKNOWN_CURRENCY else row.currency,
            alias=row.alias,
            kind=row.kind,
            opened_on=row.opened_on,
            lot_method=row.lot_method,
        )


def _instruments(names: Mapping[int, _Called]) -> Iterator[InstrumentDetails]:
    same = [name for name in InstrumentDetails.model_fields if name not in ("isin", "symbol", "currency")]
    seen = set()
    for row in models.Instrument.objects.filter(pk__in=list(names)).order_by("broker", "broker_ref"):
        called = names[row.pk]
        if called not in seen:
            seen.add(called)
            told: dict[str, Any] = {name: getattr(row, name) for name in same if hasattr(row, name)}
            yield InstrumentDetails(
                symbol=called.symbol,
                isin=called.isin,
                currency=called.currency,
                shown_symbol=row.symbol if row.symbol != called.symbol else None,
                **told,
            )
