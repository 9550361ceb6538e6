"""What only a broker counts in the value of a day: interest and dividends earned and not paid yet."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from django.db.models import F, FloatField, Q
from django.db.models.functions import Cast

from stonks_overwatch.engine.rates import CARRIED_DAYS
from stonks_overwatch.engine.series import BROKER
from stonks_overwatch.ledger.models import Account, CashBalance, Figure, NavPoint
from stonks_overwatch.reports.daily import DailyTotal, rates_of

_SECTION = "EquitySummaryInBase"
_ACCRUED = ("dividendAccruals", "interestAccruals")
_UNKNOWN = float("nan")


def accrued(daily: DailyTotal, base: str, days: Sequence[int]) -> list[float]:
    """The accruals that are part of the value at the ends of some days, in the base currency.

    Nothing where all of the value is our own valuation; NaN where the broker's value of a day comes without
    them. At most four queries.
    """
    total = daily.total
    if not any(total.source[day - total.first] & BROKER for day in days):
        return [0.0] * len(days)
    told = _Told.of(daily.accounts, [date.fromordinal(day) for day in days])
    currencies = sorted({account.currency for account in daily.accounts})
    rates = dict(zip(currencies, rates_of(base, currencies, total.first, total.last), strict=True))
    return [
        sum(
            amount and amount * float(rates[account.currency][on - total.first])
            for account in daily.accounts
            for on, amount in [told.at(account, day)]
        )
        for day in days
    ]


class _Told(NamedTuple):
    """By account row: who reports accruals at all, and by day those that come with the broker's value."""

    accruing: set[int]
    points: dict[int, dict[int, float]]

    @classmethod
    def of(cls, looked_at: Sequence[Account], days: Sequence[date]) -> "_Told":
        near = Q()
        for day in days:
            near |= Q(on__gt=day - timedelta(days=CARRIED_DAYS + 1), on__lte=day)
        points: dict[int, dict[int, float]] = defaultdict(dict)
        valued = NavPoint.objects.filter(near, account__in=looked_at, currency=F("account__currency"))
        for pk, on in valued.values_list("account_id", "on"):
            points[pk][on.toordinal()] = _UNKNOWN
        sections = Figure.objects.annotate(on=F("until")).filter(
            near, account__in=looked_at, section=_SECTION, name__in=("total", *_ACCRUED)
        )
        rows = sections.values_list("account_id", "on", "name", Cast("amount", FloatField()))
        # A row of the statement tells all of a value; parts of it that are 0 are not kept.
        for pk, on, name, amount in sorted(rows, key=lambda row: row[2] != "total"):
            number = on.toordinal()
            if number in points[pk]:
                points[pk][number] = 0.0 if name == "total" else points[pk][number] + amount
        for account in looked_at:
            newest = account.reported_as_of.date().toordinal() if account.reported_as_of else 0
            if newest > max(points[account.pk], default=0):
                parts = account.reported_accrued_interest, account.reported_accrued_dividends
                told = [float(part) for part in parts if part is not None]
                points[account.pk][newest] = sum(told) if told else _UNKNOWN
        reporting = CashBalance.objects.filter(account__in=looked_at).exclude(
            accrued_interest=None, accrued_dividends=None
        )
        return cls(set(reporting.values_list("account_id", flat=True)), points)

    def at(self, account: Account, day: int) -> tuple[int, float]:
        """The day of the value that counts on a day, and the accruals in it."""
        told = [on for on in self.points[account.pk] if day - CARRIED_DAYS <= on <= day]
        if not told:
            return day, 0.0
        # Elsewhere our own valuation counts first: which of the two does is not told here.
        return max(told), self.points[account.pk][max(told)] if account.pk in self.accruing else _UNKNOWN
