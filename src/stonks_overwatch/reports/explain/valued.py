"""How what is held is valued: the figures of holdings, dashboard, accounts, allocation and reconcile."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Account, Activity, CashBalance, NavPoint, Position
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.accounts import AccountRow, AccountsDocument, account_rows
from stonks_overwatch.reports.allocation import AllocationDocument, By, Slice, allocation, key_of_part
from stonks_overwatch.reports.books import NO_LOTS, Books, books
from stonks_overwatch.reports.combined import combined, matches
from stonks_overwatch.reports.dashboard import AccountDay, CashTotal, DayChange, NavSeries, dashboard
from stonks_overwatch.reports.documents import Computed, Document, share, times, total
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made, RateUsed
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen, Unit, by_of, unit_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    figure,
    fraction,
    own,
    plain,
    reported,
    sum_of,
    unique,
)
from stonks_overwatch.reports.explain.used import (
    activities,
    balances,
    money,
    moves,
    points,
    positions,
    prices,
)
from stonks_overwatch.reports.holdings import (
    AccountNav,
    Cash,
    Holding,
    HoldingsDocument,
    Part,
    Totals,
    unrealized_return,
)
from stonks_overwatch.reports.reconcile import AccountLines, Line, reconcile
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import Held


class GroupRow(Document):
    """The sums of one asset class on the page of the holdings."""

    key: str
    market_value_base: Computed | None
    cost_basis_base: Computed | None
    unrealized_pnl_base: Computed | None
    weight: Computed | None


class HoldingsSeen(HoldingsDocument):
    """The holdings as the pages show them too: of all accounts together, and by asset class."""

    combined: tuple[Holding, ...]
    groups: tuple[GroupRow, ...]


def _holdings(arguments: Arguments, reports: Reports) -> HoldingsSeen:
    document = reports.valued.document
    rows = _shown(document, arguments)
    groups = []
    for name in dict.fromkeys(row.asset_class for row in rows):
        of = [row for row in rows if row.asset_class == name]
        value = total(row.market_value_base for row in of).value
        groups.append(
            GroupRow(
                key=name,
                market_value_base=value,
                cost_basis_base=total(row.cost_basis_base for row in of).value,
                unrealized_pnl_base=total(row.unrealized_pnl_base for row in of).value,
                weight=share(value, document.totals.nav_base),
            )
        )
    fields = {name: getattr(document, name) for name in HoldingsDocument.model_fields}
    return HoldingsSeen(**fields, combined=tuple(combined(document.holdings)), groups=tuple(groups))


def _shown(document: HoldingsDocument, arguments: Arguments) -> list[Holding]:
    rows = document.holdings if arguments.each else combined(document.holdings)
    return [row for row in rows if matches(row, arguments.query)]


REPORTS["holdings"] = _holdings
REPORTS["dashboard"] = lambda arguments, _: dashboard(arguments.scope)
REPORTS["accounts"] = lambda arguments, _: account_rows(arguments.scope)
REPORTS["allocation"] = lambda arguments, _: allocation(arguments.scope, by_of(arguments))
REPORTS["reconcile"] = lambda arguments, _: reconcile(arguments.scope, arguments.start, arguments.end)


# One position


def _parts(seen: Seen) -> list[Holding]:
    """The holdings by account that a row stands for: itself, or those of all accounts together."""
    row = seen.holder
    names = row.account.split(", ")
    return [
        one
        for one in seen.valued.document.holdings
        if (one.broker, one.broker_ref) == (row.broker, row.broker_ref) and one.account in names
    ]


def _held(seen: Seen) -> Held:
    row = _parts(seen)[0]
    return seen.valued.state.held[seen.valued.document.holdings.index(row)]


def _on(seen: Seen, held: Held) -> date:
    return seen.valued.state.days[held.account_id]


def _is_latest(seen: Seen, held: Held) -> bool:
    return any(
        seen.valued.state.is_latest(account)
        for account in seen.valued.state.accounts
        if account.pk == held.account_id
    )


def _as_reported(held: Held) -> list[Ledger]:
    return [positions(Position.objects.filter(account=held.account_id, instrument=held.instrument_id))]


def _each(name: str, unit: Unit) -> Callable[[Callable[[Seen], Made]], Callable[[Seen], Made]]:
    """A figure of one account as the function tells it; of accounts together the sum of theirs."""

    def around(making: Callable[[Seen], Made]) -> Callable[[Seen], Made]:
        def made(seen: Seen) -> Made:
            parts = _parts(seen)
            if len(parts) == 1:
                return making(seen)
            inputs = [
                seen.input(
                    f"in {p.account}",
                    getattr(p, name),
                    unit_of(unit, seen),
                    f"holdings.holdings.{name}",
                    key_of(p),
                )
                for p in parts
            ]
            return sum_of(inputs, "sum over the accounts, unknown when one of them is")

        return made

    return around


def _beside(seen: Seen, name: str, text: str, unit: str, **more: Any) -> Input:
    """Another figure of the same position."""
    part = _parts(seen)[0]
    return seen.input(text, getattr(part, name), unit, f"holdings.holdings.{name}", key_of(part), **more)


@figure(Holding, "quantity", "Quantity", plain, "Units held; negative when short.")
@_each("quantity", plain)
def _quantity(seen: Seen) -> Made:
    held = _held(seen)
    ledger = moves(held.account_id, held.instrument_id, _on(seen, held))
    if _is_latest(seen, held):
        return reported(
            "as the broker reported it; the activities that led to it are below",
            [*_as_reported(held), ledger],
        )
    return Made("computed", "the latest reported quantity less what moved it since that day", ledger=[ledger])


@figure(Holding, "price", "Price", own, "Of one unit, in the instrument's currency.")
def _price(seen: Seen) -> Made:
    newest = next((part for part in _parts(seen) if part.price == seen.holder.price), _parts(seen)[0])
    held = seen.valued.state.held[seen.valued.document.holdings.index(newest)]
    if _is_latest(seen, held):
        return reported("as the broker reported it with the position", _as_reported(held))
    return reported("the last price of the week up to the day", [prices(held.instrument_id, _on(seen, held))])


def _units(seen: Seen, held: Held) -> list[Input]:
    """What a price is multiplied with."""
    inputs = [_beside(seen, "quantity", "quantity", "")]
    if held.multiplier != 1:
        inputs.append(
            seen.input("multiplier", held.multiplier, "", source="units of the underlying per contract")
        )
    if held.quote_factor != 1:
        inputs.append(
            seen.input(
                "quote factor", held.quote_factor, "", source="how the price is quoted: 0.01 for percent"
            )
        )
    return inputs


def _priced(seen: Seen, name: str, text: str) -> Made:
    """Units times price, or what the broker said where it said something else."""
    held = _held(seen)
    value = getattr(_parts(seen)[0], name)
    price = _beside(seen, "price", "price", held.currency, as_of=held.price_as_of)
    inputs = [*_units(seen, held), price]
    words = " × ".join(one.name for one in inputs)
    product = _product(one.value for one in inputs)
    if value is not None and product == value:
        return Made("product", words, inputs, ledger=_as_reported(held))
    note = ""
    if value is not None and product is not None:
        note = f"{words} is {product:f}: {text} {_more(value - product)} that."
    return reported(
        "as the broker reported it, with all its digits",
        _as_reported(held),
        note,
        inputs,
    )


def _more(difference: Decimal) -> str:
    return f"is {abs(difference):f} {'more' if difference > 0 else 'less'} than"


def _product(factors: Iterable[Decimal | None]) -> Decimal | None:
    made = Decimal(1)
    for factor in factors:
        if factor is None:
            return None
        made *= factor
    return made


@figure(Holding, "market_value", "Value", own, "What the position adds to the account's value.")
@_each("market_value", own)
def _market_value(seen: Seen) -> Made:
    held = _held(seen)
    if held.asset_class == AssetClass.CASH:
        return reported("a currency pair adds nothing: its money is in the cash balances")
    if held.asset_class in (AssetClass.FUTURE, AssetClass.CFD):
        return reported(
            "the profit that is carried and not in cash yet, as the broker reported it",
            _as_reported(held),
            inputs=[_beside(seen, "exposure", "exposure", held.currency)],
        )
    return _priced(seen, "market_value", "the value")


@figure(
    Holding, "exposure", "Exposure", own, "What the position moves with: the value of what it stands for."
)
@_each("exposure", own)
def _exposure(seen: Seen) -> Made:
    return _priced(seen, "exposure", "the exposure")


def _in_base(seen: Seen, name: str, text: str) -> Made:
    held = _held(seen)
    on = _on(seen, held)
    factor = seen.valued.factors.into_base[held.account_id, held.currency]
    amount = _beside(seen, name, text, held.currency)
    rates = seen.rates_used(held.currency, seen.base, on)
    return at_rate(seen, amount, held.currency, factor, on, rates)


def _register_in_base() -> None:
    for name, title, meaning in (
        ("market_value", "Value", "Converted once, at the rate of the day the account was last updated."),
        ("exposure", "Exposure", "Converted at the rate of the day the account was last updated."),
        (
            "cost_basis",
            "Cost",
            "At today's rate; the cost at the rates of the days it was paid is in the lots.",
        ),
        ("unrealized_pnl", "Unrealized P&L", "In its own currency first, then at today's rate."),
    ):

        def made(seen: Seen, name: str = name, title: str = title) -> Made:
            return _in_base(seen, name, title[0].lower() + title[1:])

        figure(Holding, f"{name}_base", title, base, meaning)(_each(f"{name}_base", base)(made))


_register_in_base()


def _kept(seen: Seen, held: Held) -> Books:
    account = next(one for one in seen.valued.state.accounts if one.pk == held.account_id)
    return books([account], seen.base, seen.arguments.scope.as_of, seen.arguments.method)


def _is_of_lots(seen: Seen, held: Held) -> bool:
    """Whether the cost is that of the lots: by another method than the broker's, or of an earlier day."""
    account = next(one for one in seen.valued.state.accounts if one.pk == held.account_id)
    if seen.arguments.method is not None or Method(account.lot_method) is not Method.FIFO:
        return True
    stored = Position.objects.filter(account=account, instrument=held.instrument_id).first()
    return not _is_latest(seen, held) or stored is None or stored.cost_basis is None


