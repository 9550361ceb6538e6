"""Lots as reports read them: stored once worked out, and worked out again where they changed.

What changed is marked by the ledger (packed.py), by account and instrument; whoever reads next works out
those again, with what events tie to them, and stores them: the same as if all had been worked out anew.
What was bought and sold and no more goes on from what was open on the day that changed. A past day's are
worked out each time. Matching 100,000 activities takes seconds, reading what came of it milliseconds.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import OperationalError, models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.fields import ExactDecimalField, text
from stonks_overwatch.ledger.lots import EXACT, Close, Lot, Method, added, known_effects, negative
from stonks_overwatch.ledger.matching import joined, untraded
from stonks_overwatch.ledger.models import (
    Account,
    ClosedLots,
    Figure,
    GainSum,
    Instrument,
    LotBook,
    LotMark,
    OpenLot,
)
from stonks_overwatch.ledger.rows import Listed, plain, plain_day, plain_number
from stonks_overwatch.ledger.sql import impatient, insert, prepared, without_collector
from stonks_overwatch.reports.books import PAPER, Begun, Books, Key, Paper, books, tied_to, ties
from stonks_overwatch.reports.scope import every_account

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
    account: int
    instrument: int
    close: Close


class GainRow(NamedTuple):
    """Sums of closed lots, in the order of `_GAIN`; of all instruments where it names none.

    `gain` is in the instrument's currency, and means nothing where several are summed.
    """

    account: int
    instrument: int | None
    year: int
    lots: int
    unknown: int
    estimates: int
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
        return self[6:]


class Earned(NamedTuple):
    """Proceeds minus cost of what closed anything of an instrument, each at the rate of its day.

    In the base currency; unknown as soon as one lot's is, an estimate as soon as one lot's is.
    """

    gain: Decimal | None
    is_estimate: bool


NOT_CLOSED = Earned(Decimal(0), is_estimate=False)
"""Of what closed nothing."""
Positions = dict[Key, tuple[Decimal, Decimal | None]]
"""Quantity and cost of what is open, by account and instrument; unknown as soon as one lot's cost is."""

_LOT = Lot._fields
_COUNTS, GAINED = GainRow._fields[2:6], GainRow._fields[6:]
_OPEN_COLUMNS = "book", "instrument", "number", *_LOT
_CLOSED_COLUMNS = "book", "instrument", "year", "lots"
_GAIN_COLUMNS = "book", *GainRow._fields[1:]
_MARK_COLUMNS = "book", "instrument", "stale_since", "tie", "has_more"
_GAIN_BASE = GAINED.index("gain_base")
_AT_ONCE = 500
_DAY = len("2026-01-31")
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
        found: Positions = {}
        with localcontext(EXACT):
            for book, paper, quantities, costs in _sizes(
                tuple(self.accounts), None if instruments is None else tuple(instruments)
            ):
                sizes, known = quantities.split(","), costs.split(",") if costs else ()
                cost = sum(map(Decimal, known), _ZERO) if len(known) == len(sizes) else None
                found[self.accounts[book], paper] = sum(map(Decimal, sizes), _ZERO), cost
        return found

    def _open(self, instruments: Iterable[int] | None) -> QuerySet[OpenLot]:
        return _open(list(self.accounts), instruments).order_by("book_id", "instrument_id", "number")

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        """Newest first; the rows of a page."""
        blocks = ClosedLots.objects.filter(book__in=list(self.accounts))
        if instrument is not None:
            blocks = blocks.filter(instrument=instrument)
        if year:
            blocks = blocks.filter(year=year)
        elif instrument is None and page.stop is not None:
            years, later = self._years(page)
            blocks = blocks.filter(year__in=years)
            page = slice((page.start or 0) - later, page.stop - later)
        lines = [
            (line[:_DAY], self.accounts[book], paper, number, line)
            for book, paper, lots in blocks.values_list("book_id", "instrument_id", "lots")
            for number, line in enumerate(lots.split("\n"))
        ]
        lines.sort(reverse=True)
        return [ClosedRow(account, paper, _unpacked(line)) for _, account, paper, _, line in lines[page]]

    def _years(self, page: slice) -> tuple[list[int], int]:
        """In which the lots of a page were closed, and how many were closed later than in these."""
        lots: Counter[int] = Counter()
        for row in self.gains():
            lots[row.year] += row.lots
        years, before, later = [], 0, 0
        for year, count in sorted(lots.items(), reverse=True):
            if before + count <= (page.start or 0):
                later += count
            elif before < page.stop:
                years.append(year)
            before += count
        return years, later

    def gains(self, year: int | None = None, *, by_instrument: bool = False) -> list[GainRow]:
        """Of one year (None: each), of each instrument or of all together."""
        rows = GainSum.objects.filter(book__in=list(self.accounts), instrument__isnull=not by_instrument)
        rows = rows.filter(year=year) if year is not None else rows.exclude(year=EVER)
        return _gain_rows(rows.order_by("book_id", "instrument_id", "year"), self.accounts)

    def earned(self) -> dict[Key, "Earned"]:
        """What was realized by account and instrument."""
        return {
            (self.accounts[book], instrument): Earned(
                None if unknown else plain_number(gain), bool(estimates and not unknown)
            )
            for book, instrument, unknown, estimates, gain in _earned(tuple(self.accounts))
        }


