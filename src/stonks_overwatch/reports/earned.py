"""The bookings of income: each with its kind, its payment, and with what was held when it was earned.

Those of the past are kept in checkpoints, each month's in the one it ends with, and with them what all
instruments came to by then: only what came after the last of them is read as activities.
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from itertools import repeat
from operator import itemgetter, or_
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.ledger.models import Period as Told
from stonks_overwatch.ledger.rows import plain, plain_day, plain_number
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.booked import DAY, Amounts, Entry, grouped, in_base, papers
from stonks_overwatch.reports.distributions import Quantities
from stonks_overwatch.reports.marks import Topic, month_ends
from stonks_overwatch.reports.state import Held

RETURN_OF_CAPITAL = "return_of_capital"
LONE_TAX = "withholding_tax"  # without the payment it was taken from
_SOME_TAX = ""  # of no stated kind: withheld, where a payment goes with it
_WITHHELD = ("withholding tax", "871(m) withholding tax")
_INCOME = Q(kind__in=(ActivityKind.DIVIDEND, ActivityKind.INTEREST)) | Q(
    kind=ActivityKind.OTHER, subtype="other income"
)
_TAX = Q(kind=ActivityKind.TAX, subtype__in=(*_WITHHELD, ""))
_DIVIDENDS = ("payment in lieu", "return of capital", "capital gains distribution")
_OF_DIVIDENDS = frozenset(("dividend", *(name.replace(" ", "_") for name in _DIVIDENDS)))
_COUNTED = _OF_DIVIDENDS - {RETURN_OF_CAPITAL} | {LONE_TAX}
_INTERESTS = ("bond interest", "credit interest", "debit interest", "stock loan", "cfd financing")
_TOPIC = "income"
_MANY = 100  # fewer are read as fast as they are
_NONE, _ONE = Decimal(0), Decimal(1)


class Paid(NamedTuple):
    """One booking. `gross` and `tax` are in its currency, `amounts` at its day's rate.

    There are thousands: of most of them no more than the amounts are asked for, the rest stays text.

    `payment` tells the payment that it is part of, with its kind. `moved` is what the instrument came to
    by the last day of holding it that counts; it tells nothing alone: from which day on that is counted is
    another one in each account.
    """

    account: Account
    pk: int
    month: str
    on: date
    ex_date: str | None
    kind: str
    is_tax: bool  # an activity of its own
    currency: str
    instrument_id: int | None
    payment: tuple[object, ...]
    told: tuple[str | None, str | None, str | None]  # gross, tax, moved
    amounts: Amounts

    @property
    def gross(self) -> Decimal | None:
        return plain_number(self.told[0])

    @property
    def tax(self) -> Decimal | None:
        return plain_number(self.told[1])

    @property
    def moved(self) -> Decimal | None:
        return plain_number(self.told[2])

    @property
    def is_income(self) -> bool:
        return self.kind != RETURN_OF_CAPITAL

    @property
    def earned_on(self) -> str:
        """The last day of holding it that counts: the day before the ex-date, where that is told."""
        return _earned_on(self.on.isoformat(), self.ex_date)


def _earned_on(on: str, ex_date: str | None) -> str:
    return min(on, (plain_day(ex_date) - DAY).isoformat()) if ex_date else on


class Split(NamedTuple):
    on: str
    before: Decimal  # as `Paid.moved`
    after: Decimal


class Moved:
    """What the instruments of one account came to, day by day, counted from some day on."""

    def __init__(self, told: str, since: date | None) -> None:
        """`told` is what a checkpoint tells of the end of the day `since`, if one does."""
        self._first = since.isoformat() if since else ""
        quantities, splits, opened = json.loads(told) if told else ({}, {}, {})
        # The day of an opening balance, before which nothing is known.
        self.opened: dict[int, str] = {int(pk): on for pk, on in opened.items()}
        self._before = {int(pk): Decimal(quantity) for pk, quantity in quantities.items()}
        self._since: dict[int, Quantities] = {}
        self.splits: defaultdict[int, list[Split]] = defaultdict(list)
        for pk, of in splits.items():
            self.splits[int(pk)] = [Split(on, Decimal(before), Decimal(after)) for on, before, after in of]

    def move(self, instrument: int, kind: str, on: str, quantity: Decimal) -> None:
        """Of one day after the other."""
        of = self._since.get(instrument)
        if of is None:
            of = self._since[instrument] = Quantities()
            of.move(date.min, self._before.get(instrument, _NONE))
        before = of.now
        of.move(plain_day(on), quantity)
        if kind == ActivityKind.SPLIT:
            self.splits[instrument].append(Split(on, before, of.now))
        elif kind == ActivityKind.OPENING:
            self.opened[instrument] = on

    def at(self, instrument: int, on: str) -> Decimal | None:
        """At the end of a day; None before the first one."""
        return self._at(instrument, on) if on >= self._first else None

    def _at(self, instrument: int, on: str) -> Decimal:
        of = self._since.get(instrument)
        return self._before.get(instrument, _NONE) if of is None else of.before(plain_day(on) + DAY)

    def now(self, instrument: int) -> Decimal:
        of = self._since.get(instrument)
        return self._before.get(instrument, _NONE) if of is None else of.now

    def text(self, on: str) -> str:
        """As the checkpoint of a day keeps it."""
        quantities = {pk: self._at(pk, on) for pk in self._before.keys() | self._since.keys()}
        splits = {pk: [split for split in of if split.on <= on] for pk, of in self.splits.items()}
        opened = {pk: day for pk, day in self.opened.items() if day <= on}
        return json.dumps([quantities, splits, opened], default=str)


class Scales:
    """How many of today's units stand for one unit of the quantity that a booking was earned with."""

    def __init__(self, held: Iterable[Held], moved: Mapping[int, Moved]) -> None:
        self._held = {(row.account_id, row.instrument_id): row.quantity for row in held}
        self._moved = moved
        self._known: dict[tuple[int, int], _Known] = {}

    def of(self, paid: Paid) -> Decimal | None:
        """Today's quantity over the quantity held on that day, splits taken out.

        None where it is not known or nothing was held.
        """
        moved = paid.moved
        if moved is None or paid.instrument_id is None:
            return None
        key = paid.account.id, paid.instrument_id
        known = self._known.get(key) or self._known.setdefault(key, self._of(*key))
        if known.now is None:
            return None
        then, factor = moved + known.more, _ONE
        if known.splits or known.opened:
            earned_on = paid.earned_on
            if earned_on < known.opened:
                return None
            for split in reversed(known.splits):
                before, after = split.before + known.more, split.after + known.more
                if split.on > earned_on and before and after:
                    factor *= after / before
        return known.now / (then * factor) if then else None

    def _of(self, account: int, instrument: int) -> "_Known":
        now, moved = self._held.get((account, instrument)), self._moved[account]
        more = (now or _NONE) - moved.now(instrument)
        return _Known(now, more, moved.splits.get(instrument, ()), moved.opened.get(instrument, ""))


