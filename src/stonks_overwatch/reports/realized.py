"""Realized gains: every lot that was closed, and their sums by year and by instrument."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger.lots import Close, Method, effects
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.books import Books, Paper, books
from stonks_overwatch.reports.documents import Computed, Document, Exact, total
from stonks_overwatch.reports.lots import is_long_term
from stonks_overwatch.reports.scope import Scope, accounts


class ClosedLot(Document):
    """One lot, or a part of one, that was closed. `gain` = `proceeds` − `cost`, commissions in both.

    A long lot was bought on `acquired_on` and sold on `disposed_on`. A short one was sold first: its
    quantity is negative, `acquired_on` is the day of the sale that opened it, `disposed_on` the day it
    was covered, `proceeds` is what the sale brought and `cost` what covering it cost. `days` is the time
    between. What was held before the first known activity has no `acquired_on`. `is_matched` says that
    the lot was named by the user or by the broker. Base amounts are at the rates of their own days; the
    three effects sum to `gain_base` exactly. `instrument` is its number in the address of its page.
    """

    account: str
    broker: str
    symbol: str
    isin: str | None
    broker_ref: str
    asset_class: str
    currency: str
    method: Method
    is_matched: bool
    side: str  # long or short
    opened_by: str
    closed_by: str
    acquired_on: date | None
    disposed_on: date
    days: int | None
    is_long_term: bool | None
    quantity: Exact
    proceeds: Computed | None
    cost: Computed | None
    gain: Computed | None
    proceeds_base: Computed | None
    cost_base: Computed | None
    gain_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    instrument: int


class Gains(Document):
    """Sums over what is known, in the base currency; `unknown` counts closed lots whose gain is not.

    `long_term_base` is of what was held for more than a year, `short_term_base` of the rest; both leave
    out lots whose day of purchase is not known.
    """

    lots: int
    proceeds_base: Computed | None
    cost_base: Computed | None
    gain_base: Computed | None
    short_term_base: Computed | None
    long_term_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    unknown: int


class _Year(Document):
    year: int


class YearGains(Gains, _Year):
    """What was closed in one year."""


class _Traded(Document):
    symbol: str
    isin: str | None
    broker: str
    broker_ref: str
    asset_class: str
    currency: str
    gain: Computed | None
    instrument: int


class InstrumentGains(Gains, _Traded):
    """What was closed of one instrument. `gain` is in its currency."""


class RealizedDocument(Document):
    """What was closed in `year` (null: ever), newest first; `by_year` is of all years."""

    base_currency: str
    year: int | None
    lots: tuple[ClosedLot, ...]
    by_year: tuple[YearGains, ...]
    by_instrument: tuple[InstrumentGains, ...]
    totals: Gains


def realized(
    scope: Scope, year: int | None = None, method: Method | None = None, instrument: int | None = None
) -> RealizedDocument:
    """The closed lots by the accounts' own methods, or by the given one; of one instrument row, or all."""
    looked_at = accounts(scope)
    kept = books(looked_at, scope.base_currency, scope.as_of, method)
    every = [
        _closed(close, kept, kept.accounts[account], kept.papers[paper])
        for (account, paper), of_key in kept.lots.items()
        for close in of_key.closed
        if instrument in (None, paper)
    ]
    every.sort(key=lambda row: (row.disposed_on, row.symbol, row.account), reverse=True)
    chosen = [row for row in every if year in (None, row.disposed_on.year)]
    return RealizedDocument(
        base_currency=scope.base_currency,
        year=year,
        lots=tuple(chosen),
        by_year=tuple(
            YearGains(year=key, **_sums(rows))
            for key, rows in sorted(_grouped(every, lambda row: row.disposed_on.year).items(), reverse=True)
        ),
        by_instrument=tuple(
            sorted(
                (_instrument(rows) for rows in _grouped(chosen, lambda row: row.instrument).values()),
                key=lambda row: (row.gain_base is None, -(row.gain_base or 0), row.symbol),
            )
        ),
        totals=Gains(**_sums(chosen)),
    )


def _sums(lots: list[ClosedLot]) -> dict[str, Any]:
    """The fields of `Gains`."""
    return {
        "lots": len(lots),
        "proceeds_base": total(row.proceeds_base for row in lots).value,
        "cost_base": total(row.cost_base for row in lots).value,
        "gain_base": total(row.gain_base for row in lots).value,
        "short_term_base": total(row.gain_base for row in lots if row.is_long_term is False).value,
        "long_term_base": total(row.gain_base for row in lots if row.is_long_term).value,
        "price_effect_base": total(row.price_effect_base for row in lots).value,
        "currency_effect_base": total(row.currency_effect_base for row in lots).value,
        "cross_effect_base": total(row.cross_effect_base for row in lots).value,
        "unknown": sum(row.gain_base is None for row in lots),
    }


def _grouped(rows: Iterable[ClosedLot], key: Callable[[ClosedLot], int]) -> dict[int, list[ClosedLot]]:
    found: defaultdict[int, list[ClosedLot]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _instrument(rows: list[ClosedLot]) -> InstrumentGains:
    first = rows[0]
    return InstrumentGains(
        symbol=first.symbol,
        isin=first.isin,
        broker=first.broker,
        broker_ref=first.broker_ref,
        asset_class=first.asset_class,
        currency=first.currency,
        gain=total(row.gain for row in rows).value,
        instrument=first.instrument,
        **_sums(rows),
    )


def _closed(close: Close, kept: Books, account: Account, paper: Paper) -> ClosedLot:
    is_short = close.quantity < 0
    rate = kept.rate(account.pk, paper.currency, close.closed_on, close.closed_by)
    parts = effects(close.cost, close.proceeds, close.cost_base, close.proceeds_base, rate)

    def brought(long: Decimal | None, short: Decimal | None) -> Decimal | None:
        if not is_short:
            return long
        return None if short is None else -short

    return ClosedLot(
        account=account.account,
        broker=account.broker,
        symbol=paper.symbol,
        isin=paper.isin,
        broker_ref=paper.broker_ref,
        asset_class=paper.asset_class,
        currency=paper.currency,
        method=kept.methods[account.pk],
        is_matched=close.is_told,
        side="short" if is_short else "long",
        opened_by=close.opened_by,
        closed_by=close.closed_by,
        acquired_on=close.opened_on if close.is_dated else None,
        disposed_on=close.closed_on,
        days=(close.closed_on - close.opened_on).days if close.is_dated else None,
        # A short sale is never long-term: its holding period is that of what covered it.
        is_long_term=not is_short and is_long_term(close.opened_on, close.closed_on)
        if close.is_dated
        else None,
        quantity=close.quantity,
        proceeds=brought(close.proceeds, close.cost),
        cost=brought(close.cost, close.proceeds),
        gain=close.realized_pnl,
        proceeds_base=brought(close.proceeds_base, close.cost_base),
        cost_base=brought(close.cost_base, close.proceeds_base),
        gain_base=close.realized_pnl_base,
        price_effect_base=None if parts is None else parts.price,
        currency_effect_base=None if parts is None else parts.currency,
        cross_effect_base=None if parts is None else parts.cross,
        instrument=paper.pk,
    )
