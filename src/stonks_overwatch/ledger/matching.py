"""All that moved quantities, to open and closed lots: trades, corporate actions, exercises, transfers. Pure.

What is one event is booked as one: the legs of a corporate action, an exercised option and the trade in
its underlying, the two sides of a transfer between accounts that are both known. Cost and day of
acquisition go where the lots go; nothing is realized unless something is sold, paid out, expires or is
worthless. An activity and the one that takes it back cancel each other.

Where a broker tells how a cost is divided (spin-off, cash beside new shares), that counts. Else the rule:
in proportion to the market values of the day, and unknown where one of those is not known.
"""

import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple, TypeVar

from stonks_overwatch.ledger.lots import (
    EXACT,
    RETURN_OF_CAPITAL,
    ZERO,
    Close,
    Lot,
    Lots,
    Method,
    Pick,
    Pile,
    Taken,
    added,
    difference,
    divided,
    fraction,
    moved,
    negative,
    product,
    spread,
    summed,
    summed_if_known,
)
from stonks_overwatch.ledger.types import Activity, ActivityKind

Member = TypeVar("Member")
Key = tuple[str, str]
"""An account and the reference of an instrument."""

# These move a quantity with the cost it has: nothing is sold, so nothing is realized.
AT_COST = frozenset({ActivityKind.OPENING, ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT})
_ACTIONS = frozenset({ActivityKind.CORPORATE_ACTION, ActivityKind.SPLIT})
_TRADES = frozenset({ActivityKind.BUY, ActivityKind.SELL})
_TRANSFERS = frozenset({ActivityKind.TRANSFER_IN, ActivityKind.TRANSFER_OUT})
EXERCISES = frozenset({"exercise", "assignment"})
# What ends in these without a payment brought nothing.
WORTHLESS = frozenset({"expiration", "worthless", "rights expiration"})
# New units of what is held already, for nothing: they are spread over the lots.
_LIKE_SPLITS = frozenset(
    {"stock dividend", "split", "reverse split", "contract split", "contract consolidation"}
)
_RIGHTS = frozenset({"rights issue"})
# Paid for by a decision of the holder: what comes of it is held from that day.
_SUBSCRIPTIONS = frozenset({"rights subscription"})
_START = datetime.min.replace(tzinfo=UTC)
# IBKR's text of an action begins with what it happens to: "ABC(US0000000001) SPINOFF 1 FOR 40 (...".
_NAMED_FIRST = re.compile(r"(?P<symbol>[^()]+?)\s*\((?P<isin>[A-Z0-9]+)\)")


@dataclass(frozen=True, slots=True)
class Terms:
    """What of an instrument decides about its lots. `per_unit` turns quantity × price into money.

    Where `is_margined` (futures, CFDs) only the gain is money: it is converted at the rate of the day
    it was made, and the notional has no rate.
    """

    per_unit: Decimal = Decimal(1)
    currency: str = ""
    is_margined: bool = False
    right: str | None = None
    isin: str | None = None
    symbol: str = ""


class Convert(NamedTuple):
    """The reporting currency for one unit, by account, currency and day, or as booked with an activity."""

    on: Callable[[str, str, date], Decimal | None]
    of: Callable[[Activity], Decimal | None]


@dataclass(frozen=True, slots=True)
class Told:
    """What others decided or know. All of it may be empty.

    `methods` by account; `choices` by account and closing key; `matched` by account, instrument and the
    day the closing was booked: the broker's own closed lots; `price` of an instrument on a day.
    """

    methods: Mapping[str, Method]
    choices: Mapping[tuple[str, str], Sequence[Pick]]
    matched: Mapping[tuple[str, str, date], Sequence[Pick]]
    price: Callable[[str, date], Decimal | None]


NOTHING_TOLD = Told({}, {}, {}, lambda _ref, _on: None)


def matched(
    activities: Iterable[Activity],
    terms: Mapping[str, Terms],
    told: Told = NOTHING_TOLD,
    convert: Convert | None = None,
) -> dict[Key, Lots]:
    """Match what closes with what is open, in every account and instrument.

    Args:
        activities: in any order; what moves no quantity is skipped. On one day those without a time come
            first: openings, corporate actions, purchases, sales.
        terms: of every instrument that is moved.
        told: method of each account (FIFO unless named), the user's choices, the broker's matching, prices.
        convert: into the reporting currency; without it all `_base` amounts are None.
    """
    matcher = _Matcher(terms, told, convert)
    for event in _events(activities):
        matcher.book(event)
    return matcher.lots()


