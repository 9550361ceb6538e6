"""Open lots: what each purchase that is still held cost, what it is worth, and what selling would earn."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from stonks_overwatch.errors import LotsRefusedError, UnknownInstrumentError
from stonks_overwatch.ledger.lots import (
    Lot,
    Method,
    Pile,
    difference,
    divided,
    effects,
    product,
    summed_if_known,
)
from stonks_overwatch.reports.books import NO_LOTS, Books, Paper, books
from stonks_overwatch.reports.documents import Computed, Document, Exact, total
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held, State, state_of


class LotRow(Document):
    """One open lot. Amounts have the sign of the quantity: a short lot's cost is what was received.

    `acquired_on` is null where the lot was held before the first known activity. `cost_base` is the cost
    at the rates of the days it was paid; `unrealized_pnl_base` = market value today − `cost_base`, and the
    three effects sum to it exactly. Futures and CFDs have no currency effect: only their profit is money.
    """

    account: str
    broker: str
    symbol: str
    isin: str | None
    broker_ref: str
    asset_class: str
    currency: str
    method: Method
    opened_by: str
    acquired_on: date | None
    days: int | None
    is_long_term: bool | None
    quantity: Exact
    cost: Computed | None
    cost_base: Computed | None
    price: Exact | None
    market_value: Computed | None
    market_value_base: Computed | None
    unrealized_pnl: Computed | None
    unrealized_pnl_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    instrument: int


class LotTotals(Document):
    """Sums over the known ones, in the base currency; `unknown` counts lots without a known profit."""

    cost_base: Computed | None
    market_value_base: Computed | None
    unrealized_pnl_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    unknown: int


class LotsDocument(Document):
    """By account and symbol, oldest first."""

    as_of: datetime | date | None
    base_currency: str
    lots: tuple[LotRow, ...]
    totals: LotTotals


class Sold(Document):
    """One lot, or a part, that a sale would close."""

    opened_by: str
    acquired_on: date | None
    days: int | None
    is_long_term: bool | None
    quantity: Exact
    cost: Computed | None
    proceeds: Computed | None
    gain: Computed | None
    gain_base: Computed | None


class Outcome(Document):
    """What a sale would realize by one method; in the instrument's and in the base currency."""

    method: Method
    sold: tuple[Sold, ...]
    cost: Computed | None
    proceeds: Computed | None
    gain: Computed | None
    gain_base: Computed | None


class WhatIfDocument(Document):
    """A sale that has not happened, by each method, out of the lots that are open now, before commission.

    For a short position it is the purchase that covers it.
    """

    as_of: datetime | date | None
    base_currency: str
    account: str
    broker: str
    symbol: str
    broker_ref: str
    currency: str
    quantity: Exact
    price: Exact | None
    outcomes: tuple[Outcome, ...]


WHAT_IF_METHODS = (Method.FIFO, Method.LIFO, Method.HIFO, Method.AVERAGE)


def lots(scope: Scope, method: Method | None = None, instrument: int | None = None) -> LotsDocument:
    """The open lots by the accounts' own methods, or by the given one; of one instrument row, or all."""
    looked_at = accounts(scope)
    state = state_of(looked_at, scope.as_of)
    kept = books(looked_at, scope.base_currency, scope.as_of, method)
    as_of = scope.as_of or min((account.updated_at for account in looked_at), default=None)
    rows = tuple(
        row
        for held in state.held
        if instrument in (None, held.instrument_id)
        for row in _rows(held, kept, state)
    )
    return LotsDocument(
        as_of=as_of,
        base_currency=scope.base_currency,
        lots=rows,
        totals=LotTotals(
            cost_base=total(row.cost_base for row in rows).value,
            market_value_base=total(row.market_value_base for row in rows).value,
            unrealized_pnl_base=total(row.unrealized_pnl_base for row in rows).value,
            price_effect_base=total(row.price_effect_base for row in rows).value,
            currency_effect_base=total(row.currency_effect_base for row in rows).value,
            cross_effect_base=total(row.cross_effect_base for row in rows).value,
            unknown=sum(row.unrealized_pnl_base is None for row in rows),
        ),
    )


def is_long_term(opened_on: date, closed_on: date) -> bool:
    """Whether it was held for more than a year: beyond the same day of the next year."""
    try:
        anniversary = opened_on.replace(year=opened_on.year + 1)
    except ValueError:  # 29 February
        anniversary = date(opened_on.year + 1, 2, 28)
    return closed_on > anniversary