class _Known(NamedTuple):
    """What is held, and what it is `more` than `Moved` counts."""

    now: Decimal | None
    more: Decimal
    splits: Sequence[Split]
    opened: str


class Bookings(NamedTuple):
    """Oldest first, with what the instruments came to by account row."""

    rows: list[Paid]
    moved: Mapping[int, Moved]


_Columns = Sequence[Sequence[Any]]
"""Of bookings: row number, day, ex-date, kind, currency, group, instrument, gross, tax, both in the base
currency, and what the instrument came to. Numbers are texts.
"""


def bookings_between(
    looked_at: Sequence[Account], base: str, since: date | None, today: date, held_since: date
) -> Bookings:
    """All of income from `since` to `today`, both included.

    What was held is told of those from `held_since` on, of others only where it is at hand.
    """
    topic = Topic(_TOPIC, base, _INCOME | _TAX)
    window = Q(on__lte=today) if since is None else Q(on__lte=today, on__gte=since)
    contents = topic.contents(dict.fromkeys(looked_at, window))
    marks = {account.pk: [on for pk, on in contents if pk == account.pk] for account in looked_at}
    ranges = {pk: (of[-1] + DAY if of else since, today) for pk, of in marks.items()}
    fresh: defaultdict[int, list[Entry]] = defaultdict(list)
    for row in topic.within(looked_at, ranges):
        fresh[row.account_id].append(row)
    starts: dict[int, date | None] = {}
    for pk, of in marks.items():
        needed = _first_earned(fresh[pk], held_since)
        if of:
            starts[pk] = max((on for on in of if needed is None or on <= needed), default=None)
        elif needed:
            # Where no bookings are stored, it does not matter from which day on that is counted.
            starts[pk] = needed
    of_interest = {pk: {row.instrument_id for row in fresh[pk]} for pk in starts if not marks[pk]}
    moved = _moved(contents, starts, today, of_interest)
    rows: list[Paid] = []
    for account in looked_at:
        for on in marks[account.pk]:
            rows += _made(account, json.loads(contents[account.pk, on].partition("\n")[0]))
        rows += _made(account, _columns(fresh[account.pk], moved.get(account.pk)))
    if since:
        rows = [row for row in rows if row.on >= since]
    rows.sort(key=itemgetter(_ON, _PK))
    until = today.replace(day=1) - DAY
    for account in looked_at:
        if sum(row.on <= until.isoformat() for row in fresh[account.pk]) >= _MANY:
            _keep(topic, account, until)
    return Bookings(_with_payments(rows), moved)


