"""How targets and a plan for new money come about."""

from typing import Any

from stonks_overwatch.reports import targets
from stonks_overwatch.reports.diversification import CASH, members_of
from stonks_overwatch.reports.documents import total
from stonks_overwatch.reports.explain.asked import Arguments
from stonks_overwatch.reports.explain.documents import Input, Made
from stonks_overwatch.reports.explain.finding import REPORTS, Reports, Seen
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
    plain,
    quoted,
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
_MONEY = "targets.money_base"


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
    rows = [
        one.holding()
        for one in seen.valued.positions
        if targets.instrument_key(one.account.broker, one.held) == key
    ]
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


_LACKING = "target × (total value + new money) − value"


def _with_money(seen: Seen, row: targets.TargetRow) -> list[Input]:
    """What a plan compares: the target of everything with the new money in it, and what there is."""
    told = [
        seen.input(text, getattr(row, name), unit, f"targets.rows.{name}", key_of(row))
        for text, name, unit in (("target", "target", fraction), ("value", "value_base", seen.base))
    ]
    return [*told, total_value(seen), seen.input("new money", seen.root.money_base, seen.base, _MONEY)]


@figure(_Row, "lacking_base", "Lacking", base, "What a plan would have to buy of it.")
def _lacking(seen: Seen) -> Made:
    return formula(_LACKING, _with_money(seen, seen.holder))


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
            seen.input("new money", plan.money_base, seen.base, _MONEY),
            seen.input("bought", -plan.bought_base, seen.base),
            seen.input("sold", plan.sold_base, seen.base, "targets.sold_base"),
        ]
    return sum_of(inputs, "value + what the plan buys − what it sells")


@figure(_Row, "after_weight", "Weight after the plan", fraction)
def _after_weight(seen: Seen) -> Made:
    inputs = [
        seen.beside("after_base", "value after the plan", seen.base),
        total_value(seen),
        seen.input("new money", seen.root.money_base, seen.base, _MONEY),
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
figure(_Plan, "lacking_base", "Lacking", base, "What a plan would have to buy.")(
    column(
        lambda seen: [row for row in seen.root.rows if row.lacking_base is not None],
        "lacking_base",
        "targets.rows",
        "sum of what the groups lack",
    )
)


@figure(_Plan, "funds_base", "To spend", base)
def _funds(seen: Seen) -> Made:
    plan = seen.root
    inputs = [seen.beside("money_base", "new money", seen.base), seen.beside("sold_base", "sold", seen.base)]
    if plan.funds_base != plan.money_base + plan.sold_base:
        cash = _group_of(seen, CASH)
        spare = cash.value_base - cash.target * (plan.nav_base + plan.money_base)
        source = f"value − {cash.target:f} × (total value + new money)"
        where = ("targets.rows.value_base", CASH)
        inputs.append(seen.input("cash above its target", spare, seen.base, *where, source=source))
    return sum_of(inputs, "new money + sold + cash above its target")


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
    positions = seen.positions(row.broker, row.broker_ref)
    return next(one.holding() for one in positions if one.account.account == row.account)


def _of_holding(seen: Seen, name: str, text: str, unit: str) -> Input:
    held = _held(seen)
    return seen.input(text, getattr(held, name), unit, f"holdings.holdings.{name}", key_of(held))


def _group_of(seen: Seen, key: str) -> Any:
    return next(row for row in seen.root.rows if row.key == key)


def _part_of_money(seen: Seen, row: targets.TargetRow) -> tuple[str, list[Input]]:
    """What a group gets: all that it lacks, or its part where there is not enough for all groups."""
    plan = seen.root
    inputs = [seen.input("lacking", row.lacking_base, seen.base, "targets.rows.lacking_base", row.key)]
    if plan.funds_base >= plan.lacking_base:
        return "lacking", inputs
    inputs += [
        seen.input("to spend", plan.funds_base, seen.base, "targets.funds_base"),
        seen.input("lacking in all", plan.lacking_base, seen.base, "targets.lacking_base"),
    ]
    return "lacking × to spend ÷ lacking in all", inputs


@figure(targets.Order, "wanted_base", "Part of the money", base, "Before it is rounded to whole lots.")
def _wanted(seen: Seen) -> Made:
    order, by = seen.holder, seen.root.by
    row = _group_of(seen, order.group)
    units = targets.units_of(seen.valued, by)[order.group]
    of_group = [
        seen.input(
            "value in the group",
            unit.value,
            seen.base,
            "holdings.holdings.market_value_base",
            key_of(unit.holding),
            source=f"{unit.holding.symbol} in {unit.holding.account}",
        )
        for unit in units
    ]
    value = _of_holding(seen, "market_value_base", "value of the position", seen.base)
    if order.side == "buy":
        words, inputs = _part_of_money(seen, row)
    else:
        words, inputs = "(value − target × (total value + new money))", _with_money(seen, row)
        if order.wanted_base == value.value:  # what else is in the group cannot be sold by the lot
            return sum_of([value], "all of the position, which is less than what the group has too much")
    return formula(f"{words} × value of the position ÷ Σ value in the group", [*inputs, value, *of_group])


figure(targets.Order, "lot_size", "Lot size", plain, "Orders are multiples of it.")(
    lambda _: reported("one unit; shares in Tokyo by the hundred; what is held in fractions by 0.0001")
)


@figure(targets.Order, "quantity", "Quantity", plain, "In whole lots.")
def _quantity(seen: Seen) -> Made:
    order = seen.holder
    inputs = [
        seen.beside("wanted_base", "part of the money", seen.base),
        _of_holding(seen, "quantity", "held", ""),
        _of_holding(seen, "market_value_base", "value of the position", seen.base),
        seen.beside("lot_size", "lot size", ""),
    ]
    words = "⌊part of the money × held ÷ value of the position ÷ lot size⌋ × lot size"
    if order.amount_base > order.wanted_base:
        return formula(
            f"{words} + lot size", inputs, note="What rounding left of all orders buys one lot more."
        )
    return formula(words, inputs)


@figure(targets.Order, "price", "Price", quoted)
def _price(seen: Seen) -> Made:
    return sum_of([_of_holding(seen, "price", "price", quoted(seen))], "the price of the position")


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
    return formula(*_part_of_money(seen, _group_of(seen, seen.holder.key)))
