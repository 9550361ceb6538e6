"""What is held: every open position and cash balance, valued, and the accounts' NAV.

NAV of an account = values of its positions + cash + accrued interest and declared dividends, in the
account's own currency at the broker's rates. A position's value is what it adds to NAV: for futures and
CFDs the profit carried, not the notional (that is `exposure`).

Each amount is converted once, from its own currency. Unknown figures stay null, are left out of the
totals and counted there. An account is valued on the day of its last update.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, TypeVar

from pydantic import Field

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.ledger.types import UNKNOWN_CURRENCY, AssetClass
from stonks_overwatch.reports.books import Key
from stonks_overwatch.reports.documents import (
    Computed,
    Document,
    Exact,
    KeptIn,
    known_sum,
    share,
    times,
    total,
)
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.lot_books import MOST_NAMED, NOT_CLOSED, Earned, Live, Stored, lot_books
from stonks_overwatch.reports.rates import Rates
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Balance, Held, State, state_of, told_at


class AccountNav(Document):
    account: str
    broker: str
    nav: Computed | None
    nav_base: Computed | None
    currency: KeptIn


class Holding(Document):
    """One instrument in one account. The last fields are for the page only, not in the JSON document.

    `realized_is_estimate`: the day on which some of what was closed was bought, and with it the rate, is not
    known.
    """

    account: str
    broker: str
    symbol: str
    name: str
    asset_class: str
    isin: str | None
    broker_ref: str
    currency: str
    quantity: Exact | None
    multiplier: Exact
    price: Exact | None
    price_as_of: datetime | date | None
    market_value: Computed | None
    market_value_base: Computed | None
    exposure_base: Computed | None
    cost_basis: Computed | None
    cost_basis_base: Computed | None
    average_cost: Exact | None
    unrealized_pnl: Computed | None
    unrealized_pnl_base: Computed | None
    realized_pnl_base: Computed | None
    realized_is_estimate: bool = Field(exclude=True)
    weight: Computed | None
    country: str | None
    sector: str | None
    exchange: str | None
    exposure: Computed | None = Field(exclude=True)
    expires_on: date | None = Field(exclude=True)
    strike: Exact | None = Field(exclude=True)
    right: str | None = Field(exclude=True)
    underlying_symbol: str | None = Field(exclude=True)
    description: str = Field(exclude=True)
    quoted_in: str = Field(exclude=True)  # the currency, or "%" of face
    instrument: int = Field(exclude=True)  # its number in the address of its page


class Cash(Document):
    """The cash of one currency in one account, negative when owed; currencies with none are left out."""

    account: str
    currency: str
    amount: Exact | None
    amount_base: Computed | None
    broker: str = Field(exclude=True)


class Totals(Document):
    """Sums over the accounts looked at, in the base currency.

    `market_value_base + cash_base + accrued_base = nav_base`. `unknown` counts the positions, balances
    and accruals whose value or unrealized profit is not known in the base currency and so is missing here.
    `realized_pnl_base` includes positions that are closed; it is null as soon as one part is unknown, and
    an estimate (`realized_is_estimate`) as soon as one is.
    """

    market_value_base: Computed | None
    cash_base: Computed | None
    accrued_base: Computed | None
    nav_base: Computed | None
    unrealized_pnl_base: Computed | None
    realized_pnl_base: Computed | None
    realized_is_estimate: bool = Field(exclude=True)
    unknown: int


class HoldingsDocument(Document):
    """`as_of` is the oldest update of the accounts, or the day asked for."""

    as_of: datetime | date | None
    base_currency: str
    accounts: tuple[AccountNav, ...]
    holdings: tuple[Holding, ...]
    cash: tuple[Cash, ...]
    totals: Totals


UNKNOWN = "unknown"
"""Stands where it is not known what belongs to what."""

Kind = Literal["position", "futures", "cash", "accrued", "untold"]
"""`untold`: the positions of an account of which the broker has never reported all."""
POSITIONS: tuple[Kind, ...] = ("position", "futures", "untold")
"""What belongs to the value of positions."""

_ZERO = Decimal(0)
_NONE_OPEN = _ZERO, _ZERO


class Part(NamedTuple):
    """One addend of NAV: in its own currency, in the account's and in the base currency; None is unknown."""

    account: Account
    what: Kind
    of: Held | Balance
    amount: Decimal | None
    amount_account: Decimal | None
    amount_base: Decimal | None

    @property
    def held(self) -> Held | None:
        """The position that it is of; None for what is of a currency."""
        return self.of if isinstance(self.of, Held) else None

    @property
    def currency(self) -> str:
        return self.of.currency

    @property
    def asset_class(self) -> str:
        return self.of.asset_class if isinstance(self.of, Held) else _CLASSES.get(self.what, AssetClass.CASH)


