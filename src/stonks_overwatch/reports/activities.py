"""What happened in the accounts: trades, dividends, transfers, and what the ledger worked out itself."""

from collections import defaultdict
from datetime import date, datetime

from stonks_overwatch.ledger.models import Activity, ActivitySource
from stonks_overwatch.ledger.opening import CHANGE_SOURCE, OPENING_SOURCE
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.documents import Document, Exact
from stonks_overwatch.reports.scope import Scope, accounts


class ActivityRow(Document):
    """One activity. `id` stays the same over syncs; `net` is gross + fee + tax, null without a gross amount.

    Signs: a sale's quantity is negative; cash into the account is positive, fees and taxes paid negative.
    `fx_rate` is units of the account's currency for one unit of `currency`. `sources` are the kinds of
    answers that told it; what the ledger worked out itself says "opening balance" or "position change".
    """

    id: str
    account: str
    broker: str
    kind: str
    trade_at: datetime | None
    trade_date: date
    settlement_date: date | None
    symbol: str | None
    isin: str | None
    broker_ref: str | None
    quantity: Exact | None
    price: Exact | None
    currency: str
    gross: Exact | None
    fee: Exact | None
    tax: Exact | None
    net: Exact | None
    fx_rate: Exact | None
    description: str
    sources: tuple[str, ...]


class ActivitiesDocument(Document):
    """Newest first."""

    activities: tuple[ActivityRow, ...]


def activities(
    scope: Scope,
    start: date | None = None,
    end: date | None = None,
    kind: ActivityKind | None = None,
) -> ActivitiesDocument:
    """The activities dated from `start` to `end` (both included), at most until the day of the scope."""
    looked_at = {account.pk: account for account in accounts(scope)}
    rows = Activity.objects.current().filter(account__in=list(looked_at))
    if start:
        rows = rows.filter(trade_date__gte=start)
    last_day = min((day for day in (end, scope.as_of) if day), default=None)
    if last_day:
        rows = rows.filter(trade_date__lte=last_day)
    if kind:
        rows = rows.filter(kind=kind)
    told_by: dict[int, set[str]] = defaultdict(set)
    for activity_id, source in ActivitySource.objects.filter(activity__in=rows).values_list(
        "activity_id", "source"
    ):
        told_by[activity_id].add(source)
    ordered = rows.select_related("instrument").order_by("-trade_date", "-trade_at", "-id")
    return ActivitiesDocument(
        activities=tuple(
            _row(row, looked_at[row.account_id].broker, looked_at[row.account_id].account, told_by[row.pk])
            for row in ordered
        )
    )


def _row(row: Activity, broker: str, account: str, sources: set[str]) -> ActivityRow:
    instrument = row.instrument
    if row.is_derived:
        sources = {OPENING_SOURCE if row.kind == ActivityKind.OPENING else CHANGE_SOURCE}
    return ActivityRow(
        id=f"{broker}:{account}:{row.key}",
        account=account,
        broker=broker,
        kind=row.kind,
        trade_at=row.trade_at,
        trade_date=row.trade_date,
        settlement_date=row.settlement_date,
        symbol=instrument.symbol if instrument else None,
        isin=instrument.isin if instrument else None,
        broker_ref=instrument.broker_ref if instrument else None,
        quantity=row.quantity,
        price=row.price,
        currency=row.currency,
        gross=row.gross,
        fee=row.fee,
        tax=row.tax,
        net=net(row.gross, row.fee, row.tax),
        fx_rate=row.fx_rate,
        description=row.description,
        sources=tuple(sorted(sources)),
    )
