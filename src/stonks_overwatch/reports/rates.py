"""Currency conversion: the imported rate of the day, else the broker's, else the ECB's, else unknown.

A rate of at most seven days before the wanted day counts as that day's (weekends, holidays, a machine
that was off); an older one does not.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Self

from django.db.models import FloatField, QuerySet
from django.db.models.functions import Cast

from stonks_overwatch.ledger import ecb
from stonks_overwatch.ledger.models import FxRate, RateSeries
from stonks_overwatch.ledger.rows import Listed
from stonks_overwatch.ledger.sql import prepared

MAX_AGE = timedelta(days=7)


Leg = tuple[str, str, date]
"""A stored rate by its base, its quote and its day."""


class Found(NamedTuple):
    """A rate, the day it is of (the older one of a cross), and the stored rates it was made of.

    Without any it is the ECB's.
    """

    on: date
    rate: Decimal
    legs: tuple[Leg, ...]


class _Series(NamedTuple):
    """The rates of one pair by day, oldest first, as the database has them: few are ever asked for."""

    pair: tuple[str, str]
    days: Sequence[str]  # ISO 8601, which sorts as the days do
    rates: Sequence[str]

    def told_on(self, on: date) -> Decimal | None:
        """The rate of that very day: none is newer."""
        day = on.isoformat()
        index = bisect_right(self.days, day) - 1
        return Decimal(self.rates[index]) if index >= 0 and self.days[index] == day else None

    def at(self, on: date) -> Found | None:
        index = bisect_right(self.days, on.isoformat()) - 1
        if index < 0:
            return None
        day = date.fromisoformat(self.days[index])
        if on - day > MAX_AGE:
            return None
        return Found(day, Decimal(self.rates[index]), ((*self.pair, day),))


def _by_pair(rows: QuerySet[FxRate]) -> QuerySet[FxRate, tuple[Any, ...]]:
    """Base, quote, and lists: the days, whether each was imported, and the rates."""
    positive = rows.annotate(size=Cast("rate", FloatField())).filter(size__gt=0)
    pairs = positive.values("base", "quote")
    pairs = pairs.annotate(days=Listed("on"), imported=Listed("is_imported"), rates=Listed("rate"))
    return pairs.values_list("base", "quote", "days", "imported", "rates")


@prepared
def _stored_between(
    first: date, last: date, currencies: tuple[str, ...] | None
) -> QuerySet[FxRate, tuple[Any, ...]]:
    stored = FxRate.objects.filter(on__gte=first, on__lte=last)
    if currencies is not None:
        return _by_pair(stored.filter(base__in=currencies, quote__in=currencies))
    # Named all the same: the days of each pair stand together in the index.
    pairs = RateSeries.objects.all()
    return _by_pair(stored.filter(base__in=pairs.values("base"), quote__in=pairs.values("quote")))


class Rates:
    """Rates of some days, in memory, for one report.

    Exact except where a rate is the inverse or the cross of others: those have 28 significant digits.
    """

    def __init__(self, rows: Iterable[tuple[str, str, date, Decimal]]) -> None:
        """`rows`: base, quote, day, quote units for one base unit; of two of a day the last counts."""
        told = [(base, quote, on.isoformat(), str(rate)) for base, quote, on, rate in rows if rate > 0]
        told.sort(key=itemgetter(0, 1, 2))
        self._pairs: dict[tuple[str, str], _Series] = {}
        self._partners: dict[str, set[str]] = defaultdict(set)
        self._answers: dict[tuple[str, str, date], Found | None] = {}
        for (base, quote), of_pair in groupby(told, key=itemgetter(0, 1)):
            _, _, days, rates = zip(*of_pair, strict=True)
            self._take(base, quote, days, rates)

    def _take(self, base: str, quote: str, days: Sequence[str], rates: Sequence[str]) -> None:
        """What is told of one pair, oldest first."""
        self._pairs[base, quote] = _Series((base, quote), days, rates)
        self._partners[base].add(quote)
        self._partners[quote].add(base)

    @classmethod
    def _listed(cls, pairs: Iterable[tuple[Any, ...]]) -> Self:
        """Of rows of `_by_pair`."""
        found = cls(())
        for base, quote, days_listed, imported, rates_listed in pairs:
            days, rates = days_listed.split(","), rates_listed.split(",")
            # The database promises no order, but reads along its index. An imported rate goes last.
            if days != sorted(days) or ("0" in imported and "1" in imported):
                told = sorted(zip(days, imported.split(","), rates, strict=True))
                days, _, rates = map(list, zip(*told, strict=True))
            found._take(base, quote, days, rates)
        return found

    @classmethod
    def between(cls, first: date, last: date, currencies: Iterable[str] | None = None) -> Self:
        """The stored rates needed for the days from `first` to `last`, in one query.

        With `currencies`, only rates between two of them: all that is needed when they hold every
        currency that an account is kept in, because brokers quote against those.
        """
        wanted = None if currencies is None else tuple(sorted(set(currencies)))
        return cls._listed(_stored_between(first - MAX_AGE, last, wanted))

    @classmethod
    def of_days(cls, days: Iterable[date], currencies: Iterable[str]) -> Self:
        """As `between`, for single days far apart."""
        ages = range(MAX_AGE.days + 1)
        wanted = list(currencies)
        stored = FxRate.objects.filter(
            on__in={day - timedelta(days=age) for day in days for age in ages},
            base__in=wanted,
            quote__in=wanted,
        )
        return cls._listed(_by_pair(stored))

    def rate(self, currency: str, into: str, on: date) -> Decimal | None:
        """Units of `into` for one unit of `currency` on that day; None when no source knows."""
        if currency == into:
            return Decimal(1)
        own = self._pairs.get((currency, into))
        if own is not None and (rate := own.told_on(on)) is not None:
            return rate
        found = self.found(currency, into, on)
        return found.rate if found else None

    def told(self, currency: str, into: str) -> dict[str, str]:
        """The rates of this very pair, as the database has them, by the days that they are of."""
        series = self._pairs.get((currency, into))
        return {} if series is None else dict(zip(series.days, series.rates, strict=True))

    def found(self, currency: str, into: str, on: date) -> Found | None:
        """The rate between two different currencies with where it is from; None when no source knows."""
        key = (currency, into, on)
        if key not in self._answers:
            self._answers[key] = (
                self._quoted(currency, into, on)
                or self._crossed(currency, into, on)
                or self._of_the_ecb(currency, into, on)
            )
        return self._answers[key]

    def convert(self, amount: Decimal | None, currency: str, into: str, on: date) -> Decimal | None:
        """The amount in another currency; None when the amount or the rate is unknown."""
        if amount is None or currency == into:
            return amount
        rate = self.rate(currency, into, on)
        return None if rate is None else amount * rate

    def _of_the_ecb(self, currency: str, into: str, on: date) -> Found | None:
        told = ecb.rate(currency, into, on, MAX_AGE)
        return None if told is None else Found(told.on, told.rate, ())

    def _quoted(self, currency: str, into: str, on: date) -> Found | None:
        """The newer of the pair's own rate and the inverse of the opposite pair; its own on the same day."""
        own = self._pairs[currency, into].at(on) if (currency, into) in self._pairs else None
        if own is not None and own.on == on:
            return own  # no other is newer
        opposite = self._pairs[into, currency].at(on) if (into, currency) in self._pairs else None
        if opposite and (own is None or opposite.on > own.on):
            return Found(opposite.on, 1 / opposite.rate, opposite.legs)
        return own

    def _crossed(self, currency: str, into: str, on: date) -> Found | None:
        """Through one common currency; of several, the one whose older leg is newest, then by name."""
        best: Found | None = None
        for common in sorted(self._partners[currency] & self._partners[into]):
            first, second = self._quoted(currency, common, on), self._quoted(common, into, on)
            if first and second:
                crossed = Found(
                    min(first.on, second.on), first.rate * second.rate, (*first.legs, *second.legs)
                )
                if best is None or crossed.on > best.on:
                    best = crossed
        return best