def ties(
    activities: Iterable[Activity], terms: Mapping[str, Terms], there: Set[Key] | None = None
) -> list[set[Key]]:
    """What has to be matched together because of events that concern several accounts or instruments.

    Every account and instrument beside these can be matched by itself, and each of the sets too, with the
    same lots as in the whole. `activities` may be the parts of such events alone.

    Args:
        activities, terms: as for `matched`.
        there: what has activities; where it is not known, more than what is needed may be tied.
    """
    by_name = _by_name(terms)
    events: defaultdict[tuple[str, ...], set[Key]] = defaultdict(set)
    for activity in activities:
        tie, key = _tie(activity), (activity.account, activity.broker_ref or "")
        if tie is not None:
            events[tie].add(key)
        if activity.kind in _ACTIONS:
            named = {(activity.account, ref) for ref in _named(activity, by_name)}
            if there is not None:
                named &= there
            events["named", *key] |= {key, *named}
    return joined(events.values())


def joined(sets: Iterable[set[Member]]) -> list[set[Member]]:
    """Sets that have something in common as one; without those of a single member."""
    found: dict[Member, set[Member]] = {}
    for some in sets:
        whole = set(some)
        for other in {id(found[key]): found[key] for key in some if key in found}.values():
            whole |= other
        found |= dict.fromkeys(whole, whole)
    return [whole for whole in {id(whole): whole for whole in found.values()}.values() if len(whole) > 1]


def fifo(
    activities: Iterable[Activity], multiplier: Decimal, quote_factor: Decimal, *, is_margined: bool = False
) -> Lots:
    """First in, first out within one instrument of one account, seen by itself.

    Args:
        activities: those of one instrument in one account, in any order; what moves no quantity is skipped.
        multiplier, quote_factor: of the instrument; quantity × price × both is money.
        is_margined: as in `Terms`.
    """
    alone = [
        replace(a, account="", broker_ref="")
        for a in activities
        if moved(a) or a.ratio or is_return_of_capital(a)
    ]
    lots = matched(alone, {"": Terms(EXACT.multiply(multiplier, quote_factor), is_margined=is_margined)})
    return lots.get(("", ""), Lots((), ()))


Number = Decimal | str
Trade = tuple[date, str, Number, Number | None, Number | None, Number | None, Number | None, Decimal | None]
"""A purchase, or a sale with a negative quantity: its day and key; its quantity, price, gross, fee and tax,
which may be as the database has them; the reporting currency for one unit."""


def traded(trades: Iterable[Trade], per_unit: Decimal, before: Iterable[Lot] = ()) -> Lots:
    """First in, first out of what was bought and sold and had nothing else happen to it: as `matched` does.

    Most instruments are such, and tens of thousands of their trades take a fraction of the time so.

    Args:
        trades: of one instrument that is not margined, in one account, in the order of time.
        per_unit: as in `Terms`.
        before: what was open before them, oldest first.
    """
    # Rows of `Lot` and `Close`.
    piled = deque[tuple[Any, ...]](before)
    closed: list[tuple[Any, ...]] = []
    with localcontext(EXACT):
        for on, key, size, price, gross, fee, tax, rate in trades:
            quantity = Decimal(size)
            own = _cost_of_trade(
                quantity,
                None if price is None else Decimal(price),
                None if gross is None else Decimal(gross),
                None if fee is None else Decimal(fee),
                None if tax is None else Decimal(tax),
                per_unit,
            )
            base = None if own is None or rate is None else own * rate
            is_long, left = quantity > 0, quantity
            while left and piled and (piled[0][1] > 0) is not is_long:
                opened_on, held, paid, opened_by, paid_base, _ = piled.popleft()
                rest = held + left
                if rest and (rest > 0) is not is_long:
                    part = left.copy_negate()
                    paid, own_rest = _parted(paid, part, held)
                    paid_base, base_rest = _parted(paid_base, part, held)
                    piled.appendleft((opened_on, rest, own_rest, opened_by, base_rest, True))
                    share, share_base, left = own, base, ZERO
                else:
                    part = held
                    share, own = _parted(own, part.copy_negate(), left)
                    share_base, base = _parted(base, part.copy_negate(), left)
                    left = rest
                brought, brought_base = negative(share), negative(share_base)
                closed.append((
                    opened_on, on, part, paid, brought, opened_by, key, paid_base, brought_base, rate, True,
                    False,
                ))  # fmt: skip
            if left:
                piled.append((on, left, own, key, base, True))
    return Lots(tuple(map(Lot._make, piled)), tuple(map(Close._make, closed)))


def untraded(lots: Iterable[Lot], closes: Iterable[Close], since: date) -> list[Lot]:
    """What was open at the start of a day, oldest first, from what `traded` made of trades until later."""
    closed_later = [
        Lot(close.opened_on, close.quantity, close.cost, close.opened_by, close.cost_base)
        for close in closes
        if close.closed_on >= since
    ]
    open_then: list[Lot] = []
    for part in (*closed_later, *lots):
        if open_then and open_then[-1].opened_by == part.opened_by:
            whole = open_then[-1]
            open_then[-1] = whole._replace(
                quantity=EXACT.add(whole.quantity, part.quantity),
                cost=added(whole.cost, part.cost),
                cost_base=added(whole.cost_base, part.cost_base),
            )
        elif part.opened_on < since:
            open_then.append(part)
    return open_then