@figure(Holding, "cost_basis", "Cost", own, "What was paid for what is open, commissions included.")
@_each("cost_basis", own)
def _cost_basis(seen: Seen) -> Made:
    held = _held(seen)
    if not _is_of_lots(seen, held):
        inputs = [
            *_units(seen, held),
            seen.input("average cost", held.average_cost, held.currency, source="the broker, for one unit"),
        ]
        words = " × ".join(one.name for one in inputs)
        if held.cost_basis is not None and _product(one.value for one in inputs) == held.cost_basis:
            return Made("product", words, inputs, ledger=_as_reported(held))
        return reported("as the broker reported it", _as_reported(held), inputs=inputs)
    kept = _kept(seen, held)
    account, part = kept.accounts[held.account_id], _parts(seen)[0]
    lots = kept.lots.get((held.account_id, held.instrument_id), NO_LOTS)
    inputs = [
        seen.input(
            f"{lot.quantity:f} of {lot.opened_on.isoformat() if lot.is_dated else 'an unknown day'}",
            lot.cost,
            held.currency,
            "lots.lots.cost",
            f"{part.broker} {part.account} {part.broker_ref} {lot.opened_by} {lot.quantity}",
        )
        for lot in lots.open
    ]
    ledger = [moves(account, held.instrument_id, _on(seen, held))]
    if lots.quantity != held.quantity:
        return Made(
            "computed",
            "cost of the open lots; unknown, because the lots do not explain the quantity",
            inputs,
            ledger=ledger,
        )
    return sum_of(inputs, f"sum of the open lots ({kept.methods[account.pk]})", ledger=ledger)