def _rows(held: Held, kept: Books, state: State) -> Iterable[LotRow]:
    account = kept.accounts[held.account_id]
    on = state.days[account.pk]
    paper = kept.papers.get(held.instrument_id)
    if paper is None:
        return
    rate = kept.rate(account.pk, paper.currency, on)
    for lot in kept.lots.get((account.pk, paper.pk), NO_LOTS).open:
        value = _worth(lot, held, paper)
        gain = difference(value, lot.cost)
        value_base = product(value, rate)
        # Only the profit of a future is money.
        cost_base = product(lot.cost, rate) if paper.is_margined else lot.cost_base
        gain_base = difference(value_base, cost_base)
        parts = effects(lot.cost, value, cost_base, value_base, rate)
        yield LotRow(
            account=account.account,
            broker=account.broker,
            symbol=paper.symbol,
            isin=paper.isin,
            broker_ref=paper.broker_ref,
            asset_class=paper.asset_class,
            currency=paper.currency,
            method=kept.methods[account.pk],
            opened_by=lot.opened_by,
            acquired_on=lot.opened_on if lot.is_dated else None,
            days=(on - lot.opened_on).days if lot.is_dated else None,
            is_long_term=is_long_term(lot.opened_on, on) if lot.is_dated else None,
            quantity=lot.quantity,
            cost=lot.cost,
            cost_base=cost_base,
            price=held.price,
            market_value=value,
            market_value_base=value_base,
            unrealized_pnl=gain,
            unrealized_pnl_base=gain_base,
            price_effect_base=None if parts is None else parts.price,
            currency_effect_base=None if parts is None else parts.currency,
            cross_effect_base=None if parts is None else parts.cross,
            instrument=paper.pk,
        )


def _worth(lot: Lot, held: Held, paper: Paper) -> Decimal | None:
    """The lot's part of what the position stands for; by its price where the lots do not explain it."""
    if held.exposure is not None and held.quantity:
        share, _ = divided(held.exposure, lot.quantity, held.quantity)
        return share
    return product(product(held.price, lot.quantity), paper.per_unit)


def what_if(
    scope: Scope, reference: str, quantity: Decimal | None = None, price: Decimal | None = None
) -> WhatIfDocument:
    """Sell `quantity` (all, unless given) at `price` (the last one, unless given), by each method.

    `reference` is a symbol, an ISIN or the broker's own number. The quantity is positive, for short
    positions too.

    Raises:
        UnknownInstrumentError: when nothing of that name is held.
        LotsRefusedError: when there is less of it, or several positions have that name.
    """
    looked_at = accounts(scope)
    state = state_of(looked_at, scope.as_of)
    held = _held(state, reference)
    account = next(account for account in looked_at if account.pk == held.account_id)
    kept = books([account], scope.base_currency, scope.as_of)
    open_now = kept.lots.get((account.pk, held.instrument_id), NO_LOTS)
    on = state.days[account.pk]
    wanted = abs(open_now.quantity) if quantity is None else quantity
    if not 0 < wanted <= abs(open_now.quantity):
        raise LotsRefusedError(
            f"Of {held.symbol}, {abs(open_now.quantity):f} are open in lots, and not {wanted:f}.",
            next_step=f"Ask for a quantity above 0 and at most {abs(open_now.quantity):f}.",
        )
    signed = wanted.copy_sign(open_now.quantity)
    at = held.price if price is None else price
    paper = kept.papers[held.instrument_id]
    proceeds = product(product(signed, at), paper.per_unit)
    rate = kept.rate(account.pk, paper.currency, on)
    return WhatIfDocument(
        as_of=scope.as_of or account.updated_at,
        base_currency=scope.base_currency,
        account=account.account,
        broker=account.broker,
        symbol=paper.symbol,
        broker_ref=paper.broker_ref,
        currency=paper.currency,
        quantity=signed,
        price=at,
        outcomes=tuple(
            _outcome(method, open_now.open, signed, proceeds, rate, on, is_margined=paper.is_margined)
            for method in WHAT_IF_METHODS
        ),
    )


def _held(state: State, reference: str) -> Held:
    wanted = reference.strip().casefold()
    found = [
        row
        for row in state.held
        if wanted in (row.broker_ref.casefold(), (row.isin or "").casefold(), row.symbol.casefold())
    ]
    if not found:
        raise UnknownInstrumentError(
            f"Nothing that is held has the symbol, ISIN or number {reference}.",
            next_step="See stonks-overwatch holdings for what is held.",
        )
    if len(found) > 1:
        names = {account.pk: account.account for account in state.accounts}
        where = ", ".join(f"{row.broker_ref} in account {names[row.account_id]}" for row in found)
        raise LotsRefusedError(
            f"{reference} is the name of several positions: {where}.",
            next_step="Name the account with --account, and the broker's number in place of the symbol.",
        )
    return found[0]


def _outcome(
    method: Method,
    lots: Sequence[Lot],
    quantity: Decimal,
    proceeds: Decimal | None,
    rate: Decimal | None,
    on: date,
    *,
    is_margined: bool,
) -> Outcome:
    pile = Pile(method)
    for lot in lots:
        pile.add(lot)
    sold = []
    for part in (taken.lot for taken in pile.take(quantity)):
        brought, _ = divided(proceeds, part.quantity, quantity)
        gain = difference(brought, part.cost)
        cost_base = product(part.cost, rate) if is_margined else part.cost_base
        sold.append(
            Sold(
                opened_by=part.opened_by,
                acquired_on=part.opened_on if part.is_dated else None,
                days=(on - part.opened_on).days if part.is_dated else None,
                is_long_term=is_long_term(part.opened_on, on) if part.is_dated else None,
                quantity=part.quantity,
                cost=part.cost,
                proceeds=brought,
                gain=gain,
                gain_base=difference(product(brought, rate), cost_base),
            )
        )
    return Outcome(
        method=method,
        sold=tuple(sold),
        cost=summed_if_known(part.cost for part in sold),
        proceeds=proceeds,
        gain=summed_if_known(part.gain for part in sold),
        gain_base=summed_if_known(part.gain_base for part in sold),
    )
