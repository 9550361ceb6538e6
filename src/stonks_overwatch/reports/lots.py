"""Open lots: what each purchase that is still held cost, what it is worth, and what selling would earn."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from stonks_overwatch.errors import LotsRefusedError, UnknownInstrumentError
from stonks_overwatch.ledger.lots import (
    Close,
    Lot,
    Method,
    Pick,
    Pile,
    difference,
    divided,
    effects,
    product,
    summed,
    summed_if_known,
)
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.books import Key, Paper
from stonks_overwatch.reports.documents import Computed, Document, Exact, total
from stonks_overwatch.reports.lot_books import (
    MOST_NAMED,
    Live,
    OpenRow,
    Stored,
    is_cost_rated,
    is_long_term,
    lot_books,
    papers,
)
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held, State, state_of, told_at


class LotRow(Document):
    """One open lot. Amounts have the sign of the quantity: a short lot's cost is what was received.

    `acquired_on` is null where the lot was held before the first known activity. `cost_base` is the cost
    at the rates of the days it was paid; `unrealized_pnl_base` = market value today − `cost_base`, and the
    three effects sum to it exactly. Futures and CFDs have no currency effect: only their profit is money.
    `is_estimate`: the day of the purchase, and with it the rate, is not known; `cost_base` is at the rate of
    the opening balance's day, and with it the profit in the base currency and the effects are estimates.
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
    is_estimate: bool
    quoted_in: str = Field(exclude=True)  # the currency, or "%" of face
    instrument: int


class LotTotals(Document):
    """Sums over the known ones, in the base currency; `unknown` counts lots without a known profit.

    `is_estimate`: one of them is one.
    """

    cost_base: Computed | None
    market_value_base: Computed | None
    unrealized_pnl_base: Computed | None
    price_effect_base: Computed | None
    currency_effect_base: Computed | None
    cross_effect_base: Computed | None
    is_estimate: bool
    unknown: int


class LotsDocument(Document):
    """By account and symbol, oldest first."""

    as_of: datetime | date | None
    base_currency: str
    lots: tuple[LotRow, ...]
    totals: LotTotals


class Sold(Document):
    """One lot, or a part, that a sale would close; `is_estimate` as in LotRow."""

    opened_by: str
    acquired_on: date | None
    days: int | None
    is_long_term: bool | None
    quantity: Exact
    cost: Computed | None
    proceeds: Computed | None
    gain: Computed | None
    gain_base: Computed | None
    is_estimate: bool


class Outcome(Document):
    """What a sale would realize by one method; in the instrument's and in the base currency."""

    method: Method
    sold: tuple[Sold, ...]
    cost: Computed | None
    proceeds: Computed | None
    gain: Computed | None
    gain_base: Computed | None
    is_estimate: bool


class WhatIfDocument(Document):
    """A sale that has not happened, by each method, out of the lots that are open now, before commission.

    For a short position it is the purchase that covers it. By the method `specific` it closes the lots that
    were named first; as the broker would match it is not known before.
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
    quoted_in: str = Field(exclude=True)
    outcomes: tuple[Outcome, ...]


_WHAT_IF_METHODS = (Method.FIFO, Method.LIFO, Method.HIFO, Method.AVERAGE)


class _Today(NamedTuple):
    """The day an account is valued on, and the base currency for one unit of a currency on it."""

    on: date
    rate: Decimal | None


def lots(scope: Scope, method: Method | None = None, instrument: int | None = None) -> LotsDocument:
    """The open lots by the accounts' own methods, or by the given one; of all or of one instrument."""
    looked_at = accounts(scope)
    state = state_of(looked_at, scope.as_of, instrument)
    kept = lot_books(looked_at, scope.base_currency, scope.as_of, method, instrument)
    days = state.days.values()
    rates = Rates.between(min(days), max(days)) if days else Rates(())
    rows = lot_rows(scope.base_currency, state, state.held, kept, rates)
    return LotsDocument(
        as_of=scope.as_of or told_at(*looked_at),
        base_currency=scope.base_currency,
        lots=tuple(rows),
        totals=LotTotals(
            cost_base=total(row.cost_base for row in rows).value,
            market_value_base=total(row.market_value_base for row in rows).value,
            unrealized_pnl_base=total(row.unrealized_pnl_base for row in rows).value,
            price_effect_base=total(row.price_effect_base for row in rows).value,
            currency_effect_base=total(row.currency_effect_base for row in rows).value,
            cross_effect_base=total(row.cross_effect_base for row in rows).value,
            is_estimate=any(row.is_estimate for row in rows),
            unknown=sum(row.unrealized_pnl_base is None for row in rows),
        ),
    )


