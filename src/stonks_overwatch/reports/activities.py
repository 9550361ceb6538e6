"""What happened in the accounts: trades, dividends, transfers, and what the ledger worked out itself."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import or_
from typing import Literal, get_args

from django.db.models import Count, Expression, F, FloatField, OrderBy, Q, QuerySet
from django.db.models.functions import Cast, Coalesce
from pydantic import Field

from stonks_overwatch.ledger.models import Account, Activity, ActivityQuerySet, ActivitySource, Instrument
from stonks_overwatch.ledger.opening import CHANGE_SOURCE, OPENING_SOURCE
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.cash import net
from stonks_overwatch.reports.documents import Document, Exact, quoted_in
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


State = Literal["reported", "derived", "replaced"]
"""Told by a source; worked out by the ledger; kept for the trail and counting nowhere."""
STATES: tuple[State, ...] = get_args(State)

Sort = Literal["date", "kind", "instrument", "account", "quantity", "net"]
SORTS: tuple[Sort, ...] = get_args(Sort)

ROWS = 50


class ListedActivity(ActivityRow):
    """An activity as the page and its CSV list it. `instrument` is the number of the instrument's page."""

    name: str | None
    subtype: str
    state: State
    instrument: int | None
    quoted_in: str = Field(exclude=True)  # the currency of the price, or "%" of face
    is_disputed: bool = Field(exclude=True)  # sources tell it differently


@dataclass(frozen=True, slots=True)
class Filter:
    """Which activities, in which order; what is None or empty lets all through.

    Without `state` all that counts. `query`: every word must stand somewhere in what identifies the
    activity or its instrument. `id` names one activity, whatever its state.
    """

    start: date | None = None
    end: date | None = None
    kind: ActivityKind | None = None
    instrument: int | None = None
    state: State | None = None
    query: str = ""
    id: str = ""
    sort: Sort = "date"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class ListedActivities:
    """One page of the filtered activities; `first` and `last` count from 1 among all `count`.

    `kinds` are those of the accounts looked at, with their numbers.
    """

    rows: Sequence[ListedActivity]
    count: int
    page: int
    pages: int
    kinds: tuple[tuple[str, int], ...]
    instrument: Instrument | None


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