_ON, _PK = Paid._fields.index("on"), Paid._fields.index("pk")


def _first_earned(rows: Iterable[Entry], since: date = date.min) -> date | None:
    """The first of the days that bookings from a day on were earned on."""
    days = (_earned_on(row.on, row.ex_date) for row in rows if row.on >= since.isoformat())
    return min(map(plain_day, days), default=None)


def _keep(topic: Topic, account: Account, until: date) -> None:
    """Store the bookings of each month, and what all instruments had come to at its end."""
    clock = packed.clock()
    marks = topic.marks([account])[account.pk]
    rows = topic.within([account], {account.pk: (marks[-1] + DAY if marks else None, until)})
    needed = _first_earned(rows) or until
    start = max((on for on in marks if on <= needed), default=None)
    told = topic.contents({account: Q(on=start)}) if start else {}
    moved = _moved(told, {account.pk: start}, until)[account.pk]
    by_month = grouped(rows, lambda row: row.on[:7])
    contents = {}
    for end in month_ends(plain_day(rows[0].on), until) if rows else ():
        day = end.isoformat()
        columns = _columns(by_month.get(day[:7], ()), moved)
        contents[end] = f"{json.dumps(columns)}\n{moved.text(day)}"
    topic.store(account, contents, clock)


def _moved(
    contents: Mapping[tuple[int, date], str],
    starts: Mapping[int, date | None],
    until: date,
    only: Mapping[int, Container[int | None]] = MappingProxyType({}),
) -> dict[int, Moved]:
    """By account row, from days on: what checkpoints of these days tell, if there are any, and what moved.

    Of some accounts `only` tells the instruments that are looked at, of many that are traded.
    """
    found = {}
    for pk, start in starts.items():
        told = contents.get((pk, start), "") if start else ""
        found[pk] = Moved(told.partition("\n")[2], start)
    for account, instrument, kind, on, quantity in _moves(tuple(sorted(starts.items())), until):
        if account not in only or instrument in only[account]:
            found[account].move(instrument, kind, on, Decimal(quantity))
    return found


@prepared
def _moves(after: tuple[tuple[int, date | None], ...], until: date) -> QuerySet[Activity, tuple[Any, ...]]:
    """What moved quantities after a day, by account row, oldest first."""
    holders = [pk for pk, _ in after]
    days = [Q(holder=pk, trade_date__gt=day or date.min) for pk, day in after]
    first = min((day or date.min for _, day in after), default=date.max)
    return (
        Activity.objects.current()
        # A sum is not looked up: the index of days holds all that is asked for.
        .alias(holder=F("account") + 0)
        .filter(holder__in=holders, instrument__isnull=False, quantity__isnull=False)
        .filter(reduce(or_, days, Q()), trade_date__gt=first, trade_date__lte=until)
        .exclude(kind=ActivityKind.FX)
        .order_by("trade_date", "id")
        .values_list("account_id", "instrument_id", "kind", plain("trade_date"), plain("quantity"))
    )


# Kinds and payments


def _columns(rows: Sequence[Entry], moved: Moved | None) -> _Columns:
    of_interest = {row.instrument_id for row in rows if row.kind == ActivityKind.INTEREST}
    of_row = papers({pk for pk in of_interest if pk is not None})
    told = []
    for row in rows:
        paper = of_row.get(row.instrument_id or 0)
        kind = _kind(row, paper.asset_class if paper else "")
        gross, tax = (_NONE, row.gross) if row.kind == ActivityKind.TAX else (row.gross, row.tax)
        if tax is None and kind not in _OF_DIVIDENDS and row.kind != ActivityKind.TAX:
            tax = _NONE
        then = None
        if moved is not None and row.instrument_id is not None:
            then = moved.at(row.instrument_id, _earned_on(row.on, row.ex_date))
        numbers = gross, tax, in_base(gross, row.into_base), in_base(tax, row.into_base), then
        told.append((
            row.pk, row.on, row.ex_date, kind, row.currency, row.group, row.instrument_id,
            *(None if number is None else str(number) for number in numbers),
        ))  # fmt: skip
    return list(zip(*told, strict=True))