class ValuedPosition(NamedTuple):
    """One position with its figures in the base currency; None is unknown.

    There are thousands: what only those that are shown are asked for is worked out then.
    """

    account: Account
    held: Held
    into_base: Decimal | None
    nav_base: Decimal | None  # of everything looked at
    market_value_base: Decimal | None
    unrealized_pnl_base: Decimal | None
    realized: Earned

    @property
    def cost_basis_base(self) -> Decimal | None:
        return times(self.held.cost_basis, self.into_base)

    @property
    def weight(self) -> Decimal | None:
        return share(self.market_value_base, self.nav_base)

    def holding(self) -> Holding:
        row = self.held
        return Holding.made(
            {
                "account": self.account.account,
                "broker": self.account.broker,
                "symbol": row.symbol,
                "name": row.name,
                "asset_class": row.asset_class,
                "isin": row.isin,
                "broker_ref": row.broker_ref,
                "currency": row.currency,
                "quantity": row.quantity,
                "multiplier": row.multiplier,
                "price": row.price,
                "price_as_of": row.price_as_of,
                "market_value": row.market_value,
                "market_value_base": self.market_value_base,
                "exposure_base": times(row.exposure, self.into_base),
                "cost_basis": row.cost_basis,
                "cost_basis_base": self.cost_basis_base,
                "average_cost": row.average_cost,
                "unrealized_pnl": row.unrealized_pnl,
                "unrealized_pnl_base": self.unrealized_pnl_base,
                "realized_pnl_base": self.realized.gain,
                "realized_is_estimate": self.realized.is_estimate,
                "weight": self.weight,
                "country": row.country,
                "sector": row.sector,
                "exchange": row.exchange,
                "exposure": row.exposure,
                "expires_on": row.expires_on,
                "strike": row.strike,
                "right": row.right,
                "underlying_symbol": row.underlying_symbol,
                "description": row.description,
                "quoted_in": row.quoted_in,
                "instrument": row.instrument_id,
            }
        )


@dataclass(frozen=True)
class Valuation:
    """Everything in the scope, valued: what the document says, and what is behind it.

    `positions` are those of `state.held`, in the same order; `parts` the addends of NAV and `unknown` the
    number of unknown figures, by account row.
    """

    as_of: datetime | date | None
    base_currency: str
    state: State
    factors: "Factors"
    positions: list[ValuedPosition]
    parts: dict[int, list[Part]]
    unknown: dict[int, int]
    accounts: tuple[AccountNav, ...]
    cash: tuple[Cash, ...]
    totals: Totals

    @cached_property
    def document(self) -> HoldingsDocument:
        return HoldingsDocument(
            as_of=self.as_of,
            base_currency=self.base_currency,
            accounts=self.accounts,
            holdings=tuple(one.holding() for one in self.positions),
            cash=self.cash,
            totals=self.totals,
        )

    def nav(self, account: Account) -> AccountNav:
        return self.accounts[self.state.accounts.index(account)]

    def is_whole(self, account: Account) -> bool:
        """Whether every addend of its NAV is known in the base currency."""
        return all(part.amount_base is not None for part in self.parts[account.pk])


def holdings(scope: Scope, method: Method | None = None) -> HoldingsDocument:
    """`method` replaces the accounts' own; without it costs are the broker's where an account is at FIFO."""
    return valuation(scope, method).document


@kept
def valuation(scope: Scope, method: Method | None = None) -> Valuation:
    """Value everything in the scope: the base of `holdings`, `allocation`, `accounts` and `dashboard`."""
    looked_at = accounts(scope)
    state = state_of(looked_at, scope.as_of)
    days = state.days.values()
    rates = Rates.between(min(days), max(days)) if days else Rates(())
    kept = lot_books(looked_at, scope.base_currency, scope.as_of, method)
    state = _at_lots(state, kept, asked=method)
    earned = kept.earned()
    as_of = scope.as_of or told_at(*looked_at)
    return _valued(scope.base_currency, as_of, state, rates, earned)


