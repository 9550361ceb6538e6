"""The trades of each instrument, and what closing them earned: first in, first out, over known activities."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import QuerySet

from stonks_overwatch.ledger import lots, models
from stonks_overwatch.ledger.matching import fifo
from stonks_overwatch.ledger.types import Activity, ActivityKind
from stonks_overwatch.reports.documents import times, total
from stonks_overwatch.reports.rates import Rates

Key = tuple[int, int]
"""The rows of an account and an instrument."""


@dataclass(slots=True)
class Trades:
    """All that moved one instrument in one account, in the instrument's currency.

    `fx_rates` are those booked with an activity, by its key: account currency for one unit.
    """

    currency: str
    multiplier: Decimal
    quote_factor: Decimal
    activities: list[Activity] = field(default_factory=list)
    fx_rates: dict[str, Decimal] = field(default_factory=dict)

    def matched(self) -> lots.Lots:
        return fifo(self.activities, self.multiplier, self.quote_factor)


class _Row(NamedTuple):
    """One activity with its instrument, in the order of `_COLUMNS`."""

    account_id: int
    instrument_id: int
    instrument_currency: str
    multiplier: Decimal
    quote_factor: Decimal
    key: str
    kind: str
    trade_date: date
    trade_at: datetime | None
    quantity: Decimal
    price: Decimal | None
    gross: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    cost: Decimal | None
    acquired_on: date | None
    currency: str
    fx_rate: Decimal | None


_COLUMNS = (
    "account_id",
    "instrument_id",
    "instrument__currency",
    "instrument__multiplier",
    "instrument__quote_factor",
    *_Row._fields[5:],
)


def moving(accounts: Iterable[models.Account], until: date | None = None) -> QuerySet[models.Activity]:
    """The activities that change a quantity, to the end of a day."""
    rows = (
        models.Activity.objects.current()
        .filter(account__in=list(accounts), instrument__isnull=False, quantity__isnull=False)
        .exclude(kind=ActivityKind.FX)
    )
    return rows if until is None else rows.filter(trade_date__lte=until)


def beyond_opening(rows: QuerySet[models.Activity]) -> QuerySet[models.Activity]:
    """Those of instruments that have more than an opening balance: the others closed nothing."""
    return rows.filter(instrument__in=rows.exclude(kind=ActivityKind.OPENING).values("instrument"))


def trades(rows: QuerySet[models.Activity]) -> dict[Key, Trades]:
    """The activities as the ledger's own, by account and instrument; one query."""
    found: dict[Key, Trades] = {}
    for row in map(_Row._make, rows.values_list(*_COLUMNS)):
        of_instrument = found.get((row.account_id, row.instrument_id))
        if of_instrument is None:
            of_instrument = Trades(row.instrument_currency, row.multiplier, row.quote_factor)
            found[row.account_id, row.instrument_id] = of_instrument
        # Money in another currency than the instrument's says nothing about its cost there.
        same = row.currency == row.instrument_currency
        of_instrument.activities.append(
            Activity(
                account="",
                source="",
                key=row.key,
                kind=ActivityKind(row.kind),
                trade_date=row.trade_date,
                trade_at=row.trade_at,
                currency=row.instrument_currency,
                quantity=row.quantity,
                price=row.price if same else None,
                gross=row.gross if same else None,
                fee=row.fee if same else None,
                tax=row.tax if same else None,
                cost=row.cost if same else None,
                acquired_on=row.acquired_on,
            )
        )
        if row.fx_rate is not None and same:
            of_instrument.fx_rates[row.key] = row.fx_rate
    return found


class _Gain(NamedTuple):
    amount: Decimal | None
    currency: str
    on: date


def _gain(close: lots.Close, of: Trades, account_currency: str) -> _Gain:
    """In the account's currency where the trade has a rate for it, else in the instrument's."""
    booked = of.fx_rates.get(close.closed_by)
    if booked is None:
        return _Gain(close.realized_pnl, of.currency, close.closed_on)
    return _Gain(times(close.realized_pnl, booked), account_currency, close.closed_on)


def realized(
    traded: Mapping[Key, Trades], accounts: Iterable[models.Account], base: str
) -> dict[Key, Decimal | None]:
    """Realized P&L in the base currency, by account and instrument, of all that was ever closed.

    Proceeds minus cost in the instrument's currency, at the rate of the day it was closed: the one
    booked with the trade, else the broker's or the ECB's. None where a cost, a price or a rate is unknown.
    """
    kept_in = {account.pk: account.currency for account in accounts}
    gains: dict[Key, list[_Gain]] = {
        key: [_gain(close, of_instrument, kept_in[key[0]]) for close in of_instrument.matched().closed]
        for key, of_instrument in traded.items()
    }
    foreign = [gain for closed in gains.values() for gain in closed if gain.currency != base]
    days, currencies = [gain.on for gain in foreign], {base, *(gain.currency for gain in foreign)}
    rates = Rates.between(min(days), max(days), currencies | {*kept_in.values()}) if days else Rates(())
    sums = {
        key: total(rates.convert(gain.amount, gain.currency, base, gain.on) for gain in closed)
        for key, closed in gains.items()
        if closed
    }
    return {key: None if earned.unknown else earned.value for key, earned in sums.items()}