@prepared
def _earned(books: tuple[int, ...]) -> QuerySet[GainSum, tuple[Any, ...]]:
    rows = GainSum.objects.filter(book__in=books, instrument__isnull=False, year=EVER)
    columns = "book_id", "instrument_id", "unknown", "estimates", plain("gain_base")
    return rows.order_by("book_id", "instrument_id").values_list(*columns)


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
        found: Positions = {}
        for account, instrument, lot in self.open(instruments):
            quantity, cost = found.get((account, instrument), (_ZERO, _ZERO))
            found[account, instrument] = EXACT.add(quantity, lot.quantity), added(cost, lot.cost)
        return found

    def closed(
        self, year: int = EVER, instrument: int | None = None, page: slice = slice(None)
    ) -> list[ClosedRow]:
        rows = [
            ClosedRow(account, paper, close)
            for (account, paper), closes in self._closed()
            if instrument in (None, paper)
            for close in closes
            if year in (EVER, close.closed_on.year)
        ]
        rows.sort(key=lambda row: row.close.closed_on)
        return rows[::-1][page]

    def gains(self, year: int | None = None, *, by_instrument: bool = False) -> list[GainRow]:
        return [
            row
            for row in _with_totals(_gains(self._closed(), self.books))
            if (row.instrument is not None) is by_instrument
            and (row.year == year if year is not None else row.year != EVER)
        ]

    def earned(self) -> dict[Key, "Earned"]:
        return {
            (row.account, row.instrument): Earned(
                None if row.unknown else row.gain_base, bool(row.estimates and not row.unknown)
            )
            for row in self.gains(EVER, by_instrument=True)
            if row.instrument is not None
        }

    def _closed(self) -> Iterator[tuple[Key, Sequence[Close]]]:
        return ((key, closes) for key, closes in _closed(self.books) if key[0] in self.methods)


def lot_books(
    looked_at: Sequence[Account],
    base: str,
    until: date | None = None,
    method: Method | None = None,
    instrument: int | None = None,
) -> Stored | Live:
    """The lots of the accounts by their own methods, or by the one that is given.

    Where only those of one `instrument` will be asked for, no others are worked out for a past day.
    """
    methods = {account.pk: method or Method(account.lot_method) for account in looked_at}
    if until is not None:
        only = None if instrument is None else tied_to(instrument)
        return Live(books(looked_at, base, until, method, only), methods)
    # A transfer takes lots from one account to another: those of a broker are kept together.
    brokers = {account.broker for account in looked_at}
    together = sorted((one for one in every_account() if one.broker in brokers), key=lambda one: one.pk)
    names = _names(together, method)
    found, is_stale = _found(names, base)
    if is_stale or len(found) < len(together):
        since = packed.clock()
        changed = _changed(found, together) if len(found) == len(together) else None
        begun, before = _begun(found, changed or {})
        with without_collector():
            kept = books(together, base, None, method, changed, begun)
            before = {key: before[key] for key in kept.gone_on}
            made = _store(kept, before, base, names, since, found, changed)
        if made is None:
            return Live(kept if changed is None else books(looked_at, base, None, method), methods)
        found = made
    return Stored({found[account.pk]: account.pk for account in looked_at}, methods)


