"""What a correct tracker must show, reckoned from the script alone.

Nothing here looks at the answers or at the tallies that the world keeps: quantities and cash are summed
over the entries, accruals over what is earned and not yet paid, and values are quantity x price x units
at today's prices, with these two exceptions:

- a currency pair adds nothing, its money is in the cash;
- futures and CFDs add what they have earned and not yet booked to cash: their value now, less what was
  traded at the trades' own prices, less every booking so far.

Comparing with `stonks-overwatch holdings --json --base EUR`: `totals.nav_base`, `.cash_base`,
`.accrued_base` and `.market_value_base` are `total_nav` and so on; `accounts[].nav` is `accounts[...].nav`
in the account's currency; `cash[].amount` is `accounts[...].cash[currency]`; a holding's `quantity` is
`.quantities[conid]`. Everything is exact; `cents` of it is what a page shows.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World, cents

Amounts = dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class AccountExpectation:
    """One account. `nav` is in the account's currency, the amounts are per currency in that currency."""

    account: str
    currency: str
    nav: Decimal
    nav_base: Decimal
    cash: Amounts
    accrued: Amounts
    market_value: Amounts  # without futures
    futures: Amounts  # variation that is not in cash yet
    quantities: dict[int, Decimal]  # without the zero ones


@dataclass(frozen=True, slots=True)
class Expectation:
    """All accounts; totals in `base_currency` at the sandbox's rates, the futures' part in the value."""

    base_currency: str
    accounts: dict[str, AccountExpectation]
    total_market_value: Decimal
    total_cash: Decimal
    total_accrued: Decimal
    total_nav: Decimal

    def as_json(self) -> dict[str, Any]:
        """Each amount as `{"exact": "...", "rounded": "..."}`."""
        return {
            "base_currency": self.base_currency,
            "accounts": {
                name: {
                    "currency": account.currency,
                    "nav": _both(account.nav),
                    "nav_base": _both(account.nav_base),
                    "cash": _each(account.cash),
                    "accrued": _each(account.accrued),
                    "market_value": _each(account.market_value),
                    "futures": _each(account.futures),
                    "quantities": {
                        str(conid): str(quantity) for conid, quantity in account.quantities.items()
                    },
                }
                for name, account in self.accounts.items()
            },
            "totals": {
                "market_value_base": _both(self.total_market_value),
                "cash_base": _both(self.total_cash),
                "accrued_base": _both(self.total_accrued),
                "nav_base": _both(self.total_nav),
            },
        }


def expected(world: World, base_currency: str) -> Expectation:
    """Reckon every account. KeyError for a base currency that the sandbox has no rate of."""

    def total(amounts: Amounts, into: str) -> Decimal:
        in_eur = sum(
            (amount * world.market.rate(currency) for currency, amount in amounts.items()), Decimal(0)
        )
        return in_eur / world.market.rate(into)

    with world.lock:
        accounts = {}
        sums = dict.fromkeys(("market_value", "cash", "accrued"), Decimal(0))
        for name, holder in world.holders.items():
            cash, accrued = _cash(world, name), _accrued(world, name)
            market_value, futures, quantities = _values(world, name)
            parts = (market_value, futures, cash, accrued)
            accounts[name] = AccountExpectation(
                account=name,
                currency=holder.currency,
                nav=sum((total(part, holder.currency) for part in parts), Decimal(0)),
                nav_base=sum((total(part, base_currency) for part in parts), Decimal(0)),
                cash=cash,
                accrued=accrued,
                market_value=market_value,
                futures=futures,
                quantities=quantities,
            )
            sums["market_value"] += total(market_value, base_currency) + total(futures, base_currency)
            sums["cash"] += total(cash, base_currency)
            sums["accrued"] += total(accrued, base_currency)
    return Expectation(
        base_currency=base_currency,
        accounts=accounts,
        total_market_value=sums["market_value"],
        total_cash=sums["cash"],
        total_accrued=sums["accrued"],
        total_nav=sum(sums.values(), Decimal(0)),
    )


def _cash(world: World, account: str) -> Amounts:
    cash: Amounts = defaultdict(Decimal)
    for entry in world.entries:
        if entry.account == account:
            cash[entry.currency] += entry.gross + entry.commission + entry.tax
            if entry.exchanged is not None:
                currency, amount = entry.exchanged
                cash[currency] += amount
    return dict(cash)


def _accrued(world: World, account: str) -> Amounts:
    accrued: Amounts = defaultdict(Decimal)
    for accrual in (*world.paid, *world.unpaid):
        if accrual.account == account and accrual.on <= world.today < accrual.paid_on:
            accrued[accrual.currency] += accrual.gross + accrual.tax
    return dict(accrued)


def _values(world: World, account: str) -> tuple[Amounts, Amounts, dict[int, Decimal]]:
    quantities: dict[int, Decimal] = defaultdict(Decimal)
    traded: dict[int, Decimal] = defaultdict(Decimal)
    booked: dict[int, Decimal] = defaultdict(Decimal)
    for entry in world.entries:
        if entry.account == account and entry.conid is not None:
            units = world.market.instruments[entry.conid].units
            quantities[entry.conid] += entry.quantity
            booked[entry.conid] += entry.gross
            if entry.price is not None:
                traded[entry.conid] += entry.quantity * entry.price * units
    market_value: Amounts = defaultdict(Decimal)
    futures: Amounts = defaultdict(Decimal)
    for conid, quantity in quantities.items():
        instrument: Instrument = world.market.instruments[conid]
        value = quantity * world.market.price(conid) * instrument.units
        match instrument.asset_class:
            case "CASH":
                pass
            case "FUT":
                futures[instrument.currency] += value - traded[conid] - booked[conid]
            case "CFD":
                market_value[instrument.currency] += value - traded[conid] - booked[conid]
            case _:
                market_value[instrument.currency] += value
    held = {conid: quantity for conid, quantity in quantities.items() if quantity}
    return dict(market_value), dict(futures), held


def _both(amount: Decimal) -> dict[str, str]:
    return {"exact": str(amount), "rounded": str(cents(amount))}


def _each(amounts: Amounts) -> dict[str, dict[str, str]]:
    return {currency: _both(amount) for currency, amount in sorted(amounts.items())}
