"""Wanted weights against what is held, and a plan for new money that respects units and a smallest order.

Weights are of NAV. A group is inside its band while it is at most `band` away from its target. The plan
shares money over the groups that lack some, in proportion to what they lack; it never brings a group above
its target by more than one unit of an instrument. With `two_sided`, groups above their band are sold down
to their target first, and cash above its band is used. Proposals only: nothing here can trade.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Literal, NamedTuple, get_args

from pydantic import Field

from stonks_overwatch.errors import TargetsError
from stonks_overwatch.ledger.models import Target
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports.diversification import CASH, members_of
from stonks_overwatch.reports.documents import Computed, Document, Exact, share, total
from stonks_overwatch.reports.holdings import UNKNOWN, Holding, Valuation, valuation
from stonks_overwatch.reports.kept import kept
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.reports.state import Held

GroupBy = Literal[
    "asset_class", "currency", "country", "sector", "exchange", "account", "broker", "instrument"
]
GROUPS: tuple[GroupBy, ...] = get_args(GroupBy)
# What can be bought for an amount of money; others need more thought than a weight.
_TRADABLE = (AssetClass.STOCK, AssetClass.ETF, AssetClass.FUND, AssetClass.CRYPTO)
_FRACTIONAL = (AssetClass.FUND, AssetClass.CRYPTO)
_SMALLEST_FRACTION = Decimal("0.0001")
# Shares in Tokyo are traded by the hundred. Hong Kong's boards differ by share, and no broker tells them.
_BOARD_LOTS = {"TSEJ": Decimal(100)}
_NONE = Decimal(0)
# Cash is part of these groups.
_PLACES = ("account", "broker")
UNPLACED = "not placed yet"


class TargetRow(Document):
    """One group. `drift` is weight minus target; `difference_base` is what is missing to the target.

    `status`: "inside" its band, "above" or "below" it, "none" without a target, "unknown" without a value.
    `lacking_base` is what a plan would have to buy: what is missing to the target of NAV and new money
    together; null where nothing is, and without a plan. `after_base` and `after_weight` are what they would
    be after the plan.
    """

    key: str
    name: str
    value_base: Computed | None
    weight: Computed | None
    target: Exact | None
    band: Exact | None
    drift: Computed | None
    difference_base: Computed | None
    status: Literal["inside", "above", "below", "none", "unknown"]
    lacking_base: Computed | None
    after_base: Computed | None
    after_weight: Computed | None


class Order(Document):
    """One proposed purchase or sale; `quantity` and `amount_base` are positive for both.

    `wanted_base` is its part of the money. What that pays for, rounded down to a multiple of `lot_size`, is
    the quantity; what rounding left of all of them may buy one lot more.
    """

    side: Literal["buy", "sell"]
    account: str
    broker: str
    symbol: str
    name: str
    broker_ref: str
    group: str
    wanted_base: Computed
    lot_size: Exact
    quantity: Exact
    price: Exact
    quoted_in: str = Field(exclude=True)  # the currency, or "%" of face
    currency: str
    amount_base: Computed


class Unplaced(Document):
    """Money meant for a group in which nothing is held that could be bought by the unit."""

    key: str
    amount_base: Computed


class TargetsDocument(Document):
    """`target_total` is the sum of the targets; the rest of NAV is wanted nowhere in particular.

    Money closes: `money_base + sold_base = bought_base + left_base`. `left_base` stays as cash: what is
    meant for cash, what is unplaced, and what no whole unit could be bought for. A negative part of it is
    cash that the plan used. `lacking_base` is what all groups lack, `funds_base` what there is for it: new
    money, what is sold, and cash above its band.
    """

    base_currency: str
    by: GroupBy
    nav_base: Computed | None
    target_total: Exact
    is_inside: bool
    rows: tuple[TargetRow, ...]
    money_base: Exact
    two_sided: bool
    minimum_base: Exact
    lacking_base: Computed
    funds_base: Computed
    orders: tuple[Order, ...]
    unplaced: tuple[Unplaced, ...]
    bought_base: Computed
    sold_base: Computed
    left_base: Computed


class _Group(NamedTuple):
    key: str
    name: str
    value: Decimal | None
    target: Target | None


class Unit(NamedTuple):
    """A holding that can be bought and sold by the lot, with its quantity and value in the base currency."""

    holding: Holding
    held: Decimal
    value: Decimal
    lot_size: Decimal

    @property
    def lot_base(self) -> Decimal:
        """What one lot costs."""
        return self.lot_size * self.value / self.held

    def bought_for(self, amount: Decimal) -> Decimal:
        """How many units an amount pays for, in whole lots."""
        # Divided once, so that what is held is what its whole value pays for.
        lots = amount * self.held / (self.value * self.lot_size)
        return lots.to_integral_value(ROUND_DOWN) * self.lot_size


@kept
def targets(
    scope: Scope,
    by: GroupBy,
    money: Decimal = _NONE,
    *,
    two_sided: bool = False,
    minimum: Decimal = _NONE,
) -> TargetsDocument:
    """The groups with their targets, and what to do with `money` (base currency, not negative).

    Raises: TargetsError for a negative amount.
    """
    if money < 0 or minimum < 0:
        raise TargetsError(
            "An amount of a plan is negative.", next_step="Give what there is to invest, 0 or more."
        )
    valued = valuation(scope)
    nav = valued.totals.nav_base
    has_plan = bool(money) or two_sided
    wanted = {row.key: row for row in Target.objects.filter(by=by)}
    groups = _groups(valued, by, wanted, has_plan=has_plan)
    units = units_of(valued, by) if has_plan else {}
    plan = _plan(groups, units, nav, money, minimum, two_sided=two_sided)
    after = (nav or _NONE) + money
    of_cash = cash_key(by, valued.base_currency)
    rows = [_row(group, nav, plan, after, of_cash) for group in groups]
    bought = sum((order.amount_base for order in plan.orders if order.side == "buy"), _NONE)
    sold = sum((order.amount_base for order in plan.orders if order.side == "sell"), _NONE)
    return TargetsDocument(
        base_currency=scope.base_currency,
        by=by,
        nav_base=nav,
        target_total=sum((row.weight for row in wanted.values()), _NONE),
        is_inside=all(row.status in ("inside", "none") for row in rows),
        rows=tuple(rows),
        money_base=money,
        two_sided=two_sided,
        minimum_base=minimum,
        lacking_base=sum(plan.lacking.values(), _NONE),
        funds_base=plan.funds,
        orders=tuple(plan.orders),
        unplaced=tuple(plan.unplaced),
        bought_base=bought,
        sold_base=sold,
        left_base=money + sold - bought,
    )


def instrument_key(broker: str, row: Holding | Held) -> str:
    """An instrument across brokers by its ISIN, else by the broker's own number."""
    return row.isin or f"{broker}:{row.broker_ref}"


