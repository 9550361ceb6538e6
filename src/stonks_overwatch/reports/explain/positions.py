"""How positions are valued: the figures of holdings."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Activity, Position
from stonks_overwatch.ledger.types import ActivityKind, AssetClass
from stonks_overwatch.reports.booked import grouped
from stonks_overwatch.reports.combined import Together, matches, together
from stonks_overwatch.reports.documents import Computed, Document, Rows, share, times, total
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Ledger, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen, Unit, unit_of
from stonks_overwatch.reports.explain.keys import key_of, lot_key
from stonks_overwatch.reports.explain.lots import ONE_RATE_GUESSED
from stonks_overwatch.reports.explain.told import (
    at_rate,
    base,
    estimated,
    figure,
    fraction,
    over_nav,
    own,
    plain,
    quoted,
    reported,
    sum_of,
    total_value,
)
from stonks_overwatch.reports.explain.used import (
    moves,
    positions,
    prices,
)
from stonks_overwatch.reports.holdings import (
    AccountNav,
    Cash,
    Holding,
    Totals,
    Valuation,
    ValuedPosition,
    unrealized_return,
)
from stonks_overwatch.reports.lot_books import Live, Stored, lot_books
from stonks_overwatch.reports.state import Held


class GroupRow(Document):
    """The sums of one asset class on the page of the holdings."""

    key: str
    market_value_base: Computed | None
    cost_basis_base: Computed | None
    unrealized_pnl_base: Computed | None
    weight: Computed | None


class HoldingsSeen(Document):
    """The holdings as the pages show them too: of all accounts together, and by asset class.

    Of thousands of positions those that are looked at are made.
    """

    as_of: datetime | date | None
    base_currency: str
    accounts: tuple[AccountNav, ...]
    holdings: Rows[Holding]
    cash: tuple[Cash, ...]
    totals: Totals
    combined: Rows[Holding]
    groups: tuple[GroupRow, ...]


def _holdings(arguments: Arguments, reports: Reports) -> HoldingsSeen:
    valued = reports.valued
    return HoldingsSeen(
        as_of=valued.as_of,
        base_currency=valued.base_currency,
        accounts=valued.accounts,
        holdings=_made([Together([one]) for one in valued.positions]),
        cash=valued.cash,
        totals=valued.totals,
        combined=_made(together(valued.positions)),
        groups=_groups(valued, arguments) if reports.asks_for("holdings.groups") else (),
    )


def _made(rows: Sequence[Together]) -> Rows[Holding]:
    return Rows(
        rows,
        lambda some: [one.holding() for one in some],
        lambda name: [one for one in rows if one.instrument.broker_ref in name],
    )


def _groups(valued: Valuation, arguments: Arguments) -> tuple[GroupRow, ...]:
    groups = []
    for name, rows in grouped(_shown(valued, arguments), lambda row: row.instrument.asset_class).items():
        value = total(row.market_value_base for row in rows).value
        groups.append(
            GroupRow(
                key=name,
                market_value_base=value,
                cost_basis_base=total(row.cost_basis_base for row in rows).value,
                unrealized_pnl_base=total(row.unrealized_pnl_base for row in rows).value,
                weight=share(value, valued.totals.nav_base),
            )
        )
    return tuple(groups)


def _shown(valued: Valuation, arguments: Arguments) -> list[Together]:
    every = valued.positions
    rows = [Together([one]) for one in every] if arguments.each else together(every)
    return [row for row in rows if matches(row.instrument, arguments.q)]


REPORTS["holdings"] = _holdings


# One position


def _positions(seen: Seen) -> list[ValuedPosition]:
    """The positions that a row stands for: one account's, or those of all accounts together."""
    row = seen.holder
    names = row.account.split(", ")
    return [one for one in seen.positions(row.broker, row.broker_ref) if one.account.account in names]


def _parts(seen: Seen) -> list[Holding]:
    return [one.holding() for one in _positions(seen)]


def _held(seen: Seen) -> Held:
    return _positions(seen)[0].held


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
    latest = Position.objects.filter(account=held.account_id, instrument=held.instrument_id).first()
    told = None if latest is None or seen.value is None else latest.quantity
    inputs = [seen.input("latest reported quantity", told, "")]
    later = Activity.objects.current().filter(
        account=held.account_id, instrument=held.instrument_id, trade_date__gt=_on(seen, held)
    )
    later = later.exclude(kind=ActivityKind.FX).exclude(quantity=None, ratio=None).order_by("trade_date")
    moves_since = list(later.values_list("kind", "trade_date", "quantity"))
    if any(quantity is None for _, _, quantity in moves_since):
        # A split that only its ratio tells cannot be taken back: the lots of the day tell.
        return sum_of(_lots_of(seen, held, "quantity", ""), "sum of the lots of the day", ledger=[ledger])
    inputs += [
        seen.input(f"{kind} since", -quantity, "", as_of=on) for kind, on, quantity in moves_since if quantity
    ]
    words = "the latest reported quantity, less what moved it since that day"
    return sum_of(inputs, words, ledger=[ledger])


