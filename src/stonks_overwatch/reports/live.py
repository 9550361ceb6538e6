"""What is held at the quotes of this moment: the stored state with prices replaced, nothing written.

Everything that no quote is about stays as the last sync left it: quantities, cash, accruals, exchange
rates, and positions without a quote. A quote that cannot be the price of what is stored is left out too.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from stonks_overwatch.ledger.types import AssetClass, Quote
from stonks_overwatch.reports.documents import share, times
from stonks_overwatch.reports.holdings import Holding, Totals, Valuation, valuation
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import Held

Quotes = Mapping[tuple[str, str], Quote]
"""By broker and the broker's own number of the instrument."""

_SETTLED_DAILY = {AssetClass.FUTURE, AssetClass.CFD}
_WHOLE = {AssetClass.STOCK, AssetClass.ETF, AssetClass.FUND, AssetClass.BOND}
_QUOTED_IN_HUNDREDTHS = {"GBP", "ILS", "ZAR"}
_MOST = Decimal(5)  # times; no share moves so far between two syncs, but a split that is not stored yet does
_IN_HUNDREDTHS = Decimal(20)  # times more than the stored price, a quote is in pence
_TOLERANCE = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Now:
    """The state at the quotes: all holdings that have one, and the sums over everything.

    `change` is how much more NAV is than stored, by asset class, in the base currency; `navs` are the
    accounts' (in their own and in the base currency), by broker and account, of those that hold a quoted one.
    """

    holdings: tuple[Holding, ...]
    quotes: Quotes
    totals: Totals
    navs: Mapping[tuple[str, str], tuple[Decimal | None, Decimal | None]]
    change: Mapping[str, Decimal]
    profit_change: Mapping[str, Decimal]

    @property
    def whole_change(self) -> Decimal:
        return sum(self.change.values(), Decimal(0))


def at(valued: Valuation, quotes: Quotes) -> Now:
    """The stored state at these quotes."""
    document = valued.document
    keys = {account.pk: account for account in valued.state.accounts}
    rows: list[Holding] = []
    used: dict[tuple[str, str], Quote] = {}
    change: dict[str, Decimal] = defaultdict(Decimal)
    profit_change: dict[str, Decimal] = defaultdict(Decimal)
    by_account: dict[int, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for held, row in zip(valued.state.held, document.holdings, strict=True):
        quote = quotes.get((row.broker, row.broker_ref))
        if quote is None or not valued.state.is_latest(keys[held.account_id]):
            continue
        key = (held.account_id, held.currency)
        into_base = valued.factors.into_base[key]
        moved = None if into_base is None else _moved(held, quote.price)
        if into_base is None or moved is None:
            continue
        used[row.broker, row.broker_ref] = quote
        rows.append(_row(row, held, moved, into_base, quote))
        added = moved.market_value - (held.market_value or 0)
        change[held.asset_class] += added * into_base
        if held.unrealized_pnl is not None:
            profit_change[held.asset_class] += moved.gain * into_base
        by_account[held.account_id][0] += added * (valued.factors.into_account[key] or 0)
        by_account[held.account_id][1] += added * into_base
    whole = sum(change.values(), Decimal(0))
    totals = document.totals
    nav_base = _plus(totals.nav_base, whole)
    return Now(
        holdings=tuple(
            row.model_copy(update={"weight": share(row.market_value_base, nav_base)}) for row in rows
        ),
        quotes=used,
        totals=totals.model_copy(
            update={
                "market_value_base": _plus(totals.market_value_base, whole),
                "nav_base": nav_base,
                "unrealized_pnl_base": _plus(
                    totals.unrealized_pnl_base, sum(profit_change.values(), Decimal(0))
                ),
            }
        ),
        navs={
            (account.broker, account.account): (
                _plus(shown.nav, by_account[account.pk][0]),
                _plus(shown.nav_base, by_account[account.pk][1]),
            )
            for account, shown in zip(valued.state.accounts, document.accounts, strict=True)
            if account.pk in by_account
        },
        change=dict(change),
        profit_change=dict(profit_change),
    )


def largest(broker: str, login: str, base_currency: str, number: int) -> list[str]:
    """The broker's numbers of what a login holds, the largest first; at most so many."""
    its = [one for one in accounts(Scope(base_currency)) if (one.broker, one.login) == (broker, login)]
    sizes: dict[str, Decimal] = defaultdict(Decimal)
    for account in its:
        document = valuation(Scope(base_currency, account=account.account, broker=broker)).document
        for row in document.holdings:
            if row.asset_class != AssetClass.CASH:
                sizes[row.broker_ref] += abs(row.exposure_base or Decimal(0))
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


def _row(row: Holding, held: Held, moved: _Moved, into_base: Decimal, quote: Quote) -> Holding:
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