def _at_lots(state: State, kept: Stored | Live, *, asked: Method | None) -> State:
    """The positions at the cost of their lots, unknown where those do not explain the quantity.

    The broker's own cost stays for accounts that go first in, first out, unless a method is asked for.
    """

    def is_own(row: Held) -> bool:
        is_fifo = asked is None and kept.methods[row.account_id] is Method.FIFO
        return is_fifo and row.cost_basis is not None

    wanted = {row.instrument_id for row in state.held if not is_own(row)}
    if not wanted:
        return state
    known = kept.positions(wanted if len(wanted) <= MOST_NAMED else None)
    held = [
        row if is_own(row) else _at_cost(row, *known.get((row.account_id, row.instrument_id), _NONE_OPEN))
        for row in state.held
    ]
    return replace(state, held=held)


def _at_cost(row: Held, quantity: Decimal, cost: Decimal | None) -> Held:
    known = cost if row.quantity == quantity else None
    units = None if row.quantity is None else row.quantity * row.multiplier * row.quote_factor
    return row._replace(
        cost_basis=known,
        average_cost=known / units if known is not None and units else None,
        unrealized_pnl=None if known is None or row.exposure is None else row.exposure - known,
    )


class Factors(NamedTuple):
    """By account row and currency: units of the account's and of the base currency for one unit."""

    into_account: Mapping[tuple[int, str], Decimal | None]
    into_base: Mapping[tuple[int, str], Decimal | None]


def _factors(state: State, rates: Rates, base: str) -> Factors:
    keys = {(row.account_id, row.currency) for row in state.held}
    keys |= {(row.account_id, row.currency) for row in state.balances}
    kept_in = {account.pk: account.currency for account in state.accounts}
    return Factors(
        into_account={key: rates.rate(key[1], kept_in[key[0]], state.days[key[0]]) for key in keys},
        into_base={key: rates.rate(key[1], base, state.days[key[0]]) for key in keys},
    )


def _valued(
    base: str,
    as_of: datetime | date | None,
    state: State,
    rates: Rates,
    earned: Mapping[Key, Earned],
) -> Valuation:
    """`earned` is the realized P&L of what closed anything."""
    by_id = {account.pk: account for account in state.accounts}
    factors = _factors(state, rates, base)
    parts = _parts(state, by_id, factors)
    every = [part for of_account in parts.values() for part in of_account]
    nav_base = total(part.amount_base for part in every).value
    positions = []
    unknown = Counter(part.account.pk for part in every if part.amount_base is None)
    for row in state.held:
        into_base = factors.into_base[row.account_id, row.currency]
        value, profit = times(row.market_value, into_base), times(row.unrealized_pnl, into_base)
        realized = earned.get((row.account_id, row.instrument_id), NOT_CLOSED)
        account = by_id[row.account_id]
        positions.append(ValuedPosition(account, row, into_base, nav_base, value, profit, realized))
        if profit is None and value is not None:
            unknown[row.account_id] += 1
    realized_pnl = known_sum(one.gain for one in earned.values())
    unrealized = [one.unrealized_pnl_base for one in positions]
    return Valuation(
        as_of=as_of,
        base_currency=base,
        state=state,
        factors=factors,
        positions=positions,
        parts=parts,
        unknown=dict(unknown),
        accounts=tuple(
            AccountNav(
                account=account.account,
                broker=account.broker,
                nav=total(part.amount_account for part in parts[account.pk]).value,
                nav_base=total(part.amount_base for part in parts[account.pk]).value,
                currency=account.currency,
            )
            for account in state.accounts
        ),
        cash=tuple(
            Cash(
                account=by_id[row.account_id].account,
                broker=by_id[row.account_id].broker,
                currency=row.currency,
                amount=row.amount,
                amount_base=times(row.amount, factors.into_base[row.account_id, row.currency]),
            )
            for row in state.balances
            if row.amount != 0
        ),
        totals=Totals(
            market_value_base=sum_of(every, *POSITIONS),
            cash_base=sum_of(every, "cash"),
            accrued_base=sum_of(every, "accrued"),
            nav_base=nav_base,
            unrealized_pnl_base=total([*unrealized, *untold(every)]).value,
            realized_pnl_base=realized_pnl,
            realized_is_estimate=realized_pnl is not None and any(one.is_estimate for one in earned.values()),
            unknown=unknown.total(),
        ),
    )


