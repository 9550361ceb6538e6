"""The first page: what everything is worth, how that changed, what it consists of, how old it is."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Max, OuterRef, QuerySet, Subquery, TextField
from django.db.models.functions import Cast

from stonks_overwatch.ledger.models import Account, NavPoint
from stonks_overwatch.ledger.rows import plain
from stonks_overwatch.ledger.sql import prepared
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.allocation import AllocationDocument, sliced
from stonks_overwatch.reports.books import moving_in
from stonks_overwatch.reports.combined import Together, together
from stonks_overwatch.reports.daily import own_points
from stonks_overwatch.reports.documents import Computed, Document, KeptIn, known_sum, share, total
from stonks_overwatch.reports.holdings import Holding, Totals, Valuation, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import told_at
from stonks_overwatch.reports.syncs import LoginState, logins

TOP = 10
# A weekend with holidays; with a longer gap "the day" would be a wrong word.
LONGEST_DAY = timedelta(days=7)
# A drawing has a point for each day of its last year, and is not finer than weeks before.
EVERY_DAY_OF = timedelta(days=372)
RANGES_OF_YEARS = (3, 5)
_WEEK = timedelta(days=7)
_MONDAY = date(1, 1, 1)


class DayChange(Document):
    """NAV now minus the broker's NAV at the end of the last day before the account's update.

    In the base currency, each NAV at the rate of its own day, so a move of currencies is part of it;
    where that day's rate is not known, both at today's, without that move. Not adjusted for deposits and
    withdrawals: money put in since then counts as change. `fraction` is the change over the earlier NAV.
    `since` is the day of the earlier NAV, the oldest of several accounts. All null where an account has
    no such NAV, or one more than a week old, or where a part of its NAV now is unknown.
    """

    value_base: Computed | None
    fraction: Computed | None
    since: date | None


class AccountDay(Document):
    account: str
    broker: str
    alias: str
    currency: KeptIn
    nav: Computed | None
    nav_base: Computed | None
    day_change: DayChange
    updated_at: datetime | None


class NavSeries(Document):
    """NAV at the end of each day that any account has one for, in the base currency; then NAV now.

    It is the broker's own; of accounts that no broker tells values of, our valuation on weekdays.

    A day on which an account that was open has no NAV, or whose rate is unknown, is null.
    `accounts_without` are the accounts of which no end of a day is known at all (brokers let them be read
    slowly): as long as there is one, all earlier days are null.
    """

    dates: tuple[date, ...]
    nav: tuple[Computed | None, ...]
    accounts_without: tuple[str, ...]


class CashTotal(Document):
    """The cash of one currency over the accounts looked at."""

    currency: str
    amount: Computed | None
    amount_base: Computed | None
    weight: Computed | None


class DashboardDocument(Document):
    """`realized_since`: realized P&L holds all that was closed after this day, and not all from before."""

    as_of: datetime | date | None
    base_currency: str
    totals: Totals
    realized_since: date | None
    day_change: DayChange
    accounts: tuple[AccountDay, ...]
    series: NavSeries
    by_asset_class: AllocationDocument
    by_currency: AllocationDocument
    cash: tuple[CashTotal, ...]
    top_holdings: tuple[Holding, ...]
    positions: int
    logins: tuple[LoginState, ...]


@kept
def dashboard(scope: Scope, *, every_day: bool = True) -> DashboardDocument:
    """Without `every_day` the series has fewer of the days that are more than a year ago, see `_fewer`."""
    valued = valuation(scope)
    held = together(valued.positions)
    points = _points(valued, scope.as_of, every_day=every_day)
    rates = _rates(valued, points)
    days = [_account_day(valued, account, points[account.pk], rates) for account in valued.state.accounts]
    return DashboardDocument(
        as_of=valued.as_of,
        base_currency=valued.base_currency,
        totals=valued.totals,
        realized_since=_realized_since(valued),
        day_change=_sum_of(days),
        accounts=tuple(days),
        series=_series(valued, points, rates),
        by_asset_class=sliced(valued, "asset_class"),
        by_currency=sliced(valued, "currency"),
        cash=_cash(valued),
        top_holdings=_largest(held),
        positions=len(held),
        logins=logins(scope.broker),
    )


def _realized_since(valued: Valuation) -> date | None:
    """The day of the latest opening balance of an instrument: from then on all sales have a known lot."""
    days = _first_moves(tuple(account.pk for account in valued.state.accounts))
    since = max((on for on, _ in days if on), default=None) or min((on for _, on in days if on), default=None)
    return date.fromisoformat(since) if since else None


@prepared
def _first_moves(accounts: tuple[int, ...]) -> QuerySet[Account, tuple[Any, ...]]:
    """Of each account the day of its latest opening balance, and of what moved a position first."""
    # Account by account, each from an index of its own: all at once would read every activity.
    moves = moving_in(account=OuterRef("pk"))
    opened = moves.filter(kind=ActivityKind.OPENING).values("account").values_list(Max("trade_date"))
    first = moves.order_by("trade_date").values("trade_date")[:1]
    rows = Account.objects.filter(pk__in=accounts)
    return rows.values_list(*(Cast(Subquery(day), TextField()) for day in (opened, first)))


Points = list[tuple[date, Decimal, str]]
"""Day, NAV and its currency, oldest first."""


def _points(valued: Valuation, until: date | None, *, every_day: bool) -> dict[int, Points]:
    """The NAVs at ends of days by account row: the broker's, else those that we work out."""
    # As text: that of days that are left out is never made a number.
    told: dict[int, dict[str, tuple[str, str]]] = defaultdict(dict)
    for account_id, on, nav, currency in _told_by_broker(
        tuple(account.pk for account in valued.state.accounts), until
    ):
        told[account_id][on] = nav, currency
    # Files bring no values of the broker's: there our own valuation of the days stands in.
    without = [account for account in valued.state.accounts if account.pk not in told]
    base = valued.base_currency
    own = own_points(without, base) if without else {}
    told_on: dict[int, Collection[str]] = {pk: of.keys() for pk, of in told.items()}
    for pk, values in own.items():
        told_on[pk] = {on.isoformat() for on, _ in values if until is None or on <= until}
    days = {on for of in told_on.values() for on in of}
    chosen = days if every_day else _fewer(days, valued.state.accounts, told_on)
    points: dict[int, Points] = defaultdict(list)
    for pk, of in told.items():
        points[pk] = [
            (date.fromisoformat(on), Decimal(nav), currency)
            for on, (nav, currency) in of.items()
            if on in chosen
        ]
    for pk, values in own.items():
        points[pk] = [(on, Decimal(f"{nav:.10f}"), base) for on, nav in values if on.isoformat() in chosen]
    return points


