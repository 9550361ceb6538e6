"""Fees and taxes: what the broker, the markets and the states took, by kind, and what that is of the value.

Amounts keep the ledger's sign: what was taken is negative, what was given back positive. Interest paid is
not a fee (it is negative income). Taxes withheld from dividends and interest are here and in the income:
one is what was taken, the other what is left.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q, QuerySet
from pydantic import Field

from stonks_overwatch.engine.series import numbers as floats
from stonks_overwatch.ledger.models import Account, Activity
from stonks_overwatch.ledger.rows import plain, plain_number
from stonks_overwatch.reports.booked import (
    DAY,
    Booked,
    Sums,
    Tally,
    booked_of,
    days_of_month,
    last_day,
    months,
    papers,
    reported,
    together,
)
from stonks_overwatch.reports.charges import (
    CHARGED,
    Charged,
    Charges,
    Part,
    charges,
    number_of_parts,
    parts,
)
from stonks_overwatch.reports.daily import daily_total
from stonks_overwatch.reports.documents import ByPart, Computed, Document, Exact, Rows, known_sum, share
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.series import decimals

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
    by_instrument: Rows[FeeGroup]
    charges: Rows[Charge]


def _last(looked_at: Sequence[Account], scope: Scope, end: date | None) -> date | None:
    return min((day for day in (end, last_day(looked_at, scope.as_of)) if day), default=None)


@kept
def fees(scope: Scope, start: date | None = None, end: date | None = None) -> FeesDocument:
    """What was charged from `start` to `end`, both included."""
    looked_at = accounts(scope)
    end = _last(looked_at, scope, end)
    of_account = charges(looked_at, scope.base_currency, start, end) if end else {}
    first = start or min((of.first for of in of_account.values() if of.first), default=None)
    by_month = together(
        (month, tally)
        for of in of_account.values()
        for month, kinds in of.months.items()
        for tally in kinds.values()
    )
    values = _values(scope, first, end)
    taken = Tally.together(by_month.values())
    return FeesDocument(
        start=first,
        end=end,
        base_currency=scope.base_currency,
        totals=_totals(
            taken, _Value.together(values.values()), (end - first).days + 1 if first and end else 0
        ),
        by_month=tuple(
            _group(month, "", by_month.get(month, Tally()), None, values.get(month))
            for month in (months(first, end) if by_month and first and end else ())
        ),
        by_year=_by_year(by_month, values),
        by_kind=tuple(_groups(_of_kinds(of_account.values()))),
        by_account=tuple(
            _groups(
                ((account.account, account.alias), tally)
                for account in looked_at
                for kinds in of_account[account.pk].months.values()
                for tally in kinds.values()
            )
        ),
        by_instrument=_groups(_of_instruments(of_account.values())),
        charges=_all_charges(looked_at, scope.base_currency, first, end, by_month),
    )


_Named = Iterable[tuple[tuple[str, str], Tally]]
"""Parts of groups, by the key and the name of the group."""


def _of_kinds(charged: Iterable[Charges]) -> _Named:
    for of in charged:
        for kinds in of.months.values():
            for kind, tally in kinds.items():
                yield (kind, ""), tally


def _of_instruments(charged: Iterable[Charges]) -> _Named:
    every = list(charged)
    of_row = papers({pk for of in every for pk in of.instruments})
    for of in every:
        for pk, tally in of.instruments.items():
            paper = of_row[pk]
            if paper.broker_ref:
                yield (paper.symbol or paper.broker_ref, paper.name), tally


def _cost(taken: Tally) -> Decimal | None:
    return None if taken.net is None else -taken.net


class _Value(NamedTuple):
    """The value of the accounts together at the ends of the days for which it is known."""

    summed: Decimal
    days: int

    @classmethod
    def together(cls, parts: Iterable["_Value"]) -> "_Value":
        every = list(parts)
        return cls(sum((one.summed for one in every), _NONE), sum(one.days for one in every))

    @property
    def average(self) -> Decimal | None:
        return self.summed / self.days if self.days else None


def _values(scope: Scope, start: date | None, end: date | None) -> dict[str, _Value]:
    """By month, of the days of the period."""
    daily = daily_total(scope) if start and end else None
    if daily is None or start is None or end is None:
        return {}
    begin = daily.total.first
    first, last = max(begin, start.toordinal()), min(daily.total.last, end.toordinal())
    found = {}
    for month in months(date.fromordinal(first), date.fromordinal(last)) if first <= last else ():
        own, after = (day.toordinal() for day in days_of_month(month))
        days = daily.total.nav[max(own, first) - begin : min(after, last + 1) - begin]
        values = [value for value in decimals(floats(days)) if value is not None]
        found[month] = _Value(sum(values, _NONE), len(values))
    return found


def _totals(taken: Tally, value: _Value, days: int) -> FeeTotals:
    of_value = share(_cost(taken), value.average)
    return FeeTotals(
        **taken.sums(),
        average_nav_base=value.average,
        valued_days=value.days,
        of_value=of_value,
        of_value_yearly=None if of_value is None or not days else of_value * _DAYS_OF_YEAR / days,
    )


def _by_year(by_month: Mapping[str, Tally], values: Mapping[str, _Value]) -> tuple[FeeGroup, ...]:
    by_year = together((month[:4], tally) for month, tally in by_month.items())
    return tuple(
        _group(
            year, "", tally, None, _Value.together(of for month, of in values.items() if month[:4] == year)
        )
        for year, tally in sorted(by_year.items())
    )


def _groups(parts: _Named) -> Rows[FeeGroup]:
    """The largest first."""
    tallies = together(parts)
    whole = _cost(Tally.together(tallies.values()))

    def rank(names: tuple[str, str]) -> tuple[bool, Decimal, str]:
        net = tallies[names].net
        return net is None, net or _NONE, names[0]

    return Rows(
        sorted(tallies, key=rank),
        lambda some: [_group(key, name, tallies[key, name], whole, None) for key, name in some],
    )


def _group(key: str, name: str, taken: Tally, whole: Decimal | None, value: _Value | None) -> FeeGroup:
    cost = _cost(taken)
    of_value = share(cost, value.average) if value else None
    return FeeGroup.made(
        {**taken.sums(), "key": key, "name": name, "share": share(cost, whole), "of_value": of_value}
    )


# The charges one by one: a number is made of the row of an activity and of which of its charges it is.

_PARTS = 4  # more than one activity has: itself, its fee, its tax


def charges_of(
    scope: Scope,
    start: date | None,
    end: date | None,
    what: Q,
    only: Callable[[Part], bool] | None,
) -> tuple[Rows[Charge], list[int]]:
    """Some charges of the period, read when they are looked at, and the row numbers of their activities.

    Both are oldest first, the charges are those of activities that fit.
    """
    looked_at = accounts(scope)
    end = _last(looked_at, scope, end)
    # With a first day: the index of days holds most of what is asked for.
    rows = reported([account.pk for account in looked_at], CHARGED & what, start or date.min, end)
    numbers = array("q", _numbers(rows, only))
    charges = Rows(numbers, lambda some: _made(looked_at, scope.base_currency, some))
    return charges, [number // _PARTS for number in numbers]


def _made(looked_at: Sequence[Account], base: str, numbers: Sequence[int]) -> list[Charge]:
    wanted = Activity.objects.filter(pk__in={number // _PARTS for number in numbers})
    rows = booked_of({account.pk: account for account in looked_at}, base, wanted)
    found = {
        row.pk * _PARTS + place: _charge(row, part) for row in rows for place, part in enumerate(parts(row))
    }
    return [found[number] for number in numbers if number in found]


def _all_charges(
    looked_at: Sequence[Account],
    base: str,
    start: date | None,
    end: date | None,
    by_month: Mapping[str, Tally],
) -> Rows[Charge]:
    """Those of the period, the last first."""
    pks = [account.pk for account in looked_at]

    def of_months(names: Sequence[str]) -> list[int]:
        """`names` are months that follow each other, the last first."""
        (first, _), (_, after) = days_of_month(names[-1]), days_of_month(names[0])
        rows = reported(pks, CHARGED, max(first, start or first), min(after - DAY, end or after - DAY))
        return _numbers(rows)[::-1]

    def named(name: str) -> list[int]:
        """Of the activity whose id the name begins with; what follows is the kind of the charge."""
        told = Q(pk__in=[])
        for account in looked_at:
            before, _, rest = name.partition(f"{account.broker}:{account.account}:")
            if not before:
                told |= Q(
                    account=account, key__in=[rest[: found.start()] for found in re.finditer(" ", rest)]
                )
        return _numbers(reported(pks, CHARGED & told, start, end))

    counts = {month: of.rows for month, of in sorted(by_month.items(), reverse=True)}
    return Rows(ByPart(counts, of_months), lambda some: _made(looked_at, base, some), named)


def _numbers(rows: QuerySet[Activity], only: Callable[[Part], bool] | None = None) -> list[int]:
    """The numbers of all charges of the rows, or of some, in their order."""
    fee_and_tax = plain("fee"), plain("tax")
    if only is None:
        return [
            pk * _PARTS + place
            for pk, kind, *amounts in rows.values_list("pk", "kind", *fee_and_tax)
            for place in range(number_of_parts(kind, *map(plain_number, amounts)))
        ]
    return [
        pk * _PARTS + place
        for pk, kind, subtype, *amounts in rows.values_list(
            "pk", "kind", "subtype", plain("gross"), *fee_and_tax
        )
        for place, part in enumerate(parts(Charged(kind, subtype, *map(plain_number, amounts))))
        if only(part)
    ]


def _charge(row: Booked, part: Part) -> Charge:
    return Charge(
        id=row.id,
        on=row.on,
        account=row.account.account,
        broker=row.account.broker,
        kind=part.kind,
        symbol=row.symbol,
        broker_ref=row.broker_ref,
        currency=row.currency,
        fee=part.fee,
        tax=part.tax,
        amount_base=known_sum((row.in_base(part.fee), row.in_base(part.tax))),
        description=row.description,
    )
