"""What several answers and statements told, as the one set of things that happened. Pure.

The same trade comes as a fill of the Web API, as a confirmation and in two statements, each with other
numbers and other gaps. All that was told is kept; what counts is worked out from the whole set of it, so
no order of arrival and no repetition makes a difference.

Sources have ranks. Where a better one tells a day in full, a lesser one is only a witness: it is named
beside what it matches, its differing figures are shown, and what it tells beyond that does not count.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from stonks_overwatch.ledger.types import SETTLEMENT, Activity, ActivityKind, Period

# Best first. Sources that are not named here have no rank: none of them outranks another.
RANKS = ("flex", "flex-confirmations", "flex-summaries", "flex-funds", "web-api")

_TOPICS = {
    ActivityKind.BUY: "trades",
    ActivityKind.SELL: "trades",
    ActivityKind.FX: "trades",
    ActivityKind.SPLIT: "corporate_actions",
    ActivityKind.CORPORATE_ACTION: "corporate_actions",
    ActivityKind.TRANSFER_IN: "transfers",
    ActivityKind.TRANSFER_OUT: "transfers",
}
_IDENTITY = {"account", "key", "source", "refs"}
_CONTENT = [f.name for f in fields(Activity) if f.name not in _IDENTITY]
# Where two sources differ in these, the user is shown both.
_FIGURES = ("kind", "broker_ref", "trade_date", "currency", "quantity", "price", "gross", "fee", "tax")
_CENT = Decimal("0.01")
_SAME = Decimal("0.000001")  # of the larger of two figures: more is no rounding


@dataclass(frozen=True, slots=True)
class Told:
    """An activity as one source told it (its `source` and `key`), and when that source said so."""

    activity: Activity
    at: datetime


@dataclass(frozen=True, slots=True)
class Conflict:
    """A figure in which sources differ: source and value, the one that counts first."""

    field: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """One thing that happened. `activity` has the key of its best witness and no source of its own.

    Without `counts` it was told by a lesser source alone, of a day that a better one tells in full.
    """

    activity: Activity
    witnesses: tuple[Told, ...]  # the best first
    conflicts: tuple[Conflict, ...]
    counts: bool


@dataclass(slots=True)
class _Event:
    witnesses: list[Told]
    numbers: dict[str, str]  # the broker's, by what they number
    shares: list[Told] = field(default_factory=list)  # of which it is a part only
    counts: bool = True

    @property
    def first(self) -> Activity:
        return self.witnesses[0].activity

    @property
    def rank(self) -> int:
        return _rank(self.first.source)

    def has_voice(self, activity: Activity) -> bool:
        """Whether the same source told it in the same way: then another row of it is another event."""
        return any(
            told.activity.source == activity.source and bool(told.activity.refs) == bool(activity.refs)
            for told in (*self.witnesses, *self.shares)
        )


def merged(told: Iterable[Told], periods: Iterable[Period]) -> list[Merged]:
    """The events behind everything that was told, in the order of account, date and key."""
    by_account: defaultdict[str, list[Told]] = defaultdict(list)
    for one in _newest(told):
        by_account[one.activity.account].append(one)
    covered: defaultdict[str, list[Period]] = defaultdict(list)
    for period in periods:
        covered[period.account].append(period)
    found = [
        _result(event)
        for account, of_account in sorted(by_account.items())
        for event in _events(of_account, covered[account])
    ]
    found = _without_overlaps(found)
    return sorted(found, key=lambda m: (m.activity.account, m.activity.trade_date, m.activity.key))


def _without_overlaps(found: list[Merged]) -> list[Merged]:
    """Of sums over days that overlap those count that tell the most days, each once."""
    by_money: defaultdict[tuple[str, str], list[Merged]] = defaultdict(list)
    for one in found:
        if one.activity.subtype == SETTLEMENT:
            by_money[one.activity.account, one.activity.currency].append(one)
    outranked: set[int] = set()
    for sums in by_money.values():
        kept = {id(one) for one in _packed(_without_sums_of_parts(sums))}
        outranked |= {id(one) for one in sums} - kept
    if not outranked:
        return found
    return [replace(one, counts=False) if id(one) in outranked else one for one in found]


def _without_sums_of_parts(sums: Sequence[Merged]) -> list[Merged]:
    """What is exactly the sum of shorter ones inside gives way to them: they tell better when it was."""
    left: list[Merged] = []
    for one in sorted(sums, key=lambda m: (_last_day(m.activity) - m.activity.trade_date, _span(m))):
        first, last = bisect_left(left, one.activity.trade_date, key=_since), len(left)
        inside = [
            part for part in islice(left, first, last) if _last_day(part.activity) <= _last_day(one.activity)
        ]
        total = sum((part.activity.gross or Decimal(0) for part in _packed(inside)), Decimal(0))
        if not inside or abs(total - (one.activity.gross or Decimal(0))) > _CENT:
            insort(left, one, key=_since)
    return left


def _packed(sums: Sequence[Merged]) -> list[Merged]:
    """Those without an overlap that tell the most days; of equal choices the one of more and shorter sums."""
    by_end = sorted(sums, key=lambda m: (_last_day(m.activity), _since(m), m.activity.key))
    ends = [_last_day(one.activity) for one in by_end]
    best: list[tuple[int, int]] = [(0, 0)]  # days and sums of the best choice among the first so many
    for n, one in enumerate(by_end):
        before = best[bisect_left(ends, _since(one), hi=n)]
        days = (_last_day(one.activity) - _since(one)).days + 1
        best.append(max(best[-1], (before[0] + days, before[1] + 1)))
    kept = []
    n = len(by_end)
    while n:
        if best[n] == best[n - 1]:
            n -= 1
            continue
        kept.append(by_end[n - 1])
        n = bisect_left(ends, _since(by_end[n - 1]), hi=n - 1)
    return kept


def _since(one: Merged) -> date:
    return one.activity.trade_date


def _span(one: Merged) -> tuple[date, date, str]:
    return _since(one), _last_day(one.activity), one.activity.key


def _last_day(activity: Activity) -> date:
    return activity.booked_on or activity.trade_date


def _newest(told: Iterable[Told]) -> Iterable[Told]:
    """What each source said last of each of its keys."""
    last: dict[tuple[str, str, str], Told] = {}
    for one in told:
        key = (one.activity.account, one.activity.source, one.activity.key)
        known = last.get(key)
        if known is None or (known.at, repr(known.activity)) < (one.at, repr(one.activity)):
            last[key] = one
    return last.values()


def _events(told: list[Told], periods: Sequence[Period]) -> list[_Event]:
    if _is_one_voice(told) and not any(_outranks(p.source, told[0].activity.source) for p in periods):
        return [_Event([one], {}) for one in told]
    events: list[_Event] = []
    by_number: defaultdict[str, list[_Event]] = defaultdict(list)
    by_content: defaultdict[tuple[object, ...], list[_Event]] = defaultdict(list)
    # Those with the most numbers first: they tell apart what the others could be.
    for one in sorted(
        told, key=lambda t: (not t.activity.refs, _rank(t.activity.source), _order(t.activity))
    ):
        activity = one.activity
        numbers = dict(ref.split(":", 1) for ref in activity.refs)
        event = _same_number(activity, numbers, by_number) or _same_content(activity, by_content)
        if event is None:
            event = _Event([], {})
            events.append(event)
            by_content[_content(activity)].append(event)
        event.witnesses.append(one)
        for name, value in numbers.items():
            if name not in event.numbers:
                event.numbers[name] = value
                by_number[f"{name}:{value}"].append(event)
    for event in events:
        event.witnesses.sort(key=_quality)
    return _witnessed(sorted(events, key=lambda e: (e.rank, _order(e.first))), periods)


def _is_one_voice(told: Sequence[Told]) -> bool:
    """Whether one source tells all of it with numbers that no two of it share: a statement, as a rule."""
    refs = [ref for one in told for ref in one.activity.refs]
    return (
        len({one.activity.source for one in told}) == 1
        and all(one.activity.refs for one in told)
        and len(set(refs)) == len(refs)
    )


def _same_number(
    activity: Activity, numbers: Mapping[str, str], by_number: Mapping[str, list[_Event]]
) -> _Event | None:
    """The event with one of the broker's numbers, unless another number or its topic tells them apart."""
    for ref in activity.refs:
        for event in by_number.get(ref, ()):
            if _topic(event.witnesses[0].activity) == _topic(activity) and all(
                event.numbers.get(name, value) == value for name, value in numbers.items()
            ):
                return event
    return None


