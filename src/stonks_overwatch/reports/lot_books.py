"""Lots as reports read them: stored once worked out, until something they come from changes.

A past day's are worked out each time. Matching 100,000 activities takes seconds, reading what came of it
milliseconds.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import OperationalError, transaction

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.lots import Close, Lot, Method, effects, negative
from stonks_overwatch.ledger.models import (
    Account,
    ClosedLot,
    GainSum,
    Instrument,
    LotBook,
    OpenLot,
)
from stonks_overwatch.ledger.sql import impatient, upsert
from stonks_overwatch.reports.books import PAPER, Books, Key, Paper, books
from stonks_overwatch.reports.documents import total

log = logging.getLogger(__name__)

EVER = 0
"""In place of a year: all of them."""
MOST_NAMED = 500
"""More instruments than these are not named one by one in a query."""


class OpenRow(NamedTuple):
    account: int
    instrument: int
    lot: Lot


class ClosedRow(NamedTuple):
    """`rate` is the base currency for one unit on the day it was closed."""

    account: int
    instrument: int
    close: Close
    rate: Decimal | None


class GainRow(NamedTuple):
    """Sums of closed lots, in the order of `_GAIN`; of all instruments where it names none.

    `gain` is in the instrument's currency, and means nothing where several are summed.
    """

    account: int
    instrument: int | None
    year: int
    lots: int
    unknown: int
    gain: Decimal | None
    proceeds_base: Decimal | None
    cost_base: Decimal | None
    gain_base: Decimal | None
    short_term_base: Decimal | None
    long_term_base: Decimal | None
    price_effect_base: Decimal | None
    currency_effect_base: Decimal | None
    cross_effect_base: Decimal | None


_LOT = Lot._fields
_CLOSE = Close._fields
_GAIN = GainRow._fields[1:]
_BOOK = ("book", "number")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Stored:
    """The lots of books in the database; `accounts` by row number of the book."""

    accounts: dict[int, int]
    methods: dict[int, Method]

    def open(self, instruments: Iterable[int] | None = None) -> list[OpenRow]:
        """Oldest first within each instrument."""
        rows = OpenLot.objects.filter(book__in=list(self.accounts))
        if instruments is not None:
            rows = rows.filter(instrument__in=list(instruments))
        found = rows.order_by("number").values_list("book_id", "instrument_id", *_LOT)
        return [OpenRow(self.accounts[book], paper, Lot._make(lot)) for book, paper, *lot in found]

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        """Newest first; the rows of a page."""
        rows = ClosedLot.objects.filter(book__in=list(self.accounts))
        if year:
            rows = rows.filter(closed_on__gte=date(year, 1, 1), closed_on__lte=date(year, 12, 31))
        if instrument is not None:
            rows = rows.filter(instrument=instrument)
        found = rows.order_by("-closed_on", "-book_id", "-number").values_list(
            "book_id", "instrument_id", "rate", *_CLOSE
        )
        return [
            ClosedRow(self.accounts[book], paper, Close._make(close), rate)
            for book, paper, rate, *close in found[page]
        ]

    def gains(self, year: int | None = None, *, by_instrument: bool = False) -> list[GainRow]:
        """Of one year (None: each), of each instrument or of all together."""
        rows = GainSum.objects.filter(book__in=list(self.accounts), instrument__isnull=not by_instrument)
        rows = rows.filter(year=year) if year is not None else rows.exclude(year=EVER)
        found = rows.order_by("number").values_list("book_id", "instrument_id", *_GAIN[1:])
        return [GainRow(self.accounts[book], *row) for book, *row in found]


@dataclass(frozen=True, slots=True)
class Live:
    """The same of books that were just worked out."""

    books: Books
    methods: dict[int, Method]

    def open(self, instruments: Iterable[int] | None = None) -> list[OpenRow]:
        wanted = None if instruments is None else set(instruments)
        return [
            OpenRow(account, paper, lot)
            for (account, paper), of_key in self.books.lots.items()
            if wanted is None or paper in wanted
            for lot in of_key.open
        ]

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        rows = [
            row
            for row in _closed(self.books)
            if year in (EVER, row.close.closed_on.year) and instrument in (None, row.instrument)
        ]
        rows.sort(key=lambda row: row.close.closed_on, reverse=True)
        return rows[page]

    def gains(self, year: int | None = None, *, by_instrument: bool = False) -> list[GainRow]:
        return [
            row
            for row in _gains(_closed(self.books))
            if (row.instrument is not None) is by_instrument
            and (row.year == year if year is not None else row.year != EVER)
        ]


def lot_books(
    looked_at: Sequence[Account], base: str, until: date | None = None, method: Method | None = None
) -> Stored | Live:
    """The lots of the accounts by their own methods, or by the one that is given."""
    methods = {account.pk: method or Method(account.lot_method) for account in looked_at}
    if until is not None:
        return Live(books(looked_at, base, until, method), methods)
    names = _names(looked_at, method)
    stored = LotBook.objects.filter(account__in=list(names), base=base)
    found = {
        pk: account
        for pk, account, name in stored.values_list("pk", "account_id", "method")
        if names[account] == name
    }
    if len(found) == len(names):
        return Stored(found, methods)
    since = packed.clock()
    kept = books(looked_at, base, None, method)
    made = _store(kept, base, names, since)
    return Live(kept, methods) if made is None else Stored(made, methods)


def papers(numbers: Iterable[int]) -> dict[int, Paper]:
    """Instruments by row number."""
    wanted = set(numbers)
    rows = Instrument.objects.all() if len(wanted) > 500 else Instrument.objects.filter(pk__in=wanted)
    return {paper.pk: paper for paper in map(Paper._make, rows.values_list(*PAPER)) if paper.pk in wanted}


def is_long_term(opened_on: date, closed_on: date) -> bool:
    """Whether it was held for more than a year: beyond the same day of the next year."""
    try:
        anniversary = opened_on.replace(year=opened_on.year + 1)
    except ValueError:  # 29 February
        anniversary = date(opened_on.year + 1, 2, 28)
    return closed_on > anniversary


def is_long_term_gain(close: Close) -> bool | None:
    """None where the day of the purchase is not known. A short sale is never long-term."""
    if not close.is_dated:
        return None
    return close.quantity >= 0 and is_long_term(close.opened_on, close.closed_on)


def _names(looked_at: Sequence[Account], method: Method | None) -> dict[int, str]:
    """The name of each account's book: lots of one account can come from another by a transfer."""
    if method is not None:
        return dict.fromkeys((account.pk for account in looked_at), method)
    of_broker: defaultdict[str, set[str]] = defaultdict(set)
    brokers = {account.broker for account in looked_at}
    for broker, own in Account.objects.filter(broker__in=brokers).values_list("broker", "lot_method"):
        of_broker[broker].add(own)
    return {
        account.pk: account.lot_method
        if len(of_broker[account.broker]) == 1
        else f"{account.lot_method} of {' '.join(sorted(of_broker[account.broker]))}"
        for account in looked_at
    }


