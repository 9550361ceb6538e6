"""What all activities of accounts come to: quantities by instrument and cash by currency.

Most of a hundred thousand activities are years old. Their sums are kept in checkpoints, at the end of each
year and of the last whole month, and only what came after the latest of them is read.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Case, Exists, F, OuterRef, Q, TextField, When
from django.db.models.functions import Cast, Coalesce

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, Activity, Checkpoint
from stonks_overwatch.ledger.rows import plain, plain_day, plain_number
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import Key
from stonks_overwatch.reports.cash import net

MOVED = "moved"
_MANY = 250  # fewer are read faster than their sums are stored
_ZERO = Decimal(0)
_DAY = timedelta(days=1)


class Stored(NamedTuple):
    """The latest checkpoint of an account and a topic: the day that it ends with, and its JSON."""

    on: date
    content: str


Checkpoints = Mapping[tuple[int, str], Stored]
"""By the account's row and the topic."""


def checkpoints(accounts: Sequence[Account], *topics: str) -> Checkpoints:
    later = Checkpoint.objects.filter(
        account=OuterRef("account"), topic=OuterRef("topic"), on__gt=OuterRef("on")
    )
    rows = Checkpoint.objects.filter(~Exists(later), account__in=list(accounts), topic__in=topics)
    return {
        (account, topic): Stored(on, content)
        for account, topic, on, content in rows.values_list("account_id", "topic", "on", "content")
    }


class Cash(NamedTuple):
    """What is known of what moved; `unknown_on` is the last day of a movement with an unknown amount."""

    known: Decimal = _ZERO
    unknown_on: date | None = None

    def after(self, day: date) -> Decimal | None:
        """The sum; None where an amount of a later day is not known."""
        return None if self.unknown_on is not None and self.unknown_on > day else self.known

    def plus(self, amount: Decimal | None, on: date) -> "Cash":
        if amount is None:
            return Cash(self.known, max(on, self.unknown_on or on))
        return Cash(EXACT.add(self.known, amount), self.unknown_on)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of one account: by instrument and by currency."""

    quantities: defaultdict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cash: defaultdict[str, Cash] = field(default_factory=lambda: defaultdict(Cash))

    @classmethod
    def of(cls, content: Any) -> "_Sums":
        sums = cls()
        for instrument, quantity in content["quantities"].items():
            sums.quantities[int(instrument)] = Decimal(quantity)
        for currency, (known, unknown_on) in content["cash"].items():
            sums.cash[currency] = Cash(Decimal(known), plain_day(unknown_on) if unknown_on else None)
        return sums

    def text(self) -> str:
        return json.dumps(
            {
                "quantities": {instrument: str(quantity) for instrument, quantity in self.quantities.items()},
                "cash": {
                    currency: (str(cash.known), cash.unknown_on and cash.unknown_on.isoformat())
                    for currency, cash in self.cash.items()
                },
            }
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """By the account's row."""

    quantities: dict[Key, Decimal]
    cash: dict[tuple[int, str], Cash]


def moved(accounts: Sequence[Account], known: Checkpoints, since: int) -> Moved:
    """Opening balances and reported activities: a change that nothing explains yet is not among them.

    The opening balance of an instrument moved no money, an exchange of currencies no quantity.

    Args:
        accounts: those looked at.
        known: their checkpoints.
        since: where the clock stood before these were read.
    """
    before = {account.pk: known.get((account.pk, MOVED)) for account in accounts}
    sums = {pk: _Sums() if one is None else _Sums.of(json.loads(one.content)) for pk, one in before.items()}
    rows: defaultdict[int, list[_Row]] = defaultdict(list)
    for row in _rows({pk: one and one.on for pk, one in before.items()}):
        rows[row.account].append(row)
    for pk, of_account in rows.items():
        made = _add_up(sums[pk], of_account)
        if made and len(of_account) >= _MANY:
            packed.keep_checkpoints(pk, MOVED, made, since)
    return Moved(
        {(pk, instrument): q for pk, one in sums.items() for instrument, q in one.quantities.items()},
        {(pk, currency): cash for pk, one in sums.items() for currency, cash in one.cash.items()},
    )


class _Row(NamedTuple):
    account: int
    instrument: int | None
    kind: str
    currency: str
    day: str
    quantity: str | None
    gross: str | None
    fee: str | None
    tax: str | None
    bought: str | None


def _rows(after: dict[int, date | None]) -> Iterator[_Row]:
    """By day. `after` is the day by account that its checkpoint ends with."""
    if not after:
        return iter(())
    wanted = [Q(account=pk) if on is None else Q(account=pk, counts_on__gt=on) for pk, on in after.items()]
    found = (
        Activity.objects.current()
        .annotate(counts_on=Coalesce("booked_on", "trade_date"))
        .filter(reduce(or_, wanted))
        .exclude(Q(is_derived=True) & ~Q(kind=ActivityKind.OPENING))
        .order_by("counts_on")
        .values_list(
            "account_id",
            "instrument_id",
            "kind",
            "currency",
            Cast("counts_on", TextField()),
            *map(plain, ("quantity", "gross", "fee", "tax")),
            Case(When(kind=ActivityKind.FX, then=F("instrument__broker_ref"))),
        )
    )
    return map(_Row._make, found.iterator(chunk_size=2000))


def _add_up(sums: _Sums, rows: Sequence[_Row]) -> dict[date, str]:
    """Add the rows; return the checkpoints on the way: the ends of years and of the last whole month."""
    first, last = plain_day(rows[0].day), plain_day(rows[-1].day)
    ends = [date(year, 12, 31) for year in range(first.year, last.year)]
    month = last.replace(day=1) - _DAY
    if month > max(first, *ends, date.min):
        ends.append(month)
    checkpoints: dict[date, str] = {}
    left = [end.isoformat() for end in reversed(ends)]
    for row in rows:
        while left and row.day > left[-1]:
            checkpoints[plain_day(left.pop())] = sums.text()
        _add(sums, row)
    return checkpoints


def _add(sums: _Sums, row: _Row) -> None:
    if row.instrument is not None and row.quantity is not None and row.kind != ActivityKind.FX:
        held = sums.quantities[row.instrument]
        sums.quantities[row.instrument] = EXACT.add(held, Decimal(row.quantity))
    if row.kind == ActivityKind.OPENING and row.instrument is not None:
        return
    on = plain_day(row.day)
    amount = net(plain_number(row.gross), plain_number(row.fee), plain_number(row.tax))
    sums.cash[row.currency] = sums.cash[row.currency].plus(amount, on)
    if row.bought is not None:
        sums.cash[row.bought] = sums.cash[row.bought].plus(plain_number(row.quantity), on)
