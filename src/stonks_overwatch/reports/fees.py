"""Fees and taxes: what the broker, the markets and the states took, by kind, and what that is of the value.

Amounts keep the ledger's sign: what was taken is negative, what was given back positive. Interest paid is
not a fee (it is negative income). Taxes withheld from dividends and interest are here and in the income:
one is what was taken, the other what is left.
"""

import re
from array import array
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q
from pydantic import Field

from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.booked import (
    Amounts,
    Booked,
    Entry,
    Paper,
    Sums,
    booked,
    entries,
    grouped,
    in_base,
    last_day,
    months,
    papers,
    sums,
)
from stonks_overwatch.reports.documents import Computed, Document, Exact, Rows, known_sum, share
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.series import series

_DAYS_OF_YEAR = 365
_NONE = Decimal(0)


class FeeGroup(Sums):
    """One month, year, account, instrument or kind. `gross_base` are fees, `tax_base` taxes.

    `share` is its part of all that was taken; `of_value` is what was taken in it over the average value
    of the accounts in its days (a month, a year; null for others), not annualised.
    """

    key: str
    name: str
    share: Computed | None
    of_value: Computed | None


class Charge(Document):
    """One fee or tax, of an activity of its own or as a part of one (a commission)."""

    id: str
    on: date
    account: str
    broker: str
    kind: str
    symbol: str | None
    broker_ref: str | None
    currency: str
    fee: Exact | None
    tax: Exact | None
    amount_base: Computed | None
    description: str


class FeeTotals(Sums):
    """`of_value`: what was taken over the average value of the days; `of_value_yearly`: times 365 / days.

    The average value is that of the daily series over the days whose value is known; `valued_days` is their
    number. Null when there is none.
    """

    average_nav_base: Computed | None
    valued_days: int
    of_value: Computed | None
    of_value_yearly: Computed | None


class FeesDocument(Document):
    """Oldest period first, largest group first, newest charge first."""

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    totals: FeeTotals
    by_month: tuple[FeeGroup, ...]
    by_year: tuple[FeeGroup, ...]
    by_kind: tuple[FeeGroup, ...]
    by_account: tuple[FeeGroup, ...]
    by_instrument: tuple[FeeGroup, ...]
    charges: Rows[Charge]


class Taken(NamedTuple):
    """One charge of an entry: its charge number `part`. `paper` is what it was booked with."""

    entry: Entry
    part: int
    kind: str
    amounts: Amounts
    account: str
    paper: Paper | None

    @property
    def on(self) -> str:
        return self.entry.on

    @property
    def symbol(self) -> str | None:
        return self.paper.symbol if self.paper else None

    @property
    def name(self) -> str | None:
        return self.paper.name if self.paper else None

    @property
    def broker_ref(self) -> str | None:
        return self.paper.broker_ref if self.paper else None


_CHARGED = (
    Q(kind__in=(ActivityKind.FEE, ActivityKind.TAX))
    | Q(fee__isnull=False) & ~Q(fee="0")
    | Q(tax__isnull=False) & ~Q(tax="0")
)
_TRADES = (ActivityKind.BUY, ActivityKind.SELL, ActivityKind.FX, ActivityKind.CORPORATE_ACTION)


def charged(
    looked_at: Sequence[Account], scope: Scope, start: date | None = None, end: date | None = None
) -> list[Taken]:
    """What was charged from `start` to `end`, both included, oldest first; with the accounts of the scope."""
    names = {account.pk: account.account for account in looked_at}
    rows = entries(looked_at, scope.base_currency, _CHARGED, start, _last(looked_at, scope, end))
    of_row = papers({row.instrument_id for row in rows if row.instrument_id is not None})
    return [
        Taken(
            row,
            part,
            kind,
            Amounts(in_base(fee, row.into_base), in_base(tax, row.into_base)),
            names[row.account_id],
            None if row.instrument_id is None else of_row[row.instrument_id],
        )
        for row in rows
        for part, (kind, fee, tax) in enumerate(_parts(row))
    ]


def _last(looked_at: Sequence[Account], scope: Scope, end: date | None) -> date | None:
    return min((day for day in (end, last_day(looked_at, scope.as_of)) if day), default=None)


@kept
def fees(scope: Scope, start: date | None = None, end: date | None = None) -> FeesDocument:
    """What was charged from `start` to `end`, both included."""
    looked_at = accounts(scope)
    base = scope.base_currency
    taken = charged(looked_at, scope, start, end)
    end = _last(looked_at, scope, end)
    first = start or (date.fromisoformat(taken[0].entry.on) if taken else None)
    values = _values(scope, first, end)
    summed = sums(charge.amounts for charge in taken)
    average = _average(values, first, end)
    days = (end - first).days + 1 if first and end else 0
    of_value = share(_cost(summed["net_base"]), average)
    aliases = {account.pk: account.alias for account in looked_at}
    return FeesDocument(
        start=first,
        end=end,
        base_currency=base,
        totals=FeeTotals(
            **summed,
            average_nav_base=average,
            valued_days=len(values),
            of_value=of_value,
            of_value_yearly=None if of_value is None or not days else of_value * _DAYS_OF_YEAR / days,
        ),
        by_month=_by_month(taken, first, end, values),
        by_year=_by_year(taken, values),
        by_kind=_groups(taken, lambda charge: (charge.kind, "")),
        by_account=_groups(taken, lambda charge: (charge.account, aliases[charge.entry.account_id])),
        by_instrument=_groups(
            [charge for charge in taken if charge.broker_ref and charge.entry.kind != ActivityKind.FX],
            lambda charge: (charge.symbol or charge.broker_ref or "", charge.name or ""),
        ),
        charges=charges_of(looked_at, base, taken),
    )


