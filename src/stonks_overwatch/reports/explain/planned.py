"""How targets and a plan for new money come about."""

from decimal import Decimal

from stonks_overwatch.reports import targets
from stonks_overwatch.reports.diversification import CASH, members_of
from stonks_overwatch.reports.documents import total
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Arguments, Reports, Seen
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.explain.spread import total_of_all
from stonks_overwatch.reports.explain.sums import addend, every
from stonks_overwatch.reports.explain.told import (
    base,
    column,
    figure,
    formula,
    fraction,
    over_nav,
    own,
    plain,
    reported,
    siblings,
    sum_of,
    total_value,
)
from stonks_overwatch.reports.holdings import Holding


def _targets(arguments: Arguments, _: Reports) -> targets.TargetsDocument:
    by: targets.GroupBy = next((name for name in targets.GROUPS if name == arguments.by), "asset_class")
    return targets.targets(
        arguments.scope,
        by,
        arguments.money,
        two_sided=arguments.two_sided,
        minimum=arguments.minimum,
    )


REPORTS["targets"] = _targets


def _as_set(_: Seen) -> Made:
    return reported("as it was set")


def _as_asked(_: Seen) -> Made:
    return reported("as it was asked")


_Row, _Plan = targets.TargetRow, targets.TargetsDocument


@figure(_Row, "value_base", "Value", base, "Of everything in the group.")
def _value(seen: Seen) -> Made:
    """The members of the group; instruments are told apart by their ISIN over the accounts."""
    key, by = seen.holder.key, seen.root.by
    if by != "instrument":
        found = [
            (member.symbol or member.name, member.value_base)
            for group, member in members_of(seen.valued, by)
            if group == key
        ]
        inputs = [seen.input(text, value, seen.base) for text, value in found]
        return sum_of(inputs, "sum of everything in the group")
    if key == CASH:
        parts = [part for part in every(seen) if part.what in ("cash", "accrued")]
        return sum_of([addend(seen, part, "") for part in parts], "sum of all cash")
    rows = [row for row in seen.valued.document.holdings if targets.instrument_key(row) == key]
    inputs = [
        seen.input(
            f"in {row.account}",
            row.market_value_base,
            seen.base,
            "holdings.holdings.market_value_base",
            key_of(row),
        )
        for row in rows
    ]
    return sum_of(inputs, "sum over the accounts")


figure(_Row, "weight", "Weight", fraction)(over_nav("value_base"))
figure(_Row, "target", "Target", fraction)(_as_set)
figure(_Row, "band", "Band", fraction)(_as_set)
siblings(
    _Row,
    "drift",
    "Drift",
    fraction,
    "difference",
    (("weight", "weight", fraction), ("target", "target", fraction)),
    "weight − target",
)


@figure(_Row, "difference_base", "Missing to the target", base)
def _missing(seen: Seen) -> Made:
    inputs = [
        seen.beside("target", "target", fraction),
        total_value(seen),
        seen.beside("value_base", "value", seen.base),
    ]
    return formula("target × total value − value", inputs)


def _moved(seen: Seen, key: str) -> list[Input]:
    """The orders of a group; a sale takes away."""
    return [
        seen.input(
            f"{row.side} {row.symbol}",
            row.amount_base if row.side == "buy" else -row.amount_base,
            seen.base,
            as_of=None,
        )
        for row in seen.root.orders
        if row.group == key
    ]


@figure(_Row, "after_base", "Value after the plan", base, "What is left of the new money stays as cash.")
def _after(seen: Seen) -> Made:
    row, plan = seen.holder, seen.root
    inputs = [seen.beside("value_base", "value", seen.base), *_moved(seen, row.key)]
    if row.key == targets.cash_key(plan.by, plan.base_currency):
        inputs += [
            seen.input("new money", plan.money_base, seen.base, "targets.money_base"),
            seen.input("bought", -plan.bought_base, seen.base),
            seen.input("sold", plan.sold_base, seen.base, "targets.sold_base"),
        ]
    return sum_of(inputs, "value + what the plan buys − what it sells")