def _found(names: Mapping[int, str], base: str) -> tuple[dict[int, int], bool]:
    """The books that are there, by account, and whether something in them has to be worked out again."""
    found, is_stale = {}, False
    for pk, account, name, has_stale in _stored(tuple(names), base):
        if names[account] == name:
            found[account] = pk
            is_stale |= has_stale
    return found, is_stale


@prepared
def _stored(accounts: tuple[int, ...], base: str) -> QuerySet[LotBook, tuple[Any, ...]]:
    """Books with whether something in them has to be worked out again."""
    stale = LotMark.objects.filter(book=OuterRef("pk"), stale_since__isnull=False)
    rows = LotBook.objects.filter(account__in=accounts, base=base).annotate(has_stale=Exists(stale))
    return rows.values_list("pk", "account_id", "method", "has_stale")


def _changed(found: dict[int, int], together: Sequence[Account]) -> dict[Key, date]:
    """What has to be worked out again: what is marked, and what is tied to it now or was before.

    `found` are the books by account.

    Returns: the first day, where what was stored of the days before can be gone on from.
    """
    of_book = {book: account for account, book in found.items()}
    changed: dict[Key, date] = {}
    before: defaultdict[int, set[Key]] = defaultdict(set)
    marks = LotMark.objects.filter(book__in=list(of_book))
    columns = "book_id", "instrument_id", "stale_since", "tie", "has_more"
    for book, instrument, stale_since, tie, has_more in marks.values_list(*columns):
        key = of_book[book], instrument
        if stale_since is not None:
            changed[key] = date.min if has_more else stale_since
        if tie is not None:
            before[tie].add(key)
    for tied in joined([*before.values(), *ties(together)]):
        if not tied.isdisjoint(changed):
            changed |= dict.fromkeys(tied, date.min)
    return changed


class _Before(NamedTuple):
    """What had been closed before a day: in its year, and the sums of the years before."""

    year: int
    closed: Sequence[Close]
    sums: Sequence[GainRow]


_NONE: Mapping[Key, _Before] = {}


def _begun(found: dict[int, int], changed: Mapping[Key, date]) -> tuple[dict[Key, Begun], dict[Key, _Before]]:
    """What was open when the day began on which something changed, and what had been closed before it.

    Where that can be gone on from. `found` are the books by account.
    """
    keys = [key for key, since in changed.items() if since > date.min]
    instruments = {instrument for _, instrument in keys}
    if not 0 < len(instruments) <= MOST_NAMED:
        return {}, {}
    stored = Stored({found[account]: account for account, _ in keys}, {})
    open_now: defaultdict[Key, list[Lot]] = defaultdict(list)
    for row in stored.open(instruments):
        open_now[row.account, row.instrument].append(row.lot)
    closed: defaultdict[Key, list[Close]] = defaultdict(list)
    of_keys = {"book__in": list(stored.accounts), "instrument__in": instruments}
    blocks = ClosedLots.objects.filter(**of_keys, year__gte=min(changed[key].year for key in keys))
    for book, instrument, lots in blocks.order_by("year").values_list("book_id", "instrument_id", "lots"):
        closed[stored.accounts[book], instrument] += map(_unpacked, lots.split("\n"))
    sums: defaultdict[Key, list[GainRow]] = defaultdict(list)
    years = GainSum.objects.filter(**of_keys).exclude(year=EVER).order_by("year")
    for gain in _gain_rows(years, stored.accounts):
        sums[gain.account, gain.instrument or 0].append(gain)
    begun, before = {}, {}
    for key in keys:
        on = changed[key]
        begun[key] = Begun(on, untraded(open_now[key], closed[key], on))
        before[key] = _Before(
            on.year,
            [one for one in closed[key] if one.closed_on < on and one.closed_on.year == on.year],
            [gain for gain in sums[key] if gain.year < on.year],
        )
    return begun, before


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
    before: Mapping[Key, _Before],
    base: str,
    names: dict[int, str],
    since: int,
    found: dict[int, int],
    changed: Iterable[Key] | None,
) -> dict[int, int] | None:
    """Keep the books, unless anything changed while they were worked out, or the database is in use.

    Args:
        kept: of all accounts in `names`.
        before: what had been closed of what was gone on from.
        base, names: the currency and the names of the books.
        since: where the clock stood before anything was read.
        found: the books that are there, by account.
        changed: what was worked out; None for everything, also into the books that are not there yet.

    Returns: the books by account.
    """
    closed = list(_closed(kept, before))
    gains = _gains(closed, kept, before)
    try:
        with impatient(), transaction.atomic():
            there, is_stale = _found(names, base)
            # With other books, or without marks, another one has stored them: whoever asked that one goes on
            # reading them, and what was gone on from here may be older or newer.
            if packed.clock() != since or there != found or (changed is not None and not is_stale):
                return None
            if changed is None:
                for table in (OpenLot, ClosedLots, GainSum, LotMark):
                    table.objects.filter(book__in=list(found.values())).delete()
                made = LotBook.objects.bulk_create(
                    LotBook(account_id=account, base=base, method=name)
                    for account, name in names.items()
                    if account not in found
                )
                found = found | {book.account_id: book.pk for book in made}
                gains = _with_totals(gains)
                for stored, columns, rows in _written(kept, found, closed, gains):
                    insert(stored.model, columns, rows)
            else:
                keys = {
                    (found[key[0]], key[1]): before[key].year if key in before else EVER for key in changed
                }
                for stored, columns, rows in _written(kept, found, closed, gains):
                    news = _replace(stored, columns, rows, keys)
                    if stored.model is GainSum:
                        _sum_again(found, changed, {(row[0], row[2]) for row in news}, kept.papers.keys())
    except OperationalError:
        # A sync is at work: whoever asks next stores them.
        log.info("The lots are worked out and not stored: the database is in use.")
        return None
    return found