def listed(scope: Scope, asked: Filter, page: int = 1) -> ListedActivities:
    """One page of the activities that the filter lets through, cut out by the database."""
    looked_at = {account.pk: account for account in accounts(scope)}
    rows = _filtered(scope, looked_at, asked)
    kinds = _kinds(looked_at)
    is_of_kind = asked == Filter(kind=asked.kind, sort=asked.sort, descending=asked.descending)
    # The order is made of what an index holds; whole rows are read of this page alone.
    numbers: Sequence[int] | QuerySet[Activity, int] = rows.values_list("pk", flat=True)
    if is_of_kind:
        count = sum(number for kind, number in kinds if asked.kind in (None, kind))
    elif asked.query:  # every text is looked through, once
        numbers = list(numbers)
        count = len(numbers)
    else:
        count = rows.count()
    pages = max(1, -(-count // ROWS))
    page = min(max(page, 1), pages)
    numbers = list(numbers[(page - 1) * ROWS : page * ROWS])
    shown = Activity.objects.select_related("instrument").in_bulk(numbers)
    return ListedActivities(
        rows=_listed([shown[number] for number in numbers if number in shown], looked_at),
        count=count,
        page=page,
        pages=pages,
        kinds=kinds,
        instrument=Instrument.objects.filter(pk=asked.instrument).first() if asked.instrument else None,
    )


def every_listed(scope: Scope, asked: Filter) -> Iterator[ListedActivity]:
    """All that the filter lets through, read in portions: for files, however long."""
    looked_at = {account.pk: account for account in accounts(scope)}
    rows = _filtered(scope, looked_at, asked).select_related("instrument")
    portion: list[Activity] = []
    for row in rows.iterator(chunk_size=_PORTION):
        portion.append(row)
        if len(portion) == _PORTION:
            yield from _listed(portion, looked_at)
            portion = []
    yield from _listed(portion, looked_at)


_PORTION = 500


def _kinds(looked_at: dict[int, Account]) -> tuple[tuple[str, int], ...]:
    """The kinds of what counts in the accounts, by name, and how many there are of each."""
    rows = Activity.objects.current().filter(account__in=list(looked_at))
    # By account too: so it is counted along an index, without sorting.
    counted = rows.values_list("account_id", "kind").annotate(number=Count("id")).order_by()
    numbers: Counter[str] = Counter()
    for _, kind, number in counted:
        numbers[kind] += number
    return tuple(sorted(numbers.items()))


def _of(scope: Scope, looked_at: dict[int, Account]) -> ActivityQuerySet:
    """Those of the accounts, to be read in the order of days.

    A sum is compared, and not looked up in an index: what is of one account, or of the instruments that a
    word names, can be nearly all there is.
    """
    rows = Activity.objects.alias(holder=F("account") + 0, paper=F("instrument") + 0)
    if scope.account is None and scope.broker is None:
        return rows
    return rows.filter(holder__in=list(looked_at))


def _filtered(scope: Scope, looked_at: dict[int, Account], asked: Filter) -> ActivityQuerySet:
    every = _of(scope, looked_at)
    if asked.id:
        broker, account, key = [*asked.id.split(":", 2), "", ""][:3]
        return every.filter(account__broker=broker, account__account=account, key=key)
    match asked.state:
        case "reported":
            rows = every.reported()
        case "derived":
            rows = every.current().filter(is_derived=True)
        case "replaced":
            rows = every.filter(superseded_by__isnull=False)
        case _:
            rows = every.current()
    if asked.start:
        rows = rows.filter(trade_date__gte=asked.start)
    if asked.end:
        rows = rows.filter(trade_date__lte=asked.end)
    if asked.kind:
        rows = rows.filter(kind=asked.kind)
    if asked.instrument:
        rows = rows.filter(instrument=asked.instrument)
    for word in asked.query.split():
        rows = rows.filter(_stands_in(word))
    return rows.order_by(*_order(asked))


def _stands_in(word: str) -> Q:
    # Each table is looked through once, as it lies; the rest is told by what the index of the order holds.
    named = _any_holds(("symbol", "name", "isin", "broker_ref"), word)
    told = _any_holds(("description", "subtype", "currency", "key"), word)
    return (
        Q(paper__in=Instrument.objects.filter(named).values("pk"))
        | Q(pk__in=Activity.objects.filter(told).values("pk"))
        | Q(kind__in=[kind for kind in ActivityKind if word.casefold() in kind])
    )


def _any_holds(columns: Sequence[str], word: str) -> Q:
    return reduce(or_, (Q(**{f"{column}__icontains": word}) for column in columns))


def _order(asked: Filter) -> list[OrderBy]:
    """By the column asked for, what has nothing in it last; then newest first."""
    charged = Coalesce(_number("fee"), 0.0) + Coalesce(_number("tax"), 0.0)
    columns: dict[Sort, Expression | F] = {
        "date": F("trade_date"),
        "kind": F("kind"),
        "instrument": F("instrument__symbol"),
        "account": F("account__account"),
        "quantity": _number("quantity"),
        "net": _number("gross") + charged,
    }
    by = columns[asked.sort]
    # A day is never unknown, and the index of days is not in an order of its own for unknown ones.
    first = OrderBy(by, descending=asked.descending, nulls_last=None if asked.sort == "date" else True)
    newest = asked.descending or asked.sort != "date"
    return [first, *(OrderBy(F(name), descending=newest) for name in ("trade_date", "trade_at", "id"))]


def _number(column: str) -> Cast:
    """For the order alone: amounts are kept as texts with every digit."""
    return Cast(column, FloatField())


def _listed(rows: Sequence[Activity], looked_at: dict[int, Account]) -> list[ListedActivity]:
    told_by: dict[int, set[str]] = defaultdict(set)
    for activity_id, source in ActivitySource.objects.filter(
        activity__in=[row.pk for row in rows]
    ).values_list("activity_id", "source"):
        told_by[activity_id].add(source)
    found = []
    for row in rows:
        account = looked_at[row.account_id]
        plain = _row(row, account.broker, account.account, told_by[row.pk])
        found.append(
            ListedActivity(
                **{name: getattr(plain, name) for name in ActivityRow.model_fields},
                name=row.instrument.name if row.instrument else None,
                subtype=row.subtype,
                state="replaced" if row.superseded_by_id else "derived" if row.is_derived else "reported",
                instrument=row.instrument_id,
                quoted_in=_quoted_in(row),
                is_disputed=bool(row.conflicts),
            )
        )
    return found


def _quoted_in(row: Activity) -> str:
    paper = row.instrument
    return quoted_in(paper.asset_class, paper.quote_factor, row.currency) if paper else row.currency


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