def _same_content(activity: Activity, by_content: Mapping[tuple[object, ...], list[_Event]]) -> _Event | None:
    """Without numbers of its own: an event alike in all figures that its source has not told yet."""
    if activity.refs:
        return None
    alike = by_content.get(_content(activity), ())
    return next((event for event in alike if not event.has_voice(activity)), None)


def _content(activity: Activity) -> tuple[object, ...]:
    # Decimal: 4.0 and 4.00 are equal and hash alike.
    return (
        activity.kind, activity.broker_ref, activity.currency, activity.trade_date, activity.quantity,
        activity.price, activity.gross,
    )  # fmt: skip


def _witnessed(events: list[_Event], periods: Sequence[Period]) -> list[_Event]:
    """Let what only lesser sources tell witness what better ones tell, or stand for itself.

    Equal size on the same day goes first, for all of them, so that nothing takes another's match.
    """
    by_matter: defaultdict[tuple[str | None, str, date], list[_Event]] = defaultdict(list)
    for event in events:
        by_matter[_matter(event.first)].append(event)
    left = [event for event in events if not _attach(event, _better(event, by_matter))]
    found = []
    for event in left:
        if not _is_covered(event.first, periods):
            found.append(event)
        elif not _attach_nearby(event, by_matter) and not _attach_other(event, _better(event, by_matter)):
            event.counts = False
            found.append(event)
    return found


