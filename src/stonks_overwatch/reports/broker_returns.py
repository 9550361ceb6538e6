"""The broker's own time-weighted returns beside ours, of the same days and in the account's currency."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from django.db.models import F

from stonks_overwatch.ledger.models import Account, Figure, NavPoint
from stonks_overwatch.reports.daily import DailyTotal, daily_totals
from stonks_overwatch.reports.documents import Computed, Document
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.series import days_of

BASIS_POINT = Decimal("0.0001")
_DAY = timedelta(days=1)
# By section of the statement or answer that tells a return: what one unit of it is as a fraction.
_COLUMNS = ("account_id", "section", "since", "until", "amount")
_UNITS = {"ChangeInNAV": Decimal("0.01"), "PortfolioAnalyst": Decimal(1)}


class BrokerReturn(Document):
    """Fractions, of the days from `start` to `end`, both included; `computed` is null where ours is unknown.

    `source` is the section of the statement, or the answer, that tells it. `basis_points` is computed minus
    reported. They agree within one basis point; `deviates_on` is the day whose return differs most from what
    the broker's own values and our contributions make of it, and `why` says what is known of the reason.
    """

    account: str
    broker: str
    source: str
    start: date
    end: date
    computed: Computed | None
    reported: Computed
    basis_points: Computed | None
    agrees: bool
    deviates_on: date | None
    why: str


class BrokerReturnsDocument(Document):
    """Newest first."""

    returns: tuple[BrokerReturn, ...]


@kept
def broker_returns(scope: Scope, start: date | None = None, end: date | None = None) -> BrokerReturnsDocument:
    """Every return that the broker tells of a period that ends in these days."""
    looked_at = accounts(scope)
    told = Figure.objects.filter(account__in=looked_at, section__in=_UNITS, name="twr").order_by(
        "-until", "since"
    )
    if scope.as_of or start:
        told = told.filter(until__gte=scope.as_of or start)
    if scope.as_of or end:
        told = told.filter(until__lte=scope.as_of or end)
    rows = list(told.order_by("-until", "since").values_list(*_COLUMNS))
    telling = [account for account in looked_at if any(row[0] == account.pk for row in rows)]
    series = daily_totals(telling)
    compared = [
        _Compared.of(account, series[account.pk], *row[1:])
        for account in telling
        for row in rows
        if row[0] == account.pk
    ]
    points = _points([one for one in compared if one.is_off])
    found = [_return(one, points[one.account.pk]) for one in compared]
    return BrokerReturnsDocument(returns=tuple(sorted(found, key=lambda row: row.end, reverse=True)))


class _Compared(NamedTuple):
    """A return that the broker tells, and ours of the same days."""

    account: Account
    daily: DailyTotal | None
    source: str
    start: date
    end: date
    computed: Decimal | None
    reported: Decimal

    @classmethod
    def of(
        cls, account: Account, daily: DailyTotal | None, source: str, start: date, end: date, amount: Decimal
    ) -> "_Compared":
        ends = () if daily is None else _known_ends(daily, start - _DAY, end)
        computed = _growth(ends, max(start, account.opened_on or start), end)
        return cls(account, daily, source, start, end, computed, amount * _UNITS[source])

    @property
    def basis_points(self) -> Decimal | None:
        return None if self.computed is None else (self.computed - self.reported) / BASIS_POINT

    @property
    def is_off(self) -> bool:
        return self.basis_points is not None and abs(self.basis_points) > 1


def _return(one: _Compared, points: Mapping[date, Decimal]) -> BrokerReturn:
    """`points` are what the broker values the account at."""
    off = one.basis_points
    days = _days(one.daily, one.start - _DAY, one.end) if one.daily is not None and one.is_off else []
    worst = _worst(days, points)
    agrees = off is not None and not one.is_off
    return BrokerReturn(
        account=one.account.account,
        broker=one.account.broker,
        source=one.source,
        start=one.start,
        end=one.end,
        computed=one.computed,
        reported=one.reported,
        basis_points=off,
        agrees=agrees,
        deviates_on=None if worst is None else worst.on,
        why="" if agrees else _why(one.computed, worst, days),
    )


def _points(compared: Sequence[_Compared]) -> Mapping[int, Mapping[date, Decimal]]:
    """What the broker values the accounts at on the days of these returns, by account row."""
    points: defaultdict[int, dict[date, Decimal]] = defaultdict(dict)
    if compared:
        rows = NavPoint.objects.filter(
            account__in={one.account.pk for one in compared},
            currency=F("account__currency"),
            on__gte=min(one.start for one in compared) - _DAY,
            on__lte=max(one.end for one in compared),
        )
        for account, on, nav in rows.values_list("account_id", "on", "nav"):
            points[account][on] = nav
    return points


class _Day(NamedTuple):
    on: date
    nav: Decimal | None
    contribution: Decimal | None
    level: Decimal | None  # of the index of growth


class _Worst(NamedTuple):
    """The day on which our return is furthest from the one by the broker's values, in basis points."""

    on: date
    off: Decimal
    contribution: Decimal


def _days(daily: DailyTotal, first: date, last: date) -> list[_Day]:
    document = days_of(daily, first, last)
    columns = zip(document.dates, document.nav, document.net_contribution, document.twr_index, strict=True)
    return [_Day(*column) for column in columns]


def _known_ends(daily: DailyTotal, first: date, last: date) -> tuple[_Day, ...]:
    """The first and the last of these days whose level is known; nothing where none is."""
    if daily.index is None:
        return ()
    begin, end = max(daily.index.since, first.toordinal()), min(daily.index.until, last.toordinal())
    ends = (begin, end) if begin <= end else ()
    return tuple(_days(daily, on, on)[0] for on in map(date.fromordinal, ends))


def _growth(ends: Sequence[_Day], start: date, end: date) -> Decimal | None:
    """From the end of the day before `start`; of an account that begins then, with its first day."""
    if not ends or ends[-1].on != end or ends[0].on > start:
        return None
    first, last = ends
    if not first.level or last.level is None:
        return None
    growth = last.level / first.level
    if first.on == start and first.nav is not None and first.contribution:
        growth *= first.nav / first.contribution
    return growth - 1


def _worst(days: Sequence[_Day], points: Mapping[date, Decimal]) -> _Worst | None:
    found: _Worst | None = None
    for before, day in pairwise(days):
        theirs_before, theirs = points.get(before.on), points.get(day.on)
        flow = day.contribution
        if not theirs_before or theirs is None or flow is None or not before.level or day.level is None:
            continue
        invested = theirs_before + flow
        if invested <= 0:
            continue
        off = (day.level / before.level - theirs / invested) / BASIS_POINT
        if found is None or abs(off) > abs(found.off):
            found = _Worst(day.on, off, flow)
    return found


def _why(computed: Decimal | None, worst: _Worst | None, days: Sequence[_Day]) -> str:
    if computed is None:
        return "Not everything is known of these days."
    if worst is not None and abs(worst.off) >= Decimal("0.5"):
        flow = f", with a contribution of {worst.contribution:,.2f} on it" if worst.contribution else ""
        return f"Most on {worst.on}: {worst.off:.2f} basis points against the broker's values{flow}."
    flows = [day for day in days[1:] if day.contribution]
    if flows:
        largest = max(flows, key=lambda day: abs(day.contribution or Decimal(0)))
        return (
            "Each day's value agrees; the broker may count contributions at another time of the day, the "
            f"largest of them on {largest.on}."
        )
    return "Each day's value agrees and nothing was contributed: the broker's figure is not explained."