_Row = tuple[Any, ...]
"""A row in the database's own form; its first two values are the book and the instrument."""


def _written(
    kept: Books,
    found: dict[int, int],
    closed: Iterable[tuple[Key, Sequence[Close]]],
    gains: Iterable[GainRow],
) -> Iterator[tuple[QuerySet[Any], tuple[str, ...], Iterator[_Row]]]:
    """The tables, their columns, and the rows of what was worked out: there are tens of thousands."""
    yield OpenLot.objects.all(), _OPEN_COLUMNS, (
        (
            found[account], instrument, number, _day(opened_on), text(quantity), _text(cost),
            opened_by, _text(cost_base), is_dated,
        )
        for (account, instrument), of_key in kept.lots.items()
        for number, (opened_on, quantity, cost, opened_by, cost_base, is_dated) in enumerate(of_key.open)
    )  # fmt: skip
    yield (
        ClosedLots.objects.all(),
        _CLOSED_COLUMNS,
        (
            (found[account], instrument, year, _packed(of_year))
            for (account, instrument), closes in closed
            for year, of_year in _by_year(closes)
        ),
    )
    yield GainSum.objects.all(), _GAIN_COLUMNS, _gains_written(found, gains)
    ties = {key: min(of for _, of in tied) for tied in kept.ties for key in tied}
    more = {key for key in kept.more if kept.methods[key[0]] is Method.FIFO}
    yield (
        LotMark.objects.all(),
        _MARK_COLUMNS,
        (
            (found[account], instrument, None, ties.get((account, instrument)), True)
            for account, instrument in sorted(ties.keys() | more)
        ),
    )


def _gains_written(found: dict[int, int], gains: Iterable[GainRow]) -> Iterator[_Row]:
    return ((found[row.account], *row[1:6], *map(_text, row.sums)) for row in gains)


def _replace(
    stored: QuerySet[Any],
    columns: tuple[str, ...],
    rows: Iterable[_Row],
    keys: Mapping[tuple[int, int], int],
) -> set[_Row]:
    """Make the rows those of these books and instruments; what is there already is not written.

    `keys` have the year before which rows stay as they are. Returns: the rows that came or went.
    """
    own_form = [
        plain(name)
        if isinstance(stored.model._meta.get_field(name), ExactDecimalField | models.DateField)
        else name
        for name in columns
    ]
    new: defaultdict[tuple[int, int], list[_Row]] = defaultdict(list)
    for row in rows:
        new[row[0], row[1]].append(row)
    news: set[_Row] = set()
    by_year = sorted((book, year, instrument) for (book, instrument), year in keys.items())
    for (book, year), of_year in groupby(by_year, key=itemgetter(0, 1)):
        instruments = [instrument for _, _, instrument in of_year]
        for start in range(0, len(instruments), _AT_ONCE):
            some = instruments[start : start + _AT_ONCE]
            old = stored.filter(book=book, instrument__in=some)
            if "year" in columns:
                old = old.filter(Q(year__gte=year) | Q(year=EVER))
            before = {tuple(row): pk for pk, *row in old.values_list("pk", *own_form)}
            after = [row for instrument in some for row in new[book, instrument]]
            gone = before.keys() - set(after)
            old.filter(pk__in=[before[row] for row in gone]).delete()
            insert(stored.model, columns, [row for row in after if row not in before])
            news |= before.keys() ^ set(after)
    return news


