"""The canonical CSV: what its rows say, or why and on which line they cannot be used. Pure.

Three kinds of files are told apart by their headers: activities, prices and rates of exchange. UTF-8, a
header row, commas, `.` decimals; columns in any order. docs/Import.md says what each column means.
"""

import csv
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from stonks_overwatch.imports.foreign import foreign
from stonks_overwatch.imports.stored import Refusal
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.lots import EXACT, MARGINED, product
from stonks_overwatch.ledger.types import (
    CONTRACTS,
    ActivityKind,
    AssetClass,
    ImportedActivity,
    Named,
)

SOURCE = "csv"
KINDS = ACTIVITIES, PRICES, RATES = "activities", "prices", "fx"
ACTIVITY_COLUMNS = (
    "date", "account", "kind", "symbol", "isin", "name", "asset_class", "quantity", "price", "currency",
    "amount", "fee", "tax", "fx_rate", "external_id", "note",
)  # fmt: skip
PRICE_COLUMNS = ("date", "symbol", "isin", "currency", "close")
RATE_COLUMNS = ("date", "base", "quote", "rate")

# After so many refused rows the rest is not looked at: something is wrong with the file as a whole.
MOST_REFUSALS = 1000
# Sub-units and the currency that they are hundredths of; GBp is how London's pence are often written.
SUB_UNITS = {"GBX": "GBP", "GBp": "GBP", "ILA": "ILS", "ILa": "ILS", "ZAC": "ZAR", "ZAc": "ZAR"}


class _Form(NamedTuple):
    marker: str  # the column that only files of this kind have
    columns: tuple[str, ...]
    required: tuple[str, ...]


