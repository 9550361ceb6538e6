"""Activities out of the table, many at once."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Aggregate, Func, QuerySet, TextField
from django.db.models.functions import Cast

from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.models import Activity
from stonks_overwatch.ledger.types import ActivityKind

_AT_ONCE = 20_000
_KINDS = {kind.value: kind for kind in ActivityKind}
plain_day = lru_cache(10_000)(date.fromisoformat)


@lru_cache(10_000)
def plain_moment(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def plain_number(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)


def plain(name: str) -> Cast:
    """A column as the database keeps it: Django's own way from there takes longer than all the rest."""
    return Cast(name, TextField())


def plain_float(name: str) -> Func:
    """A number as the nearest binary one, and no function of Python called for it."""
    return Func(name, template="CAST(%(expressions)s AS double precision)", output_field=TextField())


class Listed(Aggregate):
    """The values of a group in one text, separated by commas: tens of thousands in a fifth of the time.

    Null is left out.
    """

    function = "GROUP_CONCAT"
    output_field = TextField()


class Row(NamedTuple):
    """An activity as the database keeps it."""

    pk: int
    instrument_id: int | None
    key: str
    kind: str
    trade_date: str
    currency: str
    description: str
    quantity: str | None
    price: str | None
    gross: str | None
    fee: str | None
    tax: str | None
    fx_rate: str | None
    ratio: str | None
    trade_at: str | None
    settlement_date: str | None
    subtype: str
    group: str | None
    booked_on: str | None
    ex_date: str | None
    acquired_on: str | None
    value: str | None
    cost: str | None
    realized_pnl: str | None
    refs: str
    reverses: str | None


_WIDTH = len(Row._fields)
_AS_THEY_ARE = {"pk", "instrument_id", "key", "kind", "currency", "description", "subtype", "group", "refs"}
_COLUMNS = [name if name in _AS_THEY_ARE else plain(name) for name in Row._fields]


def read_rows(stored: QuerySet[Activity], beside: tuple[str, ...] = ()) -> Iterator[tuple[Row, Any]]:
    """The rows, in the order in which they are asked for, and the columns named `beside`."""
    for row in stored.values_list(*_COLUMNS, *beside).iterator(_AT_ONCE):
        yield Row._make(row[:_WIDTH]), row[_WIDTH:]


def read_activities(
    stored: QuerySet[Activity], refs: Mapping[int, str], beside: tuple[str, ...] = (), account: str = ""
) -> Iterator[tuple[types.Activity, Any]]:
    """What the rows say, and the columns named `beside`; for the rest see `activity_of`."""
    return ((activity_of(row, refs, account), others) for row, others in read_rows(stored, beside))


def activity_of(row: Row, refs: Mapping[int, str], account: str = "") -> types.Activity:
    """What a row says, without a source.

    Args:
        row: the row.
        refs: the instruments' references by row number.
        account: whose it is.
    """
    (
        _, instrument, key, kind, trade_date, currency, description, quantity, price, gross, fee, tax,
        fx_rate, ratio, trade_at, settlement_date, subtype, group, booked_on, ex_date, acquired_on, value,
        cost, realized_pnl, told, reverses,
    ) = row  # fmt: skip
    return types.Activity(
        account=account,
        key=key,
        source="",
        kind=_KINDS[kind],
        trade_date=plain_day(trade_date),
        currency=currency,
        broker_ref=None if instrument is None else refs.get(instrument),
        trade_at=None if trade_at is None else plain_moment(trade_at),
        settlement_date=None if settlement_date is None else plain_day(settlement_date),
        quantity=None if quantity is None else Decimal(quantity),
        price=None if price is None else Decimal(price),
        gross=None if gross is None else Decimal(gross),
        fee=None if fee is None else Decimal(fee),
        tax=None if tax is None else Decimal(tax),
        fx_rate=None if fx_rate is None else Decimal(fx_rate),
        description=description,
        subtype=subtype,
        group=group,
        booked_on=None if booked_on is None else plain_day(booked_on),
        ex_date=None if ex_date is None else plain_day(ex_date),
        acquired_on=None if acquired_on is None else plain_day(acquired_on),
        value=None if value is None else Decimal(value),
        cost=None if cost is None else Decimal(cost),
        realized_pnl=None if realized_pnl is None else Decimal(realized_pnl),
        refs=tuple(told.split()),
        reverses=reverses,
        ratio=None if ratio is None else Decimal(ratio),
    )