def _groups(valued: Valuation, by: GroupBy, wanted: dict[str, Target], *, has_plan: bool) -> list[_Group]:
    """The groups that hold something and those that should; with a target first, then by value."""
    parts: dict[str, list[Decimal | None]] = {key: [] for key in wanted}
    names: dict[str, str] = {}
    if by == "instrument":
        for one in valued.positions:
            key = instrument_key(one.account.broker, one.held)
            parts.setdefault(key, []).append(one.market_value_base)
            names[key] = one.held.symbol or one.held.name
        cash = [
            part.amount_base
            for of in valued.parts.values()
            for part in of
            if part.what in ("cash", "accrued")
        ]
        parts.setdefault(CASH, []).extend(cash)
    else:
        for key, member in members_of(valued, by):
            parts.setdefault(key, []).append(member.value_base)
    parts.setdefault(cash_key(by, valued.base_currency), [])
    if not has_plan:
        parts.pop(UNPLACED, None)
    groups = []
    for key, values in parts.items():
        summed = total(values)
        value = None if summed.unknown else summed.value
        groups.append(_Group(key, names.get(key, key), value, wanted.get(key)))
    return sorted(groups, key=_order)


def cash_key(by: GroupBy, base: str) -> str:
    """The group that money without an order stays in: in no account yet, where those are the groups."""
    if by in _PLACES:
        return UNPLACED
    return base if by == "currency" else CASH


def _order(group: _Group) -> tuple[bool, Decimal, Decimal, str]:
    target = group.target.weight if group.target else _NONE
    return group.target is None, -target, -(group.value or _NONE), group.key


def units_of(valued: Valuation, by: GroupBy) -> dict[str, list[Unit]]:
    """By group what can be bought and sold by the unit: long, priced, of a plain class."""
    units: dict[str, list[Unit]] = {}
    for row in valued.document.holdings:
        if row.asset_class not in _TRADABLE or row.price is None or not row.market_value_base:
            continue
        if row.quantity is None or row.quantity <= 0 or row.market_value_base <= 0:
            continue
        key = instrument_key(row.broker, row) if by == "instrument" else str(getattr(row, by) or UNKNOWN)
        units.setdefault(key, []).append(Unit(row, row.quantity, row.market_value_base, _lot_size(row)))
    return units


def _lot_size(row: Holding) -> Decimal:
    if row.asset_class in _FRACTIONAL or (row.quantity or _NONE) % 1:
        return _SMALLEST_FRACTION
    is_share = row.asset_class == AssetClass.STOCK
    return _BOARD_LOTS.get(row.exchange or "", Decimal(1)) if is_share else Decimal(1)


@dataclass(slots=True)
class _Plan:
    """What is proposed so far. `lacking` and `moved`, bought minus sold, are by group."""

    funds: Decimal
    orders: list[Order] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    lacking: dict[str, Decimal] = field(default_factory=dict)
    moved: dict[str, Decimal] = field(default_factory=dict)


