"""Ledger rows for tests: each builder names what matters and defaults the rest. Numbers are texts."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from stonks_overwatch.ledger import models, packed

TODAY = date(2026, 3, 4)  # a Wednesday
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
_numbers = count(1)


def figures(*values: Any) -> tuple[Any, ...]:
    """For comparisons: 5 is as good as Decimal(5)."""
    return values


def number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def account(name: str = "U1", currency: str = "EUR", broker: str = "ibkr", **more: Any) -> models.Account:
    values = dict.fromkeys(("updated_at", "positions_at", "cash_at"), more.get("updated_at", NOW)) | more
    return models.Account.objects.create(account=name, currency=currency, broker=broker, **values)


def instrument(symbol: str = "ABC", currency: str = "EUR", **more: Any) -> models.Instrument:
    values = {
        "broker": "ibkr",
        "broker_ref": str(1000 + next(_numbers)),
        "name": f"{symbol} Inc",
        "asset_class": "stock",
        "multiplier": Decimal(1),
        "quote_factor": Decimal(1),
        **more,
    }
    return models.Instrument.objects.create(symbol=symbol, currency=currency, **values)


def position(
    holder: models.Account,
    held: models.Instrument,
    quantity: str = "10",
    price: str | None = "12",
    cost: str | None = "100",
    **more: Any,
) -> models.Position:
    """An open position; value, exposure and profit follow from the numbers unless given."""
    exposure = Decimal(quantity) * Decimal(price) * held.multiplier * held.quote_factor if price else None
    values = {
        "quantity": Decimal(quantity),
        "is_open": Decimal(quantity) != 0,
        "price": number(price),
        "market_value": exposure,
        "exposure": exposure,
        "average_cost": None,
        "cost_basis": number(cost),
        "unrealized_pnl": exposure - Decimal(cost) if exposure is not None and cost else None,
        "priced_at": NOW,
        "changed_at": NOW,
        "anchor_quantity": Decimal(quantity),
        "anchor_at": NOW,
        **more,
    }
    return models.Position.objects.create(account=holder, instrument=held, **values)


def cash(holder: models.Account, currency: str = "EUR", amount: str = "0", **more: Any) -> models.CashBalance:
    values = {"updated_at": NOW, "anchor_amount": Decimal(amount), "anchor_at": NOW, **more}
    return models.CashBalance.objects.create(
        account=holder, currency=currency, amount=Decimal(amount), **values
    )


def rate(base: str, quote: str, units: str, on: date = TODAY) -> models.FxRate:
    """`units` of `quote` for one unit of `base`."""
    row = models.FxRate.objects.create(base=base, quote=quote, on=on, rate=Decimal(units), source="test")
    packed.rates_changed({(base, quote): on})
    return row


def price(of: models.Instrument, close: str, on: date) -> models.Price:
    return models.Price.objects.create(
        instrument=of, on=on, close=Decimal(close), currency=of.currency, source="test"
    )


def nav(holder: models.Account, amount: str, on: date, currency: str | None = None) -> models.NavPoint:
    return models.NavPoint.objects.create(
        account=holder, on=on, nav=Decimal(amount), currency=currency or holder.currency
    )


def activity(
    holder: models.Account,
    kind: str,
    on: date = TODAY,
    of: models.Instrument | None = None,
    *,
    sources: tuple[str, ...] = ("web-api",),
    **more: Any,
) -> models.Activity:
    """Numbers may be given as texts."""
    key = str(next(_numbers))
    values = {
        "key": f"key-{key}",
        "currency": of.currency if of else holder.currency,
        "recorded_at": NOW,
        **{name: number(value) if name in _AMOUNTS else value for name, value in more.items()},
    }
    made = models.Activity.objects.create(account=holder, instrument=of, kind=kind, trade_date=on, **values)
    for index, source in enumerate(sources):
        models.ActivitySource.objects.create(activity=made, source=source, key=f"{key}-{index}")
    return made


_AMOUNTS = {"quantity", "price", "gross", "fee", "tax", "fx_rate", "cost", "realized_pnl"}


def run(status: str = "ok", started_at: datetime = NOW, **more: Any) -> models.SyncRun:
    values = {"broker": "ibkr", "finished_at": None if status == "running" else started_at, **more}
    return models.SyncRun.objects.create(status=status, started_at=started_at, **values)