@figure(Holding, "price", "Price", quoted, "Of one unit; of bonds in percent of face.")
def _price(seen: Seen) -> Made:
    every = [one.held for one in _positions(seen)]
    held = next((one for one in every if one.price == seen.holder.price), every[0])
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
    price = _beside(seen, "price", "price", quoted(seen), as_of=held.price_as_of)
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


def _kept(seen: Seen, held: Held) -> Stored | Live:
    account = next(one for one in seen.valued.state.accounts if one.pk == held.account_id)
    return lot_books([account], seen.base, seen.arguments.as_of, seen.arguments.method)


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
            seen.input("average cost", held.average_cost, quoted(seen), source="the broker, for one unit"),
        ]
        words = " × ".join(one.name for one in inputs)
        if held.cost_basis is not None and _product(one.value for one in inputs) == held.cost_basis:
            return Made("product", words, inputs, ledger=_as_reported(held))
        return reported("as the broker reported it", _as_reported(held), inputs=inputs)
    method = _kept(seen, held).methods[held.account_id]
    inputs = _lots_of(seen, held, "cost", held.currency)
    ledger = [moves(held.account_id, held.instrument_id, _on(seen, held))]
    note = (
        ""
        if seen.value is not None
        else "Unknown: the lots do not explain the quantity, or one's cost is unknown."
    )
    words = f"sum of the open lots ({method})"
    return sum_of(inputs, words, ledger=ledger, note=note)


def _lots_of(seen: Seen, held: Held, name: str, unit: str) -> list[Input]:
    """The open lots of one position."""
    part = _parts(seen)[0]
    lots = [row.lot for row in _kept(seen, held).open([held.instrument_id])]
    return [
        seen.input(
            f"{lot.quantity:f} of {lot.opened_on.isoformat() if lot.is_dated else 'an unknown day'}",
            getattr(lot, name),
            unit,
            f"lots.lots.{name}",
            lot_key(part.broker, part.account, part.broker_ref, lot),
        )
        for lot in lots
    ]


@figure(Holding, "average_cost", "Average cost", quoted, "Of one unit of what is open, told as its price is.")
def _average_cost(seen: Seen) -> Made:
    parts = _parts(seen)
    if len(parts) > 1:
        costs = total(times(part.quantity, part.average_cost) for part in parts)
        inputs = [
            seen.input("quantity × average cost of the accounts", costs.value, quoted(seen)),
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
    closed = _kept(seen, held).closed(instrument=held.instrument_id)
    closes = [row.close for row in reversed(closed)]
    inputs = [
        seen.input(
            f"{close.quantity:f} closed on {close.closed_on.isoformat()}",
            close.realized_pnl_base,
            seen.base,
            "realized.lots.gain_base",
            lot_key(part.broker, part.account, part.broker_ref, close),
            as_of=close.closed_on,
        )
        for close in closes
    ]
    words = "sum of the gains of all closed lots, unknown when one of them is"
    return sum_of(inputs, words, ledger=[moves(held.account_id, held.instrument_id, _on(seen, held))])


estimated(Holding, ("realized_pnl_base",), lambda seen: seen.holder.realized_is_estimate, ONE_RATE_GUESSED)


@figure(Holding, "weight", "Weight", fraction, "The value as a part of the value of everything looked at.")
@_each("weight", fraction)
def _weight(seen: Seen) -> Made:
    inputs = [_beside(seen, "market_value_base", "value", seen.base), total_value(seen)]
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
    shown = _shown(seen.valued, seen.arguments)

    def inputs_of(some: Sequence[Together]) -> list[Input]:
        return [
            seen.input(row.symbol or row.name, getattr(row, name), seen.base, f"{where}.{name}", key_of(row))
            for row in (one.holding() for one in some)
        ]

    rows = [row for row in shown if row.instrument.asset_class == seen.holder.key]
    return sum_of(Rows(rows, inputs_of), f"sum of the {text} of its positions")


for _name, _title in (
    ("market_value_base", "Value"),
    ("cost_basis_base", "Cost"),
    ("unrealized_pnl_base", "Unrealized P&L"),
):

    def _group_sum(seen: Seen, name: str = _name, title: str = _title) -> Made:
        return _of_group(seen, name, title[0].lower() + title[1:])

    figure(GroupRow, _name, _title, base, "Of all positions of the class that fit the search.")(_group_sum)


_PART = "As a part of the value of everything looked at."
figure(GroupRow, "weight", "Weight", fraction, _PART)(over_nav("market_value_base"))


@figure(Holding, "multiplier", "Multiplier", plain, "Units of the underlying that one contract stands for.")
@figure(Holding, "strike", "Strike", own)
def _of_contract(seen: Seen) -> Made:
    return reported("as the broker describes the contract", _as_reported(_held(seen)))
