"""Realized gains: every lot that was closed, and their sums by year and by instrument."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from itertools import repeat
from operator import attrgetter
from typing import Any

from pydantic import Field

from stonks_overwatch.ledger.lots import Method, effects, negative
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.books import Paper
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.documents import Computed, Document, Exact, Rows, option, total
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.lot_books import (
    EVER,
    GAINED,
    ClosedRow,
    Earned,
    GainRow,
    brought_and_paid,
    is_long_term_gain,
    lot_books,
    papers,
)
from stonks_overwatch.reports.lots import is_rate_guessed
from stonks_overwatch.reports.scope import Scope, accounts


class ClosedLot(Document):
    """One lot, or a part of one, that was closed. `gain` = `proceeds` − `cost`, commissions in both.

    A long lot was bought on `acquired_on` and sold on `disposed_on`. A short one was sold first: its
    quantity is negative, `acquired_on` is the day of the sale that opened it, `disposed_on` the day it
    was covered, `proceeds` is what the sale brought and `cost` what covering it cost. `days` is the time
    between. What was held before the first known activity has no `acquired_on`. `is_matched` says that
    the lot was named by the user or by the broker. Base amounts are at the rates of their own days; the
    three effects sum to `gain_base` exactly. `is_estimate`: the day of the purchase, and with it the rate, is
    not known; what it cost is converted at the rate of the opening balance's day, and with it the gain in the
    base currency and the effects are estimates. `instrument` is its number in the address of its page.
    """

    account: str
    broker: str
    symbol: str
    name: str
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
    is_estimate: bool
    instrument: int
    option: str = Field(exclude=True)
    expires_on: date | None = Field(exclude=True)


class Gains(Document):
    """Sums over what is known, in the base currency; `unknown` counts closed lots whose gain is not.

    `estimates` counts those whose gain is an estimate, see ClosedLot; so are then the sums of gains, costs
    and effects, but not those by the time that a lot was held.
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
    estimates: int


class _Year(Document):
    year: int


class YearGains(Gains, _Year):
    """What was closed in one year."""


class _Traded(Document):
    symbol: str
    name: str
    isin: str | None
    broker: str
    broker_ref: str
    asset_class: str
    currency: str
    gain: Computed | None
    instrument: int
    option: str = Field(exclude=True)
    expires_on: date | None = Field(exclude=True)


class InstrumentGains(Gains, _Traded):
    """What was closed of one instrument. `gain` is in its currency."""


class RealizedDocument(Document):
    """What was closed in `year` (null: ever), newest first; `by_year` is of all years."""

    base_currency: str
    year: int | None
    lots: Rows[ClosedLot]
    by_year: tuple[YearGains, ...]
    by_instrument: Rows[InstrumentGains]
    totals: Gains


def realized(
    scope: Scope,
    year: int | None = None,
    method: Method | None = None,
    page: tuple[int, int] | None = None,
) -> RealizedDocument:
    """The closed lots by the accounts' own methods, or by the given one.

    `page` are the places, from and to, of the wanted rows of `lots`; the sums are of all.
    """
    if page is None:  # tens of thousands of lots are not kept
        return _realized(scope, year, method, slice(None))
    return _page(scope, year, method, page)


@kept
def _page(scope: Scope, year: int | None, method: Method | None, page: tuple[int, int]) -> RealizedDocument:
    return _realized(scope, year, method, slice(*page))


def _realized(scope: Scope, year: int | None, method: Method | None, page: slice) -> RealizedDocument:
    looked_at = {account.pk: account for account in accounts(scope)}
    matched = lot_books(list(looked_at.values()), scope.base_currency, scope.as_of, method)
    rows = matched.closed(year or EVER, None, page)
    of_instrument = matched.gains(year or EVER, by_instrument=True)
    numbers = {row.instrument for row in rows} | {row.instrument or 0 for row in of_instrument}
    described = papers(numbers)
    by_year = _grouped(matched.gains(None), lambda row: row.year)

    def made(some: Sequence[ClosedRow]) -> list[ClosedLot]:
        return [
            closed_lot(
                row,
                looked_at[row.account],
                described[row.instrument],
                matched.methods[row.account],
                scope.base_currency,
            )
            for row in some
        ]

    def named(name: str) -> list[ClosedRow]:
        """The lots that the key of a row can be of."""
        numbers = [pk for pk, paper in described.items() if f" {paper.broker_ref} " in name]
        found = [row for number in numbers for row in matched.closed(year or EVER, number)]
        return [row for row in found if row.close.closed_by in name]

    by_instrument = _grouped(of_instrument, lambda row: row.instrument or 0)

    def rank(number: int) -> tuple[bool, Decimal, str]:
        """The largest gain first."""
        gain = total(row.gain_base for row in by_instrument[number] if row.lots).value
        return gain is None, -(gain or _NONE), described[number].symbol

    return RealizedDocument(
        base_currency=scope.base_currency,
        year=year,
        lots=Rows(rows, made, named),
        by_year=tuple(
            YearGains(year=key, **_sums(of_key)) for key, of_key in sorted(by_year.items(), reverse=True)
        ),
        by_instrument=Rows(
            sorted(by_instrument, key=rank),
            lambda some: [_instrument(described[number], by_instrument[number]) for number in some],
        ),
        totals=Gains(**_sums(matched.gains(year or EVER))),
    )


