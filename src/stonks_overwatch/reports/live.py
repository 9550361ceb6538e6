"""What is held at this moment: the stored state with prices, balances and rates replaced, nothing written.

Everything that nothing is streamed of stays as the last sync left it, and quantities always do. A quote or a
rate that cannot be of what is stored is left out.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from stonks_overwatch.ledger.types import AssetClass, BalanceNow, LedgerNow, Quote
from stonks_overwatch.reports.documents import share, times
from stonks_overwatch.reports.holdings import Cash, Holding, Totals, Valuation, valuation
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Balance, Held

Quotes = Mapping[tuple[str, str], Quote]
"""By broker and the broker's own number of the instrument."""

_SETTLED_DAILY = {AssetClass.FUTURE, AssetClass.CFD}
_WHOLE = {AssetClass.STOCK, AssetClass.ETF, AssetClass.FUND, AssetClass.BOND}
_QUOTED_IN_HUNDREDTHS = {"GBP", "ILS", "ZAR"}
_MOST = Decimal(5)  # times; no share moves so far between two syncs, but a split that is not stored yet does
_IN_HUNDREDTHS = Decimal(20)  # times more than the stored price, a quote is in pence
_TOLERANCE = Decimal("0.01")
_MOST_OF_A_RATE = Decimal(2)  # times
_LITTLE = Decimal("0.002")  # of NAV: quotes that are late put the broker's own value so far from ours
_ZERO = Decimal(0)


Ledgers = Mapping[tuple[str, str], LedgerNow]
"""By broker and account."""


@dataclass(frozen=True, slots=True)
class Now:
    """The state at the quotes and balances: what differs from the stored one, and the sums over everything.

    `whole_change` is how much more NAV is than stored, in the base currency, `change` and `profit_change` of
    it and of the profit what is of positions, by asset class. `navs` are the accounts' (in their own and in
    the base currency), by broker and account, of those in which something differs. `unsynced` are accounts
    in which a trade was seen since: their cash stays the stored one until a sync brings both.
    """

    holdings: tuple[Holding, ...]
    quotes: Quotes
    cash: tuple[Cash, ...]
    totals: Totals
    navs: Mapping[tuple[str, str], tuple[Decimal | None, Decimal | None]]
    change: Mapping[str, Decimal]
    profit_change: Mapping[str, Decimal]
    whole_change: Decimal
    unsynced: frozenset[tuple[str, str]]


def at(valued: Valuation, quotes: Quotes, ledgers: Ledgers | None = None) -> Now:
    """The stored state at these quotes, and at the balances and exchange rates of these accounts."""
    moving = _Moving(valued, quotes, ledgers or {})
    moving.move_positions()
    moving.move_cash()
    return moving.now()


class _Rate(NamedTuple):
    """Units of the account's and of the base currency for one unit of another."""

    into_account: Decimal
    into_base: Decimal