def _plan(
    groups: Sequence[_Group],
    units: dict[str, list[Unit]],
    nav: Decimal | None,
    money: Decimal,
    minimum: Decimal,
    *,
    two_sided: bool,
) -> _Plan:
    plan = _Plan(funds=money)
    if nav is None or nav + money <= 0 or not (money or two_sided):
        return plan
    whole = nav + money
    known = [(group, group.value, group.target) for group in groups if group.value is not None]
    for group, value, target in known:
        if target is None:
            continue
        missing = target.weight * whole - value
        if missing > 0:
            plan.lacking[group.key] = missing
        elif two_sided and -missing > target.band * whole:
            if group.key == CASH:
                plan.funds += -missing
            else:
                plan.funds += _sell(plan, group.key, units.get(group.key, []), -missing, minimum)
    _buy(plan, units, minimum)
    return plan


def _sell(plan: _Plan, key: str, units: Sequence[Unit], amount: Decimal, minimum: Decimal) -> Decimal:
    """Sell from the holdings of a group in proportion to their values; returns what that brings."""
    held = sum((unit.value for unit in units), _NONE)
    brought = _NONE
    for unit in units:
        wish = _Wish(key, unit, min(amount, held) * unit.value / held)
        brought += _place(plan, wish, "sell", unit.bought_for(wish.amount), minimum)
    return brought


class _Wish(NamedTuple):
    """The part of the money for one holding of a group."""

    group: str
    unit: Unit
    amount: Decimal


def _buy(plan: _Plan, units: dict[str, list[Unit]], minimum: Decimal) -> None:
    whole = sum(plan.lacking.values(), _NONE)
    if not whole or plan.funds <= 0:
        return
    wishes: list[_Wish] = []
    left = _NONE
    for key, missing in plan.lacking.items():
        amount = min(missing, missing * plan.funds / whole)
        if key == CASH:
            continue
        if not units.get(key):
            plan.unplaced.append(Unplaced(key=key, amount_base=amount))
            continue
        left += amount
        held = sum((unit.value for unit in units[key]), _NONE)
        wishes += [_Wish(key, unit, amount * unit.value / held) for unit in units[key]]
    quantities = [wish.unit.bought_for(wish.amount) for wish in wishes]
    spent = [
        quantity * wish.unit.value / wish.unit.held for quantity, wish in zip(quantities, wishes, strict=True)
    ]
    left -= sum(spent, _NONE)
    # What rounding left over buys one lot more where most is missing.
    remainders = [wish.amount - amount for amount, wish in zip(spent, wishes, strict=True)]
    for index in sorted(range(len(wishes)), key=lambda number: remainders[number], reverse=True):
        unit = wishes[index].unit
        if unit.lot_size >= 1 and unit.lot_base <= left:
            quantities[index] += unit.lot_size
            left -= unit.lot_base
    for quantity, wish in zip(quantities, wishes, strict=True):
        _place(plan, wish, "buy", quantity, minimum)


def _place(
    plan: _Plan, wish: _Wish, side: Literal["buy", "sell"], quantity: Decimal, minimum: Decimal
) -> Decimal:
    """Note an order, unless it is too small; returns its amount."""
    key, unit, wanted = wish
    amount = quantity * unit.value / unit.held
    row = unit.holding
    if quantity <= 0 or amount < minimum or row.price is None:
        return _NONE
    plan.orders.append(
        Order(
            side=side,
            account=row.account,
            broker=row.broker,
            symbol=row.symbol,
            name=row.name,
            broker_ref=row.broker_ref,
            group=key,
            wanted_base=wanted,
            lot_size=unit.lot_size,
            quantity=quantity,
            price=row.price,
            quoted_in=row.quoted_in,
            currency=row.currency,
            amount_base=amount,
        )
    )
    plan.moved[key] = plan.moved.get(key, _NONE) + (amount if side == "buy" else -amount)
    return amount


def _row(group: _Group, nav: Decimal | None, plan: _Plan, whole: Decimal, of_cash: str) -> TargetRow:
    weight = share(group.value, nav)
    target = group.target
    drift = None if weight is None or target is None else weight - target.weight
    after = None if group.value is None else group.value + plan.moved.get(group.key, _NONE)
    if group.key == of_cash and after is not None and nav is not None:
        after += whole - nav - sum(plan.moved.values(), _NONE)
    missing = (
        None if target is None or nav is None or group.value is None else target.weight * nav - group.value
    )
    return TargetRow(
        key=group.key,
        name=group.name,
        value_base=group.value,
        weight=weight,
        target=target.weight if target else None,
        band=target.band if target else None,
        drift=drift,
        difference_base=missing,
        status=_status(target, drift),
        lacking_base=plan.lacking.get(group.key),
        after_base=after,
        after_weight=share(after, whole),
    )


def _status(
    target: Target | None, drift: Decimal | None
) -> Literal["inside", "above", "below", "none", "unknown"]:
    if target is None:
        return "none"
    if drift is None:
        return "unknown"
    if abs(drift) <= target.band:
        return "inside"
    return "above" if drift > 0 else "below"
