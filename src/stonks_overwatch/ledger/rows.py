"""Activities out of the table, many at once."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet, TextField
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


_COLUMNS: tuple[str | Cast, ...] = (
    "instrument_id", "key", "kind", "currency", "description", "subtype", "group", "reverses", "refs",
    *map(plain, ("trade_at", "trade_date", "settlement_date", "booked_on", "ex_date", "acquired_on")),
    *map(plain, ("quantity", "price", "gross", "fee", "tax", "fx_rate", "value", "cost", "realized_pnl")),
    plain("ratio"),
)  # fmt: skip


def read_activities(
    stored: QuerySet[Activity], refs: Mapping[int, str], beside: tuple[str, ...] = (), account: str = ""
) -> Iterator[tuple[types.Activity, Any]]:
    """What the rows say, without a source, and the columns named `beside`.

    Args:
        stored: the rows, in the order in which they are wanted.
        refs: the instruments' references by row number.
        account: of all of them.
    """
    width = len(beside)
    for row in stored.values_list(*beside, *_COLUMNS).iterator(_AT_ONCE):
        (
            instrument, key, kind, currency, description, subtype, group, reverses, numbers, trade_at,
            trade_date, settlement_date, booked_on, ex_date, acquired_on, quantity, price, gross, fee, tax,
            fx_rate, value, cost, realized_pnl, ratio,
        ) = row[width:]  # fmt: skip
        activity = types.Activity(
            account=account,
            key=key,
            source="",
            kind=_KINDS[kind],
            trade_date=plain_day(trade_date),
            currency=currency,
            broker_ref=None if instrument is None else refs.get(instrument),
            trade_at=_moment_if_any(trade_at),
            settlement_date=_day_if_any(settlement_date),
            quantity=plain_number(quantity),
            price=plain_number(price),
            gross=plain_number(gross),
            fee=plain_number(fee),
            tax=plain_number(tax),
            fx_rate=plain_number(fx_rate),
            description=description,
            subtype=subtype,
            group=group,
            booked_on=_day_if_any(booked_on),
            ex_date=_day_if_any(ex_date),
            acquired_on=_day_if_any(acquired_on),
            value=plain_number(value),
            cost=plain_number(cost),
            realized_pnl=plain_number(realized_pnl),
            refs=tuple(numbers.split()),
            reverses=reverses,
            ratio=plain_number(ratio),
        )
        yield activity, row[:width]


def _day_if_any(written: str | None) -> date | None:
    return None if written is None else plain_day(written)


def _moment_if_any(written: str | None) -> datetime | None:
    return None if written is None else plain_moment(written)
