"""Which stored rows and rates stand behind a figure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivitySource,
    CashBalance,
    Figure,
    FxRate,
    NavPoint,
    Position,
    Price,
)
from stonks_overwatch.ledger.opening import CHANGE_SOURCE, OPENING_SOURCE
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.books import RETURNED
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.explain.documents import Ledger, LedgerRow, RateUsed
from stonks_overwatch.reports.rates import MAX_AGE, Rates

_LATEST = "the broker's latest answer"


Wanted = tuple[str, str, date]
"""A rate by the currency, the one that it is wanted in, and the day."""


def rates_used(rates: Rates, wanted: Iterable[Wanted]) -> list[RateUsed]:
    """The rates between currencies on some days, each once, with where they are from.

    Without those that nobody needs or knows.
    """
    found = {one: rates.found(*one) for one in dict.fromkeys(wanted) if one[0] != one[1]}
    told = Q()
    for base, quote, day in {leg for rate in found.values() if rate for leg in rate.legs}:
        told |= Q(base=base, quote=quote, on=day)
    stored = FxRate.objects.filter(told).order_by("is_imported") if told else FxRate.objects.none()
    rows = {(row.base, row.quote, row.on): _leg(row) for row in stored}
    ecb = "reference rate of the European Central Bank"
    return [
        RateUsed(
            base=currency,
            quote=into,
            rate=rate.rate,
            for_day=on,
            on=rate.on,
            source=", ".join(rows[leg] for leg in rate.legs) or ecb,
        )
        for (currency, into, on), rate in found.items()
        if rate
    ]


def told_with(base: str, quote: str, rate: Decimal, on: date) -> RateUsed:
    """The rate that an activity was booked with."""
    return RateUsed(base=base, quote=quote, rate=rate, for_day=on, on=on, source="told with the activity")


def _leg(row: FxRate) -> str:
    return f"{row.rate.normalize():f} {row.quote} for one {row.base}: {row.source}"


def _ledger(rows: QuerySet[Any], shown: Callable[[list[Any]], list[LedgerRow]]) -> Ledger:
    return Ledger(rows.count, lambda start, end: shown(list(rows[start:end])))


def activities(rows: QuerySet[Activity]) -> Ledger:
    """Activities, newest first."""
    return _ledger(rows.select_related("account", "instrument").order_by("-trade_date", "-id"), _activities)


def _activities(rows: Sequence[Activity]) -> list[LedgerRow]:
    told: defaultdict[int, set[str]] = defaultdict(set)
    for activity_id, source in ActivitySource.objects.filter(activity__in=rows).values_list(
        "activity_id", "source"
    ):
        told[activity_id].add(source)
    return [
        LedgerRow(
            kind="activity",
            id=f"{row.account.broker}:{row.account.account}:{row.key}",
            on=row.trade_date,
            account=row.account.account,
            what=f"{row.kind.replace('_', ' ')} {row.instrument.symbol if row.instrument else ''}".strip(),
            quantity=row.quantity,
            amount=net(row.gross, row.fee, row.tax),
            currency=row.currency,
            source=_derived(row) if row.is_derived else ", ".join(sorted(told[row.pk])),
        )
        for row in rows
    ]


def _derived(row: Activity) -> str:
    return OPENING_SOURCE if row.kind == ActivityKind.OPENING else CHANGE_SOURCE


def positions(rows: QuerySet[Position]) -> Ledger:
    return _ledger(
        rows.select_related("account", "instrument").order_by("instrument__symbol", "id"), _positions
    )


def _positions(rows: Sequence[Position]) -> list[LedgerRow]:
    return [
        LedgerRow(
            kind="position",
            id=None,
            on=row.priced_at,
            account=row.account.account,
            what=row.instrument.symbol or row.instrument.name,
            quantity=row.quantity,
            amount=row.market_value,
            currency=row.instrument.currency,
            source=_LATEST,
        )
        for row in rows
    ]


def balances(rows: QuerySet[CashBalance]) -> Ledger:
    return _ledger(rows.select_related("account").order_by("account__account", "currency"), _balances)


def _balances(rows: Sequence[CashBalance]) -> list[LedgerRow]:
    return [
        LedgerRow(
            kind="cash balance",
            id=None,
            on=row.updated_at,
            account=row.account.account,
            what=f"cash {row.currency}",
            quantity=None,
            amount=row.amount,
            currency=row.currency,
            source=_LATEST,
        )
        for row in rows
    ]


def points(rows: QuerySet[NavPoint]) -> Ledger:
    """The broker's values at ends of days, newest first."""
    return _ledger(rows.select_related("account").order_by("-on", "account__account"), _points)


