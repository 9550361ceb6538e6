"""What the ledger works out where activities do not reach: opening balances and unexplained changes. Pure.

A broker tells what is held now and, at best, what happened lately. The earliest complete report is the
anchor. What was there before the known activities is the anchor minus their sum; what changed afterwards
with no activity to explain it is a derived change, until the broker tells.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations

from stonks_overwatch.ledger.lots import EXACT, moved, summed_if_known
from stonks_overwatch.ledger.matching import fifo, is_return_of_capital
from stonks_overwatch.ledger.types import Activity, ActivityKind

OPENING_SOURCE = "opening balance"
CHANGE_SOURCE = "position change"
_PLENTY = Decimal(10) ** 15  # of cost per unit: more than is ever given back
# More undated trades than this on the anchor's day are not taken apart: the tries double with each.
_MOST_TRIED = 10
_DAY = timedelta(days=1)
_LAST_SECOND = time(23, 59, 59)
# No market's local date is further from UTC than these: Baker Island to Kiribati.
_WESTMOST, _EASTMOST = timedelta(hours=-12), timedelta(hours=14)


def end_of(day: date) -> datetime:
    """The time of what is told as of a whole day and not of a moment in it: its last second."""
    return datetime.combine(day, _LAST_SECOND, UTC)


def is_end_of_day(at: datetime) -> bool:
    """Whether the time stands for a whole day."""
    return at.time() == _LAST_SECOND


def is_held(activity: Activity, at: datetime) -> bool | None:
    """Whether what a broker told as of `at` holds the activity already; None where the day alone decides.

    A day's end holds what was booked up to that day, whatever the local times say.
    """
    if is_end_of_day(at) and activity.booked_on is not None:
        return activity.booked_on <= at.date()
    return None if activity.trade_at is None else activity.trade_at <= at


def is_booked(activity: Activity, at: datetime) -> bool:
    """Whether cash told as of `at` holds the activity's money: by the day, for most bookings have no time."""
    on = activity.booked_on if is_end_of_day(at) else None
    return (on or activity.trade_date) <= at.date()


@dataclass(frozen=True, slots=True)
class Holding:
    """What the broker reported of one instrument in one account: at the anchor, and latest.

    `covered_since` is the first day of the range of complete activities that the anchor lies in.
    """

    account: str
    broker_ref: str
    currency: str
    multiplier: Decimal
    quote_factor: Decimal
    anchor_quantity: Decimal
    anchor_cost: Decimal | None
    anchor_at: datetime
    quantity: Decimal
    changed_at: datetime
    changed_after: datetime | None
    covered_since: date | None
    is_margined: bool = False  # futures, CFDs


def before(holding: Holding, activities: Sequence[Activity]) -> list[Activity]:
    """Those of the instrument's activities that the anchor already held.

    An activity without a time, of a date that was the local date of some market at the anchor, can be
    on either side: the reading that explains the latest quantity is taken, nearest to the plain dates.
    """
    since, until = (holding.anchor_at + _WESTMOST).date(), (holding.anchor_at + _EASTMOST).date()
    held: list[Activity] = []
    later: list[Activity] = []
    unsure: list[Activity] = []
    for activity in activities:
        known = is_held(activity, holding.anchor_at)
        if known is not None:
            (held if known else later).append(activity)
        elif since <= activity.trade_date <= until and moved(activity):
            unsure.append(activity)
        else:
            (held if activity.trade_date <= holding.anchor_at.date() else later).append(activity)
    held_by_date = {a.key for a in unsure if a.trade_date <= holding.anchor_at.date()}
    wanted = EXACT.subtract(EXACT.subtract(holding.quantity, holding.anchor_quantity), _total(later))
    for turned in _readings(unsure):
        readings = {a.key for a in unsure if (a.key in held_by_date) != (a.key in turned)}
        if _total(a for a in unsure if a.key not in readings) == wanted:
            held_by_date = readings
            break
    return held + [a for a in unsure if a.key in held_by_date]


def opening(holding: Holding, held: Sequence[Activity]) -> Activity | None:
    """The balance from before the known activities; `held` are those that `before` returned.

    Its cost is such that, first in first out, what was open at the anchor cost what the broker says;
    cost and price are unknown when nothing of it was left by then, or another part's cost is unknown.
    """
    quantity = EXACT.subtract(holding.anchor_quantity, _total(held))
    if not quantity:
        return None
    balance = Activity(
        account=holding.account,
        key=f"opening:{holding.broker_ref}",
        source=OPENING_SOURCE,
        kind=ActivityKind.OPENING,
        trade_date=opened_on(holding.anchor_at, holding.covered_since, held),
        currency=holding.currency,
        broker_ref=holding.broker_ref,
        quantity=quantity,
        gross=Decimal(0),
        description="Held before the first known activity; worked out from the broker's own position.",
    )
    cost = _opening_cost(holding, balance, held)
    return balance if cost is None else replace(balance, cost=cost, price=_price(cost, quantity, holding))