@figure(_Row, "after_weight", "Weight after the plan", fraction)
def _after_weight(seen: Seen) -> Made:
    inputs = [
        seen.beside("after_base", "value after the plan", seen.base),
        total_value(seen),
        seen.input("new money", seen.root.money_base, seen.base, "targets.money_base"),
    ]
    return formula("value after the plan ÷ (total value + new money)", inputs)


figure(_Plan, "nav_base", "Total value", base)(total_of_all)
figure(_Plan, "target_total", "Sum of the targets", fraction)(
    column(
        lambda seen: [row for row in seen.root.rows if row.target is not None],
        "target",
        "targets.rows",
        "sum of the targets",
        fraction,
    )
)
figure(_Plan, "money_base", "New money", base)(_as_asked)
figure(_Plan, "minimum_base", "Smallest order", base)(_as_asked)
for _name, _title, _side in (("bought_base", "Bought", "buy"), ("sold_base", "Sold", "sell")):

    def _orders(seen: Seen, side: str = _side) -> Made:
        rows = [row for row in seen.root.orders if row.side == side]
        inputs = [
            seen.input(row.symbol, row.amount_base, seen.base, "targets.orders.amount_base", key_of(row))
            for row in rows
        ]
        return sum_of(inputs, "sum of the proposed orders")

    figure(_Plan, _name, _title, base)(_orders)


@figure(_Plan, "left_base", "Left", base, "It stays as cash.")
def _left(seen: Seen) -> Made:
    money_and_sales = total((seen.holder.money_base, seen.holder.sold_base)).value
    inputs = [
        seen.input("new money + sold", money_and_sales, seen.base),
        seen.beside("bought_base", "bought", seen.base),
    ]
    return Made("difference", "new money + sold − bought", inputs)


def _held(seen: Seen) -> Holding:
    row = seen.holder
    return next(
        one
        for one in seen.valued.document.holdings
        if (one.broker, one.account, one.broker_ref) == (row.broker, row.account, row.broker_ref)
    )


def _of_holding(seen: Seen, name: str, text: str, unit: str) -> Input:
    held = _held(seen)
    return seen.input(text, getattr(held, name), unit, f"holdings.holdings.{name}", key_of(held))


@figure(
    targets.Order, "quantity", "Quantity", plain, "In whole units, of what is held in fractions in fractions."
)
def _quantity(seen: Seen) -> Made:
    """What the plan decides: how the units share the group's money is in docs/numbers.md."""
    inputs = [
        _of_holding(seen, "market_value_base", "value", seen.base),
        _of_holding(seen, "quantity", "held", ""),
    ]
    return reported("as many units as the group's part of the money buys", inputs=inputs)


@figure(targets.Order, "price", "Price", own)
def _price(seen: Seen) -> Made:
    return sum_of([_of_holding(seen, "price", "price", own(seen))], "the price of the position")


@figure(targets.Order, "amount_base", "Amount", base)
def _amount(seen: Seen) -> Made:
    inputs = [
        seen.beside("quantity", "quantity", ""),
        _of_holding(seen, "market_value_base", "value of the position", seen.base),
        _of_holding(seen, "quantity", "quantity held", ""),
    ]
    return formula("quantity × (value of the position ÷ quantity held)", inputs)


@figure(targets.Unplaced, "amount_base", "Amount", base, "What the group lacks and nothing held could take.")
def _unplaced(seen: Seen) -> Made:
    """The group's part of the money: all groups that lack something share it alike."""
    plan = seen.root
    row = next(one for one in plan.rows if one.key == seen.holder.key)
    inputs = [
        seen.input("target", row.target, fraction),
        total_value(seen),
        seen.input("new money", plan.money_base, seen.base, "targets.money_base"),
        seen.input("value", row.value_base, seen.base),
    ]
    words = "target × (total value + new money) − value"
    whole = (plan.nav_base or Decimal(0)) + plan.money_base
    missing = None if row.target is None or row.value_base is None else row.target * whole - row.value_base
    if missing and seen.value != missing:
        inputs.append(seen.input("part that the money is enough for", (seen.value or 0) / missing, fraction))
        words = f"({words}) × part that the money is enough for"
    return formula(words, inputs)