class Bought(Protocol):
    """One or more positions, in the instrument's currency; None is unknown."""

    @property
    def cost_basis(self) -> Decimal | None: ...
    @property
    def unrealized_pnl(self) -> Decimal | None: ...


def unrealized_return(row: Bought) -> Decimal | None:
    """Unrealized P&L over what the position cost, as a fraction; None where there is no cost."""
    if row.unrealized_pnl is None or not row.cost_basis:
        return None
    return row.unrealized_pnl / abs(row.cost_basis)


def sum_of(parts: Iterable[Part], *kinds: Kind) -> Decimal | None:
    """The known addends of these kinds, in the base currency."""
    return total(part.amount_base for part in parts if part.what in kinds).value


def untold(parts: Iterable[Part]) -> list[None]:
    """An unknown addend for each account whose positions were never reported."""
    return [None for part in parts if part.what == "untold"]


def _parts(state: State, by_id: dict[int, Account], factors: Factors) -> dict[int, list[Part]]:
    """The addends of NAV by account: positions, futures variation not told per position, cash, accruals."""
    parts: dict[int, list[Part]] = {pk: [] for pk in by_id}
    for row, what, amount in addends(state.held, state.balances):
        key = row.account_id, row.currency
        own, in_base = times(amount, factors.into_account[key]), times(amount, factors.into_base[key])
        parts[row.account_id].append(Part(by_id[row.account_id], what, row, amount, own, in_base))
    for account in by_id.values():
        never_told: dict[Kind, datetime | None] = {"untold": account.positions_at, "cash": account.cash_at}
        for what, told in never_told.items():
            if told is None:
                parts[account.pk].append(_unknown(account, what))
    return parts


def _unknown(account: Account, what: Kind) -> Part:
    """What keeps a sum from looking whole to which something never reported belongs."""
    currency = UNKNOWN if account.currency == UNKNOWN_CURRENCY else account.currency
    nothing = Balance(account.pk, currency, None, has_accruals=False, accrued=None, futures_pnl=None)
    return Part(account, what, nothing, None, None, None)


_CLASSES = {"futures": AssetClass.FUTURE, "untold": UNKNOWN}


class Valued(Protocol):
    """A position with what it adds to NAV, in the instrument's currency; None is unknown."""

    @property
    def account_id(self) -> int: ...
    @property
    def asset_class(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def market_value(self) -> Decimal | None: ...


_Valued = TypeVar("_Valued", bound=Valued)


def addends(
    held: Sequence[_Valued], balances: Sequence[Balance]
) -> Iterator[tuple[_Valued | Balance, Kind, Decimal | None]]:
    """What NAV is the sum of, each in its own currency, with the position or the balance that it is of."""
    whole = _futures_as_a_whole(held, balances)
    for row in held:
        is_unsplit = row.asset_class == AssetClass.FUTURE and row.market_value is None
        if not (is_unsplit and (row.account_id, row.currency) in whole):
            yield row, "position", row.market_value
    for balance in balances:
        yield balance, "cash", balance.amount
        if balance.has_accruals:
            yield balance, "accrued", balance.accrued
        futures = whole.get((balance.account_id, balance.currency))
        if futures is not None:
            yield balance, "futures", futures


def _futures_as_a_whole(
    held: Iterable[Valued], balances: Iterable[Balance]
) -> dict[tuple[int, str], Decimal]:
    """Variation of futures that no position carries, by account and currency.

    The broker tells it per currency. Where it could not be split over the positions, or no future is
    open any more, what the positions do not carry themselves counts as one amount.
    """
    carried: dict[tuple[int, str], list[Decimal | None]] = defaultdict(list)
    for row in held:
        if row.asset_class == AssetClass.FUTURE:
            carried[row.account_id, row.currency].append(row.market_value)
    whole = {}
    for balance in balances:
        by_position = carried.get((balance.account_id, balance.currency), [])
        if balance.futures_pnl is not None and (
            None in by_position or (balance.futures_pnl and not by_position)
        ):
            known = sum((value for value in by_position if value is not None), Decimal(0))
            whole[balance.account_id, balance.currency] = balance.futures_pnl - known
    return whole