@prepared
def _told_by_broker(accounts: tuple[int, ...], until: date | None) -> QuerySet[NavPoint, tuple[Any, ...]]:
    rows = NavPoint.objects.filter(account__in=accounts)
    if until:
        rows = rows.filter(on__lte=until)
    return rows.order_by("on").values_list("account_id", plain("on"), plain("nav"), "currency")


def _fewer(days: set[str], accounts: Iterable[Account], told: Mapping[int, Collection[str]]) -> set[str]:
    """Every day of the last year; of the time before, the last day of each week and of each month.

    The last on which every account that was open has a value, where there is one. What is said of the change
    since some years ago begins on its day: the days around these are there too, and the first of all.
    """
    opened = [
        (told.get(account.pk, ()), account.opened_on.isoformat() if account.opened_on else "")
        for account in accounts
    ]
    if not days:
        return days
    newest = date.fromisoformat(max(days))
    recent = (newest - EVERY_DAY_OF).isoformat()
    begins = [newest - timedelta(days=365 * years) for years in RANGES_OF_YEARS]
    around = [((on - _WEEK).isoformat(), (on + _WEEK).isoformat()) for on in begins]
    last: dict[str | int, tuple[bool, str]] = {}
    for on in sorted(on for on in days if on < recent):
        is_whole = all(on in of for of, since in opened if since <= on)
        week = (date.fromisoformat(on) - _MONDAY).days // 7
        for period in (week, on[:7]):
            if is_whole or period not in last or not last[period][0]:
                last[period] = is_whole, on
    chosen = {on for on in days if on >= recent or any(first <= on <= end for first, end in around)}
    return chosen.union((on for _, on in last.values()), [min(days)])