_FORMS = {
    ACTIVITIES: _Form(
        "kind", ACTIVITY_COLUMNS, ("date", "kind", "symbol", "quantity", "price", "currency", "amount")
    ),
    PRICES: _Form("close", PRICE_COLUMNS, ("date", "symbol", "currency", "close")),
    RATES: _Form("rate", RATE_COLUMNS, RATE_COLUMNS),
}
_LONGEST = {"account": 100, "symbol": 50, "name": 300, "external_id": 300, "note": 20_000}
_NOT_UTF_8 = 'The file is not UTF-8 from here on; save it as UTF-8 (in Excel: "CSV UTF-8").'
_HEAD = 4096
_BLOCK = 1 << 20  # no row of any use is as long
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_WHOLE_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?")
# Between thousands stand commas, apostrophes and blanks, also those that do not break or are narrow.
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:[,'\u2019 \xa0\u2009\u202f][0-9]{3})+(?:\.[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9][0-9.'\u2019 \xa0\u2009\u202f]*,[0-9]+")
_DASHES = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")
_MOST_DIGITS = 70
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY = date(1900, 1, 1)
_CURRENCY = re.compile(r"[A-Z]{3}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# What a spreadsheet takes for a formula at the beginning of a text.
_FORMULA = ("=", "+", "-", "@")
_ZERO, _ONE = Decimal(0), Decimal(1)
_HUNDREDTH = Decimal("0.01")

# To look at a member of an enumeration is a call of a function of Python (3.11): not once a row.
_FX, _SPLIT, _CORPORATE_ACTION = ActivityKind.FX, ActivityKind.SPLIT, ActivityKind.CORPORATE_ACTION
_MOVING = {
    ActivityKind.BUY,
    ActivityKind.SELL,
    ActivityKind.OPENING,
    ActivityKind.TRANSFER_IN,
    ActivityKind.TRANSFER_OUT,
    ActivityKind.SPLIT,
    ActivityKind.CORPORATE_ACTION,
}
_TRADES = {ActivityKind.BUY, ActivityKind.SELL}
_EXTERNAL = {ActivityKind.DEPOSIT, ActivityKind.WITHDRAWAL}
_TOLD_BY_MONEY = CONTRACTS | {AssetClass.BOND}  # how much one unit of them is of
# Their quantity has a sign: what is opened may be short, what an action brings may leave.
_EITHER_WAY = {ActivityKind.OPENING, ActivityKind.CORPORATE_ACTION}
_OUT = {ActivityKind.SELL, ActivityKind.TRANSFER_OUT}
# The sign that the money of a kind has; of the others it may have either.
_SIGN = {
    ActivityKind.BUY: -1,
    ActivityKind.SELL: 1,
    ActivityKind.DEPOSIT: 1,
    ActivityKind.WITHDRAWAL: -1,
    ActivityKind.TRANSFER_IN: 1,
    ActivityKind.TRANSFER_OUT: -1,
}


def guarded(given: str) -> str:
    """A text as it is written: no spreadsheet takes it for a formula, and it holds no control character."""
    plain = _CONTROL.sub(" ", given).strip()
    return f"'{plain}" if plain.lstrip("'").startswith(_FORMULA) else plain


def _unguarded(given: str) -> str:
    return given[1:] if given.startswith("'") and given.lstrip("'").startswith(_FORMULA) else given


class RefusedRowError(Exception):
    """Why one row cannot be used."""


class RefusedFileError(Exception):
    """Why a file cannot be read any further, and the line that shows it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class PriceRow(NamedTuple):
    """`on` and `close` are in the form in which the database keeps them."""

    line: int
    named: Named
    on: str
    close: str


class RateRow(NamedTuple):
    """`rate` units of `quote` for one unit of `base`."""

    line: int
    base: str
    quote: str
    on: str
    rate: str


class File:
    """One file, read as a stream: its rows that can be used, and in `refusals` those that cannot.

    `rows` counts both; `since` and `until` are the first and last day named, empty as long as none was.
    """

    def __init__(self, path: Path, today: date) -> None:
        """Read the header. Raises: RefusedFileError."""
        self.path = path
        self.today = today
        self.refusals: list[Refusal] = []
        self.rows = 0
        self.since = self.until = ""
        self._good_days: set[str] = set()
        _check_content(path)
        self.kind, self.columns = _header(path)

    def activities(self, account: str = "") -> Iterator[ImportedActivity]:
        """Args: account: where given, that of all rows, whatever the file says."""
        accounts: set[str] = set()
        places = {name: place for place, name in enumerate(self.columns)}
        # One field is added to each record: what the file has no column for is empty.
        in_order = itemgetter(*(places.get(name, len(places)) for name in ACTIVITY_COLUMNS))
        days = self._good_days
        for line, record in self._records():
            record.append("")
            (
                on, holder, kind, symbol, isin, name, asset_class, *numbers, external_id, note,
            ) = in_order(record)  # fmt: skip
            try:
                if on not in days:
                    on = self._day(on.strip())
                if account:
                    accounts |= {holder.strip()} - {""}
                    if len(accounts) > 1:
                        raise RefusedRowError(
                            f"The file has several accounts, but all rows are to be of {account}: "
                            "import it without naming an account."
                        )
                yield _activity(
                    line,
                    on,
                    account or _account(holder),
                    _kind(kind),
                    (symbol, isin, name, asset_class),
                    numbers,
                    _text("external_id", external_id) if external_id else "",
                    _text("note", note) if note else "",
                )
            except RefusedRowError as err:
                self.refuse(line, str(err))

    def prices(self) -> Iterator[PriceRow]:
        places = [self.columns.index(name) for name in ("date", "symbol", "currency", "close")]
        day_at, symbol_at, currency_at, close_at = places
        isin_at = self.columns.index("isin") if "isin" in self.columns else None
        names: dict[tuple[str, str, str], tuple[Named, Decimal]] = {}
        days = self._good_days
        for line, record in self._records():
            try:
                on = record[day_at]
                if on not in days:
                    on = self._day(on.strip())
                called = (record[symbol_at], "" if isin_at is None else record[isin_at], record[currency_at])
                found = names.get(called)
                if found is None:
                    names[called] = found = _called(*called)
                close = record[close_at]
                if found[1] is not _ONE or not _WHOLE_NUMBER.fullmatch(close):
                    close = text(EXACT.multiply(_not_negative(close.strip(), "close"), found[1]))
                yield PriceRow(line, found[0], on, close)
            except RefusedRowError as err:
                self.refuse(line, str(err))

    def rates(self) -> Iterator[RateRow]:
        day_at, base_at, quote_at, rate_at = map(self.columns.index, RATE_COLUMNS)
        days = self._good_days
        for line, record in self._records():
            try:
                on = record[day_at]
                if on not in days:
                    on = self._day(on.strip())
                base, quote = _pair(record[base_at], record[quote_at])
                rate = _not_negative(record[rate_at], "rate")
                if not rate:
                    raise RefusedRowError("The rate is 0.")
                yield RateRow(line, base, quote, on, text(rate))
            except RefusedRowError as err:
                self.refuse(line, str(err))

    def refuse(self, line: int, reason: str) -> None:
        """Raises: RefusedFileError when there are too many to go on."""
        self.refusals.append(Refusal(line, reason))
        if len(self.refusals) >= MOST_REFUSALS:
            raise RefusedFileError(line, f"{MOST_REFUSALS} rows are refused; the rest is not looked at.")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """First line and fields of each row that has as many as the header. Raises: RefusedFileError."""
        number = len(self.columns)
        line = 1
        with self.path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            try:
                next(record for record in reader if _says(record))
                line = reader.line_num + 1
                for record in reader:
                    if len(record) == number and any(record):
                        self.rows += 1
                        yield line, record
                    elif _says(record):
                        self.rows += 1
                        self.refuse(line, _miscounted(len(record), number))
                    line = reader.line_num + 1
            except UnicodeDecodeError as err:
                raise RefusedFileError(_line_that_is_not_utf_8(self.path), _NOT_UTF_8) from err
            except csv.Error as err:
                raise RefusedFileError(line, _csv_problem(err)) from err

    def _day(self, given: str) -> str:
        if given not in self._good_days:
            _check_day(given, self.today)
            self._good_days.add(given)
            self.since = min(self.since or given, given)
            self.until = max(self.until, given)
        return given


def _check_content(path: Path) -> None:
    """Raises: RefusedFileError for what is no CSV, and for a line that memory may not hold."""
    with path.open("rb") as file:
        if reason := foreign(file.read(_HEAD)):
            raise RefusedFileError(1, reason)
        file.seek(0)
        line = 1
        for block in iter(lambda: file.read(_BLOCK), b""):
            ends = block.count(b"\n")
            if len(block) == _BLOCK and not ends and b"\r" not in block:
                raise RefusedFileError(line, "The line is longer than a megabyte: each row has its own line.")
            line += ends


def _line_that_is_not_utf_8(path: Path) -> int:
    decoder = getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file, suppress(UnicodeDecodeError):
        for part in iter(lambda: file.readline(_BLOCK), b""):
            decoder.decode(part)
            line += part.endswith(b"\n")
    return line


def _says(record: Sequence[str]) -> bool:
    """Whether it is more than an empty line."""
    return any(map(str.strip, record))


def _header(path: Path) -> tuple[str, list[str]]:
    """Kind and columns of a file. Raises: RefusedFileError."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            given = next((record for record in reader if _says(record)), [])
        except UnicodeDecodeError as err:
            raise RefusedFileError(_line_that_is_not_utf_8(path), _NOT_UTF_8) from err
        except csv.Error as err:
            raise RefusedFileError(1, _csv_problem(err)) from err
    line = max(reader.line_num, 1)
    columns = [name.strip().lower() for name in given]
    if not columns:
        raise RefusedFileError(1, "The file is empty: a row with the names of the columns comes first.")
    if reason := _no_header(columns):
        raise RefusedFileError(line, reason)
    kind = next((name for name, known in _FORMS.items() if known.marker in columns), None)
    if kind is None:
        raise RefusedFileError(
            line,
            f"The first row, {_shown(','.join(given))}, names the columns of no known file: activities have "
            "a column kind, prices a column close, rates of exchange a column rate.",
        )
    for place, name in enumerate(columns):
        _check_column(line, kind, name, place, columns)
    missing = [name for name in _FORMS[kind].required if name not in columns]
    if missing:
        raise RefusedFileError(line, f"Files of {kind} need the column {missing[0]}, which is missing.")
    return kind, columns


def _no_header(columns: Sequence[str]) -> str:
    """Why a first row cannot name columns; empty where it may."""
    if columns[0].startswith("sep="):
        return "The first row tells a spreadsheet what separates columns: delete it, and separate by commas."
    if len(columns) == 1:
        for mark, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in columns[0]:
                return (
                    f"The columns are separated by {called}; separate them by commas (and write decimals "
                    "with a point)."
                )
        if "," in columns[0]:
            return "Each row stands between quotation marks as a whole; take them away."
    if any(map(_DAY.fullmatch, columns)):
        return "The first row is not the names of the columns: write them above it."
    return ""


def _miscounted(fields: int, wanted: int) -> str:
    meant = (
        "a text with a comma in it stands between quotation marks, a number has none"
        if fields > wanted
        else "what is not known stays empty, and its comma stays"
    )
    return f"The row has {fields} fields, the header has {wanted}: {meant}."


def _check_column(line: int, kind: str, name: str, place: int, columns: Sequence[str]) -> None:
    if not name:
        raise RefusedFileError(line, f"Column {place + 1} has no name: name it, or delete it.")
    if name in columns[:place]:
        raise RefusedFileError(line, f"The column {name} is there twice: delete one of them.")
    if name not in _FORMS[kind].columns:
        near = get_close_matches(name, _FORMS[kind].columns, 1)
        meant = f"{near[0]} is meant" if near and near[0] not in columns else "rename or delete it"
        raise RefusedFileError(line, f"There is no column {_shown(name)} in files of {kind}; {meant}.")


# The same object for the same words: what names instruments is compared by identity before all else.
_called_so = lru_cache(10_000)(Named)
_date = lru_cache(10_000)(date.fromisoformat)


def _activity(
    line: int,
    on: str,
    account: str,
    kind: ActivityKind,
    called: tuple[str, str, str, str],
    numbers: Sequence[str],
    external_id: str,
    note: str,
) -> ImportedActivity:
    """One row as an activity; what it calls its instrument and its numbers are as they came.

    Raises: RefusedRowError.
    """
    currency, quantity, price, amount, fee, tax, fx_rate = _numbers(*numbers)
    named = exchanged = ratio = None
    if kind is _FX:
        exchanged, quantity = _exchanged(called[0], currency, quantity, amount)
        price = None
    else:
        named = _named(*called, currency)
        if named is not None and named.asset_class in _TOLD_BY_MONEY and quantity and price and amount:
            named = _with_units(named, abs(EXACT.divide(amount, EXACT.multiply(quantity, price))))
        if kind in _MOVING:
            _check_moved(kind, named, quantity, price, amount)
            if kind is _SPLIT:
                ratio, quantity, price, amount = quantity, None, None, _ZERO
            elif named is not None and kind not in _TRADES:
                amount = amount or _ZERO
            if quantity is not None and kind in _OUT:
                quantity = EXACT.minus(quantity)
        else:
            # What a dividend names is the number it was paid for; nothing moved.
            quantity = price = None
    if amount is not None or kind not in _TRADES:
        # What is margined brings its profit or loss, whichever way it is traded.
        is_margined = named is not None and named.asset_class in MARGINED
        _check_amount(kind, amount, numbers, None if is_margined else _SIGN.get(kind))
    return ImportedActivity(
        line, account, external_id, kind, on, named, exchanged, quantity, price, currency, amount, fee, tax,
        fx_rate, ratio, note,
    )  # fmt: skip


_Number = Decimal | None


def _numbers(
    quantity: str, price: str, code: str, amount: str, fee: str, tax: str, fx_rate: str
) -> tuple[str, _Number, _Number, _Number, _Number, _Number, _Number]:
    """The currency and the numbers of a row in its major unit; fee and tax with the ledger's signs."""
    currency, scale = _major(code)
    # Most columns are empty in most rows.
    told = (
        _often(quantity, "quantity") if quantity else None,
        _number(price, "price") if price else None,
        _number(amount, "amount") if amount else None,
        _cost(fee, "fee") if fee else None,
        _cost(tax, "tax") if tax else None,
        _often(fx_rate, "fx_rate") if fx_rate else None,
    )
    if told[5] is not None and told[5] <= 0:
        raise RefusedRowError("fx_rate is not above 0.")
    if scale is _ONE:
        return currency, *told
    rate = None if told[5] is None else EXACT.divide(told[5], scale)
    price_, amount_, fee_, tax_ = (product(number, scale) for number in told[1:5])
    return currency, told[0], price_, amount_, fee_, tax_, rate


@lru_cache(10_000)
def _named(symbol: str, isin: str, name: str, asset_class: str, currency: str) -> Named | None:
    """What a row calls its instrument; None where it names none. Raises: RefusedRowError.

    The same object for the same words: what names instruments is compared by identity before all else.
    """
    symbol, isin, name = _text("symbol", symbol), _isin(isin.strip()), _text("name", name)
    return Named(isin, symbol, currency, name, _asset_class(asset_class.strip())) if symbol or isin else None


def _with_units(named: Named, per_unit: Decimal) -> Named:
    """With what the money of a trade says of a contract or bond: `per_unit` for quantity and price of 1."""
    if named.asset_class in CONTRACTS:
        return _called_so(named, multiplier=_units(per_unit))
    # In percent of face, or in money.
    return _called_so(named, quote_factor=_ONE if per_unit > Decimal("0.5") else _HUNDREDTH)


# As for `_named`.
_called_so = lru_cache(10_000)(replace)


def _units(per_unit: Decimal) -> Decimal | None:
    """Units per contract: a whole number, where rounded money is near one."""
    whole = per_unit.to_integral_value()
    is_whole = whole >= 1 and abs(per_unit - whole) <= per_unit / 50
    return whole if is_whole else round(per_unit, 6) or None


def _check_amount(
    kind: ActivityKind, amount: Decimal | None, numbers: Sequence[str], sign: int | None
) -> None:
    if amount is None:
        raise RefusedRowError(f"A row of kind {kind} needs an amount.")
    if not amount and kind in _EXTERNAL:
        raise RefusedRowError(f"A {kind} of nothing.")
    if sign is not None and amount and (amount > 0) != (sign > 0):
        given = _shown(numbers[3].strip())
        way = "into the account and is positive" if sign > 0 else "out of the account and is negative"
        raise RefusedRowError(f"The amount of a {kind} goes {way}, not {given}.")


def _check_moved(
    kind: ActivityKind,
    named: Named | None,
    quantity: Decimal | None,
    price: Decimal | None,
    amount: Decimal | None,
) -> None:
    """Raises: RefusedRowError where what a row says of an instrument does not go together."""
    if named is None:
        if kind in _TRADES or kind in (_SPLIT, _CORPORATE_ACTION):
            raise RefusedRowError(f"A row of kind {kind} needs a symbol or an ISIN.")
        if quantity:
            raise RefusedRowError("The row has a quantity, but neither a symbol nor an ISIN.")
        return
    if not quantity and not (kind is _CORPORATE_ACTION and amount):
        raise RefusedRowError(f"A row of kind {kind} needs a quantity other than 0.")
    if quantity is not None and quantity < 0 and kind not in _EITHER_WAY:
        raise RefusedRowError(f"The quantity of a {kind} is positive; the kind says which way it goes.")
    if price is not None and price < 0 and named.asset_class not in CONTRACTS:
        raise RefusedRowError("The price is negative.")
    if kind in _TRADES:
        if price is None and amount is None:
            raise RefusedRowError(f"A {kind} needs a price or an amount.")
    elif amount and kind is not _CORPORATE_ACTION:
        raise RefusedRowError(
            f"A row of kind {kind} with an instrument moves no cash: leave its amount empty "
            "(the cost per unit stands in price)."
        )


def _exchanged(
    symbol: str, currency: str, quantity: Decimal | None, amount: Decimal | None
) -> tuple[str, Decimal]:
    """The other currency of an exchange, and what came in of it (negative: went out)."""
    code, scale = _major(symbol, "symbol")
    if not quantity or not amount:
        raise RefusedRowError("An exchange needs an amount in currency and a quantity in symbol.")
    if quantity < 0:
        raise RefusedRowError("The quantity of an exchange is positive; the sign of amount says which way.")
    if code == currency:
        raise RefusedRowError("The exchange is of a currency for itself.")
    exchanged = EXACT.multiply(quantity, scale)
    return code, exchanged if amount < 0 else EXACT.minus(exchanged)


def _called(symbol: str, isin: str, code: str) -> tuple[Named, Decimal]:
    """What a price is of, and the factor that makes its sub-units whole ones. Raises: RefusedRowError."""
    currency, scale = _major(code)
    named = _named(symbol, isin, "", "", currency)
    if named is None:
        raise RefusedRowError("The row names neither a symbol nor an ISIN.")
    return named, scale


@lru_cache(100)
def _account(given: str) -> str:
    account = _text("account", given)
    if not account:
        raise RefusedRowError("The row names no account: fill the column, or name one for the whole file.")
    return account


def _text(column: str, given: str) -> str:
    """A text without the mark of `guarded`. Raises: RefusedRowError for what is no text."""
    plain = _unguarded(given.strip())
    if len(plain) > _LONGEST[column]:
        raise RefusedRowError(f"{column} is longer than {_LONGEST[column]} characters.")
    if not plain.isprintable() and _CONTROL.search(plain):
        raise RefusedRowError(f"{column} holds a control character.")
    return plain


def _check_day(given: str, today: date) -> None:
    if not given:
        raise RefusedRowError("The date is missing.")
    if not _DAY.fullmatch(given):
        raise RefusedRowError(f"{_shown(given)} is not a date like 2026-01-31.")
    try:
        on = date.fromisoformat(given)
    except ValueError as err:
        raise RefusedRowError(f"There is no day {given}.") from err
    if on > today:
        raise RefusedRowError(f"The date {given} is in the future.")
    if on < _FIRST_DAY:
        raise RefusedRowError(f"The date {given} is before 1900.")


@lru_cache(100)
def _kind(given: str) -> ActivityKind:
    given = given.strip()
    try:
        return ActivityKind(given.lower())
    except ValueError as err:
        near = get_close_matches(given.lower(), list(ActivityKind), 1)
        meant = f"{near[0]} is near" if near else f"there are {', '.join(ActivityKind)}"
        raise RefusedRowError(
            f"There is no kind {_shown(given)}; {meant}." if given else "The kind is missing."
        ) from err


def _asset_class(given: str) -> AssetClass | None:
    try:
        return AssetClass(given.lower()) if given else None
    except ValueError as err:
        raise RefusedRowError(
            f"There is no asset_class {_shown(given)}; there are {', '.join(AssetClass)}."
        ) from err


@lru_cache(1000)
def _major(given: str, column: str = "currency") -> tuple[str, Decimal]:
    """The currency, of a sub-unit the one it belongs to, and the factor between them."""
    given = given.strip()
    if given in SUB_UNITS:
        return SUB_UNITS[given], _HUNDREDTH
    return _currency(given, column), _ONE


def _currency(given: str, column: str) -> str:
    if not given:
        raise RefusedRowError(f"The {column} is missing.")
    if not _CURRENCY.fullmatch(given):
        raise RefusedRowError(f"{_shown(given)} in {column} is not a currency code of three capital letters.")
    return given


@lru_cache(1000)
def _pair(base: str, quote: str) -> tuple[str, str]:
    """The two currencies of a rate. Raises: RefusedRowError."""
    base, quote = base.strip(), quote.strip()
    for name, side in ((base, "base"), (quote, "quote")):
        if name in SUB_UNITS:
            raise RefusedRowError(f"{name} is a hundredth of {SUB_UNITS[name]}: give the rate of that.")
        _currency(name, side)
    if base == quote:
        raise RefusedRowError("base and quote are the same currency.")
    return base, quote


def _isin(given: str) -> str:
    """The ISIN in capitals; empty where none is given. Raises: RefusedRowError."""
    isin = given.upper()
    if isin and not (_ISIN.fullmatch(isin) and _has_check_digit(isin)):
        what = "has a wrong check digit" if _ISIN.fullmatch(isin) else "is not an ISIN of 12 characters"
        raise RefusedRowError(f"{_shown(given)} {what}.")
    return isin


def _has_check_digit(isin: str) -> bool:
    """ISO 6166: letters count as 10 to 35, then Luhn's sum."""
    digits = "".join(str(int(character, 36)) for character in isin)
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _number(given: str, column: str) -> Decimal | None:
    """Raises: RefusedRowError for everything but digits with one point and a sign."""
    if _NUMBER.fullmatch(given):
        if len(given) > _MOST_DIGITS:
            raise RefusedRowError(f"{column} has more than {_MOST_DIGITS} digits.")
        return Decimal(given)
    given = given.strip()
    if not given:
        return None
    if _NUMBER.fullmatch(given):
        return _number(given, column)
    raise RefusedRowError(f"{column} {_shown(given)} {_no_number(given)}.")


def _no_number(given: str) -> str:
    if _THOUSANDS.fullmatch(given):
        return "has thousands separators; write the digits alone"
    if _DECIMAL_COMMA.fullmatch(given):
        return "has a comma; decimals are written with a point, and nothing stands between thousands"
    if re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", given):
        return "has an exponent; write all digits"
    if given.lower().strip("+-") in ("nan", "inf", "infinity"):
        return "is no finite number"
    if given.startswith(_DASHES):
        return "begins with a dash; a minus is written -"
    return "is not a number like -1234.56"


# For columns in which few numbers come often.
_often = lru_cache(10_000)(_number)


def _not_negative(given: str, column: str) -> Decimal:
    number = _number(given, column)
    if number is None:
        raise RefusedRowError(f"The {column} is missing.")
    if number < 0:
        raise RefusedRowError(f"The {column} {given.strip()} is negative.")
    return number


@lru_cache(10_000)
def _cost(given: str, column: str) -> Decimal | None:
    """A fee or tax as the ledger signs it. In the file it is a cost, unless a `+` says that it came in."""
    number = _number(given, column)
    if number is None or given.lstrip().startswith("+"):
        return number
    return EXACT.minus(EXACT.abs(number))


def _csv_problem(err: csv.Error) -> str:
    if "field larger" in str(err):
        return "A field is longer than 131,072 characters; a quotation mark may be missing."
    if "unexpected end" in str(err):
        return "A quotation mark opens here and is closed nowhere; close it, or double one that is text."
    return "A quoted field goes on after its closing quotation mark; double a mark that is text."


def _shown(given: str) -> str:
    """Text of the file within a message."""
    return repr(given if len(given) <= 60 else f"{given[:57]}...")