def lot_rows(
    base: str, state: State, positions: Sequence[Held], kept: Stored | Live, rates: Rates
) -> list[LotRow]:
    """The open lots of some of the state's positions, in their order; `rates` are those of its days."""
    by_pk = {account.pk: account for account in state.accounts}
    numbers = {row.instrument_id for row in positions}
    of_key: defaultdict[Key, list[OpenRow]] = defaultdict(list)
    for one in kept.open(numbers if len(numbers) <= MOST_NAMED else None):
        of_key[one.account, one.instrument].append(one)
    described = papers(paper for _, paper in of_key)
    rows = []
    for held in positions:
        account = by_pk[held.account_id]
        on = state.days[account.pk]
        today = _Today(on, rates.rate(held.currency, base, on))
        rows += [
            _row(one, held, account, described[one.instrument], kept.methods[account.pk], base, today)
            for one in of_key[held.account_id, held.instrument_id]
        ]
    return rows


def _row(
    row: OpenRow, held: Held, account: Account, paper: Paper, method: Method, base: str, today: _Today
) -> LotRow:
    lot = row.lot
    value = _worth(lot, held, paper)
    value_base = product(value, today.rate)
    # Only the profit of a future is money.
    cost_base = product(lot.cost, today.rate) if paper.is_margined else lot.cost_base
    parts = effects(lot.cost, value, cost_base, value_base, today.rate)
    return LotRow.made(
        {
            "account": account.account,
            "broker": account.broker,
            "symbol": paper.symbol,
            "name": paper.name,
            "isin": paper.isin,
            "broker_ref": paper.broker_ref,
            "asset_class": paper.asset_class,
            "currency": paper.currency,
            "method": method,
            "opened_by": lot.opened_by,
            "acquired_on": lot.opened_on if lot.is_dated else None,
            "days": (today.on - lot.opened_on).days if lot.is_dated else None,
            "is_long_term": is_long_term(lot.opened_on, today.on) if lot.is_dated else None,
            "quantity": lot.quantity,
            "cost": lot.cost,
            "cost_base": cost_base,
            "price": held.price,
            "market_value": value,
            "market_value_base": value_base,
            "unrealized_pnl": difference(value, lot.cost),
            "unrealized_pnl_base": difference(value_base, cost_base),
            "price_effect_base": None if parts is None else parts.price,
            "currency_effect_base": None if parts is None else parts.currency,
            "cross_effect_base": None if parts is None else parts.cross,
            "is_estimate": cost_base is not None and is_rate_guessed(lot, paper, base),
            "quoted_in": paper.quoted_in,
            "instrument": paper.pk,
        }
    )


def is_rate_guessed(lot: Lot | Close, paper: Paper, base: str) -> bool:
    """Whether what it cost is converted at another day's rate, because that of the purchase is not known."""
    return not lot.is_dated and is_cost_rated(paper, base)


def _worth(lot: Lot, held: Held, paper: Paper) -> Decimal | None:
    """The lot's part of what the position stands for; by its price where the lots do not explain it."""
    if held.exposure is not None and held.quantity:
        share, _ = divided(held.exposure, lot.quantity, held.quantity)
        return share
    return product(product(held.price, lot.quantity), paper.per_unit)


