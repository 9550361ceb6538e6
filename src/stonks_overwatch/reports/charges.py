"""What was charged, added up by month and kind and by instrument.

Most of a hundred thousand charges are years old. What came together up to the end of each year, and of each
of the last months, is kept in checkpoints; a period is what had come to its end without what had come before
it, and only the days between a checkpoint and an end of the period are read.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Count, Min, Q

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.ledger.rows import plain_day
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.booked import (
    DAY,
    Amounts,
    Booked,
    Entry,
    Tally,
    in_base,
    last_day,
    reported,
    together,
    year_before,
)
from stonks_overwatch.reports.marks import Range, Topic, in_range, month_ends

CHARGED = (
    Q(kind__in=(ActivityKind.FEE, ActivityKind.TAX))
    | Q(fee__isnull=False) & ~Q(fee="0")
    | Q(tax__isnull=False) & ~Q(tax="0")
)
_TRADES = (ActivityKind.BUY, ActivityKind.SELL, ActivityKind.FX, ActivityKind.CORPORATE_ACTION)
_NONE = Decimal(0)
_TOPIC = "charges"
_MANY = 1000  # fewer are read faster than their sums are stored


class Part(NamedTuple):
    """One charge of an activity; amounts in its currency."""

    kind: str
    fee: Decimal | None
    tax: Decimal | None


class Charged(NamedTuple):
    """What of an activity tells its charges; the gross amount only where it is a charge itself."""

    kind: str
    subtype: str
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None


def parts(row: Booked | Entry | Charged) -> list[Part]:
    """The charges of one activity, by kind: itself, and the fee and the tax that are a part of it."""
    found: list[Part] = []
    if row.kind == ActivityKind.FEE:
        found.append(Part(row.subtype or "other fee", row.gross, _NONE))
    elif row.kind == ActivityKind.TAX:
        found.append(Part(row.subtype or "other tax", _NONE, row.gross))
    if row.fee:
        found.append(Part("commission" if row.kind in _TRADES else "other fee", row.fee, _NONE))
    if row.tax:
        found.append(Part("transaction tax" if row.kind in _TRADES else "withholding tax", _NONE, row.tax))
    return found


def number_of_parts(kind: str, fee: Decimal | None, tax: Decimal | None) -> int:
    return (kind in (ActivityKind.FEE, ActivityKind.TAX)) + bool(fee) + bool(tax)


def amounts_of(row: Entry) -> list[tuple[str, Amounts]]:
    """The kind of each charge, and its amounts in the base currency: a fee as gross."""
    return [
        (kind, Amounts(in_base(fee, row.into_base), in_base(tax, row.into_base)))
        for kind, fee, tax in parts(row)
    ]


@dataclass(frozen=True, slots=True)
class Charges:
    """What was charged in one account: `months` by month (2026-01) and kind, `instruments` by row number.

    `first` is the day of the first charge, where these are all up to a day.
    """

    first: date | None = None
    months: dict[str, dict[str, Tally]] = field(default_factory=dict)
    instruments: dict[int, Tally] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Entry]) -> "Charges":
        """Of activities, oldest first."""
        by_month: defaultdict[str, defaultdict[str, list[Amounts]]] = defaultdict(lambda: defaultdict(list))
        by_instrument: defaultdict[int, list[Amounts]] = defaultdict(list)
        for row in rows:
            of_month = by_month[row.on[:7]]
            # The instrument of an exchange is a currency.
            of_instrument = by_instrument[row.instrument_id or 0] if row.kind != ActivityKind.FX else []
            for kind, amounts in amounts_of(row):
                of_month[kind].append(amounts)
                of_instrument.append(amounts)
        by_instrument.pop(0, None)
        with localcontext(EXACT):
            return cls(
                plain_day(rows[0].on) if rows else None,
                {
                    month: {kind: Tally.of(of) for kind, of in kinds.items()}
                    for month, kinds in by_month.items()
                },
                {instrument: Tally.of(of) for instrument, of in by_instrument.items()},
            )

    def plus(self, later: "Charges") -> "Charges":
        with localcontext(EXACT):
            kinds = {
                month: together((*self.months.get(month, {}).items(), *later.months.get(month, {}).items()))
                for month in (*self.months, *later.months)
            }
            return Charges(
                self.first or later.first,
                kinds,
                together((*self.instruments.items(), *later.instruments.items())),
            )

    def text(self) -> str:
        """As a checkpoint keeps it."""
        return json.dumps([self.first, self.months, self.instruments], default=str)

    @classmethod
    def from_text(cls, text: str, before: str | None = None) -> "Charges":
        """What one checkpoint keeps, without what another one of an earlier month does."""
        first, months, instruments = json.loads(text)
        _, known_months, known = json.loads(before) if before else (None, {}, {})
        last = max(known_months, default="")
        with localcontext(EXACT):
            return cls(
                plain_day(first) if first else None,
                {
                    month: {kind: Tally.told(of) for kind, of in kinds.items()}
                    for month, kinds in months.items()
                    if month > last
                },
                {
                    int(key): Tally.told(of, known.get(key))
                    for key, of in instruments.items()
                    if of != known.get(key)
                },
            )


def charges(looked_at: Sequence[Account], base: str, start: date | None, end: date) -> dict[int, Charges]:
    """What was charged from `start` to `end`, both included, by account row."""
    topic = Topic(_TOPIC, base, CHARGED)
    marks = topic.marks(looked_at)
    if _keep_up(topic, looked_at, marks):
        marks = topic.marks(looked_at)
    spans = {account.pk: _Span.of(marks[account.pk], start, end) for account in looked_at}
    stored = topic.contents({account: span.ends for account in looked_at if (span := spans[account.pk]).last})
    rows: defaultdict[int, list[Entry]] = defaultdict(list)
    for ranges in zip(*(span.ranges for span in spans.values()), strict=True):
        for row in topic.within(looked_at, dict(zip(spans, ranges, strict=True))):
            rows[row.account_id].append(row)
    found = {}
    for pk, span in spans.items():
        before = stored[pk, span.first] if span.first else None
        summed = Charges.from_text(stored[pk, span.last], before) if span.last else Charges()
        found[pk] = summed.plus(Charges.of(rows[pk]))
    return found


class _Span(NamedTuple):
    """How a period of one account is put together: what came up to the end of `last` without what came up to
    the end of `first`, where they are given, and the rows of the ranges of days.
    """

    first: date | None
    last: date | None
    ranges: tuple[Range | None, Range | None]

    @property
    def ends(self) -> Q:
        """The days of the checkpoints that it is made of."""
        return Q(on__in=[on for on in (self.first, self.last) if on])

    @classmethod
    def of(cls, marks: Sequence[date], start: date | None, end: date) -> "_Span":
        """`marks` are the days that checkpoints end with, ascending."""
        inside = [on for on in marks if on <= end and (start is None or on >= start - DAY)]
        if not inside:
            return cls(None, None, ((start, end), None))
        first, last = inside[0], inside[-1]
        after = (last + DAY, end) if last < end else None
        if start is None:
            return cls(None, last, (None, after))
        before = (start, first) if start <= first else None
        return cls(first, last, (before, after)) if first < last else cls(None, None, (before, after))


def _keep_up(topic: Topic, looked_at: Sequence[Account], known: Mapping[int, Sequence[date]]) -> bool:
    """Store the sums of whole months where many charges came after those that are stored, the `known` ones.

    Return whether any had to be.
    """
    today = last_day(looked_at, None)
    if today is None:
        return False
    clock, until = packed.clock(), today.replace(day=1) - DAY
    last = {pk: marks[-1] for pk, marks in known.items() if marks}
    after = [
        in_range((account.pk, (last.get(account.pk, date.min) + DAY, until)))
        for account in looked_at
        if last.get(account.pk, date.min) < until
    ]
    if not after:
        return False
    rows = reported([account.pk for account in looked_at], CHARGED & reduce(or_, after)).order_by()
    numbers = rows.values_list("account_id").annotate(number=Count("pk"), first=Min("trade_date"))
    many = {pk: first for pk, number, first in numbers if number >= _MANY}
    for account in looked_at:
        if account.pk in many:
            _keep(topic, account, last.get(account.pk), many[account.pk], until, clock)
    return bool(many)


def _keep(topic: Topic, account: Account, last: date | None, first: date, until: date, clock: int) -> None:
    """Add up what came after the checkpoint of a day, from one to the next, for all months at once take room.

    Args:
        topic: of charges in a currency.
        account: whose they are.
        last: the day of the checkpoint.
        first: the day of the first charge after it.
        until: the last day of a month.
        clock: where it stood before anything was read.
    """
    summed, reached = Charges(), first - DAY
    if last is not None:
        summed = Charges.from_text(topic.contents({account: Q(on=last)})[account.pk, last])
    stay = year_before(until.replace(day=1))
    ends = [date(year, 12, 31) for year in range(first.year, until.year)]
    ends += [end for end in month_ends(max(first, stay), until) if end not in ends]
    contents = {}
    for end in sorted(ends):
        summed = summed.plus(Charges.of(topic.within([account], {account.pk: (reached + DAY, end)})))
        contents[end], reached = summed.text(), end
    topic.store(account, contents, clock, stay)
