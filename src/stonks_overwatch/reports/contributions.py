"""What was put in and taken out: deposits, withdrawals, and transfers of cash and of securities.

A transfer between two of the accounts looked at is internal: it is listed and counts nowhere. Seen from one
of the two accounts alone it is external. Securities count with their value on the day they moved.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q
from pydantic import Field

from stonks_overwatch.ledger.models import Price
from stonks_overwatch.ledger.types import ActivityKind
from stonks_overwatch.reports.booked import Amounts, Booked, Sums, booked, grouped, last_day, months, sums
from stonks_overwatch.reports.documents import Computed, Document, Exact, times, total
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.rates import MAX_AGE
from stonks_overwatch.reports.scope import Scope, accounts

# The two sides of one transfer are booked within these days of each other.
APART = timedelta(days=7)
_FLOWS = Q(
    kind__in=(
        ActivityKind.DEPOSIT,
        ActivityKind.WITHDRAWAL,
        ActivityKind.TRANSFER_IN,
        ActivityKind.TRANSFER_OUT,
    )
)
_TRANSFERS = (ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT)
_NONE = Decimal(0)


class ContributionGroup(Sums):
    """One month, year, account, instrument or kind.

    `gross_base` is what was put in (`in_base`) and taken out (`out_base`, negative), without taxes on it
    (`tax_base`). `total_base` is the sum of the gross since the beginning of the period, null where it has
    no order.
    """

    key: str
    name: str
    in_base: Computed | None
    out_base: Computed | None
    total_base: Computed | None


class Flow(Document):
    """One deposit, withdrawal or transfer. `amount` is cash, or the value of what moved."""

    id: str
    on: date
    account: str
    broker: str
    kind: str
    is_internal: bool
    symbol: str | None
    broker_ref: str | None
    quantity: Exact | None
    currency: str
    amount: Exact | None
    amount_base: Computed | None
    description: str


class ContributionTotals(Sums):
    in_base: Computed | None
    out_base: Computed | None
    internal: int


class ContributionsDocument(Document):
    """Oldest period first, largest group first, newest flow first."""

    start: date | None = Field(serialization_alias="from")
    end: date | None = Field(serialization_alias="to")
    base_currency: str
    totals: ContributionTotals
    by_month: tuple[ContributionGroup, ...]
    by_year: tuple[ContributionGroup, ...]
    by_account: tuple[ContributionGroup, ...]
    by_instrument: tuple[ContributionGroup, ...]
    by_kind: tuple[ContributionGroup, ...]
    flows: tuple[Flow, ...]


class _Moved(NamedTuple):
    row: Booked
    amount: Decimal | None
    is_internal: bool
    amounts: Amounts

    @classmethod
    def of(cls, row: Booked, amount: Decimal | None, *, is_internal: bool) -> "_Moved":
        return cls(row, amount, is_internal, Amounts(row.in_base(amount), row.in_base(row.tax or _NONE)))


@kept
def contributions(scope: Scope, start: date | None = None, end: date | None = None) -> ContributionsDocument:
    """The flows from `start` to `end`, both included."""
    looked_at = accounts(scope)
    today = last_day(looked_at, scope.as_of)
    end = min((day for day in (end, today) if day), default=None)
    # The other side of a transfer may lie just outside.
    rows = booked(
        looked_at,
        scope.base_currency,
        _FLOWS,
        start - APART if start else None,
        end + APART if end and end < (today or end) else end,
    )
    internal = _internal(rows)
    values = _values(rows)
    every = [_Moved.of(row, _amount(row, values), is_internal=row.id in internal) for row in rows]
    inside = [
        flow for flow in every if (start is None or flow.row.on >= start) and (end and flow.row.on <= end)
    ]
    external = [flow for flow in inside if not flow.is_internal]
    first = start or (inside[0].row.on if inside else None)
    in_base, out_base = _sides(external)
    return ContributionsDocument(
        start=first,
        end=end,
        base_currency=scope.base_currency,
        totals=ContributionTotals(
            **sums(flow.amounts for flow in external),
            in_base=in_base,
            out_base=out_base,
            internal=len(inside) - len(external),
        ),
        by_month=_by_month(external, first, end),
        by_year=_by_year(external),
        by_account=_groups(external, lambda flow: (flow.row.account.account, flow.row.account.alias)),
        by_instrument=_groups(
            [flow for flow in external if flow.row.broker_ref],
            lambda flow: (flow.row.symbol or flow.row.broker_ref or "", flow.row.name or ""),
        ),
        by_kind=_groups(external, lambda flow: (flow.row.kind, "")),
        flows=tuple(_flow(flow) for flow in reversed(inside)),
    )


def _internal(rows: Sequence[Booked]) -> set[str]:
    """The two sides of each transfer between accounts: the same thing in the same amount, days apart."""
    waiting: list[Booked] = []
    found: set[str] = set()
    for row in rows:
        if row.kind not in _TRANSFERS:
            continue
        other = next((one for one in waiting if _are_sides(one, row)), None)
        if other is None:
            waiting.append(row)
        else:
            waiting.remove(other)
            found |= {other.id, row.id}
    return found


def _are_sides(one: Booked, other: Booked) -> bool:
    return (
        one.account != other.account
        and one.kind != other.kind
        and abs(one.on - other.on) <= APART
        and _what(one) == _what(other)
        and _how_much(one) == -_how_much(other) != 0
    )


def _what(row: Booked) -> str | None:
    """What moved: a security, across brokers by its ISIN, else money of a currency."""
    return row.isin or row.broker_ref or row.currency


def _how_much(row: Booked) -> Decimal:
    return (row.quantity if row.broker_ref else row.gross) or _NONE


def _values(rows: Sequence[Booked]) -> dict[int, list[tuple[date, Decimal, str]]]:
    """Stored prices for securities that no source put a value on, by instrument, oldest first."""
    without = [row for row in rows if _needs_price(row)]
    if not without:
        return {}
    prices = Price.objects.filter(
        instrument__in={row.instrument_id for row in without},
        on__gte=min(row.on for row in without) - MAX_AGE,
        on__lte=max(row.on for row in without),
    )
    found: dict[int, list[tuple[date, Decimal, str]]] = {}
    columns = prices.order_by("on").values_list("instrument_id", "on", "close", "currency")
    for instrument_id, on, close, currency in columns:
        found.setdefault(instrument_id, []).append((on, close, currency))
    return found


def _needs_price(row: Booked) -> bool:
    return row.kind in _TRANSFERS and bool(row.broker_ref) and row.value is None and row.price is None


def _amount(row: Booked, prices: dict[int, list[tuple[date, Decimal, str]]]) -> Decimal | None:
    """Cash, or the value of the securities on the day: as told, else by the price of the transfer or day."""
    if row.kind not in _TRANSFERS or not row.broker_ref:
        return row.gross
    if row.value is not None:
        return row.value + (row.gross or _NONE)
    price = row.price
    if price is None and row.instrument_id is not None:
        known = [
            close
            for on, close, currency in prices.get(row.instrument_id, [])
            if on <= row.on and row.on - on <= MAX_AGE and currency == row.currency
        ]
        price = known[-1] if known else None
    if price is None or row.paper is None:
        return None
    return times(row.quantity, price * row.paper.multiplier * row.paper.quote_factor)


def _sides(flows: Sequence[_Moved]) -> tuple[Decimal | None, Decimal | None]:
    """What came in and what went out; a flow of unknown amount counts on the side its kind says."""
    into = (ActivityKind.DEPOSIT, ActivityKind.TRANSFER_IN)
    amounts = [(flow.amounts.gross, flow.row.kind in into) for flow in flows]
    return (
        total(amount for amount, is_in in amounts if (is_in if amount is None else amount > 0)).value,
        total(amount for amount, is_in in amounts if (not is_in if amount is None else amount < 0)).value,
    )


def _by_month(flows: Sequence[_Moved], start: date | None, end: date | None) -> tuple[ContributionGroup, ...]:
    if not flows or start is None or end is None:
        return ()
    by_month = grouped(flows, lambda flow: flow.row.month)
    return _in_order([(month, by_month.get(month, [])) for month in months(start, end)])


def _by_year(flows: Sequence[_Moved]) -> tuple[ContributionGroup, ...]:
    return _in_order(
        [(str(year), rows) for year, rows in grouped(flows, lambda flow: flow.row.on.year).items()]
    )


def _in_order(periods: Sequence[tuple[str, Sequence[_Moved]]]) -> tuple[ContributionGroup, ...]:
    groups, running = [], Decimal(0)
    for key, flows in periods:
        group = _group(key, "", flows)
        running += group.gross_base or _NONE
        groups.append(group.model_copy(update={"total_base": running}))
    return tuple(groups)


def _groups(
    flows: Sequence[_Moved], key: Callable[[_Moved], tuple[str, str]]
) -> tuple[ContributionGroup, ...]:
    groups = [_group(*names, rows) for names, rows in grouped(flows, key).items()]
    return tuple(sorted(groups, key=lambda group: (group.net_base is None, -(group.net_base or _NONE))))


def _group(key: str, name: str, flows: Sequence[_Moved]) -> ContributionGroup:
    in_base, out_base = _sides(flows)
    return ContributionGroup(
        key=key,
        name=name,
        **sums(flow.amounts for flow in flows),
        in_base=in_base,
        out_base=out_base,
        total_base=None,
    )


def _flow(flow: _Moved) -> Flow:
    row = flow.row
    return Flow.made(
        {
            "id": row.id,
            "on": row.on,
            "account": row.account.account,
            "broker": row.account.broker,
            "kind": row.kind,
            "is_internal": flow.is_internal,
            "symbol": row.symbol,
            "broker_ref": row.broker_ref,
            "quantity": row.quantity,
            "currency": row.currency,
            "amount": flow.amount,
            "amount_base": flow.amounts.gross,
            "description": row.description,
        }
    )