def what_if(
    scope: Scope,
    reference: str,
    quantity: Decimal | None = None,
    price: Decimal | None = None,
    named: Sequence[str] = (),
) -> WhatIfDocument:
    """Sell `quantity` (all, unless given) at `price` (the last one, unless given), by each method.

    `reference` is a symbol, an ISIN or the broker's own number. The quantity is positive, for short
    positions too. `named` are the activities that opened the lots to close first: then the method `specific`
    is one of them.

    Raises:
        UnknownInstrumentError: when nothing of that name is held.
        LotsRefusedError: when there is less of it, several positions have that name, or no such lot is open.
    """
    looked_at = accounts(scope)
    state = state_of(looked_at, scope.as_of)
    held = _held(state, reference)
    account = next(account for account in looked_at if account.pk == held.account_id)
    kept = lot_books([account], scope.base_currency, scope.as_of)
    open_now = [row.lot for row in kept.open([held.instrument_id])]
    whole = summed(lot.quantity for lot in open_now)
    on = state.days[account.pk]
    wanted = abs(whole) if quantity is None else quantity
    if not 0 < wanted <= abs(whole):
        raise LotsRefusedError(
            f"Of {held.symbol}, {abs(whole):f} are open in lots, and not {wanted:f}.",
            next_step=f"Ask for a quantity above 0 and at most {abs(whole):f}.",
        )
    picks = _picks(account, open_now, named)
    methods = (*_WHAT_IF_METHODS, Method.SPECIFIC) if picks else _WHAT_IF_METHODS
    signed = wanted.copy_sign(whole)
    at = held.price if price is None else price
    paper = papers([held.instrument_id])[held.instrument_id]
    proceeds = product(product(signed, at), paper.per_unit)
    rate = Rates.between(on, on).rate(paper.currency, scope.base_currency, on)
    return WhatIfDocument(
        as_of=scope.as_of or told_at(account),
        base_currency=scope.base_currency,
        account=account.account,
        broker=account.broker,
        symbol=paper.symbol,
        broker_ref=paper.broker_ref,
        currency=paper.currency,
        quantity=signed,
        price=at,
        quoted_in=paper.quoted_in,
        outcomes=tuple(
            _outcome(method, open_now, picks, signed, proceeds, paper, scope.base_currency, _Today(on, rate))
            for method in methods
        ),
    )


def _picks(account: Account, open_now: Sequence[Lot], named: Sequence[str]) -> list[Pick]:
    """The lots by the ids or the keys of the activities that opened them."""
    picks = []
    for name in named:
        key = name.removeprefix(f"{account.broker}:{account.account}:")
        quantity = summed(abs(lot.quantity) for lot in open_now if lot.opened_by == key)
        if not quantity:
            raise LotsRefusedError(
                f"No lot that {name} opened is open.",
                next_step="Name one as lots --json has it in opened_by.",
            )
        picks.append(Pick(quantity, opened_by=key))
    return picks


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
    picks: Sequence[Pick],
    quantity: Decimal,
    proceeds: Decimal | None,
    paper: Paper,
    base: str,
    today: _Today,
) -> Outcome:
    pile = Pile(method)
    for lot in lots:
        pile.add(lot)
    sold = []
    named = picks if method is Method.SPECIFIC else ()
    for part in (taken.lot for taken in pile.take(quantity, named)):
        brought, _ = divided(proceeds, part.quantity, quantity)
        gain = difference(brought, part.cost)
        cost_base = product(part.cost, today.rate) if paper.is_margined else part.cost_base
        gain_base = difference(product(brought, today.rate), cost_base)
        sold.append(
            Sold(
                opened_by=part.opened_by,
                acquired_on=part.opened_on if part.is_dated else None,
                days=(today.on - part.opened_on).days if part.is_dated else None,
                is_long_term=is_long_term(part.opened_on, today.on) if part.is_dated else None,
                quantity=part.quantity,
                cost=part.cost,
                proceeds=brought,
                gain=gain,
                gain_base=gain_base,
                is_estimate=gain_base is not None and is_rate_guessed(part, paper, base),
            )
        )
    return Outcome(
        method=method,
        sold=tuple(sold),
        cost=summed_if_known(part.cost for part in sold),
        proceeds=proceeds,
        gain=summed_if_known(part.gain for part in sold),
        gain_base=summed_if_known(part.gain_base for part in sold),
        is_estimate=any(part.is_estimate for part in sold),
    )