def _kind(row: Entry, asset_class: str) -> str:
    if row.kind == ActivityKind.TAX:
        return LONE_TAX if row.subtype in _WITHHELD else _SOME_TAX
    if row.kind == ActivityKind.DIVIDEND:
        return row.subtype.replace(" ", "_") if row.subtype in _DIVIDENDS else "dividend"
    if row.kind == ActivityKind.OTHER:
        return "other_income"
    if row.subtype in _INTERESTS:
        return row.subtype.replace(" ", "_")
    if asset_class == AssetClass.BOND:
        return "bond_interest"
    return "credit_interest" if (row.gross or 0) >= 0 else "debit_interest"


def _made(account: Account, columns: _Columns) -> Iterator[Paid]:
    """With the own kind of each; thousands at once."""
    if not columns:
        return iter(())
    pks, days, ex_dates, kinds, currencies, groups, instruments, gross, tax, gross_base, tax_base, moved = (
        columns
    )
    month_of = {day: day[:7] for day in set(days)}
    ons = list(map(plain_day, days))
    payments = [
        (account.id, currency, group, kind) if group else (account.id, currency, instrument, on, kind)
        for kind, currency, group, instrument, on in zip(
            kinds, currencies, groups, instruments, ons, strict=True
        )
    ]
    return map(
        Paid, repeat(account), pks, [month_of[day] for day in days], ons, ex_dates, kinds,
        [kind in (LONE_TAX, _SOME_TAX) for kind in kinds], currencies, instruments, payments,
        zip(gross, tax, moved, strict=True),
        map(Amounts, map(plain_number, gross_base), map(plain_number, tax_base)),
    )  # fmt: skip


_Statements = Mapping[int, Sequence[tuple[date, date]]]
"""By account row the days, from and to, of which a source told everything that moved money."""


def _statements(accounts: Iterable[int]) -> _Statements:
    found: defaultdict[int, list[tuple[date, date]]] = defaultdict(list)
    for account_id, since, until in _told(tuple(sorted(accounts))):
        found[account_id].append((plain_day(since), plain_day(until)))
    return found


@prepared
def _told(accounts: tuple[int, ...]) -> QuerySet[Told, tuple[Any, ...]]:
    rows = Told.objects.filter(account__in=accounts, topic="cash")
    return rows.values_list("account_id", plain("since"), plain("until"))


def _is_tax_told(row: Paid, statements: _Statements) -> bool:
    """A broker's connection tells dividends without their taxes; its statements and files tell both."""
    return row.account.cash_since is None or any(
        since <= row.on <= until for since, until in statements.get(row.account.pk, ())
    )


def _with_payments(rows: Sequence[Paid]) -> list[Paid]:
    """Each tax with the kind of its payment; one of no stated kind is withheld if a payment goes with it.

    The tax of a dividend is unknown where no row of its payment has one and no statement covers its day.
    """
    taxed = {row.payment[:-1] for row in rows if row.is_tax}
    kinds: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    if taxed:
        for row in rows:
            if not row.is_tax and (payment := row.payment[:-1]) in taxed:
                kinds[payment].append(row.kind)
    statements = _statements({row.account.pk for row in rows if row.told[1] is None})
    found = []
    for row in rows:
        if row.is_tax:
            of = kinds.get(row.payment[:-1], ())
            if not of and row.kind == _SOME_TAX:
                continue
            kind = next((kind for kind in of if kind != RETURN_OF_CAPITAL), of[0] if of else LONE_TAX)
            found.append(row._replace(kind=kind, payment=(*row.payment[:-1], kind)))
        elif row.told[1] is None and (row.payment[:-1] in taxed or _is_tax_told(row, statements)):
            gross, _, moved = row.told
            found.append(row._replace(told=(gross, "0", moved), amounts=Amounts(row.amounts.gross, _NONE)))
        else:
            found.append(row)
    return found


def is_dividend(kind: str) -> bool:
    """A dividend or what stands for one; a tax without its payment is taken for one of a dividend."""
    return kind in _COUNTED