@figure(Holding, "average_cost", "Average cost", own, "What one unit of what is open cost.")
def _average_cost(seen: Seen) -> Made:
    parts = _parts(seen)
    if len(parts) > 1:
        costs = total(times(part.quantity, part.average_cost) for part in parts)
        inputs = [
            seen.input("quantity × average cost of the accounts", costs.value, own(seen)),
            seen.input("quantity", seen.holder.quantity, "", f"{seen.path}.quantity", *seen.rows),
        ]
        return Made("quotient", "quantity × average cost of the accounts ÷ quantity", inputs)
    held = _held(seen)
    if not _is_of_lots(seen, held):
        return reported("as the broker reported it, for one unit", _as_reported(held))
    units = _product(one.value for one in _units(seen, held))
    inputs = [_beside(seen, "cost_basis", "cost", held.currency), seen.input("units", units, "")]
    return Made("quotient", "cost ÷ units", inputs)


@figure(Holding, "unrealized_pnl", "Unrealized P&L", own, "What selling everything now would earn or lose.")
@_each("unrealized_pnl", own)
def _unrealized(seen: Seen) -> Made:
    held = _held(seen)
    inputs = [
        _beside(seen, "exposure", "value", held.currency),
        _beside(seen, "cost_basis", "cost", held.currency),
    ]
    value, cost, profit = held.exposure, held.cost_basis, held.unrealized_pnl
    if value is not None and cost is not None and value - cost == profit:
        return Made("difference", "value − cost", inputs)
    note = ""
    if value is not None and cost is not None and profit is not None:
        note = f"Value − cost is {value - cost:f}: the broker's figure {_more(profit - value + cost)} that."
    return reported("as the broker reported it", _as_reported(held), note, inputs)


