"""Lots, cost basis and realized P&L of one instrument in one account, first in first out. Pure.

A lot's cost has the sign of its quantity: 1,000 paid for +10, −900 received for −10. Commissions and
taxes of a trade are part of it. An unknown cost stays unknown, and so does all that is computed from it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Context, Decimal

from stonks_overwatch.ledger.types import Activity, ActivityKind

# Wide enough that sums and products of what brokers send are exact; only a division can round.
EXACT = Context(prec=60)

# These move a quantity with the cost it has: nothing is sold, so nothing is realized.
AT_COST = {ActivityKind.OPENING, ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT}
_START = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lot:
    """What one activity opened and is still open."""

    opened_on: date
    quantity: Decimal
    cost: Decimal | None
    opened_by: str  # the activity's key


@dataclass(frozen=True, slots=True)
class Close:
    """A part of a lot that one trade closed. `quantity`, `cost` and `proceeds` have the lot's sign."""

    opened_on: date
    closed_on: date
    quantity: Decimal
    cost: Decimal | None
    proceeds: Decimal | None
    opened_by: str
    closed_by: str

    @property
    def realized_pnl(self) -> Decimal | None:
        if self.proceeds is None or self.cost is None:
            return None
        return EXACT.subtract(self.proceeds, self.cost)


@dataclass(frozen=True, slots=True)
class Lots:
    """The open lots, oldest first, and every close in the order it happened."""

    open: tuple[Lot, ...]
    closed: tuple[Close, ...]

    @property
    def quantity(self) -> Decimal:
        return _sum(lot.quantity for lot in self.open)

    @property
    def cost(self) -> Decimal | None:
        """Cost basis of all that is open; None when the cost of one lot is unknown."""
        known = [lot.cost for lot in self.open if lot.cost is not None]
        return _sum(known) if len(known) == len(self.open) else None


def moved(activity: Activity) -> Decimal:
    """What the activity adds to the position in its instrument; 0 where it moves only money."""
    if activity.quantity is None or activity.kind is ActivityKind.FX:
        return Decimal(0)
    return activity.quantity


def fifo(activities: Iterable[Activity], multiplier: Decimal, quote_factor: Decimal) -> Lots:
    """Match closing trades with the oldest open lots.

    Args:
        activities: those of one instrument in one account, in any order; what moves no quantity is skipped.
        multiplier, quote_factor: of the instrument; quantity × price × both is money.

    On one day with no times, purchases come before sales.
    """
    per_unit = EXACT.multiply(multiplier, quote_factor)
    lots: deque[Lot] = deque()
    closed: list[Close] = []
    for activity in sorted((a for a in activities if moved(a)), key=_order):
        if activity.kind is ActivityKind.SPLIT:
            lots = _split(lots, moved(activity))
            continue
        left, cost = moved(activity), _cost(activity, per_unit)
        while left and lots and (lots[0].quantity > 0) != (left > 0):
            lot = lots.popleft()
            taken = lot.quantity if abs(lot.quantity) <= abs(left) else -left
            lot_cost, lot_rest = _part(lot.cost, taken, lot.quantity)
            paid, cost = _part(cost, -taken, left)
            if activity.kind not in AT_COST:
                proceeds = None if paid is None else -paid
                closed.append(
                    Close(
                        opened_on=lot.opened_on,
                        closed_on=activity.trade_date,
                        quantity=taken,
                        cost=lot_cost,
                        proceeds=proceeds,
                        opened_by=lot.opened_by,
                        closed_by=activity.key,
                    )
                )
            left = EXACT.add(left, taken)
            if taken != lot.quantity:
                lots.appendleft(replace(lot, quantity=EXACT.subtract(lot.quantity, taken), cost=lot_rest))
        if left:
            lots.append(Lot(activity.acquired_on or activity.trade_date, left, cost, activity.key))
    return Lots(tuple(lots), tuple(closed))


def _order(activity: Activity) -> tuple[date, bool, datetime, bool, str]:
    return (
        activity.trade_date,
        activity.kind is not ActivityKind.OPENING,
        activity.trade_at or _START,
        moved(activity) < 0,
        activity.key,
    )


def _cost(activity: Activity, per_unit: Decimal) -> Decimal | None:
    """What the quantity cost, with its sign: for a sale, minus what it brought."""
    quantity = moved(activity)
    if activity.kind not in (ActivityKind.BUY, ActivityKind.SELL) and activity.cost is not None:
        return activity.cost
    price = activity.price
    if activity.kind not in AT_COST and activity.gross:
        money = abs(activity.gross).copy_sign(quantity)
    elif price is not None:
        # Trades in futures and CFDs move no cash, so their money is what the price says.
        money = EXACT.multiply(EXACT.multiply(quantity, price), per_unit)
    else:
        return None
    return EXACT.subtract(money, EXACT.add(activity.fee or Decimal(0), activity.tax or Decimal(0)))


def _part(total: Decimal | None, part: Decimal, whole: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """The share of `part` in the total and the rest; together they are the total exactly."""
    if total is None:
        return None, None
    if part == whole:
        return total, Decimal(0)
    share = EXACT.divide(EXACT.multiply(total, part), whole)
    return share, EXACT.subtract(total, share)


def _split(lots: Sequence[Lot], added: Decimal) -> deque[Lot]:
    """Spread new shares over the lots; their cost and date stay."""
    held = _sum(lot.quantity for lot in lots)
    if not held:
        return deque(lots)
    after = EXACT.add(held, added)
    scaled = [EXACT.divide(EXACT.multiply(lot.quantity, after), held) for lot in lots]
    # What the divisions rounded away goes to the last lot, so that the whole is exact.
    scaled[-1] = EXACT.subtract(after, _sum(scaled[:-1]))
    return deque(replace(lot, quantity=quantity) for lot, quantity in zip(lots, scaled, strict=True))


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total
