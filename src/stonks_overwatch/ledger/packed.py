"""Prices, rates and activities as blocks of float64 beside the exact rows: what the engine computes from.

Whoever writes rows of Price, FxRate or Activity says which days changed, in the same transaction; the
blocks are made again from those days on, stored daily series lose the days from then on, checkpoints of
these days go, and stored lots of what it concerns are marked as stale. Work is proportional to what changed:
blocks and series that come out equal are left alone.
"""

import logging
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from math import isnan
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import F, Q, QuerySet, Sum, TextField
from django.db.models.functions import Cast, Coalesce, Length, Substr

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivityBlock,
    Checkpoint,
    DailySeries,
    FxRate,
    Instrument,
    LotBook,
    LotMark,
    Price,
    PriceSeries,
    RateSeries,
    RecentPrices,
    SeriesClock,
)
from stonks_overwatch.ledger.rows import plain, plain_day, plain_float
from stonks_overwatch.ledger.sql import impatient, plain_rows, upsert
from stonks_overwatch.ledger.types import SETTLEMENT, ActivityKind

log = logging.getLogger(__name__)

# One activity in a block. Days are proleptic ordinals; `day` is the one from which the account holds it.
# Codes: kinds are those of KINDS, currencies those of currency_number, instruments are row numbers;
# 0 is none. `other_currency` is the one that an exchange buys. Unknown is NaN.
COLUMNS = (
    "day", "trade_day", "kind", "instrument", "currency", "other_currency",
    "quantity", "price", "gross", "fee", "tax", "value", "cost", "ratio",
)  # fmt: skip

# What a daily series holds of each day, in its base currency: value at the day's end, what came in from
# outside, and the parts of the change that are not price; `carried` counts the positions valued at a price
# of an earlier day.
DAILY = ("nav", "contribution", "income", "fees", "taxes", "currency", "other", "carried")

RECENT_DAYS = 64
"""So many days are in RecentPrices: what a valuation from the last checkpoint takes, and some weeks more."""

# Written into blocks: a new kind takes a new number.
KINDS = {
    ActivityKind.OPENING: 1,
    ActivityKind.BUY: 2,
    ActivityKind.SELL: 3,
    ActivityKind.DEPOSIT: 4,
    ActivityKind.WITHDRAWAL: 5,
    ActivityKind.DIVIDEND: 6,
    ActivityKind.INTEREST: 7,
    ActivityKind.FEE: 8,
    ActivityKind.TAX: 9,
    ActivityKind.TRANSFER_IN: 10,
    ActivityKind.TRANSFER_OUT: 11,
    ActivityKind.SPLIT: 12,
    ActivityKind.FX: 13,
    ActivityKind.CORPORATE_ACTION: 14,
    ActivityKind.OTHER: 15,
}
SETTLED = 16  # in place of its kind: profit of futures that went to cash, told in sum

# The topic of the checkpoint that holds what all statements of an account were compared with, and the
# sections of figures that it depends on.
STATEMENTS = "statements"
COMPARED = frozenset(
    {"CashReport", "ChangeInNAV", "EquitySummaryInBase", "OpenPositions", "StmtFunds", "ClosedLots"}
)

_ACTIONS = (ActivityKind.CORPORATE_ACTION, ActivityKind.SPLIT)
# A dividend can be capital given back, which lowers costs.
_LOT_NUMBERS = {float(KINDS[kind]) for kind in (*_ACTIONS, ActivityKind.DIVIDEND)}
_OPENING = float(KINDS[ActivityKind.OPENING])
_EVER = float(date.min.toordinal())
_IS_ACTION = Q(kind__in=_ACTIONS)
_NAN = float("nan")
_BYTES = 8  # of a float64
_AT_ONCE = 500  # SQLite takes some thousands of parameters, PostgreSQL more


@lru_cache(1_000)
def currency_number(code: str) -> int:
    """A currency code as a number that float64 holds exactly."""
    return int.from_bytes(code.encode("ascii"), "big")


def currency_code(number: int) -> str:
    return number.to_bytes(3, "big").decode("ascii")