def _store(kept: Books, base: str, names: dict[int, str], since: int) -> dict[int, int] | None:
    """Keep the books, unless anything changed while they were worked out, or the database is in use.

    Returns: the accounts by row of the book.
    """
    opened, closed = Live(kept, {}).open(), _closed(kept)
    gains = _gains(closed)
    try:
        with impatient(), transaction.atomic():
            if packed.clock() != since:
                return None
            books_there = LotBook.objects.filter(account__in=list(names), base=base)
            books_there.filter(method__in=set(names.values())).delete()
            made = LotBook.objects.bulk_create(
                LotBook(account_id=account, base=base, method=name, last_on=kept.last_on)
                for account, name in names.items()
            )
            pks = {book.account_id: book.pk for book in made}
            _insert(
                OpenLot,
                [*_BOOK, "instrument", *_LOT],
                pks,
                ((row.account, row[1], *row.lot) for row in opened),
            )
            _insert(
                ClosedLot,
                [*_BOOK, "instrument", *_CLOSE, "rate"],
                pks,
                ((row.account, row.instrument, *row.close, row.rate) for row in closed),
            )
            _insert(GainSum, [*_BOOK, *_GAIN], pks, gains)
    except OperationalError:
        # A sync is at work: whoever asks next stores them.
        log.info("The lots are worked out and not stored: the database is in use.")
        return None
    return {pk: account for account, pk in pks.items()}