def _sum_again(
    found: dict[int, int], changed: Iterable[Key], news: set[tuple[int, int]], there: Set[int]
) -> None:
    """Write the sums of all instruments again.

    Args:
        found: the books by account.
        changed: what was worked out again.
        news: the books and years in which a sum changed.
        there: the instruments that still have activities.
    """
    for account, book in found.items():
        years = {year for of, year in news if of == book}
        is_gone = any(of == account and instrument not in there for of, instrument in changed)
        if not years and not is_gone:
            continue
        sums = GainSum.objects.filter(book=book)
        if not is_gone:  # the sums of one that is gone went with it
            sums = sums.filter(year__in=years)
        sums.filter(instrument__isnull=True).delete()
        totals = _totals(_gain_rows(sums.filter(instrument__isnull=False), {book: account}))
        insert(GainSum, _GAIN_COLUMNS, _gains_written(found, totals))


_LINE = "\t".join(["%s"] * 12)


def _packed(closes: Iterable[Close]) -> str:
    """Lots as ClosedLots has them, a line for each: days, numbers, what they are, and keys."""
    return "\n".join(
        _LINE % (
            _day(closed_on), _day(opened_on), quantity, cost, proceeds, cost_base, proceeds_base, rate,
            is_dated, is_told, _printable(opened_by), _printable(closed_by),
        )
        for (
            opened_on, closed_on, quantity, cost, proceeds, opened_by, closed_by, cost_base, proceeds_base,
            rate, is_dated, is_told,
        ) in closes
    )  # fmt: skip


def _unpacked(line: str) -> Close:
    closed_on, opened_on, *numbers, is_dated, is_told, opened_by, closed_by = line.split("\t")
    quantity, cost, proceeds, cost_base, proceeds_base, rate = (
        None if number == "None" else Decimal(number) for number in numbers
    )
    return Close(
        plain_day(opened_on), plain_day(closed_on), quantity or _ZERO, cost, proceeds, _as_it_was(opened_by),
        _as_it_was(closed_by), cost_base, proceeds_base, rate, is_dated == "True", is_told == "True",
    )  # fmt: skip


_day = lru_cache(10_000)(date.isoformat)


def _printable(key: str) -> str:
    return key if key.isprintable() and "\\" not in key else key.encode("unicode_escape").decode()


def _as_it_was(key: str) -> str:
    return key.encode().decode("unicode_escape") if "\\" in key else key


def _text(number: Decimal | None) -> str | None:
    return None if number is None else text(number)


def _closed(kept: Books, before: Mapping[Key, _Before] = _NONE) -> Iterator[tuple[Key, Sequence[Close]]]:
    """By account and instrument, in the order in which they were closed, with what was closed `before`."""
    for key, of_key in sorted(kept.lots.items()):
        closes = (*before[key].closed, *of_key.closed) if key in before else of_key.closed
        if closes or key in before:
            yield key, closes


def _by_year(closes: Iterable[Close]) -> list[tuple[int, list[Close]]]:
    years: defaultdict[int, list[Close]] = defaultdict(list)
    for one in closes:
        years[one.closed_on.year].append(one)
    return sorted(years.items())