@figure(
    Holding,
    "realized_pnl_base",
    "Realized P&L",
    base,
    "Proceeds less cost of what was closed, both with commissions, each at the rate of its day.",
)
@_each("realized_pnl_base", base)
def _realized(seen: Seen) -> Made:
    held, part = _held(seen), _parts(seen)[0]
    where = f"{part.broker} {part.account} {part.broker_ref}"
    closes = _kept(seen, held).lots.get((held.account_id, held.instrument_id), NO_LOTS).closed
    inputs = [
        seen.input(
            f"{close.quantity:f} closed on {close.closed_on.isoformat()}",
            close.realized_pnl_base,
            seen.base,
            "realized.lots.gain_base",
            f"{where} {close.opened_by} {close.closed_by} {close.quantity}",
            as_of=close.closed_on,
        )
        for close in closes
    ]
    words = "sum of the gains of all closed lots, unknown when one of them is"
    return sum_of(inputs, words, ledger=[moves(held.account_id, held.instrument_id, _on(seen, held))])


@figure(Holding, "weight", "Weight", fraction, "The value as a part of the value of everything looked at.")
@_each("weight", fraction)
def _weight(seen: Seen) -> Made:
    inputs = [
        _beside(seen, "market_value_base", "value", seen.base),
        seen.input(
            "total value", seen.valued.document.totals.nav_base, seen.base, "holdings.totals.nav_base"
        ),
    ]
    return Made("quotient", "value ÷ total value", inputs)


@figure(
    Holding,
    "unrealized_return",
    "Return",
    fraction,
    "Unrealized P&L over what the position cost, in its own currency.",
    value=unrealized_return,
)
def _return(seen: Seen) -> Made:
    cost = seen.holder.cost_basis
    inputs = [
        seen.beside("unrealized_pnl", "unrealized P&L", own(seen)),
        seen.input(
            "cost, without its sign",
            None if cost is None else abs(cost),
            own(seen),
            f"{seen.path}.cost_basis",
            *seen.rows,
        ),
    ]
    return Made("quotient", "unrealized P&L ÷ cost", inputs)


# Groups of positions


def _of_group(seen: Seen, name: str, text: str) -> Made:
    where = "holdings.holdings" if seen.arguments.each else "holdings.combined"
    rows = [row for row in _shown(seen.valued.document, seen.arguments) if row.asset_class == seen.holder.key]
    inputs = [
        seen.input(row.symbol or row.name, getattr(row, name), seen.base, f"{where}.{name}", key_of(row))
        for row in rows
    ]
    return sum_of(inputs, f"sum of the {text} of its positions")


for _name, _title in (
    ("market_value_base", "Value"),
    ("cost_basis_base", "Cost"),
    ("unrealized_pnl_base", "Unrealized P&L"),
):

    def _group_sum(seen: Seen, name: str = _name, title: str = _title) -> Made:
        return _of_group(seen, name, title[0].lower() + title[1:])

    figure(GroupRow, _name, _title, base, "Of all positions of the class that fit the search.")(_group_sum)


