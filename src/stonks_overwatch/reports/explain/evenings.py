"""Lots on the evening before: what those come from that something else than a trade of theirs changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from django.db.models import Q, QuerySet

from stonks_overwatch.ledger.lots import Close, Lot, Lots, summed_if_known
from stonks_overwatch.ledger.matching import joined
from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import NO_LOTS, RETURNED, Key, read, ties
from stonks_overwatch.reports.explain.asked import of_account
from stonks_overwatch.reports.explain.documents import Input
from stonks_overwatch.reports.explain.finding import Seen
from stonks_overwatch.reports.explain.keys import lot_key
from stonks_overwatch.reports.periods import DAY
from stonks_overwatch.reports.scope import every_account

_CHANGING = (
    ActivityKind.CORPORATE_ACTION,
    ActivityKind.SPLIT,
    ActivityKind.TRANSFER_IN,
    ActivityKind.TRANSFER_OUT,
)
CHANGED = Q(kind__in=_CHANGING) | RETURNED
"""The activities that change lots without a trade."""
TEXTS = {"quantity": "open", "cost": "cost", "cost_base": "cost"}


class Evening(NamedTuple):
    """The lot that one activity opened, at the end of the day before `on`, when something changed it.

    `all` are the lots of the position that it was in, `key` says which one that was.
    """

    on: date
    key: Key
    lot: Lot
    all: Sequence[Lot]

    def input(self, seen: Seen, name: str) -> Input:
        """The lot's figure of that evening, which has an explanation of its own."""
        (account,) = (one for one in every_account() if one.pk == self.key[0])
        looked_at = seen.holder
        paper = looked_at if looked_at.instrument == self.key[1] else Instrument.objects.get(pk=self.key[1])
        lot, on = self.lot, self.on - DAY
        asked = {**of_account(account), "as_of": on}
        row = lot_key(account.broker, account.account, paper.broker_ref, lot)
        unit = {"quantity": "", "cost": paper.currency}.get(name, seen.base)
        text = f"{TEXTS[name]} the evening before"
        told = getattr(lot, name)
        return seen.input(text, told, unit, f"lots.lots.{name}", row, as_of=on, asked=asked)

    def whole(self, name: str) -> Decimal | None:
        """The sum over the position."""
        return summed_if_known(getattr(lot, name) for lot in self.all)


class Lived(NamedTuple):
    """What can have changed the lots of one position: all positions that are tied to it, day by day."""

    key: Key
    tied: set[Key]
    at: Callable[[date], Mapping[Key, Lots]]

    @classmethod
    def of(cls, seen: Seen, account: Account, instrument: int) -> "Lived":
        key = account.pk, instrument
        return seen.reports.once((cls, key), lambda: cls._of(seen, account, key))

    @classmethod
    def _of(cls, seen: Seen, account: Account, key: Key) -> "Lived":
        together = [one for one in every_account() if one.broker == account.broker]
        tied = next((some for some in joined(ties(together)) if key in some), {key})
        moves = cache(lambda: read(together, None, seen.arguments.method, tied))
        rates = cache(lambda: moves().rates(seen.base))
        return cls(key, tied, cache(lambda on: moves().matched(seen.base, on, rates()).lots))

    def evening(self, opened_by: str, on: date) -> Evening | None:
        """The lot before the day; None where it is not known, or not one alone."""
        found = [
            (key, lot)
            for key, of_key in self.at(on - DAY).items()
            for lot in of_key.open
            if lot.opened_by == opened_by
        ]
        # Where it was already is nearer than where it came from: another account is the furthest.
        found.sort(key=lambda one: (one[0] != self.key, one[0][0] != self.key[0]))
        if not found or (len(found) > 1 and found[1][0] == found[0][0]):
            return None
        key, lot = found[0]
        return Evening(on, key, lot, self.at(on - DAY)[key].open)

    def changes(self, since: date, until: date | None) -> Iterator[date]:
        """The days on which anything but trades happened to one of the positions, the latest first."""
        accounts, instruments = ({one[place] for one in self.tied} for place in (0, 1))
        rows = Activity.objects.current().filter(
            CHANGED,
            account__in=accounts,
            instrument__in=instruments,
            trade_date__gt=since,
        )
        if until is not None:
            rows = rows.filter(trade_date__lte=until)
        yield from sorted(set(rows.values_list("trade_date", flat=True)), reverse=True)

    def happened(self, on: date) -> QuerySet[Activity]:
        """The activities of a day in the positions."""
        accounts, instruments = ({one[place] for one in self.tied} for place in (0, 1))
        return Activity.objects.current().filter(
            account__in=accounts, instrument__in=instruments, trade_date=on
        )

    def became(self, evening: Evening) -> list[Lot | Close]:
        """What became of the position's lots on the day: in the position looked at, or closed in it."""
        names = {lot.opened_by for lot in evening.all}
        now = self.at(evening.on).get(self.key, NO_LOTS)
        closed = [close for close in now.closed if close.closed_on == evening.on]
        every: list[Lot | Close] = [*now.open, *closed]
        return [one for one in every if one.opened_by in names]


def returned(evening: Evening) -> list[Activity]:
    """The capital that was given back on the day."""
    account, instrument = evening.key
    rows = Activity.objects.current().filter(RETURNED, account=account, instrument=instrument)
    return list(rows.filter(trade_date=evening.on).select_related("account"))


def units_paid(evening: Evening, row: Activity) -> Decimal:
    """On how many units capital was given back: those that were held before the ex-date."""
    paid = (
        lot.quantity
        for lot in evening.all
        if row.ex_date is None or lot.opened_on < row.ex_date or not lot.is_dated
    )
    return sum(paid, Decimal(0))
