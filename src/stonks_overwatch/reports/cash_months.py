"""What activities did to cash, summed up by month: most of a hundred thousand are years old.

The sums are kept in checkpoints, at the end of each year and of the last whole month; only what came after
the latest of them is read.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Q

from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.ledger.rows import plain_day, plain_number
from stonks_overwatch.reports.cash import Effect, effects
from stonks_overwatch.reports.moved import checkpoints

_TOPIC = "cash"
_MANY = 1000  # fewer are read faster than their sums are stored
_MOST_APART = 24
_DAY = timedelta(days=1)


class _Sum(NamedTuple):
    """What effects are summed by: openings and guesses apart. `month` is its last day."""

    month: date
    currency: str
    is_opening: bool
    is_guess: bool


_Sums = dict[_Sum, Decimal | None]


def effects_by_month(accounts: Sequence[Account], boundaries: Collection[date]) -> Iterator[Effect]:
    """As `effects`, those of one month and currency as one on its last day; None where a part is unknown.

    So they sum up to the same between any two of the boundaries: the effects of a month come one by one where
    the end of one of these days is within it.
    """
    since = packed.clock()
    apart = {_month_end(day) for day in boundaries if day != _month_end(day)}
    known = {}
    if len(apart) <= _MOST_APART:
        known = {pk: one for (pk, _), one in checkpoints(accounts, _TOPIC).items()}
    wanted = [
        Q(account=account, counts_on__gt=known[account.pk].on) if account.pk in known else Q(account=account)
        for account in accounts
    ]
    wanted += [
        Q(account__in=list(known), counts_on__gte=month.replace(day=1), counts_on__lte=month)
        for month in sorted(apart)
        if known
    ]
    found: defaultdict[int, list[Effect]] = defaultdict(list)
    for effect in effects(accounts, reduce(or_, wanted, Q())):
        found[effect.account_id].append(effect)
    for account in accounts:
        pk, last = account.pk, known[account.pk].on if account.pk in known else date.min
        sums = _read(known[pk].content) if pk in known else {}
        new = [effect for effect in found[pk] if effect.on > last]
        _add(sums, new)
        if len(new) >= _MANY:
            packed.keep_checkpoints(pk, _TOPIC, _checkpoints(sums, last), since)
        for key, amount in sums.items():
            if key.month not in apart:
                yield Effect(pk, key.currency, key.month, amount, key.is_opening, key.is_guess)
        yield from (effect for effect in found[pk] if _month_end(effect.on) in apart)


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - _DAY


def _add(sums: _Sums, new: Sequence[Effect]) -> None:
    months: dict[date, date] = {}
    for effect in new:
        month = months.get(effect.on) or months.setdefault(effect.on, _month_end(effect.on))
        key = _Sum(month, effect.currency, effect.is_opening, effect.is_guess)
        before = sums.get(key, Decimal(0))
        sums[key] = None if before is None or effect.amount is None else EXACT.add(before, effect.amount)


def _checkpoints(sums: _Sums, after: date) -> dict[date, str]:
    """At the ends of years and of the last whole month, each with all that was before."""
    ordered = sorted(sums.items())
    last = ordered[-1][0].month
    ends = [date(year, 12, 31) for year in range(ordered[0][0].month.year, last.year)]
    ends.append(last.replace(day=1) - _DAY)
    return {end: _written([row for row in ordered if row[0].month <= end]) for end in ends if end > after}


def _written(rows: Sequence[tuple[_Sum, Decimal | None]]) -> str:
    return json.dumps(
        [(key.month.isoformat(), *key[1:], None if amount is None else str(amount)) for key, amount in rows]
    )


def _read(content: str) -> _Sums:
    return {
        _Sum(plain_day(month), currency, is_opening, is_guess): plain_number(amount)
        for month, currency, is_opening, is_guess, amount in json.loads(content)
    }