class _Moving:
    """The stored state on its way to the one of this moment."""

    def __init__(self, valued: Valuation, quotes: Quotes, ledgers: Ledgers) -> None:
        self._valued = valued
        self._quotes = quotes
        self._base = valued.base_currency
        self._accounts = {account.pk: account for account in valued.state.accounts}
        self._ledgers = {
            pk: ledgers[account.broker, account.account]
            for pk, account in self._accounts.items()
            if (account.broker, account.account) in ledgers and valued.state.is_latest(account)
        }
        self._rates: dict[tuple[int, str], _Rate | None] = {}
        self._rows: list[Holding] = []
        self._used: dict[tuple[str, str], Quote] = {}
        self._cash: list[Cash] = []
        self._change: dict[str, Decimal] = defaultdict(Decimal)
        self._profit: dict[str, Decimal] = defaultdict(Decimal)
        self._cash_change = self._accrued_change = _ZERO
        self._by_account: dict[int, list[Decimal]] = defaultdict(lambda: [_ZERO, _ZERO])
        self._unsynced: set[int] = set()

    def _stored_rate(self, account: int, currency: str) -> _Rate | None:
        factors = self._valued.factors
        own, base = (of.get((account, currency)) for of in (factors.into_account, factors.into_base))
        return _Rate(own, base) if own and base else None

    def _rate(self, account: int, currency: str) -> _Rate | None:
        key = account, currency
        if key not in self._rates:
            self._rates[key] = self._streamed_rate(account, currency)
        return self._rates[key]

    def _streamed_rate(self, account: int, currency: str) -> _Rate | None:
        """The stored one where none is streamed, or it cannot be the rate of the same thing."""
        stored = self._stored_rate(account, currency)
        ledger = self._ledgers.get(account)
        if ledger is None:
            return stored
        kept_in = self._accounts[account].currency
        own, across = _told(ledger, currency, kept_in), self._across(ledger, kept_in)
        if stored is None:
            return _Rate(own, own * across) if own and across else None
        across = across or stored.into_base / stored.into_account
        now = own or stored.into_account
        is_plausible = 1 / _MOST_OF_A_RATE < now * across / stored.into_base < _MOST_OF_A_RATE
        return _Rate(now, now * across) if is_plausible else stored

    def _across(self, ledger: LedgerNow, kept_in: str) -> Decimal | None:
        """The base currency for one unit of the account's; another account may tell it."""
        if inverse := _told(ledger, self._base, kept_in):
            return 1 / inverse
        others = (
            _told(other, kept_in, self._base)
            for pk, other in self._ledgers.items()
            if self._accounts[pk].currency == self._base
        )
        return next((rate for rate in others if rate), None)

    def move_positions(self) -> None:
        state = self._valued.state
        for one in self._valued.positions:
            held = one.held
            stored = self._stored_rate(held.account_id, held.currency)
            rate = self._rate(held.account_id, held.currency)
            if stored is None or rate is None or held.market_value is None:
                continue
            key = one.account.broker, held.broker_ref
            quote = self._quotes.get(key)
            is_latest = state.is_latest(one.account)
            moved = None if quote is None or not is_latest else _moved(held, quote.price)
            if moved is not None and quote is not None:
                self._used[key] = quote
            elif rate == stored:
                continue
            self._rows.append(_row(one.holding(), held, moved, rate.into_base, quote))
            value = held.market_value if moved is None else moved.market_value
            added = value * rate.into_base - held.market_value * stored.into_base
            self._change[held.asset_class] += added
            if held.unrealized_pnl is not None:
                profit = held.unrealized_pnl + (_ZERO if moved is None else moved.gain)
                self._profit[held.asset_class] += (
                    profit * rate.into_base - held.unrealized_pnl * stored.into_base
                )
            own = value * rate.into_account - held.market_value * stored.into_account
            self._add(held.account_id, own, added)

    def _add(self, account: int, own: Decimal, base: Decimal) -> None:
        self._by_account[account][0] += own
        self._by_account[account][1] += base

    def move_cash(self) -> None:
        stored: dict[int, dict[str, Balance]] = defaultdict(dict)
        for balance in self._valued.state.balances:
            stored[balance.account_id][balance.currency] = balance
        for account, ledger in self._ledgers.items():
            is_traded = self._is_traded(account, ledger, stored[account])
            if is_traded:
                self._unsynced.add(account)
            for currency in sorted(stored[account].keys() | ledger.balances.keys()):
                told = ledger.balances.get(currency) if is_traded is False else None
                self._move_balance(account, currency, stored[account].get(currency), told)

    def _is_traded(self, account: int, ledger: LedgerNow, stored: Mapping[str, Balance]) -> bool | None:
        """Whether the quantities are others than those that belong to the streamed cash; None: not known.

        They are after a trade, and where the broker's own value is nearer to ours without what the cash
        changed by: then that was paid for something. A little may be anything, an interest or a fee.
        """
        since = self._accounts[account].updated_at
        if ledger.traded_at is not None and ledger.traded_at > since:
            return True
        changed = _ZERO
        for currency, told in ledger.balances.items():
            rate, before = self._rate(account, currency), stored.get(currency)
            amount = _ZERO if before is None else before.amount
            if rate is not None and told.amount is not None and amount is not None:
                changed += (told.amount - amount) * rate.into_account
        nav = self._valued.nav(self._accounts[account]).nav
        if not changed:
            return False
        if nav is None or ledger.nav is None:
            return None
        without = nav + self._by_account[account][0]
        if abs(changed) <= _LITTLE * abs(without):
            return False
        return abs(without + changed - ledger.nav) > abs(without - ledger.nav)

    def _move_balance(
        self, account: int, currency: str, stored: Balance | None, told: BalanceNow | None
    ) -> None:
        before = self._stored_rate(account, currency)
        rate = self._rate(account, currency)
        if rate is None or (stored is not None and stored.amount is None):
            return
        amount = _ZERO if stored is None or stored.amount is None else stored.amount
        accrued = _ZERO if stored is None or stored.accrued is None else stored.accrued
        then = before or rate
        now = amount if told is None or told.amount is None else told.amount
        has_accruals = stored is not None and stored.has_accruals
        earned = accrued if told is None or told.accrued is None or not has_accruals else told.accrued
        added = now * rate.into_base - amount * then.into_base
        more = earned * rate.into_base - accrued * then.into_base
        own = (now + earned) * rate.into_account - (amount + accrued) * then.into_account
        self._cash_change += added
        self._accrued_change += more
        if own or added or more:
            self._add(account, own, added + more)
        if added or now != amount:
            of = self._accounts[account]
            self._cash.append(
                Cash(
                    account=of.account,
                    broker=of.broker,
                    currency=currency,
                    amount=now,
                    amount_base=now * rate.into_base,
                )
            )

    def now(self) -> Now:
        totals = self._valued.totals
        positions = sum(self._change.values(), _ZERO)
        whole = positions + self._cash_change + self._accrued_change
        nav_base = _plus(totals.nav_base, whole)
        changes = {
            "market_value_base": positions,
            "cash_base": self._cash_change,
            "accrued_base": self._accrued_change,
            "nav_base": whole,
            "unrealized_pnl_base": sum(self._profit.values(), _ZERO),
        }
        return Now(
            holdings=tuple(
                row.model_copy(update={"weight": share(row.market_value_base, nav_base)})
                for row in self._rows
            ),
            quotes=self._used,
            cash=tuple(self._cash),
            totals=totals.model_copy(
                update={name: _plus(getattr(totals, name), change) for name, change in changes.items()}
            ),
            navs={
                (account.broker, account.account): (
                    _plus(shown.nav, self._by_account[account.pk][0]),
                    _plus(shown.nav_base, self._by_account[account.pk][1]),
                )
                for account, shown in zip(self._valued.state.accounts, self._valued.accounts, strict=True)
                if account.pk in self._by_account
            },
            change=dict(self._change),
            profit_change=dict(self._profit),
            whole_change=whole,
            unsynced=frozenset(
                (self._accounts[pk].broker, self._accounts[pk].account) for pk in self._unsynced
            ),
        )


