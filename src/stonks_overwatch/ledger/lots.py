"""Lots: what one purchase opened and is still open, and which of them a sale closes. Pure.

A lot's cost has the sign of its quantity: 1,000 paid for +10, −900 received for −10. Commissions and
taxes of a trade are part of it. An unknown cost stays unknown, and so does all that is computed from it.
Amounts named `_base` are the same money in the reporting currency, each part at the rate of its own day.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from typing import NamedTuple

from stonks_overwatch.ledger.types import Activity, ActivityKind, AssetClass

# Wide enough that sums and products of what brokers send are exact; only a division can round, and it
# rounds to so many decimals that sums of its results are exact too.
EXACT = Context(prec=60)
_FINEST = Decimal("1e-30")
ZERO = Decimal(0)

# What is settled daily or carried as profit alone: its notional is no money.
MARGINED = frozenset({AssetClass.FUTURE, AssetClass.CFD})


RETURN_OF_CAPITAL = "return of capital"
"""The subtype of a dividend that gives back money that was put in: it lowers what the lots cost."""


class Method(StrEnum):
    """How a sale finds the lots that it closes.

    `hifo` takes the lots that make the gain smallest: dearest first when long, cheapest first when short.
    `average` gives every unit the same cost and takes days in the order of purchase. `specific` follows
    the user's choices, `broker` the broker's own matching; what neither tells goes first in, first out.
    """

    FIFO = "fifo"
    LIFO = "lifo"
    HIFO = "hifo"
    AVERAGE = "average"
    SPECIFIC = "specific"
    BROKER = "broker"


class Lot(NamedTuple):
    """What one activity opened and is still open.

    `opened_on` is the start of the holding period. Where `is_dated` is False (opening balances) the
    day of the purchase is not known, and `opened_on` is the day of the balance.
    """

    opened_on: date
    quantity: Decimal
    cost: Decimal | None
    opened_by: str  # the activity's key
    cost_base: Decimal | None = None
    is_dated: bool = True


class Close(NamedTuple):
    """A part of a lot that one activity closed. `quantity`, `cost` and `proceeds` have the lot's sign.

    `rate` is the reporting currency for one unit on the day it was closed. `is_told` says that the user or
    the broker named this lot. What a merger pays in cash beside the new security closes the share of the lot
    that its cost is of the whole.
    """

    opened_on: date
    closed_on: date
    quantity: Decimal
    cost: Decimal | None
    proceeds: Decimal | None
    opened_by: str
    closed_by: str
    cost_base: Decimal | None = None
    proceeds_base: Decimal | None = None
    rate: Decimal | None = None
    is_dated: bool = True
    is_told: bool = False

    @property
    def realized_pnl(self) -> Decimal | None:
        return difference(self.proceeds, self.cost)

    @property
    def realized_pnl_base(self) -> Decimal | None:
        return difference(self.proceeds_base, self.cost_base)


@dataclass(frozen=True, slots=True)
class Lots:
    """The open lots, oldest first, and every close in the order it happened."""

    open: tuple[Lot, ...]
    closed: tuple[Close, ...]

    @property
    def quantity(self) -> Decimal:
        return summed(lot.quantity for lot in self.open)

    @property
    def cost(self) -> Decimal | None:
        """Cost basis of all that is open; None when the cost of one lot is unknown."""
        return summed_if_known(lot.cost for lot in self.open)

    @property
    def cost_base(self) -> Decimal | None:
        return summed_if_known(lot.cost_base for lot in self.open)


class Pick(NamedTuple):
    """A lot that a closing activity names: by the key that opened it, or by its day; None is any.

    `quantity` is positive, and so is `cost`, the broker's own of that part.
    """

    quantity: Decimal
    opened_by: str | None = None
    opened_on: date | None = None
    cost: Decimal | None = None


class Taken(NamedTuple):
    lot: Lot  # the part of the lot that left
    is_told: bool


class Effects(NamedTuple):
    """A gain in the reporting currency in three parts that sum to it exactly; see `effects`."""

    price: Decimal
    currency: Decimal
    cross: Decimal


def effects(
    cost: Decimal | None,
    proceeds: Decimal | None,
    cost_base: Decimal | None,
    proceeds_base: Decimal | None,
    rate: Decimal | None,
) -> Effects | None:
    """How much of a gain came from the price, from the currency, and from both together.

    With cost C, proceeds P, the acquisition's rate a = cost_base / C and the disposal's rate d:
    price = (P − C) × a, currency = C × (d − a), cross = (P − C) × (d − a); the sum is P×d − C×a.
    What cost nothing has no rate of acquisition: all of its gain is at the disposal's rate. Price and
    currency are rounded like all that is divided, and cross is the rest: the three are the gain exactly.

    Args:
        cost, proceeds: in the trade's currency; for what is still open, its market value.
        cost_base, proceeds_base: the same in the reporting currency, at each own day's rate.
        rate: of the disposal's day, reporting currency for one unit.

    Returns: None when one of the numbers is unknown.
    """
    if cost is None or proceeds is None or cost_base is None or proceeds_base is None or rate is None:
        return None
    with localcontext(EXACT):
        return Effects._make(known_effects(cost, proceeds, cost_base, proceeds_base, rate))


def known_effects(
    cost: Decimal, proceeds: Decimal, cost_base: Decimal, proceeds_base: Decimal, rate: Decimal
) -> tuple[Decimal, Decimal, Decimal]:
    """The same where all is known and the context is `EXACT`: for tens of thousands of gains."""
    gain, gain_base = proceeds - cost, proceeds_base - cost_base
    # C × d − C × a without a division.
    by_currency = (cost * rate - cost_base).quantize(_FINEST).normalize()
    by_price = fraction(gain, cost_base, cost) if cost else gain_base - by_currency
    return by_price, by_currency, gain_base - by_price - by_currency


class Pile:
    """The open lots of one instrument in one account, all long or all short."""

    __slots__ = ("_cost", "_cost_base", "_is_pooled", "_lots", "_method", "quantity")

    def __init__(self, method: Method = Method.FIFO) -> None:
        self.quantity = ZERO
        self._method = method
        self._is_pooled = method is Method.AVERAGE
        self._lots: list[Lot] = []  # by day, then as they came
        # Of all lots together where they are pooled; the lots' own are not looked at then.
        self._cost: Decimal | None = ZERO
        self._cost_base: Decimal | None = ZERO

    def add(self, lot: Lot) -> None:
        if self._lots and lot.opened_on < self._lots[-1].opened_on:
            insort(self._lots, lot, key=lambda other: other.opened_on)
        else:
            self._lots.append(lot)
        self.quantity = EXACT.add(self.quantity, lot.quantity)
        if self._is_pooled:
            self._cost = added(self._cost, lot.cost)
            self._cost_base = added(self._cost_base, lot.cost_base)

    def take(self, wanted: Decimal, picks: Iterable[Pick] = ()) -> list[Taken]:
        """Remove up to `wanted` (of the pile's sign), first the lots that are named, then by the method."""
        left = wanted if abs(wanted) <= abs(self.quantity) else self.quantity
        taken: list[Taken] = []
        for pick in picks:
            of_pick = min(pick.quantity, abs(left)).copy_sign(left)
            while of_pick and (index := self._named(pick)) is not None:
                part = self._part(index, of_pick)
                of_pick = EXACT.subtract(of_pick, part.quantity)
                left = EXACT.subtract(left, part.quantity)
                if pick.cost is not None:
                    share, _ = divided(pick.cost, abs(part.quantity), pick.quantity)
                    share = share if wanted > 0 else negative(share)
                    part = part._replace(cost=share, cost_base=_scaled(part.cost_base, part.cost, share))
                taken.append(Taken(part, is_told=True))
        while left and self._lots:
            part = self._part(self._next(), left)
            left = EXACT.subtract(left, part.quantity)
            taken.append(Taken(part, is_told=False))
        return taken

    def scale(self, after: Decimal) -> None:
        """Make the quantity `after` by spreading it over the lots; their cost and day stay (a split)."""
        if not self._lots:
            return
        scaled = [_fraction(lot.quantity, after, self.quantity) for lot in self._lots]
        # What the divisions rounded away goes to the last lot, so that the whole is exact.
        scaled[-1] = EXACT.subtract(after, summed(scaled[:-1]))
        self._lots = [lot._replace(quantity=q) for lot, q in zip(self._lots, scaled, strict=True)]
        self.quantity = after

    def lower(
        self, own: Decimal, base: Decimal | None, before: date | None
    ) -> list[tuple[Lot, Decimal | None, Decimal | None]] | None:
        """Take money that was given back off the cost of the units that it was paid on, the same of each.

        Args:
            own, base: the money, positive for what is held and negative for what is short.
            before: lots opened from this day on were not paid; None is all were.

        Returns: each lot whose whole cost came back, as it was before, with its parts of the money; it costs
            nothing now. None where no lot was paid.
        """
        lots = list(self.lots())
        paid = [
            place
            for place, lot in enumerate(lots)
            if before is None or lot.opened_on < before or not lot.is_dated
        ]
        if not paid:
            return None
        units = [lots[place].quantity for place in paid]
        emptied = []
        parts = zip(spread(own, units), spread(base, units), strict=True)
        for place, (part, part_base) in zip(paid, parts, strict=True):
            lot = lots[place]
            rest = difference(lot.cost, part)
            if rest is not None and (not rest or (rest > 0) != (lot.quantity > 0)):
                emptied.append((lot, part, part_base))
                lots[place] = lot._replace(cost=ZERO, cost_base=ZERO)
            else:
                lots[place] = lot._replace(cost=rest, cost_base=difference(lot.cost_base, part_base))
        self._lots = lots
        if self._is_pooled:
            self._cost = summed_if_known(lot.cost for lot in lots)
            self._cost_base = summed_if_known(lot.cost_base for lot in lots)
        return emptied

    def lots(self) -> tuple[Lot, ...]:
        """What is open, oldest first, each lot with its cost by the method."""
        if not self._is_pooled:
            return tuple(self._lots)
        rest, cost, cost_base, lots = self.quantity, self._cost, self._cost_base, []
        for lot in self._lots:
            own, cost = divided(cost, lot.quantity, rest)
            own_base, cost_base = divided(cost_base, lot.quantity, rest)
            rest = EXACT.subtract(rest, lot.quantity)
            lots.append(lot._replace(cost=own, cost_base=own_base))
        return tuple(lots)

    def _part(self, index: int, most: Decimal) -> Lot:
        """Take at most `most` out of one lot."""
        lot = self._lots[index]
        quantity = lot.quantity if abs(lot.quantity) <= abs(most) else most
        if self._is_pooled:
            cost, self._cost = divided(self._cost, quantity, self.quantity)
            cost_base, self._cost_base = divided(self._cost_base, quantity, self.quantity)
            rest = rest_base = None
        else:
            cost, rest = divided(lot.cost, quantity, lot.quantity)
            cost_base, rest_base = divided(lot.cost_base, quantity, lot.quantity)
        if quantity == lot.quantity:
            del self._lots[index]
        else:
            self._lots[index] = lot._replace(
                quantity=EXACT.subtract(lot.quantity, quantity), cost=rest, cost_base=rest_base
            )
        self.quantity = EXACT.subtract(self.quantity, quantity)
        if not self._lots:
            self._cost = self._cost_base = ZERO
        return lot._replace(quantity=quantity, cost=cost, cost_base=cost_base)

    def _next(self) -> int:
        match self._method:
            case Method.LIFO:
                return len(self._lots) - 1
            case Method.HIFO:
                # The largest cost has the sign of the quantity: dearest when long, cheapest when short.
                return max(range(len(self._lots)), key=lambda index: _price(self._lots[index]))
            case _:
                return 0

    def _named(self, pick: Pick) -> int | None:
        for index, lot in enumerate(self._lots):
            if pick.opened_by in (None, lot.opened_by) and pick.opened_on in (None, lot.opened_on):
                return index
        return None


def _price(lot: Lot) -> tuple[bool, Decimal]:
    """Cost of a unit, known ones last; minus what was received for a unit that is short."""
    if lot.cost is None:
        return False, ZERO
    return True, EXACT.divide(lot.cost, abs(lot.quantity))


def _scaled(base: Decimal | None, own: Decimal | None, told: Decimal | None) -> Decimal | None:
    """The base amount of another cost than the lot's own, at the lot's rate."""
    if base is None or not own or told is None:
        return None
    return _fraction(base, told, own)


def moved(activity: Activity) -> Decimal:
    """What the activity adds to the position in its instrument; 0 where it moves only money."""
    if activity.quantity is None or activity.kind is ActivityKind.FX:
        return ZERO
    return activity.quantity


def divided(total: Decimal | None, part: Decimal, whole: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """The share of `part` in the total and the rest; together they are the total exactly."""
    if total is None:
        return None, None
    if part == whole:
        return total, ZERO
    share = _fraction(total, part, whole)
    return share, EXACT.subtract(total, share)


def _fraction(number: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return EXACT.quantize(EXACT.divide(EXACT.multiply(number, part), whole), _FINEST).normalize(EXACT)


def fraction(number: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Number × part / whole as `divided` has it, where the context is `EXACT`: in half the time."""
    return (number * part / whole).quantize(_FINEST).normalize()


def spread(total: Decimal | None, weights: Sequence[Decimal]) -> list[Decimal | None]:
    """The total in parts as large as the weights, which sum to no zero; the parts are the total exactly."""
    rest, shares, left = summed(weights), [], total
    for weight in weights[:-1]:
        share, left = divided(left, weight, rest)
        rest = EXACT.subtract(rest, weight)
        shares.append(share)
    return [*shares, left]


def added(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else EXACT.add(one, other)


def difference(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else EXACT.subtract(one, other)


def negative(number: Decimal | None) -> Decimal | None:
    return None if number is None else number.copy_negate()


def product(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else EXACT.multiply(one, other)


def summed(numbers: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def summed_if_known(numbers: Iterable[Decimal | None]) -> Decimal | None:
    """None as soon as one number is unknown."""
    total = ZERO
    for number in numbers:
        if number is None:
            return None
        total = EXACT.add(total, number)
    return total