def _rates(valued: Valuation, points: dict[int, Points]) -> Rates:
    """Rates between the accounts' currencies and the base currency, for all days of the series."""
    base = valued.base_currency
    currencies = {currency for series in points.values() for _, _, currency in series} | {base}
    days = [on for series in points.values() for on, _, _ in series]
    if currencies == {base} or not days:
        return Rates(())
    return Rates.between(min(days), max(days + list(valued.state.days.values())), currencies)


def _account_day(valued: Valuation, account: Account, points: Points, rates: Rates) -> AccountDay:
    row = valued.nav(account)
    today = valued.state.days[account.pk]
    before = next((point for point in reversed(points) if point[0] < today), None)
    change = DayChange(value_base=None, fraction=None, since=None)
    if before and today - before[0] <= LONGEST_DAY and row.nav_base is not None and valued.is_whole(account):
        base = valued.base_currency
        earlier = rates.convert(before[1], before[2], base, before[0])
        if earlier is None:
            earlier = rates.convert(before[1], before[2], base, today)
        if earlier is not None:
            value = row.nav_base - earlier
            change = DayChange(value_base=value, fraction=share(value, earlier), since=before[0])
    return AccountDay(
        account=account.account,
        broker=account.broker,
        alias=account.alias,
        currency=account.currency,
        nav=row.nav,
        nav_base=row.nav_base,
        day_change=change,
        updated_at=told_at(account),
    )


def _sum_of(days: list[AccountDay]) -> DayChange:
    changes = [(day.nav_base, day.day_change) for day in days]
    if not days or any(nav is None or change.value_base is None for nav, change in changes):
        return DayChange(value_base=None, fraction=None, since=None)
    value = total(change.value_base for _, change in changes).value
    now = total(nav for nav, _ in changes).value
    earlier = None if now is None or value is None else now - value
    return DayChange(
        value_base=value,
        fraction=share(value, earlier),
        since=min(change.since for _, change in changes if change.since is not None),
    )


def _series(valued: Valuation, points: dict[int, Points], rates: Rates) -> NavSeries:
    base = valued.base_currency
    by_account = {
        account.pk: {on: rates.convert(nav, currency, base, on) for on, nav, currency in points[account.pk]}
        for account in valued.state.accounts
    }
    nav: dict[date, Decimal | None] = {}
    for on in sorted({on for series in by_account.values() for on in series}):
        nav[on] = known_sum(
            by_account[account.pk].get(on)
            for account in valued.state.accounts
            if account.opened_on is None or account.opened_on <= on
        )
    if valued.state.accounts and all(map(valued.is_whole, valued.state.accounts)):
        nav[max(valued.state.days.values())] = valued.totals.nav_base
    return NavSeries(
        dates=tuple(nav),
        nav=tuple(nav.values()),
        accounts_without=tuple(a.account for a in valued.state.accounts if not points[a.pk]),
    )


def _cash(valued: Valuation) -> tuple[CashTotal, ...]:
    by_currency = defaultdict(list)
    for row in valued.cash:
        by_currency[row.currency].append(row)
    rows = []
    for currency, balances in by_currency.items():
        in_base = total(row.amount_base for row in balances).value
        rows.append(
            CashTotal(
                currency=currency,
                amount=total(row.amount for row in balances).value,
                amount_base=in_base,
                weight=share(in_base, valued.totals.nav_base),
            )
        )
    return tuple(sorted(rows, key=_largest_first))


def _largest_first(row: CashTotal) -> tuple[bool, Decimal, str]:
    return row.amount_base is None, -(row.amount_base or Decimal(0)), row.currency


def _largest(held: Iterable[Together]) -> tuple[Holding, ...]:
    """The holdings with the largest values, long or short."""
    worth = ((one.market_value_base, one) for one in held)
    sizes = [(abs(value), one) for value, one in worth if value is not None]
    sizes.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(one.holding() for _, one in sizes[:TOP])
