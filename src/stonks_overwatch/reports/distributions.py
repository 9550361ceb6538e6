"""What an instrument paid its holders per unit, and its splits, as the accounts that held it were told.

The ledger knows the dividends of what was held, and of those days alone.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.types import ActivityKind


class Paid(NamedTuple):
    """A dividend before tax, per unit and price of 1, on the day from which the price is without it.

    That is the ex-date where it is told, else the day of the payment.
    """

    on: date
    amount: Decimal
    currency: str


class Split(NamedTuple):
    on: date
    ratio: Decimal  # new units for an old one


class Days(NamedTuple):
    """Held from the end of the first day into the last: what is paid after the one and by the other comes."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Distributions:
    """Oldest first. `held` are the days through which the accounts looked at held the instrument."""

    paid: tuple[Paid, ...]
    splits: tuple[Split, ...]
    held: tuple[Days, ...]

    def are_all_known(self, begin: date, end: date) -> bool:
        """Whether it was held all the time: what was paid after the end of `begin` came to the accounts."""
        known_to = begin
        for first, last in self.held:
            if first <= known_to:
                known_to = max(known_to, last)
        return known_to >= end


@dataclass(slots=True)
class Quantities:
    """One account's quantity: at the end of `days[i]` it is `quantities[i]`, until the next of the days."""

    days: list[date] = field(default_factory=list)
    quantities: list[Decimal] = field(default_factory=list)

    @property
    def now(self) -> Decimal:
        return self.quantities[-1] if self.quantities else Decimal(0)

    def move(self, on: date, quantity: Decimal) -> None:
        now = self.now + quantity
        if self.days and self.days[-1] == on:
            self.quantities[-1] = now
        else:
            self.days.append(on)
            self.quantities.append(now)

    def before(self, on: date) -> Decimal:
        """At the end of the day before."""
        place = bisect_left(self.days, on)
        return self.quantities[place - 1] if place else Decimal(0)


@dataclass(slots=True)
class _Held(Quantities):
    """With what was paid on it."""

    dividends: list[tuple[date, Decimal, str]] = field(default_factory=list)

    def spans(self) -> list[Days]:
        ends = [*self.days[1:], date.max]
        return [
            Days(first, last)
            for first, last, quantity in zip(self.days, ends, self.quantities, strict=True)
            if quantity
        ]

    def paid(self, unit: Decimal) -> dict[tuple[date, str], Decimal]:
        """Per unit, by day and currency; a payment that was taken back and booked again is one."""
        found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        for on, gross, currency in self.dividends:
            held = self.before(on)
            if held:
                found[on, currency] += EXACT.divide(gross, EXACT.multiply(held, unit))
        return {key: amount for key, amount in found.items() if amount}


def distributions(paper: Instrument, looked_at: Iterable[Account]) -> Distributions:
    """What all accounts were told of the instrument, at whatever broker they hold it. One query."""
    same = Q(instrument=paper) | Q(instrument__isin=paper.isin) if paper.isin else Q(instrument=paper)
    rows = (
        Activity.objects.current()
        .filter(same)
        .exclude(kind=ActivityKind.FX)
        .annotate(on=Coalesce("booked_on", "trade_date"))
        .order_by("on", "id")
        .values_list("account_id", "on", "kind", "quantity", "ratio", "gross", "currency", "ex_date")
    )
    held: dict[int, _Held] = defaultdict(_Held)
    splits: dict[date, Decimal] = {}
    for account, on, kind, quantity, ratio, gross, currency, ex_date in rows:
        of = held[account]
        if kind == ActivityKind.DIVIDEND and gross is not None:
            of.dividends.append((ex_date or on, gross, currency))
        moved = quantity or Decimal(0)
        if kind == ActivityKind.SPLIT:
            moved = of.now * (ratio - 1) if quantity is None and ratio else moved
            if moved and of.now and of.now + moved:
                splits[on] = ratio or EXACT.divide(of.now + moved, of.now)
        if moved:
            of.move(on, moved)
    unit = EXACT.multiply(paper.multiplier, paper.quote_factor)
    mine = {account.pk for account in looked_at}
    return Distributions(
        paid=_together([(of.paid(unit), of.spans()) for of in held.values()]),
        splits=tuple(Split(on, splits[on]) for on in sorted(splits)),
        held=tuple(sorted(span for pk, of in held.items() if pk in mine for span in of.spans())),
    )


def _together(
    accounts: Sequence[tuple[dict[tuple[date, str], Decimal], list[Days]]],
) -> tuple[Paid, ...]:
    """Each dividend once, though several accounts received it, and not all of them tell its ex-date.

    What the account with most of them received counts; of the others that of days through which it held
    nothing.
    """
    found: list[Paid] = []
    covered: list[Days] = []
    for paid, spans in sorted(accounts, key=lambda of: -len(of[0])):
        found += [
            Paid(on, amount, currency)
            for (on, currency), amount in paid.items()
            if not any(first < on <= last for first, last in covered)
        ]
        covered += spans
    return tuple(sorted(found))