def charges_of(looked_at: Sequence[Account], base: str, taken: Sequence[Taken]) -> Rows[Charge]:
    """The last first. Read when looked at: a number is all that is kept of each of a hundred thousand."""
    numbers = array("q", (one.entry.pk * _PARTS + one.part for one in reversed(taken)))

    def made(numbers: Sequence[int]) -> list[Charge]:
        rows = booked(looked_at, base, Q(pk__in={number // _PARTS for number in numbers}))
        charges = {
            row.pk * _PARTS + part: _charge(row, *one) for row in rows for part, one in enumerate(_parts(row))
        }
        return [charges[number] for number in numbers if number in charges]

    def found(name: str) -> list[int]:
        """Of the activity whose id the name begins with; what follows is the kind of the charge."""
        told = Q(pk__in=[])
        for account in looked_at:
            before, _, rest = name.partition(f"{account.broker}:{account.account}:")
            if not before:
                told |= Q(account=account, key__in=[rest[: end.start()] for end in re.finditer(" ", rest)])
        pks = set(Activity.objects.filter(told).values_list("pk", flat=True))
        return [number for number in numbers if number // _PARTS in pks]

    return Rows(numbers, made, found)


_PARTS = 4  # more than one activity has: itself, its fee, its tax


def _parts(row: Booked | Entry) -> list[tuple[str, Decimal | None, Decimal | None]]:
    """The charges of one activity, by kind: itself, and the fee and the tax that are a part of it."""
    found: list[tuple[str, Decimal | None, Decimal | None]] = []
    if row.kind == ActivityKind.FEE:
        found.append((row.subtype or "other fee", row.gross, _NONE))
    elif row.kind == ActivityKind.TAX:
        found.append((row.subtype or "other tax", _NONE, row.gross))
    if row.fee:
        found.append(("commission" if row.kind in _TRADES else "other fee", row.fee, _NONE))
    if row.tax:
        found.append(("transaction tax" if row.kind in _TRADES else "withholding tax", _NONE, row.tax))
    return found


def _cost(net: Decimal | None) -> Decimal | None:
    return None if net is None else -net


def _values(scope: Scope, start: date | None, end: date | None) -> dict[date, Decimal]:
    """The value of the accounts together at the end of each day for which it is known."""
    if start is None or end is None:
        return {}
    days = series(scope, start, end)
    return {on: nav for on, nav in zip(days.dates, days.nav, strict=True) if nav is not None}


def _average(values: dict[date, Decimal], start: date | None, end: date | None) -> Decimal | None:
    known = [value for on, value in values.items() if start and end and start <= on <= end]
    return sum(known, Decimal(0)) / len(known) if known else None


def _by_month(
    taken: Sequence[Taken], start: date | None, end: date | None, values: dict[date, Decimal]
) -> tuple[FeeGroup, ...]:
    if not taken or start is None or end is None:
        return ()
    by_month = grouped(taken, lambda charge: charge.entry.on[:7])
    value_of = grouped(values.items(), lambda item: f"{item[0]:%Y-%m}")
    return tuple(
        _group(month, "", by_month.get(month, []), None, [value for _, value in value_of.get(month, [])])
        for month in months(start, end)
    )


def _by_year(taken: Sequence[Taken], values: dict[date, Decimal]) -> tuple[FeeGroup, ...]:
    by_year = grouped(taken, lambda charge: charge.entry.on[:4])
    value_of = grouped(values.items(), lambda item: f"{item[0]:%Y}")
    return tuple(
        _group(year, "", charges, None, [value for _, value in value_of.get(year, [])])
        for year, charges in sorted(by_year.items())
    )


def _groups(taken: Sequence[Taken], key: Callable[[Taken], tuple[str, str]]) -> tuple[FeeGroup, ...]:
    whole = _cost(sums(charge.amounts for charge in taken)["net_base"])
    groups = [_group(*names, charges, whole, []) for names, charges in grouped(taken, key).items()]
    return tuple(sorted(groups, key=lambda group: (group.net_base is None, group.net_base or _NONE)))


def _group(
    key: str, name: str, charges: Sequence[Taken], whole: Decimal | None, values: Sequence[Decimal]
) -> FeeGroup:
    summed = sums(charge.amounts for charge in charges)
    cost = _cost(summed["net_base"])
    average = sum(values, Decimal(0)) / len(values) if values else None
    return FeeGroup.made(
        {**summed, "key": key, "name": name, "share": share(cost, whole), "of_value": share(cost, average)}
    )


def _charge(row: Booked, kind: str, fee: Decimal | None, tax: Decimal | None) -> Charge:
    return Charge(
        id=row.id,
        on=row.on,
        account=row.account.account,
        broker=row.account.broker,
        kind=kind,
        symbol=row.symbol,
        broker_ref=row.broker_ref,
        currency=row.currency,
        fee=fee,
        tax=tax,
        amount_base=known_sum((row.in_base(fee), row.in_base(tax))),
        description=row.description,
    )