def _parted(total: Decimal | None, part: Decimal, whole: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """As `divided`, within the context `EXACT`."""
    if total is None:
        return None, None
    if part == whole:
        return total, ZERO
    share = fraction(total, part, whole)
    return share, total - share


# What is one event


_Order = tuple[date, int, datetime, int, str]


def is_return_of_capital(activity: Activity) -> bool:
    return activity.kind is ActivityKind.DIVIDEND and activity.subtype == RETURN_OF_CAPITAL


def _order(activity: Activity) -> _Order:
    """By day; openings first, then by time, what has none before all times."""
    rank = 0 if activity.kind in _ACTIONS else 1 if moved(activity) > 0 else 2
    return (
        activity.trade_date,
        activity.kind is not ActivityKind.OPENING,
        activity.trade_at or _START,
        rank,
        activity.key,
    )


def _events(activities: Iterable[Activity]) -> list[list[Activity]]:
    """In order of time; the activities of one event in their own order."""
    events: list[tuple[_Order, list[Activity]]] = []
    tied: defaultdict[tuple[str, ...], list[Activity]] = defaultdict(list)
    returned: list[Activity] = []
    openings: dict[Key, date] = {}
    for activity in _without_reversed(list(activities)):
        tie = _tie(activity)
        if tie is not None:
            tied[tie].append(activity)
        elif moved(activity) or activity.ratio or (activity.kind in _ACTIONS and activity.gross):
            events.append((_order(activity), [activity]))
            if activity.kind is ActivityKind.OPENING:
                openings[activity.account, _ref(activity)] = activity.trade_date
        elif activity.gross and is_return_of_capital(activity):
            returned.append(activity)
    for activity in returned:
        # Given to what was held on the ex-date, whenever it is paid; to an opening balance, whenever that is.
        order = _order(activity)
        opened_on = openings.get((activity.account, _ref(activity)), date.min)
        events.append(((max(activity.ex_date or order[0], opened_on), *order[1:]), [activity]))
    for tie, legs in tied.items():
        left = _without_cancelled(legs) if tie[0] == "action" else legs
        if left:
            left.sort(key=_order)
            events.append((_order(left[0]), left))
    events.sort(key=lambda event: event[0])
    return [legs for _, legs in events]


def _tie(activity: Activity) -> tuple[str, ...] | None:
    """What the activities of one event have in common; None for what is an event by itself."""
    if activity.group is None or activity.broker_ref is None:
        return None
    if activity.kind in _ACTIONS:
        return "action", activity.account, activity.group
    if activity.kind in _TRADES and activity.subtype in EXERCISES:
        return "exercise", activity.account, activity.group
    if activity.kind in _TRANSFERS and activity.quantity:
        return "transfer", activity.group
    return None


def _without_reversed(activities: list[Activity]) -> list[Activity]:
    """Leave out what was taken back, and what took it back, where the two are known and opposite."""
    if all(activity.reverses is None for activity in activities):
        return activities
    by_ref: defaultdict[tuple[str, str], list[Activity]] = defaultdict(list)
    for activity in activities:
        if activity.reverses is None:
            for ref in activity.refs:
                by_ref[activity.account, ref].append(activity)
    gone: set[tuple[str, str]] = set()
    for activity in activities:
        if activity.reverses is not None:
            for original in by_ref[activity.account, activity.reverses]:
                identity = original.account, original.key
                if identity not in gone and _is_opposite(original, activity):
                    gone |= {identity, (activity.account, activity.key)}
                    break
    return [activity for activity in activities if (activity.account, activity.key) not in gone]


def _without_cancelled(legs: Sequence[Activity]) -> list[Activity]:
    """The legs of a corporate action without those that a later booking of it took back."""
    left: list[Activity] = []
    for leg in legs:
        twin = next((other for other in left if _is_opposite(other, leg)), None)
        if twin is None:
            left.append(leg)
        else:
            left.remove(twin)
    return left


def _is_opposite(one: Activity, other: Activity) -> bool:
    return (
        one.broker_ref == other.broker_ref
        and moved(one) == moved(other).copy_negate()
        and (one.gross or ZERO) == -(other.gross or ZERO)
        and (one.quantity or one.gross) not in (None, ZERO)
    )


class _Amount(NamedTuple):
    """Money in the trade's and in the reporting currency."""

    own: Decimal | None
    base: Decimal | None

    def plus(self, other: "_Amount") -> "_Amount":
        return _Amount(added(self.own, other.own), added(self.base, other.base))

    def less(self, other: "_Amount") -> "_Amount":
        return _Amount(difference(self.own, other.own), difference(self.base, other.base))

    def spread(self, weights: Sequence[Decimal]) -> "list[_Amount]":
        parts = zip(spread(self.own, weights), spread(self.base, weights), strict=True)
        return [_Amount(own, base) for own, base in parts]


_NOTHING = _Amount(ZERO, ZERO)
_UNKNOWN = _Amount(None, None)


class _Matcher:
    """The piles of all accounts and instruments while events are booked one after the other."""

    def __init__(self, terms: Mapping[str, Terms], told: Told, convert: Convert | None) -> None:
        self._terms = terms
        self._told = told
        self._convert = convert
        self._piles: dict[Key, Pile] = {}
        self._closed: defaultdict[Key, list[Close]] = defaultdict(list)
        self._used: dict[tuple[str, str, date], list[Pick]] = {}  # what is left of the broker's matching
        self._by_name = _by_name(terms)

    def lots(self) -> dict[Key, Lots]:
        keys = self._piles.keys() | self._closed.keys()
        return {
            key: Lots(self._piles[key].lots() if key in self._piles else (), tuple(self._closed[key]))
            for key in sorted(keys)
        }

    def book(self, event: list[Activity]) -> None:
        first = event[0]
        if first.kind in _ACTIONS:
            self._action(event)
        elif is_return_of_capital(first):
            self._give_back(first)
        elif len(event) == 1:
            self._trade(first)
        elif first.kind in _TRANSFERS:
            self._transfer(event)
        else:
            self._exercise(event)

    # What all events are made of

    def _pile(self, account: str, ref: str) -> Pile:
        pile = self._piles.get((account, ref))
        if pile is None:
            pile = self._piles[account, ref] = Pile(self._told.methods.get(account, Method.FIFO))
        return pile

    def _rate(self, activity: Activity) -> Decimal | None:
        return None if self._convert is None else self._convert.of(activity)

    def _rate_on(self, account: str, currency: str, on: date) -> Decimal | None:
        return None if self._convert is None else self._convert.on(account, currency, on)

    def _money(self, activity: Activity) -> _Amount:
        """What the quantity cost, with its sign: for a sale, minus what it brought."""
        own = _cost(activity, self._terms[_ref(activity)])
        if own is None or self._convert is None:
            return _Amount(own, None)
        if activity.acquired_on is not None and activity.kind in AT_COST:
            rate = self._convert.on(activity.account, activity.currency, activity.acquired_on)
        else:
            rate = self._convert.of(activity)
        return _Amount(own, product(own, rate))

    def _trade(self, activity: Activity, beside: _Amount = _NOTHING) -> None:
        """Close what is open on the other side, open a lot with the rest. `beside` is added to its money."""
        account, ref = activity.account, _ref(activity)
        pile = self._pile(account, ref)
        quantity, paid = moved(activity), self._money(activity)
        if beside is not _NOTHING:
            paid = paid.plus(beside)
        left = quantity
        if pile.quantity and (pile.quantity > 0) != (quantity > 0):
            taken = self._take(pile, activity, quantity.copy_negate())
            for one in taken:
                # As `_Amount.spread`, one part at a time.
                # Not `-quantity`: that would round it.
                part = one.lot.quantity.copy_negate()
                share, rest = divided(paid.own, part, left)
                share_base, rest_base = divided(paid.base, part, left)
                paid = _Amount(rest, rest_base)
                left = EXACT.add(left, one.lot.quantity)
                if activity.kind not in AT_COST:
                    brought = _Amount(negative(share), negative(share_base))
                    self._close(activity, one, brought)
        if left:
            self._open(activity, left, paid)

    def _take(self, pile: Pile, activity: Activity, wanted: Decimal) -> list[Taken]:
        account = activity.account
        method = self._told.methods.get(account, Method.FIFO)
        if method is Method.SPECIFIC:
            return pile.take(wanted, self._told.choices.get((account, activity.key), ()))
        if method is not Method.BROKER:
            return pile.take(wanted)
        where = account, _ref(activity), activity.booked_on or activity.trade_date
        picks = self._used.get(where)
        if picks is None:
            picks = self._used[where] = list(self._told.matched.get(where, ()))
        taken = pile.take(wanted, picks)
        # The next sale of the day goes on where this one stopped.
        used = summed(abs(one.lot.quantity) for one in taken if one.is_told)
        self._used[where] = _rest(picks, used)
        return taken

    def _close(self, activity: Activity, taken: Taken, brought: _Amount) -> None:
        lot = taken.lot
        key = activity.account, _ref(activity)
        rate, cost_base = self._rate(activity), lot.cost_base
        if self._terms[key[1]].is_margined:
            cost_base = product(lot.cost, rate)
        self._closed[key].append(
            Close(
                lot.opened_on, activity.trade_date, lot.quantity, lot.cost, brought.own, lot.opened_by,
                activity.key, cost_base, brought.base, rate, lot.is_dated, taken.is_told,
            )
        )  # fmt: skip

    def _open(self, activity: Activity, quantity: Decimal, paid: _Amount) -> None:
        is_dated = activity.kind is not ActivityKind.OPENING or activity.acquired_on is not None
        opened_on = activity.acquired_on or activity.trade_date
        lot = Lot(opened_on, quantity, paid.own, activity.key, paid.base, is_dated)
        self._pile(activity.account, _ref(activity)).add(lot)

    def _give_back(self, activity: Activity) -> None:
        """Capital returned lowers the cost; what exceeds a lot's cost is its gain, and so is all of it where
        nothing is held that it could have been paid on.
        """
        account, ref = activity.account, _ref(activity)
        if activity.gross is None or self._terms[ref].currency not in ("", activity.currency):
            return
        brought = _Amount(activity.gross, product(activity.gross, self._rate(activity)))
        pile = self._pile(account, ref)
        emptied = pile.lower(activity.gross, brought.base, activity.ex_date)
        if emptied is None:
            self._pay_out([activity])
        for lot, own, base in emptied or ():
            self._close(activity, Taken(lot._replace(quantity=ZERO), is_told=False), _Amount(own, base))

    # Exercises

    def _exercise(self, legs: Sequence[Activity]) -> None:
        """Options exercised or assigned: what they cost or brought goes into the trade in the underlying.

        An option whose underlying was not delivered (cash settlement) is closed like any other.
        """
        options = [leg for leg in legs if self._terms[_ref(leg)].right]
        trades = [leg for leg in legs if not self._terms[_ref(leg)].right]
        for is_buy in (True, False):
            delivered = [leg for leg in trades if (moved(leg) > 0) is is_buy]
            premium = _NOTHING
            for option in (o for o in options if self._buys(o) is is_buy):
                if delivered:
                    premium = premium.plus(self._given_up(option, delivered[0]))
                else:
                    self._trade(option)
            if delivered:
                shares = premium.spread([moved(leg) for leg in delivered])
                for leg, share in zip(delivered, shares, strict=True):
                    self._trade(leg, beside=share)

    def _buys(self, option: Activity) -> bool:
        """Whether exercising it buys the underlying: a call that is held, a put that was sold."""
        return (self._terms[_ref(option)].right == "call") is (moved(option) < 0)

    def _given_up(self, option: Activity, trade: Activity) -> _Amount:
        """Cost of the options that leave, with what their exercise cost; negative for what was received."""
        wanted = moved(option).copy_negate()
        pile = self._pile(option.account, _ref(option))
        taken = pile.take(wanted) if (pile.quantity > 0) == (wanted > 0) else []
        premium = self._money(option)
        for one in taken:
            premium = premium.plus(_Amount(one.lot.cost, one.lot.cost_base))
        missing = EXACT.subtract(wanted, summed(one.lot.quantity for one in taken))
        if missing:
            # More was exercised than was known to be held: it was held before, at a cost nobody told.
            return _UNKNOWN
        same = self._terms[_ref(option)].currency == self._terms[_ref(trade)].currency
        return premium if same else _Amount(None, premium.base)

    # Transfers

    def _transfer(self, legs: Sequence[Activity]) -> None:
        """Both sides of a transfer are known: the lots themselves go over."""
        out = [leg for leg in legs if leg.kind is ActivityKind.TRANSFER_OUT]
        into = [leg for leg in legs if leg.kind is ActivityKind.TRANSFER_IN]
        for leg in out:
            arrival = next(
                (i for i in into if moved(i) == moved(leg).copy_negate() and i.broker_ref == leg.broker_ref),
                None,
            )
            if arrival is None:
                self._trade(leg)
                continue
            into.remove(arrival)
            pile = self._pile(leg.account, _ref(leg))
            wanted = moved(leg).copy_negate()
            taken = pile.take(wanted) if (pile.quantity > 0) == (wanted > 0) else []
            target = self._pile(arrival.account, _ref(arrival))
            if summed(one.lot.quantity for one in taken) != wanted or (
                target.quantity and (target.quantity > 0) != (wanted > 0)
            ):
                for one in taken:
                    pile.add(one.lot)
                self._trade(leg)
                self._trade(arrival)
                continue
            for one in taken:
                target.add(one.lot)
        for leg in into:
            self._trade(leg)

    # Corporate actions

    def _action(self, legs: Sequence[Activity]) -> None:
        """What leaves, what comes, what is paid: decided from what is held when it happens."""
        by_ref: dict[str, list[Activity]] = {}
        for leg in legs:
            by_ref.setdefault(_ref(leg), []).append(leg)
        moving = {ref: own for ref, own in by_ref.items() if any(moved(leg) or leg.ratio for leg in own)}
        loose = [leg for ref, own in by_ref.items() if ref not in moving for leg in own]
        is_long = self._is_long(moving)
        out: list[Activity] = []
        into: list[Activity] = []
        sold: list[Activity] = []
        for ref, own in moving.items():
            held = self._pile(own[0].account, ref).quantity
            is_down = held > 0 if held else is_long
            loose += [leg for leg in own if not moved(leg) and not leg.ratio]
            leaving = [leg for leg in own if moved(leg) and (moved(leg) < 0) is is_down]
            coming = [leg for leg in own if (moved(leg) or leg.ratio) and leg not in leaving]
            if coming or (len(moving) == 1 and any(leg.kind is ActivityKind.SPLIT for leg in own)):
                # Cash for a fraction of what comes is a sale of the fraction.
                fractions = [leg for leg in leaving if leg.gross and len(own) > 1]
                sold += fractions
                leaving = [leg for leg in leaving if leg not in fractions]
            is_split = len(moving) == 1 and own[0].kind is ActivityKind.SPLIT
            if is_split or (leaving and coming):
                self._split([*leaving, *coming])
            else:
                out += leaving
                into += coming
        if out and into:
            self._exchange(out, into, loose)
        elif out:
            self._end(out, loose)
        else:
            self._issue(into)
            self._pay_out(loose)
        for leg in sold:
            self._trade(leg)

    def _is_long(self, moving: Mapping[str, Sequence[Activity]]) -> bool:
        """Whether the event meets a long position: of its instruments, else of their parent."""
        for ref, legs in moving.items():
            account = legs[0].account
            for held in (ref, self._parent(legs[0])):
                if held is not None and self._pile(account, held).quantity:
                    return self._pile(account, held).quantity > 0
        return True

    def _split(self, legs: Sequence[Activity]) -> None:
        """Another number of units of the same instrument; costs and days stay."""
        pile = self._pile(legs[0].account, _ref(legs[0]))
        after = pile.quantity
        for leg in legs:
            if leg.ratio is not None and not moved(leg):
                after = EXACT.multiply(after, leg.ratio)
            else:
                after = EXACT.add(after, moved(leg))
        if pile.quantity and after and (after > 0) == (pile.quantity > 0):
            pile.scale(after)
        elif abs(after) > abs(pile.quantity):
            # Nothing was known to be held before it.
            added_units = EXACT.subtract(after, pile.quantity)
            self._trade(replace(legs[0], quantity=added_units, gross=None, cost=None))
        if len(legs) == 1:
            self._pay_out(legs)

    def _pay_out(self, legs: Sequence[Activity]) -> None:
        """Cash of a corporate action for no quantity that is told: a gain as a whole."""
        for leg in legs:
            if leg.gross:
                brought = _Amount(leg.gross, product(leg.gross, self._rate(leg)))
                nothing = Lot(leg.trade_date, ZERO, ZERO, leg.key, ZERO)
                self._close(leg, Taken(nothing, is_told=False), brought)

    def _end(self, legs: Sequence[Activity], loose: Sequence[Activity]) -> None:
        """Paid back, called, cashed out, or worthless: a sale for what was paid."""
        beside = summed(leg.gross or ZERO for leg in loose)
        for leg in legs:
            gross = EXACT.add(leg.gross or ZERO, beside)
            beside = ZERO
            price = None
            if not gross and leg.subtype in WORTHLESS:
                price = ZERO
            elif not gross and leg.realized_pnl:
                gross = self._brought(leg, leg.realized_pnl)
            self._know_as_held(leg, gross)
            # Where no money is known of, what it brought is unknown, and not nothing.
            sale = replace(leg, kind=ActivityKind.SELL, gross=gross or None, price=price)
            self._trade(sale)

    def _know_as_held(self, leg: Activity, gross: Decimal) -> None:
        """What ends and was never seen to be bought was held before the history, and is no short position.

        Its cost is what the broker's gain leaves of the proceeds, where it told one for all of it.
        """
        pile = self._pile(leg.account, _ref(leg))
        wanted = moved(leg).copy_negate()
        known = pile.quantity if (pile.quantity > 0) == (wanted > 0) else ZERO
        if abs(known) < abs(wanted):
            is_told = bool(gross and leg.realized_pnl) and not known
            cost = difference(gross, leg.realized_pnl) if is_told else None
            missing = EXACT.subtract(wanted, known)
            pile.add(Lot(leg.trade_date, missing, cost, leg.key, None, is_dated=False))

    def _brought(self, leg: Activity, gain: Decimal) -> Decimal:
        """Proceeds that give the gain the broker booked, for all that is held; 0 where that is not known."""
        pile = self._pile(leg.account, _ref(leg))
        cost = summed_if_known(lot.cost for lot in pile.lots())
        return ZERO if cost is None or pile.quantity != moved(leg).copy_negate() else EXACT.add(cost, gain)

    def _exchange(self, out: Sequence[Activity], into: Sequence[Activity], loose: Sequence[Activity]) -> None:
        """One security becomes another, others, or others and cash; what is paid on top adds to the cost."""
        taken = [(leg, one) for leg in out for one in self._given(leg)]
        quantities = [one.lot.quantity for _, one in taken]
        cost = summed_if_known(one.lot.cost for _, one in taken)
        cash = summed(leg.gross or ZERO for leg in (*out, *into, *loose))
        charges = summed(charge or ZERO for leg in (*out, *into, *loose) for charge in (leg.fee, leg.tax))
        rate = self._rate(into[0])
        is_paid_out = bool(cash) and (cash > 0) == (quantities[0] > 0)
        weights = _exchange_weights(cost, cash if is_paid_out else ZERO, out, into)
        on_top = _Amount(charges.copy_negate(), product(charges.copy_negate(), rate))
        if is_paid_out:
            shares = _Amount(cash, product(cash, rate)).spread(quantities)
            for (leg, one), brought in zip(taken, shares, strict=True):
                whole, part = one.lot, _Amount(None, None)
                quantity = ZERO
                if weights is not None:
                    part = _Amount(whole.cost, whole.cost_base).spread(weights)[0]
                    quantity = spread(whole.quantity, weights)[0] or ZERO
                closed = whole._replace(quantity=quantity, cost=part.own, cost_base=part.base)
                self._close(leg, Taken(closed, is_told=False), brought)
        else:
            paid = EXACT.add(cash, charges).copy_negate()
            on_top = _Amount(paid, product(paid, rate))
        self._hand_over([one.lot for _, one in taken], _ref(out[0]), into, weights, on_top)

    def _given(self, leg: Activity) -> list[Taken]:
        """The lots that leave; what was not known to be held came before the history, at an unknown cost."""
        pile = self._pile(leg.account, _ref(leg))
        wanted = moved(leg).copy_negate()
        parts = pile.take(wanted) if (pile.quantity > 0) == (wanted > 0) else []
        missing = EXACT.subtract(wanted, summed(one.lot.quantity for one in parts))
        if missing:
            unknown = Lot(leg.trade_date, missing, None, leg.key, None, is_dated=False)
            parts.append(Taken(unknown, is_told=False))
        return parts

    def _hand_over(
        self,
        lots: Sequence[Lot],
        old: str,
        into: Sequence[Activity],
        weights: Sequence[Decimal] | None,
        on_top: _Amount = _NOTHING,
    ) -> None:
        """New lots for old ones. `weights[0]` is what of their cost goes elsewhere, then one per leg."""
        old_quantities = [lot.quantity for lot in lots]
        quantities = [spread(moved(leg), old_quantities) for leg in into]
        costs = [
            [_UNKNOWN] * (len(into) + 1)
            if weights is None
            else _Amount(lot.cost, lot.cost_base).spread(weights)
            for lot in lots
        ]
        tops = [_UNKNOWN] * len(into)
        if not on_top.own:
            tops = [_NOTHING] * len(into)
        elif weights is not None:
            tops = on_top.spread(weights[1:])
        for index, leg in enumerate(into):
            target = self._pile(leg.account, _ref(leg))
            shares = tops[index].spread(old_quantities)
            factor = self._exchange_rate(old, leg)
            is_new = leg.subtype in _SUBSCRIPTIONS
            for lot, parts, quantity, top in zip(lots, costs, quantities[index], shares, strict=True):
                part = parts[index + 1]
                moved_cost = part if factor == 1 else _Amount(product(part.own, factor), part.base)
                cost = moved_cost.plus(top) if top.own else moved_cost
                target.add(
                    Lot(
                        leg.trade_date if is_new else lot.opened_on, quantity or ZERO, cost.own,
                        lot.opened_by, cost.base, lot.is_dated or is_new,
                    )
                )  # fmt: skip

    def _exchange_rate(self, old: str, leg: Activity) -> Decimal | None:
        """Units of the new instrument's currency for one of the old one's, on the day."""
        before, after = self._terms[old].currency, self._terms[_ref(leg)].currency
        if before == after:
            return Decimal(1)
        one = self._rate_on(leg.account, before, leg.trade_date)
        other = self._rate_on(leg.account, after, leg.trade_date)
        return None if one is None or not other else EXACT.divide(one, other)

    def _issue(self, legs: Sequence[Activity]) -> None:
        """New units with nothing given up: spun off, a stock dividend, rights, or bought by a choice."""
        families: defaultdict[str, list[Activity]] = defaultdict(list)
        for leg in legs:
            pile, parent = self._pile(leg.account, _ref(leg)), self._parent(leg)
            is_paid = bool(leg.gross) and (leg.gross or ZERO) * moved(leg) < 0
            if pile.quantity and leg.subtype in _LIKE_SPLITS and not (leg.cost or is_paid):
                self._split([leg])
            elif is_paid or parent is None:
                self._trade(replace(leg, cost=None if is_paid else _cost_of_issue(leg), price=None))
            else:
                families[parent].append(leg)
        for parent, children in families.items():
            pile = self._pile(children[0].account, parent)
            weights = self._family_weights(parent, pile, children)
            lots = [one.lot for one in pile.take(pile.quantity)]
            for lot in lots:
                kept = _UNKNOWN if weights is None else _Amount(lot.cost, lot.cost_base).spread(weights)[0]
                pile.add(lot._replace(cost=kept.own, cost_base=kept.base))
            self._hand_over(lots, parent, children, weights)

    def _parent(self, leg: Activity) -> str | None:
        """Of the instruments that a corporate action may come from, the first that is held."""
        for ref in _named(leg, self._by_name):
            pile = self._piles.get((leg.account, ref))
            if pile is not None and pile.quantity:
                return ref
        return None

    def _family_weights(self, parent: str, pile: Pile, legs: Sequence[Activity]) -> list[Decimal] | None:
        """How the parent's cost is divided: what it keeps, then what each of the new ones gets."""
        if all(leg.subtype in _RIGHTS and not leg.cost for leg in legs):
            return [Decimal(1), *([ZERO] * len(legs))]
        costs = [abs(leg.cost) for leg in legs if leg.cost]
        if len(costs) == len(legs):
            cost = summed_if_known(lot.cost for lot in pile.lots())
            return None if not cost else [EXACT.subtract(abs(cost), summed(costs)), *costs]
        values = [abs(leg.value) for leg in legs if leg.value]
        price = self._told.price(parent, legs[0].trade_date)
        if price is None or len(values) != len(legs):
            return None
        worth = EXACT.multiply(EXACT.multiply(abs(pile.quantity), price), self._terms[parent].per_unit)
        return [worth, *values] if worth else None


def _exchange_weights(
    cost: Decimal | None, cash: Decimal, out: Sequence[Activity], into: Sequence[Activity]
) -> list[Decimal] | None:
    """How a cost is divided: over the cash that is paid out, then over each new security; None: not known."""
    costs = [abs(leg.cost) for leg in into if leg.cost]
    values = [abs(leg.value) for leg in into if leg.value]
    gain = summed(leg.realized_pnl or ZERO for leg in (*out, *into))
    if len(costs) == len(into) and (cost or not cash):
        for_cash = EXACT.subtract(abs(cost or ZERO), summed(costs)) if cash else ZERO
        return [for_cash, *costs]
    if len(into) == 1:
        values = values or [Decimal(1)] * (not cash)
    if len(values) != len(into) and not (cash and gain and cost and len(into) == 1):
        return None
    if cash and gain and cost:
        for_cash = abs(EXACT.subtract(cash, gain))
        kept = EXACT.subtract(abs(cost), for_cash)
        shares = spread(kept, values) if len(values) == len(into) else [kept]
        return [for_cash, *(share or ZERO for share in shares)]
    return [abs(cash), *values]


def _cost_of_issue(leg: Activity) -> Decimal | None:
    if leg.cost:
        return leg.cost
    if leg.subtype in _RIGHTS:
        return ZERO
    # Taken in place of cash: it cost what it was worth.
    return leg.value if leg.subtype == "choice dividend" and leg.value else None


def _by_name(terms: Mapping[str, Terms]) -> Mapping[str, Sequence[str]]:
    """The instruments of each ISIN and symbol."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for ref, its in terms.items():
        for name in {its.isin, its.symbol}:
            if name:
                found[name].append(ref)
    return found


def _named(leg: Activity, by_name: Mapping[str, Sequence[str]]) -> list[str]:
    """The instruments other than its own that a corporate action names first in its text."""
    found = _NAMED_FIRST.match(leg.description)
    if not found:
        return []
    named = [ref for name in (found["isin"], found["symbol"]) for ref in by_name.get(name, ())]
    return [ref for ref in named if ref != leg.broker_ref]


def _ref(activity: Activity) -> str:
    if activity.broker_ref is None:
        raise ValueError(f"the activity {activity.key} moves a quantity of no instrument")
    return activity.broker_ref


def _rest(picks: Sequence[Pick], used: Decimal) -> list[Pick]:
    """The picks without the first `used` units."""
    left = []
    for pick in picks:
        gone = min(used, pick.quantity)
        used = EXACT.subtract(used, gone)
        rest = EXACT.subtract(pick.quantity, gone)
        if rest:
            cost, _ = divided(pick.cost, rest, pick.quantity)
            left.append(pick._replace(quantity=rest, cost=cost))
    return left


def _cost(activity: Activity, terms: Terms) -> Decimal | None:
    """What the quantity cost, with its sign: for a sale, minus what it brought."""
    if activity.kind not in _TRADES and activity.cost is not None:
        return activity.cost
    if activity.kind in AT_COST:
        gross = None
    elif terms.is_margined and activity.price is not None:
        # A trade in a future or CFD moves no cash, or the profit alone: its money is what the price says.
        gross = None
    else:
        gross = activity.gross
    nothing = ZERO if activity.subtype in WORTHLESS else None
    price, fee, tax = activity.price, activity.fee, activity.tax
    with localcontext(EXACT):
        return _cost_of_trade(moved(activity), price, gross, fee, tax, terms.per_unit, nothing)


def _cost_of_trade(
    quantity: Decimal,
    price: Decimal | None,
    gross: Decimal | None,
    fee: Decimal | None,
    tax: Decimal | None,
    per_unit: Decimal,
    otherwise: Decimal | None = None,
) -> Decimal | None:
    """What the quantity cost, with its sign: for a sale, minus what it brought. Within the context `EXACT`.

    By what was paid for it, else by its price, which `per_unit` turns into money; where neither is known
    `otherwise`.
    """
    if gross:
        money = gross.copy_sign(quantity)
    elif price is not None:
        money = quantity * price * per_unit
    elif otherwise is not None:
        money = otherwise
    else:
        return None
    if fee or tax:
        return money - ((fee or ZERO) + (tax or ZERO))
    return money