def prices_changed(since: Mapping[int, date]) -> None:
    """Pack the prices again.

    Args:
        since: by row number of the instrument, the first day of which a price came, changed or went.
    """
    pks = sorted(since)
    for start in range(0, len(pks), _AT_ONCE):
        some = pks[start : start + _AT_ONCE]
        _pack_prices({pk: since[pk] for pk in some})


def _pack_prices(since: Mapping[int, date]) -> None:
    stored = {
        pk: (first_on, block)
        for pk, first_on, block in PriceSeries.objects.filter(instrument__in=list(since)).values_list(
            "instrument_id", "first_on", "closes"
        )
    }
    first = min(since.values())
    rows = plain_rows(
        Price.objects.filter(instrument__in=list(since), on__gte=first, currency=F("instrument__currency"))
        .order_by("instrument_id", "on", "is_imported")
        .values_list("instrument_id", plain("on"), plain_float("close"))
    )
    # One instrument after the other: ten years of all of them would be millions of objects.
    spliced = {
        pk: _spliced(stored.get(pk), first, [(plain_day(on), close) for _, on, close in of])
        for pk, of in groupby(rows, key=lambda row: row[0])
    }
    changed: dict[int, date] = {}
    new = []
    gone = []
    for pk in since:
        packed = spliced[pk] if pk in spliced else _spliced(stored.get(pk), first, [])
        if packed is None:
            continue
        block, changed[pk] = packed
        if block:
            new.append((pk, *block))
        else:
            gone.append(pk)
    names = ["instrument", "first_on", "closes"]
    upsert(PriceSeries, names, new, unique=names[:1])
    upsert(
        RecentPrices, names, ((pk, *_end(first_on, block)) for pk, first_on, block in new), unique=names[:1]
    )
    PriceSeries.objects.filter(instrument__in=gone).delete()
    RecentPrices.objects.filter(instrument__in=gone).delete()
    if changed:
        brokers = Instrument.objects.filter(pk__in=list(changed)).values("broker")
        accounts = Account.objects.filter(broker__in=brokers.distinct()).values_list("pk", flat=True)
        day = min(changed.values())
        forget(accounts, day)
        # Lots know prices from the division of a cost alone, when a company spins off another.
        _lots_changed(Activity.objects.filter(_IS_ACTION, account__in=accounts, trade_date__gte=day))