def _told(ledger: LedgerNow, currency: str, kept_in: str) -> Decimal | None:
    """The account's currency for one unit; None where the stream does not tell it."""
    if currency == kept_in:
        return Decimal(1)
    balance = ledger.balances.get(currency)
    return balance.rate if balance is not None and balance.rate and balance.rate > 0 else None


def largest(broker: str, login: str, base_currency: str, number: int) -> list[str]:
    """The broker's numbers of what a login holds, the largest first; at most so many."""
    its = [one for one in accounts(Scope(base_currency)) if (one.broker, one.login) == (broker, login)]
    sizes: dict[str, Decimal] = defaultdict(Decimal)
    for account in its:
        for one in valuation(Scope(base_currency, account=account.account, broker=broker)).positions:
            if one.held.asset_class != AssetClass.CASH:
                sizes[one.held.broker_ref] += abs(times(one.held.exposure, one.into_base) or _ZERO)
    return sorted(sizes, key=lambda ref: (-sizes[ref], ref))[:number]


@dataclass(frozen=True, slots=True)
class _Moved:
    """A position at another price, in its own currency: what it adds to NAV, its notional, what it gained."""

    price: Decimal
    market_value: Decimal
    exposure: Decimal
    gain: Decimal


def _moved(held: Held, quoted: Decimal) -> _Moved | None:
    """None where the stored figures do not add up at the stored price, or the quote cannot be meant."""
    if held.price is None or held.quantity is None or held.market_value is None or held.exposure is None:
        return None
    if held.asset_class == AssetClass.CASH:  # a currency pair: its money is in the cash balances
        return None
    price = _in_whole_units(held, quoted)
    units = held.quantity * held.multiplier * held.quote_factor
    if price is None or abs(held.exposure - units * held.price) > abs(held.exposure) * _TOLERANCE:
        return None
    gain = units * (price - held.price)
    return _Moved(
        price=price,
        market_value=held.market_value + gain if held.asset_class in _SETTLED_DAILY else units * price,
        exposure=units * price,
        gain=gain,
    )


def _in_whole_units(held: Held, quoted: Decimal) -> Decimal | None:
    """The quote in the unit of the stored price; None where it cannot be the price of the same thing.

    Some markets quote in pence, and the positions of the same broker are in pounds.
    """
    if held.asset_class not in _WHOLE or not held.price:
        return quoted if quoted > 0 or held.asset_class == AssetClass.FUTURE else None
    price = quoted
    if held.currency in _QUOTED_IN_HUNDREDTHS and quoted / held.price > _IN_HUNDREDTHS:
        price = quoted / 100
    return price if 1 / _MOST < price / held.price < _MOST else None


def _row(row: Holding, held: Held, moved: _Moved | None, into_base: Decimal, quote: Quote | None) -> Holding:
    """At its quote; without one at its stored price, with the rate alone moved."""
    if moved is None or quote is None:
        return row.model_copy(
            update={
                "market_value_base": times(held.market_value, into_base),
                "exposure_base": times(held.exposure, into_base),
                "unrealized_pnl_base": times(held.unrealized_pnl, into_base),
            }
        )
    profit = None if held.unrealized_pnl is None else held.unrealized_pnl + moved.gain
    return row.model_copy(
        update={
            "price": moved.price,
            "price_as_of": quote.at,
            "market_value": moved.market_value,
            "market_value_base": moved.market_value * into_base,
            "exposure": moved.exposure,
            "exposure_base": moved.exposure * into_base,
            "unrealized_pnl": profit,
            "unrealized_pnl_base": times(profit, into_base),
        }
    )


def _plus(stored: Decimal | None, change: Decimal) -> Decimal | None:
    return None if stored is None else stored + change