def _insert(
    table: type[OpenLot | ClosedLot | GainSum],
    names: Sequence[str],
    pks: dict[int, int],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    """Rows that begin with their account; tens of thousands, so in the database's own form."""
    prepared = [
        (pks[account], number, *map(_prepared, values)) for number, (account, *values) in enumerate(rows)
    ]
    upsert(table, names, prepared, unique=["book", "number"], is_prepared=True)


def _prepared(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text(value)
    return value.isoformat() if isinstance(value, date) else value


def _closed(kept: Books) -> list[ClosedRow]:
    return [
        ClosedRow(
            account,
            paper,
            close,
            kept.rate(account, kept.papers[paper].currency, close.closed_on, close.closed_by),
        )
        for (account, paper), of_key in kept.lots.items()
        for close in of_key.closed
    ]


class _Parts(NamedTuple):
    """What a close adds to each of the sums, in the order of `GainRow` from `gain` on; None is unknown."""

    gain: Decimal | None
    proceeds_base: Decimal | None
    cost_base: Decimal | None
    gain_base: Decimal | None
    short_term_base: Decimal | None
    long_term_base: Decimal | None
    price_effect_base: Decimal | None
    currency_effect_base: Decimal | None
    cross_effect_base: Decimal | None


def _parts(row: ClosedRow) -> _Parts:
    close = row.close
    gain = close.realized_pnl_base
    term = is_long_term_gain(close)
    split = effects(close.cost, close.proceeds, close.cost_base, close.proceeds_base, row.rate)
    price, currency, cross = split if split is not None else (None, None, None)
    return _Parts(
        gain=close.realized_pnl,
        proceeds_base=brought(close),
        cost_base=paid(close),
        gain_base=gain,
        short_term_base=gain if term is False else _ZERO,
        long_term_base=gain if term else _ZERO,
        price_effect_base=price,
        currency_effect_base=currency,
        cross_effect_base=cross,
    )


def _gains(rows: Iterable[ClosedRow]) -> list[GainRow]:
    """The sums of each account: by instrument and year, by instrument, by year, of all."""
    parts: defaultdict[tuple[int, int | None, int], list[_Parts]] = defaultdict(list)
    for row in rows:
        adds, year = _parts(row), row.close.closed_on.year
        for instrument in (row.instrument, None):
            parts[row.account, instrument, year].append(adds)
            parts[row.account, instrument, EVER].append(adds)
    return [
        GainRow(
            account,
            instrument,
            year,
            len(of_key),
            sum(adds.gain_base is None for adds in of_key),
            *(total(column).value for column in zip(*of_key, strict=True)),
        )
        for (account, instrument, year), of_key in parts.items()
    ]


def brought(close: Close) -> Decimal | None:
    """Proceeds in the base currency: for a short lot what the sale that opened it brought."""
    return _own_side(close, close.proceeds_base, close.cost_base)


def paid(close: Close) -> Decimal | None:
    """Cost in the base currency: for a short lot what covering it cost."""
    return _own_side(close, close.cost_base, close.proceeds_base)


def _own_side(close: Close, long: Decimal | None, short: Decimal | None) -> Decimal | None:
    if close.quantity >= 0:
        return long
    return negative(short)


Positions = dict[Key, tuple[Decimal, Decimal | None]]


def positions(rows: Iterable[OpenRow]) -> Positions:
    """Quantity and cost of what is open, by account and instrument; unknown as soon as one lot's cost is."""
    found: Positions = {}
    for row in rows:
        key = row.account, row.instrument
        quantity, cost = found.get(key, (Decimal(0), Decimal(0)))
        own = row.lot.cost
        found[key] = quantity + row.lot.quantity, None if cost is None or own is None else cost + own
    return found