def _points(rows: Sequence[NavPoint]) -> list[LedgerRow]:
    return [
        LedgerRow(
            kind="value",
            id=None,
            on=row.on,
            account=row.account.account,
            what="value at the end of the day",
            quantity=None,
            amount=row.nav,
            currency=row.currency,
            source="the broker's history",
        )
        for row in rows
    ]


def told_by(rows: QuerySet[Figure]) -> Ledger:
    """The figures of statements."""
    return _ledger(rows.select_related("account").order_by("-until", "section", "name", "id"), _figures)


def _figures(rows: Sequence[Figure]) -> list[LedgerRow]:
    return [
        LedgerRow(
            kind="statement",
            id=None,
            on=row.until,
            account=row.account.account,
            what=row.name if row.since == row.until else f"{row.name} since {row.since.isoformat()}",
            quantity=row.amount if row.name in ("position", "quantity") else None,
            amount=None if row.name in ("position", "quantity") else row.amount,
            currency=row.currency,
            source=f"the broker's statement, {row.section}",
        )
        for row in rows
    ]


def prices(instrument: int, until: date) -> Ledger:
    """The prices of the week up to a day, newest first."""
    rows = Price.objects.filter(instrument=instrument, on__lte=until, on__gte=until - MAX_AGE)
    return _ledger(rows.select_related("instrument").order_by("-on", "-is_imported"), _prices)


def _prices(rows: Sequence[Price]) -> list[LedgerRow]:
    return [
        LedgerRow(
            kind="price",
            id=None,
            on=row.on,
            account="",
            what=f"price of {row.instrument.symbol or row.instrument.name}",
            quantity=None,
            amount=row.close,
            currency=row.currency,
            source=row.source,
        )
        for row in rows
    ]


def moves(account: Account | int, instrument: int, until: date | None = None) -> Ledger:
    """Everything that changed the quantity or the cost of one position."""
    rows = Activity.objects.current().filter(account=account, instrument=instrument)
    told = Q(quantity__isnull=False) | Q(ratio__isnull=False) | RETURNED
    rows = rows.filter(told).exclude(kind=ActivityKind.FX)
    return activities(rows if until is None else rows.filter(trade_date__lte=until))


def by_ids(ids: Sequence[str]) -> Ledger:
    """The activities of these ids of the report of activities, in their order."""
    every = list(dict.fromkeys(ids))

    def page(start: int, end: int) -> list[LedgerRow]:
        wanted = every[start:end]
        keys: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for one in wanted:
            broker, account, key = one.split(":", 2)
            keys[broker, account].append(key)
        told = Q(pk__in=[])
        for (broker, account), of_account in keys.items():
            told |= Q(account__broker=broker, account__account=account, key__in=of_account)
        rows = _activities(list(Activity.objects.filter(told).select_related("account", "instrument")))
        return sorted(rows, key=lambda row: wanted.index(row.id or ""))

    return Ledger(lambda: len(every), page)


def by_numbers(numbers: Sequence[int]) -> Ledger:
    """The activities of these row numbers, in their order."""
    every = list(dict.fromkeys(numbers))

    def page(start: int, end: int) -> list[LedgerRow]:
        wanted = Activity.objects.select_related("account", "instrument").in_bulk(every[start:end])
        return _activities([wanted[number] for number in every[start:end] if number in wanted])

    return Ledger(lambda: len(every), page)


def money(account: Account | list[int], currency: str) -> Ledger:
    """Everything that moved the cash of one currency."""
    rows = Activity.objects.current().filter(account__in=account if isinstance(account, list) else [account])
    told = Q(currency=currency) & ~Q(gross=None) | Q(kind=ActivityKind.FX, instrument__broker_ref=currency)
    return activities(rows.filter(told))