def _end(first: date, block: bytes) -> tuple[date, bytes]:
    """The last RECENT_DAYS of a block."""
    kept = block[-RECENT_DAYS * _BYTES :]
    return first + timedelta(days=(len(block) - len(kept)) // _BYTES), kept


def rates_changed(since: Mapping[tuple[str, str], date]) -> None:
    """Pack the rates again; `since` is by base and quote, as for prices."""
    changed: list[date] = []
    new = []
    for (base, quote), first in since.items():
        stored = RateSeries.objects.filter(base=base, quote=quote).values_list("first_on", "rates").first()
        rows = FxRate.objects.filter(base=base, quote=quote, on__gte=first).order_by("on", "is_imported")
        packed = _spliced(stored, first, list(rows.values_list("on", plain_float("rate"))))
        if packed is None:
            continue
        block, day = packed
        changed.append(day)
        if block:
            new.append((base, quote, *block))
        else:
            RateSeries.objects.filter(base=base, quote=quote).delete()
    upsert(RateSeries, ["base", "quote", "first_on", "rates"], new, unique=["base", "quote"])
    if changed:
        day = min(changed)
        forget(None, day)
        # A rate is that of later days too, and of no earlier one.
        _lots_changed(Activity.objects.filter(Q(trade_date__gte=day) | Q(acquired_on__gte=day)), day)


def _spliced(
    stored: tuple[date, bytes | memoryview] | None, since: date, told: list[tuple[date, float]]
) -> tuple[tuple[date, bytes] | None, date] | None:
    """The stored days before `since` and those told from it on; with the first day that differs.

    None when nothing differs; no block when nothing is left.
    """
    first, old = (stored[0], bytes(stored[1])) if stored is not None else (date.max, b"")
    new = array("d")
    if first < since:
        new.frombytes(old[: (since - first).days * new.itemsize])
    elif told:
        first = told[0][0]
    for on, number in told:
        new.extend([_NAN] * ((on - first).days + 1 - len(new)))
        new[(on - first).days] = number  # an imported one after the broker's of the same day
    while new and isnan(new[-1]):  # what stood at the end is gone
        new.pop()
    packed = new.tobytes()
    if stored is None:
        return ((first, packed), first) if packed else None
    if not packed:
        return None, stored[0]
    if first != stored[0]:
        return (first, packed), min(first, stored[0])
    if packed == old:
        return None
    # As integers, because NaN equals nothing.
    pairs = zip(memoryview(old).cast("q"), memoryview(packed).cast("q"), strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(old), len(packed)) // new.itemsize)
    return (first, packed), first + timedelta(days=same)


def activities_changed(days: Iterable[tuple[int, date]]) -> None:
    """Pack activities again.

    Args:
        days: row number of the account and the day (booked, else traded) of each activity that came,
            changed, or went: before and after the change.
    """
    by_account: defaultdict[int, set[date]] = defaultdict(set)
    for account_pk, day in days:
        by_account[account_pk].add(day)
    lots_changed(
        {
            (account_pk, instrument): since
            for account_pk, changed in by_account.items()
            for instrument, since in _pack_activities(account_pk, changed).items()
        }
    )


def _pack_activities(account_pk: int, days: set[date]) -> dict[int, date]:
    """Return the instruments whose quantities activities of these days moved, before or now, by the first."""
    months = {day.replace(day=1) for day in days}
    stored, new = _blocks(account_pk, months)
    unlike = {month for month in months if new.get(month, b"") != stored.get(month, b"")}
    upsert(
        ActivityBlock,
        ["account", "month", "rows"],
        ((account_pk, month, new[month]) for month in sorted(unlike & new.keys())),
        unique=["account", "month"],
    )
    ActivityBlock.objects.filter(account=account_pk, month__in=unlike - new.keys()).delete()
    if unlike:
        forget([account_pk], min(day for day in days if day.replace(day=1) in unlike))
    ordinals = {float(day.toordinal()) for day in days}
    moved, first = _concerned((*stored.values(), *new.values()), ordinals)
    _forget_checkpoints_of_broker(account_pk, first)
    return moved


def _blocks(account_pk: int, months: set[date]) -> tuple[dict[date, bytes], dict[date, bytes]]:
    """The blocks of these months as they are stored, with those of months between, and as they are to be."""
    stored = {
        month: bytes(rows)
        for month, rows in ActivityBlock.objects.filter(
            account=account_pk, month__gte=min(months), month__lte=max(months)
        ).values_list("month", "rows")
    }
    new: dict[date, bytes] = {}
    for written, rows in groupby(_rows(account_pk, months), key=lambda row: row[0][:7]):
        month = date.fromisoformat(f"{written}-01")
        if month in months:
            new[month] = _block(rows)
    return stored, new


def counts() -> dict[int, int]:
    """By account row, how many activities count: to count them one by one takes longer than a page may."""
    sizes = ActivityBlock.objects.values("account_id").annotate(size=Sum(Length("rows")))
    return {pk: size // (len(COLUMNS) * _BYTES) for pk, size in sizes.values_list("account_id", "size")}


def look_again() -> None:
    """Notice the activities that another program has changed, and forget what statements were compared with.

    Whoever writes as described above need not do so. Nothing happens while a sync or an import is at work.
    """
    try:
        with impatient(), transaction.atomic():
            Checkpoint.objects.all().delete()
            _tick()
            for account_pk, months in _all_months().items():
                stored, new = _blocks(account_pk, months)
                unlike = {month for month in months if new.get(month, b"") != stored.get(month, b"")}
                blocks = [block.get(month, b"") for block in (stored, new) for month in unlike]
                days = {day for block in blocks for day in array("d", block)[:: len(COLUMNS)]}
                activities_changed((account_pk, date.fromordinal(int(day))) for day in days)
    except OperationalError:
        log.info("Whether another program has changed anything is not looked at: the database is busy.")


def _all_months() -> dict[int, set[date]]:
    """By account, the months that have a block or should have one."""
    months: defaultdict[int, set[date]] = defaultdict(set)
    for account_pk, month in ActivityBlock.objects.values_list("account_id", "month"):
        months[account_pk].add(month)
    counts_on = Cast(Coalesce("booked_on", "trade_date"), TextField())
    written = Activity.objects.current().annotate(written=Substr(counts_on, 1, 7)).order_by()
    for account_pk, name in written.values_list("account_id", "written").distinct():
        months[account_pk].add(date.fromisoformat(f"{name}-01"))
    return months


def _concerned(blocks: Iterable[bytes], days: set[float]) -> tuple[dict[int, date], date]:
    """What activities of these days bear on: the instruments whose lots they can change, and the first days.

    An opening balance bears on all days before its own.
    """
    moved: dict[int, float] = {}
    first = min(days)
    width, names = len(COLUMNS), ("day", "trade_day", "kind", "instrument", "quantity")
    for block in blocks:
        numbers = array("d", block)
        columns = (numbers[COLUMNS.index(name) :: width] for name in names)
        for day, trade_day, kind, instrument, quantity in zip(*columns, strict=True):
            if day in days:
                since = _EVER if instrument and kind == _OPENING else trade_day
                first = min(first, since)
                if instrument and (kind in _LOT_NUMBERS or not isnan(quantity)):
                    moved[int(instrument)] = min(since, moved.get(int(instrument), since))
    instruments = {instrument: date.fromordinal(int(since)) for instrument, since in moved.items()}
    return instruments, date.fromordinal(int(first))


def _rows(account_pk: int, months: set[date]) -> Iterator[tuple[Any, ...]]:
    """The activities of these months and those between them, in the order in which they count."""
    until = (max(months) + timedelta(days=31)).replace(day=1)
    return plain_rows(
        Activity.objects.current()
        .annotate(counts_on=Coalesce("booked_on", "trade_date"))
        .filter(account=account_pk, counts_on__gte=min(months), counts_on__lt=until)
        .order_by("counts_on", "trade_date", "trade_at", "key")
        .values_list(
            plain("counts_on"),
            plain("trade_date"),
            "kind",
            "subtype",
            "instrument_id",
            "currency",
            "instrument__broker_ref",
            *map(plain_float, COLUMNS[6:]),
        )
    )


def _block(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Rows of `_rows` as they are packed."""
    days, trade_days, kinds, subtypes, instruments, currencies, refs, *numbers = zip(*rows, strict=True)
    of_kinds = [
        SETTLED if subtype == SETTLEMENT and instrument is None else KINDS[kind]
        for kind, subtype, instrument in zip(kinds, subtypes, instruments, strict=True)
    ]
    exchange = KINDS[ActivityKind.FX]
    columns = (
        map(_ordinal, days),
        map(_ordinal, trade_days),
        of_kinds,
        [0 if of == exchange else pk or 0 for of, pk in zip(of_kinds, instruments, strict=True)],
        map(currency_number, currencies),
        [currency_number(r) if of == exchange and r else 0 for of, r in zip(of_kinds, refs, strict=True)],
        *([_NAN if number is None else number for number in of_one] for of_one in numbers),
    )
    block = array("d", bytes(len(days) * len(COLUMNS) * 8))
    for place, column in enumerate(columns):
        block[place :: len(COLUMNS)] = array("d", column)
    return block.tobytes()


@lru_cache(10_000)
def _ordinal(written: str) -> int:
    return plain_day(written).toordinal()


def instruments_changed(broker: str, pks: Iterable[int]) -> None:
    """Forget the stored series of a broker, and the lots of its instruments that count in another way now."""
    DailySeries.objects.filter(account__broker=broker).delete()
    Checkpoint.objects.filter(account__broker=broker).delete()
    some = list(pks)
    for start in range(0, len(some), _AT_ONCE):
        _lots_changed(Activity.objects.filter(instrument__in=some[start : start + _AT_ONCE]))
    _tick()


def instruments_renamed(broker: str) -> None:
    """Another ISIN or symbol: corporate actions name what they come from by these."""
    Checkpoint.objects.filter(account__broker=broker).delete()
    _tick()
    _lots_changed(Activity.objects.filter(_IS_ACTION, account__broker=broker))


def _lots_changed(activities: QuerySet[Activity], since: date = date.min) -> None:
    """The same for what these activities concern."""
    if LotBook.objects.exists():
        found = activities.filter(instrument__isnull=False).order_by().distinct()
        lots_changed(dict.fromkeys(found.values_list("account_id", "instrument_id"), since))


def lots_changed(since: Mapping[tuple[int, int], date], method: Method | None = None) -> None:
    """Mark stored lots as stale.

    Args:
        since: by row numbers of the account and the instrument, the first day that changed.
        method: only those that were matched by it.
    """
    instruments: defaultdict[int, set[int]] = defaultdict(set)
    for account_pk, instrument_pk in since:
        instruments[account_pk].add(instrument_pk)
    books = LotBook.objects.filter(account__in=list(instruments), method__contains=method or "")
    of_books = dict(books.values_list("pk", "account_id"))
    stale = LotMark.objects.filter(book__in=list(of_books), stale_since__isnull=False)
    marked = {
        (book, pk): day or date.min
        for book, pk, day in stale.values_list("book_id", "instrument_id", "stale_since")
    }
    marks = [
        (book, pk, min(since[account_pk, pk], marked.get((book, pk), date.max)))
        for book, account_pk in of_books.items()
        for pk in sorted(instruments[account_pk])
    ]
    if upsert(LotMark, ["book", "instrument", "stale_since"], marks, unique=["book", "instrument"]):
        _tick()


def forget(accounts: Iterable[int] | None, day: date) -> None:
    """Take the days from this one on from the stored daily series of the accounts (of all: None)."""
    series = DailySeries.objects.filter(valid_until__gte=day)
    checkpoints = Checkpoint.objects.filter(on__gte=day)
    if accounts is not None:
        pks = list(accounts)
        series, checkpoints = series.filter(account__in=pks), checkpoints.filter(account__in=pks)
    series.update(valid_until=day - timedelta(days=1))
    checkpoints.delete()
    _tick()


def statements_changed(account_pk: int) -> None:
    """Forget what the statements of an account were compared with."""
    Checkpoint.objects.filter(account=account_pk, topic=STATEMENTS).delete()
    _tick()


def _forget_checkpoints_of_broker(account_pk: int, day: date) -> None:
    """Those of the account, and of the others of its broker: a transfer takes lots along."""
    broker = Account.objects.filter(pk=account_pk).values("broker")
    Checkpoint.objects.filter(account__in=Account.objects.filter(broker__in=broker), on__gte=day).delete()
    _tick()


def _tick() -> None:
    if not SeriesClock.objects.update(ticks=F("ticks") + 1):
        SeriesClock.objects.create(ticks=1)


def clock() -> int:
    """How often anything has changed that daily series are worked out from."""
    return SeriesClock.objects.values_list("ticks", flat=True).first() or 0


def keep_checkpoints(
    account_pk: int,
    topic: str,
    contents: Mapping[date, str],
    since: int,
    *,
    stay: date = date.max,
    instead_of: str | None = None,
) -> None:
    """Store checkpoints of one topic by their day, on the conditions of `keep`.

    Of those that are there, the last of each year stay, and all from the day `stay` on; of other topics that
    begin with `instead_of` none.
    """
    try:
        with impatient(), transaction.atomic():
            if clock() == since:
                old = Checkpoint.objects.filter(account=account_pk, topic=topic)
                old.filter(on__lt=stay).exclude(on__month=12, on__day=31).delete()
                if instead_of is not None:
                    others = Checkpoint.objects.filter(account=account_pk, topic__startswith=instead_of)
                    others.exclude(topic=topic).delete()
                rows = [(account_pk, topic, on, content) for on, content in contents.items()]
                names = ["account", "topic", "on", "content"]
                upsert(Checkpoint, names, rows, unique=names[:3])
    except OperationalError:
        log.info("Sums of activities are worked out and not stored: the database is busy.")


def keep(series: Iterable[DailySeries], since: int) -> None:
    """Store series that were worked out from what there was when the clock stood at `since`.

    Not if anything has changed meanwhile; and not while a sync or an import holds the database: a page does
    not wait for it, and whoever asks next stores the series.
    """
    try:
        with impatient(), transaction.atomic():
            if clock() == since:
                names = [field.name for field in DailySeries._meta.fields if field.name != "id"]
                rows = [
                    [getattr(one, field.attname) for field in DailySeries._meta.fields[1:]] for one in series
                ]
                upsert(DailySeries, names, rows, unique=["account", "base"])
    except OperationalError:
        log.info("Daily series are worked out and not stored: the database is busy.")