def _better(
    event: _Event, by_matter: Mapping[tuple[str | None, str, date], list[_Event]], days: int = 0
) -> list[_Event]:
    """Events of better sources about the same thing, some days later, that this source has not told."""
    ref, what, on = _matter(event.first)
    return [
        other
        for other in by_matter.get((ref, what, on + timedelta(days=days)), ())
        if _outranks(other.first.source, event.first.source) and not other.has_voice(event.first)
    ]


def _matter(activity: Activity) -> tuple[str | None, str, date]:
    """What is compared: one instrument, one side, one day."""
    moved = activity.quantity or activity.gross or 0
    kind = "trade" if activity.kind in (ActivityKind.BUY, ActivityKind.SELL) else activity.kind.value
    return activity.broker_ref, f"{kind}{'+' if moved > 0 else '-'}", activity.trade_date


def _attach(event: _Event, better: Sequence[_Event]) -> bool:
    """Make the event a witness of the better one of its size, or of those that it is the sum of."""
    size = _size(event.first)
    sizes = [_size(other.first) for other in better]
    if size is None:
        return False
    if size in sizes:
        better[sizes.index(size)].witnesses += event.witnesses
        return True
    known = [part for part in sizes if part is not None]
    if len(known) > 1 and len(known) == len(sizes) and sum(known) == size:
        for part in better:
            part.shares += event.witnesses
        return True
    return False


def _attach_nearby(event: _Event, by_matter: Mapping[tuple[str | None, str, date], list[_Event]]) -> bool:
    """Brokers date one event by its trade, its booking or their own time zone."""
    for days in (-1, 1, -2, 2, -3, 3):
        for other in _better(event, by_matter, days):
            if _size(other.first) == _size(event.first):
                other.witnesses += event.witnesses
                return True
    return False


def _attach_other(event: _Event, better: Sequence[_Event]) -> bool:
    """Show the event as a conflict of the better one of its day, if there is just one."""
    if len(better) != 1:
        return False
    better[0].witnesses += event.witnesses
    return True


def _size(activity: Activity) -> Decimal | None:
    return activity.gross if activity.quantity is None else activity.quantity


def _topic(activity: Activity) -> str:
    return _TOPICS.get(activity.kind, "cash")


def _is_covered(activity: Activity, periods: Iterable[Period]) -> bool:
    """Whether a better source tells the day in full. Of its last day the evening's trades may follow."""
    topic = _topic(activity)
    return any(
        topic in period.topics
        and _outranks(period.source, activity.source)
        and period.since <= activity.trade_date < period.until
        for period in periods
    )


def _result(event: _Event) -> Merged:
    best = event.first
    if len(event.witnesses) == 1:
        activity = replace(best, source="", refs=tuple(sorted(best.refs)))
        return Merged(activity, (*event.witnesses, *event.shares), (), event.counts)
    content: dict[str, Any] = {}
    for name in _CONTENT:
        values = (getattr(told.activity, name) for told in event.witnesses)
        content[name] = next((value for value in values if value not in (None, "")), getattr(best, name))
    named = min(event.witnesses, key=lambda told: (_rank(told.activity.source), _order(told.activity)))
    refs = tuple(sorted({ref for told in event.witnesses for ref in told.activity.refs}))
    activity = replace(best, **content, key=named.activity.key, source="", refs=refs)
    conflicts = tuple(
        conflict for name in _FIGURES if (conflict := _conflict(name, event.witnesses)) is not None
    )
    return Merged(activity, (*event.witnesses, *event.shares), conflicts, event.counts)


def _conflict(name: str, witnesses: Sequence[Told]) -> Conflict | None:
    told = [
        (one.activity.source, value)
        for one in witnesses
        if (value := getattr(one.activity, name)) not in (None, "")
    ]
    if all(_is_same(told[0][1], value) for _, value in told[1:]):
        return None
    return Conflict(name, tuple(dict.fromkeys((source, _text(value)) for source, value in told)))


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return abs(one - other) <= _SAME * max(abs(one), abs(other))
    return one == other


def _text(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _quality(told: Told) -> tuple[int, float, tuple[int, str]]:
    """The better source first, of one source what it said last."""
    return _rank(told.activity.source), -told.at.timestamp(), _order(told.activity)


def _order(activity: Activity) -> tuple[int, str]:
    return -len(activity.refs), activity.key


def _rank(source: str) -> int:
    return RANKS.index(source) if source in RANKS else len(RANKS)


def _outranks(source: str, other: str) -> bool:
    return other in RANKS and _rank(source) < _rank(other)