def opened_on(anchor_at: datetime, covered_since: date | None, held: Iterable[Activity]) -> date:
    """The day before the activities are known from; the anchor's own where none are."""
    on = anchor_at.date()
    known = [activity.trade_date for activity in held]
    if covered_since is not None and covered_since <= on:
        known.append(covered_since)
    return min(known) - _DAY if known else on


def change(holding: Holding, activities: Sequence[Activity], held: Sequence[Activity]) -> Activity | None:
    """What the latest report shows beyond anchor and later activities, as one purchase or sale."""
    later = EXACT.subtract(_total(activities), _total(held))
    explained = EXACT.add(holding.anchor_quantity, later)
    quantity = EXACT.subtract(holding.quantity, explained)
    if not quantity:
        return None
    return Activity(
        account=holding.account,
        key=f"derived:change:{holding.broker_ref}",
        source=CHANGE_SOURCE,
        kind=ActivityKind.BUY if quantity > 0 else ActivityKind.SELL,
        trade_date=holding.changed_at.date(),
        currency=holding.currency,
        broker_ref=holding.broker_ref,
        quantity=quantity,
        description=_seen(holding, explained),
    )


def cash_opening(
    account: str, currency: str, anchor_amount: Decimal, on: date, held: Iterable[Activity]
) -> Activity | None:
    """The cash of one currency from before the known activities; `held` are those the anchor already held.

    Activities whose money is unknown are left out: the opening contains them.
    """
    amount = anchor_amount
    for activity in held:
        for code, effect in cash_effects(activity):
            if code == currency and effect is not None:
                amount = EXACT.subtract(amount, effect)
    if not amount:
        return None
    return Activity(
        account=account,
        key=f"opening:cash:{currency}",
        source=OPENING_SOURCE,
        kind=ActivityKind.OPENING,
        trade_date=on,
        currency=currency,
        gross=amount,
        description="Cash from before the first known activity; worked out from the broker's own balance.",
    )


def cash_effects(activity: Activity) -> list[tuple[str, Decimal | None]]:
    """What the activity adds to cash, by currency; None where its money is unknown."""
    net = activity.gross
    for part in (activity.fee, activity.tax):
        if net is not None and part is not None:
            net = EXACT.add(net, part)
    effects = [(activity.currency, net)]
    if activity.kind is ActivityKind.FX and activity.broker_ref is not None:
        effects.append((activity.broker_ref, activity.quantity))
    return effects


def _readings(unsure: Sequence[Activity]) -> Iterable[set[str]]:
    """Which of the unsure to turn against their date: none, then one, two, ... of them, in a fixed order."""
    keys = sorted(activity.key for activity in unsure)
    sizes = range(len(keys) + 1) if len(keys) <= _MOST_TRIED else (0, len(keys))
    return (set(turned) for size in sizes for turned in combinations(keys, size))


def _opening_cost(holding: Holding, balance: Activity, held: Sequence[Activity]) -> Decimal | None:
    # With a cost of 1 per unit, the cost left of the opening is the share of it that was still open.
    moves = [activity for activity in held if not is_return_of_capital(activity)]
    share, others = _left_of(balance, Decimal(1), holding, moves)
    if len(moves) < len(held) and share:
        # Capital given back since lowered what is left of it: seen at a cost that it cannot use up.
        left_of, others = _left_of(balance, _PLENTY, holding, held)
        returned = None if left_of is None else EXACT.subtract(EXACT.multiply(share, _PLENTY), left_of)
        others = None if others is None or returned is None else EXACT.subtract(others, returned)
    if not share or others is None or holding.anchor_cost is None:
        return None
    left = EXACT.subtract(holding.anchor_cost, others)
    cost = left if share == balance.quantity else EXACT.divide(EXACT.multiply(left, moved(balance)), share)
    # A cost of the other sign means that the broker counts it in another way.
    return cost if cost == 0 or (cost > 0) == (moved(balance) > 0) else None


def _price(cost: Decimal, quantity: Decimal, holding: Holding) -> Decimal:
    return cost / (quantity * holding.multiplier * holding.quote_factor)


def _seen(holding: Holding, explained: Decimal) -> str:
    since = f"between {_time(holding.changed_after)} and " if holding.changed_after else "at "
    return (
        f"The broker reported a quantity of {holding.quantity:f}, changed {since}"
        f"{_time(holding.changed_at)}; the activities known so far explain {explained:f}. "
        "The broker's details are not in yet."
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _total(activities: Iterable[Activity]) -> Decimal:
    total = Decimal(0)
    for activity in activities:
        total = EXACT.add(total, moved(activity))
    return total


def _left_of(
    balance: Activity, unit_cost: Decimal, holding: Holding, held: Sequence[Activity]
) -> tuple[Decimal | None, Decimal | None]:
    """What of such a balance's cost is left at the anchor, and what the other open lots cost; or unknown."""
    trial = replace(balance, cost=EXACT.multiply(moved(balance), unit_cost))
    known = fifo([trial, *held], holding.multiplier, holding.quote_factor, is_margined=holding.is_margined)
    own = [lot.cost for lot in known.open if lot.opened_by == balance.key]
    others = [lot.cost for lot in known.open if lot.opened_by != balance.key]
    return summed_if_known(own), summed_if_known(others)