def realized_between(
    scope: Scope, start: date, end: date, method: Method | None = None, only: Group | None = None
) -> Earned:
    """The gain in the base currency of what was closed from the one day to the other, both included.

    By the accounts' own methods, or by the given one; with `only`, of some holdings. Over what is known.
    """
    matched = lot_books(list(accounts(scope)), scope.base_currency, scope.as_of, method)
    chosen = None if only is None else only.numbers()
    rows = [
        row
        for row in matched.closed(start.year if start.year == end.year else EVER)
        if start <= row.close.closed_on <= end and (chosen is None or row.instrument in chosen)
    ]
    described = papers({row.instrument for row in rows})
    guessed = (
        row.close.realized_pnl_base is not None
        and is_rate_guessed(row.close, described[row.instrument], scope.base_currency)
        for row in rows
    )
    return Earned(total(row.close.realized_pnl_base for row in rows).value, any(guessed))


def _sums(rows: list[GainRow]) -> dict[str, Any]:
    """The fields of `Gains`, of several accounts."""
    filled = [row for row in rows if row.lots]
    columns = zip(*map(_SUMMED, filled), strict=True) if filled else repeat(())
    return {
        "lots": sum([row.lots for row in filled]),
        **{name: total(column).value for name, column in zip(_SUMS, columns, strict=False)},
        "unknown": sum([row.unknown for row in filled]),
        "estimates": sum([row.estimates for row in filled]),
    }


_NONE = Decimal(0)
_SUMS = tuple(name for name in GAINED if name in Gains.model_fields)
_SUMMED = attrgetter(*_SUMS)


def _grouped(rows: Iterable[GainRow], key: Callable[[GainRow], int]) -> dict[int, list[GainRow]]:
    found: defaultdict[int, list[GainRow]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _instrument(paper: Paper, rows: list[GainRow]) -> InstrumentGains:
    return InstrumentGains.made(
        {
            "symbol": paper.symbol,
            "name": paper.name,
            "isin": paper.isin,
            "broker": paper.broker,
            "broker_ref": paper.broker_ref,
            "asset_class": paper.asset_class,
            "currency": paper.currency,
            "gain": total(row.gain for row in rows).value,
            "instrument": paper.pk,
            "option": option(paper.right, paper.strike),
            "expires_on": paper.expires_on,
            **_sums(rows),
        }
    )


def closed_lot(row: ClosedRow, account: Account, paper: Paper, method: Method, base: str) -> ClosedLot:
    close = row.close
    is_short = close.quantity < 0
    parts = effects(close.cost, close.proceeds, close.cost_base, close.proceeds_base, close.rate)
    cost, proceeds = close.cost, close.proceeds
    proceeds_base, cost_base = brought_and_paid(close)
    if is_short:
        cost, proceeds = negative(proceeds), negative(cost)
    return ClosedLot(
        account=account.account,
        broker=account.broker,
        symbol=paper.symbol,
        name=paper.name,
        isin=paper.isin,
        broker_ref=paper.broker_ref,
        asset_class=paper.asset_class,
        currency=paper.currency,
        method=method,
        is_matched=close.is_told,
        side="short" if is_short else "long",
        opened_by=close.opened_by,
        closed_by=close.closed_by,
        acquired_on=close.opened_on if close.is_dated else None,
        disposed_on=close.closed_on,
        days=(close.closed_on - close.opened_on).days if close.is_dated else None,
        is_long_term=is_long_term_gain(close),
        quantity=close.quantity,
        proceeds=proceeds,
        cost=cost,
        gain=close.realized_pnl,
        proceeds_base=proceeds_base,
        cost_base=cost_base,
        gain_base=close.realized_pnl_base,
        price_effect_base=None if parts is None else parts.price,
        currency_effect_base=None if parts is None else parts.currency,
        cross_effect_base=None if parts is None else parts.cross,
        is_estimate=close.realized_pnl_base is not None and is_rate_guessed(close, paper, base),
        instrument=paper.pk,
        option=option(paper.right, paper.strike),
        expires_on=paper.expires_on,
    )
