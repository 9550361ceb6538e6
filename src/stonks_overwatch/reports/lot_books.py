"""Lots as reports read them: stored once worked out, and worked out again where they changed.

What changed is marked by the ledger (packed.py), by account and instrument; whoever reads next works out
those again, with what events tie to them, and stores them: the same as if all had been worked out anew.
A past day's are worked out each time. Matching 100,000 activities takes seconds, reading what came of it
milliseconds.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.lots import EXACT, Close, Lot, Method, added, known_effects, negative
from stonks_overwatch.ledger.matching import joined
from stonks_overwatch.ledger.models import (
    Account,
    ClosedLot,
    Figure,
    GainSum,
    Instrument,
    LotBook,
    LotMark,
    OpenLot,
)
from stonks_overwatch.ledger.rows import plain, plain_number
from stonks_overwatch.ledger.sql import impatient, insert, without_collector
from stonks_overwatch.reports.books import PAPER, Books, Key, Paper, books, ties

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

    @property
    def sums(self) -> tuple[Decimal | None, ...]:
        return self[5:]


Positions = dict[Key, tuple[Decimal, Decimal | None]]
"""Quantity and cost of what is open, by account and instrument; unknown as soon as one lot's cost is."""

_LOT = Lot._fields
_CLOSE = Close._fields
_GAIN = GainRow._fields[1:]
_COUNTS, GAINED = GainRow._fields[2:5], GainRow._fields[5:]
_GAIN_BASE = GAINED.index("gain_base")
_AT_ONCE = 500
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Stored:
    """The lots of books in the database; `accounts` by row number of the book."""

    accounts: dict[int, int]
    methods: dict[int, Method]

    def open(self, instruments: Iterable[int] | None = None) -> list[OpenRow]:
        """Oldest first within each instrument."""
        found = self._open(instruments).values_list("book_id", "instrument_id", *_LOT)
        return [OpenRow(self.accounts[book], paper, Lot._make(lot)) for book, paper, *lot in found]

    def positions(self, instruments: Iterable[int] | None = None) -> Positions:
        columns = "book_id", "instrument_id", plain("quantity"), plain("cost")
        found = self._open(instruments).order_by().values_list(*columns).iterator(chunk_size=2000)
        return _summed(
            (self.accounts[book], paper, Decimal(size), plain_number(cost))
            for book, paper, size, cost in found
        )

    def _open(self, instruments: Iterable[int] | None) -> QuerySet[OpenLot]:
        rows = OpenLot.objects.filter(book__in=list(self.accounts))
        if instruments is not None:
            rows = rows.filter(instrument__in=list(instruments))
        return rows.order_by("book_id", "instrument_id", "number")

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        """Newest first; the rows of a page."""
        rows = ClosedLot.objects.filter(book__in=list(self.accounts))
        if year:
            rows = rows.filter(closed_on__gte=date(year, 1, 1), closed_on__lte=date(year, 12, 31))
        if instrument is not None:
            rows = rows.filter(instrument=instrument)
        found = rows.order_by("-closed_on", "-book_id", "-instrument_id", "-number").values_list(
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
        return _gain_rows(rows.order_by("book_id", "instrument_id", "year"), self.accounts)

    def earned(self) -> dict[Key, Decimal | None]:
        """Proceeds minus cost of what closed anything of an instrument, each at the rate of its day.

        In the base currency, by account and instrument; unknown as soon as one lot's is.
        """
        rows = GainSum.objects.filter(book__in=list(self.accounts), instrument__isnull=False, year=EVER)
        found = rows.order_by("book_id", "instrument_id").values_list(
            "book_id", "instrument_id", "unknown", plain("gain_base")
        )
        return {
            (self.accounts[book], instrument): None if unknown else plain_number(gain)
            for book, instrument, unknown, gain in found
        }


@dataclass(frozen=True, slots=True)
class Live:
    """The same of books that were just worked out; of the accounts that `methods` names."""

    books: Books
    methods: dict[int, Method]

    def open(self, instruments: Iterable[int] | None = None) -> list[OpenRow]:
        wanted = None if instruments is None else set(instruments)
        return [
            OpenRow(account, paper, lot)
            for (account, paper), of_key in sorted(self.books.lots.items())
            if account in self.methods and (wanted is None or paper in wanted)
            for lot in of_key.open
        ]

    def positions(self, instruments: Iterable[int] | None = None) -> Positions:
        return _summed(
            (row.account, row.instrument, row.lot.quantity, row.lot.cost) for row in self.open(instruments)
        )

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        rows = [
            row
            for row in self._closed()
            if year in (EVER, row.close.closed_on.year) and instrument in (None, row.instrument)
        ]
        rows.sort(key=lambda row: row.close.closed_on)
        return rows[::-1][page]

    def gains(self, year: int | None = None, *, by_instrument: bool = False) -> list[GainRow]:
        return [
            row
            for row in _with_totals(_gains(self._closed()))
            if (row.instrument is not None) is by_instrument
            and (row.year == year if year is not None else row.year != EVER)
        ]

    def earned(self) -> dict[Key, Decimal | None]:
        return {
            (row.account, row.instrument): None if row.unknown else row.gain_base
            for row in self.gains(EVER, by_instrument=True)
            if row.instrument is not None
        }

    def _closed(self) -> Iterator[ClosedRow]:
        return (row for row in _closed(self.books) if row.account in self.methods)


def lot_books(
    looked_at: Sequence[Account], base: str, until: date | None = None, method: Method | None = None
) -> Stored | Live:
    """The lots of the accounts by their own methods, or by the one that is given."""
    methods = {account.pk: method or Method(account.lot_method) for account in looked_at}
    if until is not None:
        return Live(books(looked_at, base, until, method), methods)
    # A transfer takes lots from one account to another: those of a broker are kept together.
    together = list(
        Account.objects.filter(broker__in={account.broker for account in looked_at}).order_by("pk")
    )
    names = _names(together, method)
    stale = LotMark.objects.filter(book=OuterRef("pk"), is_stale=True)
    stored = LotBook.objects.filter(account__in=together, base=base).annotate(has_stale=Exists(stale))
    found: dict[int, int] = {}
    is_stale = False
    for pk, account, name, has_stale in stored.values_list("pk", "account_id", "method", "has_stale"):
        if names[account] == name:
            found[account] = pk
            is_stale |= has_stale
    if is_stale or len(found) < len(together):
        since = packed.clock()
        changed = _changed(found, together) if len(found) == len(together) else None
        with without_collector():
            kept = books(together, base, None, method, changed)
            made = _store(kept, base, names, since, found, changed)
        if made is None:
            return Live(kept if changed is None else books(looked_at, base, None, method), methods)
        found = made
    return Stored({found[account.pk]: account.pk for account in looked_at}, methods)


def _changed(found: dict[int, int], together: Sequence[Account]) -> set[Key]:
    """What has to be worked out again: what is marked, and what is tied to it now or was before.

    `found` are the books by account.
    """
    of_book = {book: account for account, book in found.items()}
    changed: set[Key] = set()
    before: defaultdict[int, set[Key]] = defaultdict(set)
    marks = LotMark.objects.filter(book__in=list(of_book))
    for book, instrument, is_stale, tie in marks.values_list("book_id", "instrument_id", "is_stale", "tie"):
        key = of_book[book], instrument
        if is_stale:
            changed.add(key)
        if tie is not None:
            before[tie].add(key)
    for tied in joined([*before.values(), *ties(together)]):
        if not tied.isdisjoint(changed):
            changed |= tied
    return changed


def papers(numbers: Iterable[int]) -> dict[int, Paper]:
    """Instruments by row number."""
    wanted = set(numbers)
    rows = Instrument.objects.all() if len(wanted) > 500 else Instrument.objects.filter(pk__in=wanted)
    return {paper.pk: paper for paper in map(Paper._make, rows.values_list(*PAPER)) if paper.pk in wanted}


def is_long_term(opened_on: date, closed_on: date) -> bool:
    """Whether it was held for more than a year: beyond the same day of the next year."""
    years = closed_on.year - opened_on.year
    if years != 1:
        return years > 1
    # What was bought on 29 February has its day on the 28th.
    return (closed_on.month, closed_on.day) > (opened_on.month, opened_on.day)


def is_long_term_gain(close: Close) -> bool | None:
    """None where the day of the purchase is not known. A short sale is never long-term."""
    if not close.is_dated:
        return None
    return close.quantity >= 0 and is_long_term(close.opened_on, close.closed_on)


def _names(together: Sequence[Account], method: Method | None) -> dict[int, str]:
    """The name of each account's book: lots of one account can come from another by a transfer.

    A broker that tells of no lot it has closed leaves them first in, first out.
    """
    if method is Method.BROKER:
        telling = Figure.objects.filter(account__in=together, section="ClosedLots")
        brokers = set(telling.values_list("account__broker", flat=True).distinct())
        return {account.pk: method if account.broker in brokers else Method.FIFO for account in together}
    if method is not None:
        return dict.fromkeys((account.pk for account in together), method)
    of_broker: defaultdict[str, set[str]] = defaultdict(set)
    for account in together:
        of_broker[account.broker].add(account.lot_method)
    return {
        account.pk: account.lot_method
        if len(of_broker[account.broker]) == 1
        else f"{account.lot_method} of {' '.join(sorted(of_broker[account.broker]))}"
        for account in together
    }


def _store(
    kept: Books,
    base: str,
    names: dict[int, str],
    since: int,
    found: dict[int, int],
    changed: set[Key] | None,
) -> dict[int, int] | None:
    """Keep the books, unless anything changed while they were worked out, or the database is in use.

    Args:
        kept: of all accounts in `names`.
        base, names: the currency and the names of the books.
        since: where the clock stood before anything was read.
        found: the books that are there, by account.
        changed: what was worked out; None for everything, into new books.

    Returns: the books by account.
    """
    closed = list(_closed(kept))
    gains = _gains(closed)
    try:
        with impatient(), transaction.atomic():
            are_there = LotBook.objects.filter(pk__in=list(found.values())).count() == len(found)
            if packed.clock() != since or not are_there:
                return None
            if changed is None:
                old = LotBook.objects.filter(account__in=list(names), base=base)
                old.filter(method__in=set(names.values())).delete()
                made = LotBook.objects.bulk_create(
                    LotBook(account_id=account, base=base, method=name) for account, name in names.items()
                )
                found = {book.account_id: book.pk for book in made}
                gains = _with_totals(gains)
            else:
                gains += _totals_again(found, changed, gains, kept.papers.keys())
            _insert(kept, found, closed, gains)
    except OperationalError:
        # A sync is at work: whoever asks next stores them.
        log.info("The lots are worked out and not stored: the database is in use.")
        return None
    return found


def _totals_again(
    found: dict[int, int], changed: set[Key], gains: Sequence[GainRow], there: Set[int]
) -> list[GainRow]:
    """Take what changed out of the books; return what its new sums make of the sums of all instruments.

    `there` are the instruments that still have activities.
    """
    totals: list[GainRow] = []
    for account, book in found.items():
        instruments = sorted(instrument for of, instrument in changed if of == account)
        if not instruments:
            continue
        own = [row for row in gains if row.account == account]
        before: list[GainRow] = []
        for start in range(0, len(instruments), _AT_ONCE):
            some = instruments[start : start + _AT_ONCE]
            sums = GainSum.objects.filter(book=book, instrument__in=some)
            before += _gain_rows(sums, {book: account})
            for table in (OpenLot, ClosedLot, GainSum, LotMark):
                table.objects.filter(book=book, instrument__in=some).delete()
        years: set[int] | None = {row.year for row in set(own) ^ set(before)}
        if not set(instruments) <= there:
            years = None  # the sums of one that is gone went with it
        others = GainSum.objects.filter(book=book, instrument__isnull=False)
        old = GainSum.objects.filter(book=book, instrument__isnull=True)
        if years is not None:
            others, old = others.filter(year__in=years), old.filter(year__in=years)
            own = [row for row in own if row.year in years]
        old.delete()
        totals += _totals([*_gain_rows(others, {book: account}), *own])
    return totals


def _insert(
    kept: Books, found: dict[int, int], closed: Iterable[ClosedRow], gains: Iterable[GainRow]
) -> None:
    """Rows of what was worked out, in the database's own form: there are tens of thousands."""
    lots = ["book", "instrument", "number"]
    insert(
        OpenLot,
        [*lots, *_LOT],
        (
            (
                found[account], instrument, number, _day(opened_on), text(quantity), _text(cost), opened_by,
                _text(cost_base), is_dated,
            )
            for (account, instrument), of_key in kept.lots.items()
            for number, (opened_on, quantity, cost, opened_by, cost_base, is_dated) in enumerate(of_key.open)
        ),
    )  # fmt: skip
    insert(ClosedLot, [*lots, *_CLOSE, "rate"], _written(found, closed))
    insert(
        GainSum,
        ["book", *_GAIN],
        (
            (found[row.account], row.instrument, row.year, row.lots, row.unknown, *map(_text, row.sums))
            for row in gains
        ),
    )
    insert(
        LotMark,
        ["book", "instrument", "is_stale", "tie"],
        [
            (found[account], instrument, False, min(of for _, of in tied))
            for tied in kept.ties
            for account, instrument in tied
        ],
    )


def _written(found: dict[int, int], closed: Iterable[ClosedRow]) -> Iterator[tuple[Any, ...]]:
    for (account, instrument), of_key in groupby(closed, key=itemgetter(0, 1)):
        for number, (_, _, close, rate) in enumerate(of_key):
            (
                opened_on, closed_on, quantity, cost, proceeds, opened_by, closed_by, cost_base,
                proceeds_base, is_dated, is_told,
            ) = close  # fmt: skip
            yield (
                found[account], instrument, number, _day(opened_on), _day(closed_on), text(quantity),
                _text(cost), _text(proceeds), opened_by, closed_by, _text(cost_base), _text(proceeds_base),
                is_dated, is_told, _text(rate),
            )  # fmt: skip


def _text(number: Decimal | None) -> str | None:
    return None if number is None else text(number)


_day = lru_cache(10_000)(date.isoformat)


def _closed(kept: Books) -> Iterator[ClosedRow]:
    """By account and instrument, in the order in which they were closed."""
    for (account, paper), of_key in sorted(kept.lots.items()):
        currency = kept.papers[paper].currency
        closed_by = rate = None
        for close in of_key.closed:
            if close.closed_by != closed_by:
                closed_by = close.closed_by
                rate = kept.rate(account, currency, close.closed_on, closed_by)
            yield ClosedRow(account, paper, close, rate)


def _parts(close: Close, rate: Decimal | None) -> tuple[Decimal | None, ...]:
    """What a close adds to each of the sums, in the order of `GainRow`; where the context is `EXACT`."""
    cost, proceeds, cost_base, proceeds_base = (
        close.cost,
        close.proceeds,
        close.cost_base,
        close.proceeds_base,
    )
    gain = gain_base = None
    effects: Sequence[Decimal | None] = (None, None, None)
    if cost is not None and proceeds is not None:
        gain = proceeds - cost
    if cost_base is not None and proceeds_base is not None:
        gain_base = proceeds_base - cost_base
        if cost is not None and proceeds is not None and rate is not None:
            effects = known_effects(cost, proceeds, cost_base, proceeds_base, rate)
    term = is_long_term_gain(close)
    short_term = gain_base if term is False else _ZERO
    long_term = gain_base if term else _ZERO
    return gain, brought(close), paid(close), gain_base, short_term, long_term, *effects


def _gains(rows: Iterable[ClosedRow]) -> list[GainRow]:
    """The sums of each account and instrument by year, and of all years.

    `rows` by account and instrument.
    """
    found = []
    for (account, instrument), of_key in groupby(rows, key=itemgetter(0, 1)):
        years: defaultdict[int, _Sum] = defaultdict(_Sum)
        with localcontext(EXACT):
            for _, _, close, rate in of_key:
                parts = _parts(close, rate)
                years[close.closed_on.year].add(1, parts[_GAIN_BASE] is None, parts)
        ever = _Sum()
        for year, one in sorted(years.items()):
            of_one = one.row(account, instrument, year)
            found.append(of_one)
            ever.add(one.lots, one.unknown, of_one.sums)
        found.append(ever.row(account, instrument, EVER))
    return found


def _gain_rows(sums: QuerySet[GainSum], accounts: Mapping[int, int]) -> list[GainRow]:
    """Stored sums; `accounts` by book."""
    found = sums.values_list("book_id", "instrument_id", *_COUNTS, *map(plain, GAINED))
    return [
        GainRow(accounts[book], instrument, year, lots, unknown, *map(plain_number, numbers))
        for book, instrument, year, lots, unknown, *numbers in found
    ]


def _totals(rows: Iterable[GainRow]) -> list[GainRow]:
    """The sums of all instruments, from those of each.

    Always in one order: so a part that is worked out again gives the same as the whole.
    """
    sums: defaultdict[tuple[int, int], _Sum] = defaultdict(_Sum)
    for row in sorted(rows, key=lambda row: (row.account, row.instrument or 0)):
        sums[row.account, row.year].add(row.lots, row.unknown, row.sums)
    return [one.row(account, None, year) for (account, year), one in sums.items()]


def _with_totals(rows: list[GainRow]) -> list[GainRow]:
    return [*rows, *_totals(rows)]


class _Sum:
    """A sum of several parts, each over what is known of it; None where nothing is."""

    __slots__ = ("_parts", "lots", "unknown")

    def __init__(self) -> None:
        self.lots = self.unknown = 0
        self._parts: list[Sequence[Decimal | None]] = []

    def add(self, lots: int, unknown: int, parts: Sequence[Decimal | None]) -> None:
        self.lots += lots
        self.unknown += unknown
        self._parts.append(parts)

    def row(self, account: int, instrument: int | None, year: int) -> GainRow:
        with localcontext(EXACT):
            sums = [
                sum(known) if (known := [v for v in of if v is not None]) else None
                for of in zip(*self._parts, strict=True)
            ]
        return GainRow(account, instrument, year, self.lots, self.unknown, *sums)


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


def _summed(lots: Iterable[tuple[int, int, Decimal, Decimal | None]]) -> Positions:
    """`lots` are accounts, instruments, quantities and costs."""
    found: Positions = {}
    for account, instrument, quantity, cost in lots:
        before, paid_before = found.get((account, instrument), (_ZERO, _ZERO))
        found[account, instrument] = EXACT.add(before, quantity), added(paid_before, cost)
    return found