def _over_nav(name: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        inputs = [
            seen.beside(name, "value", seen.base),
            seen.input(
                "total value", seen.valued.document.totals.nav_base, seen.base, "holdings.totals.nav_base"
            ),
        ]
        return Made("quotient", "value ÷ total value", inputs)

    return made


_PART = "As a part of the value of everything looked at."
figure(GroupRow, "weight", "Weight", fraction, _PART)(_over_nav("market_value_base"))
figure(Slice, "weight", "Weight", fraction, _PART)(_over_nav("value_base"))
figure(CashTotal, "weight", "Weight", fraction, _PART)(_over_nav("amount_base"))
figure(AccountRow, "weight", "Share of all accounts", fraction, _PART)(_over_nav("nav_base"))


# Cash


def _balance(seen: Seen) -> tuple[Account, str]:
    return seen.account(seen.holder.broker, seen.holder.account), seen.holder.currency


@figure(Cash, "amount", "Cash", own, "Negative when it is owed.")
def _cash(seen: Seen) -> Made:
    account, currency = _balance(seen)
    ledger = [
        balances(CashBalance.objects.filter(account=account, currency=currency)),
        money(account, currency),
    ]
    if seen.valued.state.is_latest(account):
        return reported("as the broker reported it; the activities that led to it are below", ledger)
    return Made(
        "computed", "the latest reported balance less what came and went since that day", ledger=ledger
    )


@figure(Cash, "amount_base", "Cash", base, "At the rate of the day the account was last updated.")
def _cash_base(seen: Seen) -> Made:
    account, currency = _balance(seen)
    on = seen.valued.state.days[account.pk]
    factor = seen.valued.factors.into_base[account.pk, currency]
    rates = seen.rates_used(currency, seen.base, on)
    return at_rate(seen, seen.beside("amount", "cash", currency), currency, factor, on, rates)


@figure(CashTotal, "amount", "Cash", own, "Over all accounts looked at.")
def _cash_total(seen: Seen) -> Made:
    return _cash_of(seen, "amount", seen.holder.currency)


@figure(CashTotal, "amount_base", "Cash", base, "Over all accounts looked at.")
def _cash_total_base(seen: Seen) -> Made:
    return _cash_of(seen, "amount_base", seen.base)


def _cash_of(seen: Seen, name: str, unit: str) -> Made:
    rows = [row for row in seen.valued.document.cash if row.currency == seen.holder.currency]
    inputs = [
        seen.input(f"in {row.account}", getattr(row, name), unit, f"holdings.cash.{name}", key_of(row))
        for row in rows
    ]
    return sum_of(inputs, "sum over the accounts")


# Sums of everything


def _addends(seen: Seen, wanted: Callable[[Part], bool], unit: str = "") -> list[Input]:
    """The addends of NAV in the base currency, or (with a unit) in the account's own."""
    return [
        _addend(seen, part, unit) for parts in seen.valued.parts.values() for part in parts if wanted(part)
    ]


_NAMES = {"cash": "cash", "accrued": "accrued interest and dividends", "futures": "futures, not settled yet"}


def _addend(seen: Seen, part: Part, unit: str) -> Input:
    account = part.account
    text = part.symbol if part.what == "position" else f"{_NAMES[part.what]} {part.currency}"
    if len(seen.valued.state.accounts) > 1:
        text = f"{text} in {account.account}"
    value = part.amount_account if unit else part.amount_base
    figure_name = ""
    rows: tuple[str, ...] = ()
    if part.what == "position":
        figure_name = "holdings.holdings.market_value" + ("" if unit else "_base")
        rows = (f"{account.broker} {part.broker_ref} {account.account}",)
    elif part.what == "cash" and part.amount != 0:
        figure_name = "holdings.cash.amount" + ("" if unit else "_base")
        rows = (f"{account.broker} {account.account} {part.currency}",)
    source = ""
    if unit and part.currency != unit and part.amount is not None:
        source = f"{part.amount:f} {part.currency} in {unit}"
    return seen.input(
        text,
        value,
        unit or seen.base,
        figure_name,
        *rows,
        as_of=seen.valued.state.days[account.pk],
        source=source,
    )


def _rates_of(seen: Seen, parts: Iterable[Part], into: str) -> list[RateUsed]:
    wanted = dict.fromkeys((part.currency, seen.valued.state.days[part.account.pk]) for part in parts)
    return [rate for currency, on in wanted for rate in seen.rates_used(currency, into, on)]


def _every(seen: Seen) -> list[Part]:
    return [part for parts in seen.valued.parts.values() for part in parts]


@figure(
    Totals, "nav_base", "Total value", base, "Net asset value: what would be left if everything were sold."
)
def _nav(seen: Seen) -> Made:
    inputs = [
        seen.beside("market_value_base", "investments", seen.base),
        seen.beside("cash_base", "cash", seen.base),
        seen.beside("accrued_base", "accrued interest and dividends", seen.base),
    ]
    return sum_of(inputs, "investments + cash + accrued interest and dividends")


def _kinds(kinds: tuple[str, ...], words: str) -> Callable[[Seen], Made]:
    def made(seen: Seen) -> Made:
        mine = _mine(seen)
        parts = [part for part in _every(seen) if part.what in kinds and mine(part)]
        inputs = [_addend(seen, part, "") for part in parts]
        ledger = []
        if "accrued" in kinds or "cash" in kinds:
            ledger.append(
                balances(CashBalance.objects.filter(account__in={part.account.pk for part in parts}))
            )
        return sum_of(inputs, words, _rates_of(seen, parts, seen.base), ledger)

    return made


def _mine(seen: Seen) -> Callable[[Part], bool]:
    """Whether an addend belongs to the account that the figure is of; all do where it is of none."""
    holder = seen.holder
    if isinstance(holder, Totals):
        return lambda _: True
    return lambda part: (part.account.broker, part.account.account) == (holder.broker, holder.account)


_SUMS = (
    (
        "market_value_base",
        "Investments",
        ("position", "futures"),
        "sum of the values of all positions",
        "Futures and CFDs count with the profit they carry.",
    ),
    ("cash_base", "Cash", ("cash",), "sum of all cash balances", "Negative balances count too."),
    (
        "accrued_base",
        "Accrued",
        ("accrued",),
        "sum of accrued interest and declared dividends",
        "Earned and not paid yet, as the brokers report it.",
    ),
)
for _name, _title, _what, _words, _meaning in _SUMS:
    for _model in (Totals, AccountRow):
        figure(_model, _name, _title, base, _meaning)(_kinds(_what, _words))


@figure(
    Totals, "unrealized_pnl_base", "Unrealized P&L", base, "What selling everything now would earn or lose."
)
@figure(AccountRow, "unrealized_pnl_base", "Unrealized P&L", base, "Of the positions of this account.")
def _unrealized_total(seen: Seen) -> Made:
    rows = seen.valued.document.holdings
    if isinstance(seen.holder, AccountRow):
        wanted = (seen.holder.broker, seen.holder.account)
        rows = tuple(row for row in rows if (row.broker, row.account) == wanted)
    inputs = [
        seen.input(
            row.symbol or row.name,
            row.unrealized_pnl_base,
            seen.base,
            "holdings.holdings.unrealized_pnl_base",
            key_of(row),
        )
        for row in rows
    ]
    return sum_of(inputs, "sum over all positions")


@figure(
    Totals,
    "realized_pnl_base",
    "Realized P&L",
    base,
    "Proceeds less cost of everything that was closed, unknown as soon as one part is.",
)
def _realized_total(seen: Seen) -> Made:
    scope = seen.arguments.scope
    kept = books(seen.valued.state.accounts, seen.base, scope.as_of, seen.arguments.method)
    inputs = []
    for (account, instrument), lots in kept.lots.items():
        if lots.closed:
            paper, holder = kept.papers[instrument], kept.accounts[account]
            earned = total(close.realized_pnl_base for close in lots.closed)
            inputs.append(
                seen.input(
                    f"{paper.symbol or paper.name} in {holder.account}",
                    None if earned.unknown else earned.value,
                    seen.base,
                    "realized.by_instrument.gain_base",
                    f"{holder.broker} {paper.broker_ref}",
                    asked={"scope": _of_account(seen, holder), "year": None},
                )
            )
    return sum_of(inputs, "sum of the realized gains of every instrument, unknown when one of them is")


def _of_account(seen: Seen, account: Account) -> Scope:
    return replace(seen.arguments.scope, account=account.account, broker=account.broker)


# Accounts


@figure(AccountNav, "nav_base", "Value of the account", base)
@figure(AccountRow, "nav_base", "Value of the account", base)
@figure(AccountDay, "nav_base", "Value of the account", base)
def _account_nav_base(seen: Seen) -> Made:
    parts = list(filter(_mine(seen), _every(seen)))
    inputs = [_addend(seen, part, "") for part in parts]
    words = "values of the positions + cash + accrued interest and dividends"
    return sum_of(inputs, words, _rates_of(seen, parts, seen.base))


@figure(AccountNav, "nav", "Value of the account", own)
@figure(AccountRow, "nav", "Value of the account", own)
@figure(AccountDay, "nav", "Value of the account", own)
def _account_nav(seen: Seen) -> Made:
    parts = list(filter(_mine(seen), _every(seen)))
    currency = seen.holder.currency
    inputs = [_addend(seen, part, currency) for part in parts]
    words = "values of the positions + cash + accrued interest and dividends, in the account's currency"
    return sum_of(inputs, words, _rates_of(seen, parts, currency))


@figure(AccountRow, "reported_nav", "Value as the broker reports it", own)
def _reported_nav(seen: Seen) -> Made:
    return reported(
        "the broker's own net liquidation value", inputs=[seen.beside("nav", "computed here", own(seen))]
    )


# The dashboard


@figure(
    DayChange,
    "value_base",
    "Change of the day",
    base,
    "Against the broker's value at the end of the last day before; deposits since then count as change.",
)
def _day_change(seen: Seen) -> Made:
    day = seen.parents[-1] if seen.parents else None
    if not isinstance(day, AccountDay):
        inputs = [
            seen.input(
                f"of {row.account}",
                row.day_change.value_base,
                seen.base,
                "dashboard.accounts.day_change.value_base",
                key_of(row),
            )
            for row in seen.root.accounts
        ]
        return sum_of(inputs, "sum over the accounts, unknown when one of them is")
    now = seen.input("value now", day.nav_base, seen.base, "dashboard.accounts.nav_base", *seen.rows)
    account = seen.account(day.broker, day.account)
    since = seen.holder.since
    if since is None or seen.value is None or day.nav_base is None:
        return Made("difference", "value now − value at the end of the day before", [now])
    point = NavPoint.objects.get(account=account, on=since)
    earlier = seen.input(
        f"value at the end of {since.isoformat()}", _earlier(seen, point), seen.base, as_of=since
    )
    return Made(
        "difference",
        "value now − value at the end of the day before",
        [now, earlier],
        seen.rates_used(point.currency, seen.base, since),
        [points(NavPoint.objects.filter(pk=point.pk))],
    )


def _earlier(seen: Seen, point: NavPoint) -> Decimal | None:
    """The broker's value in the base currency at its day's rate; where that is unknown at today's."""
    rates = seen.reports.rates(point.on, max(seen.valued.state.days.values()))
    found = rates.convert(point.nav, point.currency, seen.base, point.on)
    if found is not None:
        return found
    return rates.convert(point.nav, point.currency, seen.base, seen.valued.state.days[point.account_id])


@figure(DayChange, "fraction", "Change of the day", fraction, "The change over the earlier value.")
def _day_fraction(seen: Seen) -> Made:
    change = seen.holder.value_base
    day = seen.parents[-1] if seen.parents else None
    if isinstance(day, AccountDay):
        now = day.nav_base
    else:
        now = total(row.nav_base for row in seen.root.accounts).value
    earlier = None if now is None or change is None else now - change
    inputs = [
        seen.beside("value_base", "change", seen.base),
        seen.input("value before", earlier, seen.base, as_of=seen.holder.since, source="value now − change"),
    ]
    return Made("quotient", "change ÷ value before", inputs)


@figure(NavSeries, "nav", "Value", base, "At the end of the day, at that day's rates; the last one is now.")
def _nav_of_day(seen: Seen) -> Made:
    on = date.fromisoformat(seen.key)
    accounts = seen.valued.state.accounts
    if on == max(seen.valued.state.days.values()) and seen.value == seen.valued.document.totals.nav_base:
        now = seen.input("total value now", seen.value, seen.base, "holdings.totals.nav_base")
        return sum_of([now], "the total value now")
    found = {point.account_id: point for point in NavPoint.objects.filter(account__in=accounts, on=on)}
    rates = seen.reports.rates(on, on)
    inputs = []
    for account in accounts:
        if account.opened_on is None or account.opened_on <= on:
            point = found.get(account.pk)
            value = None if point is None else rates.convert(point.nav, point.currency, seen.base, on)
            inputs.append(seen.input(f"value of {account.account}", value, seen.base, as_of=on))
    used = [rate for point in found.values() for rate in seen.rates_used(point.currency, seen.base, on)]
    words = "sum of the brokers' values of the day, unknown when an account has none"
    return sum_of(inputs, words, unique(used), [points(NavPoint.objects.filter(account__in=accounts, on=on))])


# Allocation


@figure(Slice, "value_base", "Value of the part", base, "Signed: a short position or a loan lowers its part.")
def _slice(seen: Seen) -> Made:
    by: By = next(one.by for one in (seen.root, *seen.parents) if isinstance(one, AllocationDocument))
    parts = [part for part in _every(seen) if key_of_part(part, by) == seen.holder.key]
    inputs = [_addend(seen, part, "") for part in parts]
    return sum_of(inputs, "sum of everything that belongs to it", _rates_of(seen, parts, seen.base))


@figure(AllocationDocument, "total_base", "Total value", base)
def _slices(seen: Seen) -> Made:
    inputs = [
        seen.input(
            row.key,
            row.value_base,
            seen.base,
            "allocation.slices.value_base",
            row.key,
            asked={"by": seen.holder.by},
        )
        for row in seen.holder.slices
    ]
    return sum_of(inputs, "sum of the parts")


# Computed against reported


def _compared(seen: Seen) -> tuple[Account, str, str]:
    """The account, what is compared (NAV, cash, quantity; else nothing) and of which currency."""
    of = next(one for one in seen.parents if isinstance(one, AccountLines))
    account, line = seen.account(of.broker, of.account), seen.holder
    what, _, rest = line.what.partition(" ")
    if line.on is None and what in ("NAV", "cash", "quantity"):
        return account, what, "" if what == "quantity" else rest
    return account, "", ""


def _line_unit(seen: Seen) -> str:
    account, what, currency = _compared(seen)
    return "" if what == "quantity" else currency or (account.currency if what else "")


@figure(Line, "computed", "Computed", _line_unit, "From positions, opening balances and activities.")
def _computed(seen: Seen) -> Made:
    account, what, currency = _compared(seen)
    instrument = seen.holder.instrument
    if what == "quantity" or (not what and instrument):
        rows = Activity.objects.current().filter(account=account, instrument=instrument)
        guesses = {"is_derived": True, "kind__in": (ActivityKind.BUY, ActivityKind.SELL)}
        told = rows.filter(quantity__isnull=False).exclude(kind=ActivityKind.FX).exclude(**guesses)
        if not what:
            return Made("computed", "from the activities of the instrument", ledger=[activities(told)])
        inputs = [
            seen.input(f"{kind} on {on.isoformat()}", quantity, "", as_of=on)
            for kind, on, quantity in told.values_list("kind", "trade_date", "quantity")
        ]
        words = "opening balance and everything that changed the quantity"
        return sum_of(inputs, words, ledger=[activities(told)])
    if not what or (what == "cash" and currency):
        ledger = [money(account, currency)] if currency else []
        return Made("computed", "from the ledger's rows up to the day", ledger=ledger)
    parts = [part for part in _every(seen) if part.account.pk == account.pk]
    if what == "cash":
        parts = [part for part in parts if part.what == "cash"]
    if currency:
        parts = [part for part in parts if part.currency == currency]
    unit = currency or account.currency
    inputs = [_addend(seen, part, unit) for part in parts]
    return sum_of(inputs, "values, cash and accruals of the account", _rates_of(seen, parts, unit))


@figure(Line, "reported", "Reported", _line_unit, "The broker's own figure.")
def _reported(seen: Seen) -> Made:
    account, what, currency = _compared(seen)
    if seen.holder.instrument:
        rows = Position.objects.filter(account=account, instrument=seen.holder.instrument)
        return reported("as the broker reported it", [positions(rows)])
    if not what:
        return reported("as the broker's statement has it")
    held = CashBalance.objects.filter(account=account)
    return reported(
        "as the broker reported it", [balances(held.filter(currency=currency) if currency else held)]
    )


@figure(Line, "difference", "Difference", _line_unit)
def _difference(seen: Seen) -> Made:
    unit = _line_unit(seen)
    inputs = [seen.beside("computed", "computed", unit), seen.beside("reported", "reported", unit)]
    return Made("difference", "computed − reported", inputs)


# What is told of an instrument


@figure(Holding, "multiplier", "Multiplier", plain, "Units of the underlying that one contract stands for.")
@figure(Holding, "strike", "Strike", own)
def _of_contract(seen: Seen) -> Made:
    return reported("as the broker describes the contract", _as_reported(_held(seen)))


@figure(AccountsDocument, "nav_base", "Total value", base)
def _all_accounts(seen: Seen) -> Made:
    inputs = [
        seen.input(row.account, row.nav_base, seen.base, "accounts.accounts.nav_base", key_of(row))
        for row in seen.holder.accounts
    ]
    return sum_of(inputs, "sum of the accounts")