def _gains(
    closed: Iterable[tuple[Key, Sequence[Close]]], kept: Books, before: Mapping[Key, _Before] = _NONE
) -> list[GainRow]:
    """The sums of each account and instrument by year, and of all years; without the years `before`."""
    found = []
    with localcontext(EXACT):
        for (account, instrument), closes in closed:
            is_rated = is_cost_rated(kept.papers[instrument], kept.base)
            years = [
                _gain(account, instrument, year, of_year, is_rated=is_rated)
                for year, of_year in _by_year(closes)
            ]
            of_before = before[account, instrument].sums if (account, instrument) in before else ()
            if years or of_before:
                found += [*years, _row(account, instrument, EVER, [*of_before, *years])]
    return found


def is_cost_rated(paper: Paper, base: str | None) -> bool:
    """Whether what a lot cost takes a rate, which nobody knows where the day of the purchase is not known."""
    return paper.currency != base and not paper.is_margined


def _gain(account: int, instrument: int, year: int, closes: Sequence[Close], *, is_rated: bool) -> GainRow:
    """The sums of one year, where the context is `EXACT`."""
    columns = list(zip(*map(_parts, closes), strict=True))
    gains = columns[_GAIN_BASE]
    estimates = 0
    if is_rated:
        known = zip(closes, gains, strict=True)
        estimates = sum(not close.is_dated and gain is not None for close, gain in known)
    return GainRow(account, instrument, year, len(closes), gains.count(None), estimates, *map(_sum, columns))


def _parts(close: Close) -> tuple[Decimal | None, ...]:
    """What a close adds to each of the sums, in the order of `GAINED`; where the context is `EXACT`."""
    _, _, _, cost, proceeds, _, _, cost_base, proceeds_base, rate, _, _ = close
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
    return gain, *brought_and_paid(close), gain_base, short_term, long_term, *effects


def _gain_rows(sums: QuerySet[GainSum], accounts: Mapping[int, int]) -> list[GainRow]:
    """Stored sums; `accounts` by book."""
    found = sums.values_list("book_id", "instrument_id", *_COUNTS, *map(plain, GAINED))
    return [
        GainRow(accounts[book], instrument, year, lots, unknown, estimates, *map(plain_number, numbers))
        for book, instrument, year, lots, unknown, estimates, *numbers in found
    ]


def _totals(rows: Iterable[GainRow]) -> list[GainRow]:
    """The sums of all instruments, from those of each.

    Always in one order: so a part that is worked out again gives the same as the whole.
    """
    parts: defaultdict[tuple[int, int], list[GainRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.account, row.instrument or 0)):
        parts[row.account, row.year].append(row)
    with localcontext(EXACT):
        return [_row(account, None, year, of_year) for (account, year), of_year in parts.items()]


def _with_totals(rows: list[GainRow]) -> list[GainRow]:
    return [*rows, *_totals(rows)]


def _row(account: int, instrument: int | None, year: int, rows: Sequence[GainRow]) -> GainRow:
    """The sums of several sums, where the context is `EXACT`."""
    lots, unknown, estimates = map(sum, zip(*(row[3:6] for row in rows), strict=True))
    columns = zip(*(row.sums for row in rows), strict=True)
    return GainRow(account, instrument, year, lots, unknown, estimates, *map(_sum, columns))


def _sum(numbers: Sequence[Decimal | None]) -> Decimal | None:
    """Of what is known of them, where the context is `EXACT`; None where nothing is."""
    known = sum(filter(None, numbers), _ZERO)
    return known if known or numbers.count(None) < len(numbers) else None


def brought_and_paid(close: Close) -> tuple[Decimal | None, Decimal | None]:
    """Proceeds and cost in the base currency: of a short lot what its sale brought and covering it cost."""
    if close.quantity >= 0:
        return close.proceeds_base, close.cost_base
    return negative(close.cost_base), negative(close.proceeds_base)


def _open(books: Sequence[int], instruments: Iterable[int] | None) -> QuerySet[OpenLot]:
    rows = OpenLot.objects.filter(book__in=books)
    return rows if instruments is None else rows.filter(instrument__in=list(instruments))


@prepared
def _sizes(books: tuple[int, ...], instruments: tuple[int, ...] | None) -> QuerySet[OpenLot, tuple[Any, ...]]:
    """Book, instrument, and lists: the quantities of its lots, and of their costs those that are known."""
    rows = _open(books, instruments).values("book_id", "instrument_id")
    lists = {"quantities": Listed("quantity"), "costs": Listed("cost")}
    return rows.annotate(**lists).values_list("book_id", "instrument_id", *lists)
