"""What was told of activities, into the tables: kept as it was told, and made one set of activities.

Every source's word stays beside the activity it is a witness of (merge.py decides which), so that what
comes later, from whichever source, meets all that was told before. A row that stands for what only a
lesser source tells of a covered day supersedes itself, and so counts nowhere.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet

from stonks_overwatch.ledger import types
from stonks_overwatch.ledger.merge import RANKS, Merged, Told, merged
from stonks_overwatch.ledger.models import Account, Activity, ActivitySource, Instrument, Period
from stonks_overwatch.ledger.rows import read_activities
from stonks_overwatch.ledger.sql import update, upsert
from stonks_overwatch.ledger.types import ActivityKind, Batch

_IDENTITY = {"account", "key", "source", "broker_ref", "refs"}
CONTENT = [f.name for f in fields(types.Activity) if f.name not in _IDENTITY]
_DEFAULTS = {f.name: f.default for f in fields(types.Activity) if f.name in CONTENT}
_TOLD = [*CONTENT, "broker_ref", "refs"]
_DAYS = {"trade_date", "settlement_date", "booked_on", "ex_date", "acquired_on"}
_NUMBERS = {
    "quantity", "price", "gross", "fee", "tax", "fx_rate", "value", "cost", "realized_pnl", "ratio",
}  # fmt: skip
# Sources meet within these days (merge.py looks at three), so no more than that is read around the news.
_AROUND = timedelta(days=7)
_AT_ONCE = 500
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Source = tuple[str, str]  # name and key


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many of the told activities were new and known, and the days that changed, by account.

    `whole` is what counts now, of accounts of which all was at hand anyway.
    """

    new: int
    known: int
    changed: set[tuple[int, date]]
    whole: dict[int, list[types.Activity]]


@dataclass(slots=True)
class _Row:
    """An activity as it stands in the table."""

    pk: int
    activity: types.Activity
    counts: bool
    conflicts: str
    told: dict[Source, Told] = field(default_factory=dict)


def record(batch: Batch, accounts: Mapping[str, Account], instruments: Mapping[str, Instrument]) -> Recorded:
    """Bring what a batch tells of activities into the ledger, before its periods are stored.

    Inside the transaction of the batch.
    """
    by_account: defaultdict[str, list[types.Activity]] = defaultdict(list)
    for activity in batch.activities:
        by_account[activity.account].append(activity)
    periods: defaultdict[str, list[types.Period]] = defaultdict(list)
    for period in batch.periods:
        periods[period.account].append(period)
    new = known = 0
    changed: set[tuple[int, date]] = set()
    whole: dict[int, list[types.Activity]] = {}
    for name in sorted({*by_account, *periods}):
        telling = _Telling(accounts[name], instruments, batch.fetched_at, batch.told_at)
        new_here, known_here = telling.run(by_account[name], periods[name])
        new, known = new + new_here, known + known_here
        changed |= telling.changed
        if telling.whole is not None:
            whole[accounts[name].pk] = telling.whole
    return Recorded(new, known, changed, whole)


def retract(
    account: Account, instruments: Mapping[str, Instrument], sources: set[Source], at: datetime
) -> set[tuple[int, date]]:
    """Forget what was told under these sources and keys. Returns: the days that changed, by account."""
    telling = _Telling(account, instruments, at)
    telling.forget(sources)
    return telling.changed


class _Telling:
    """One account while a batch is recorded."""

    def __init__(
        self,
        account: Account,
        instruments: Mapping[str, Instrument],
        at: datetime,
        told_at: datetime | None = None,
    ) -> None:
        self.account = account
        self.instruments = instruments
        self.refs = {instrument.pk: ref for ref, instrument in instruments.items()}
        self.at = at
        self.told_at = told_at or at
        self.changed: set[tuple[int, date]] = set()
        self.digests: dict[Source, str] = {}  # of what the batch tells
        self.stored: Set[Source] = set()  # what was told before
        self.whole: list[types.Activity] | None = None

    def run(self, activities: Sequence[types.Activity], periods: Sequence[types.Period]) -> tuple[int, int]:
        """Returns how many were new and how many known."""
        news, known = self._news(activities)
        first, last = self._scope(news, periods)
        if first is None or last is None:
            return 0, known
        rows = self._load(*self._with_sums(first - _AROUND, last + _AROUND))
        by_source = {source: row for row in rows for source in row.told}
        told = {source: one for row in rows for source, one in row.told.items()}
        for one in news:
            source = one.activity.source, one.activity.key
            told[source] = _overlaid(told[source], one) if source in told else one
        before = {source: row.told[source] for source, row in by_source.items()}
        found = merged(told.values(), [*self._stored_periods(), *periods])
        is_all = self._stored().count() == len(rows)
        created = self._write(found, by_source, before, rows)
        if is_all:
            self.whole = [one.activity for one in found if one.counts]
        return created, len(activities) - created

    def forget(self, sources: set[Source]) -> None:
        rows = self._load(date.min, date.max)
        by_source = {source: row for row in rows for source in row.told}
        told = {source: one for row in rows for source, one in row.told.items() if source not in sources}
        before = {source: by_source[source].told[source] for source in told}
        self._write(merged(told.values(), self._stored_periods()), by_source, before, rows)

    def _news(self, activities: Sequence[types.Activity]) -> tuple[list[Told], int]:
        """What was not told before in just these words; how many were."""
        if not activities:
            return [], 0
        stored = ActivitySource.objects.filter(
            activity__account=self.account, source__in={a.source for a in activities}
        )
        digests = {
            (source, key): digest for source, key, digest in stored.values_list("source", "key", "digest")
        }
        self.stored = digests.keys()
        news = []
        for activity in activities:
            source = activity.source, activity.key
            self.digests[source] = digest_of(activity)
            if digests.get(source) != self.digests[source]:
                news.append(Told(activity, self.told_at))
        return news, len(activities) - len(news)

    def _scope(
        self, news: Sequence[Told], periods: Sequence[types.Period]
    ) -> tuple[date | None, date | None]:
        """The days that what is new can bear on."""
        days = [one.activity.trade_date for one in news]
        days += self._days_before(news)
        days += [counts_on(one.activity) for one in news if one.activity.subtype == types.SETTLEMENT]
        for period in periods:
            if period.source not in RANKS or self._knows(period):
                continue
            lesser = RANKS[RANKS.index(period.source) + 1 :]
            outranked = Activity.objects.filter(
                account=self.account,
                sources__source__in=lesser,
                trade_date__range=(period.since, period.until),
            )
            if outranked.exists():
                days += [period.since, period.until]
        return min(days, default=None), max(days, default=None)

    def _days_before(self, news: Sequence[Told]) -> list[date]:
        """The days of what was told before under the keys of what is told now, in other words."""
        keys = [one.activity.key for one in news if (one.activity.source, one.activity.key) in self.stored]
        days: list[date] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = ActivitySource.objects.filter(
                activity__account=self.account, key__in=keys[start : start + _AT_ONCE]
            )
            days += some.values_list("activity__trade_date", flat=True)
        return days

    def _with_sums(self, first: date, last: date) -> tuple[date, date]:
        """The days and those of all sums over days that overlap them, or one another: they count together."""
        sums = self._stored().filter(subtype=types.SETTLEMENT).values_list("trade_date", "booked_on")
        spans = sorted((since, until or since) for since, until in sums)
        for since, until in (*reversed(spans), *spans):
            if since <= last and until >= first:
                first, last = min(first, since), max(last, until)
        return first, last

    def _knows(self, period: types.Period) -> bool:
        stored = Period.objects.filter(
            account=self.account, source=period.source, since=period.since, until=period.until
        )
        return set(period.topics) <= set(stored.values_list("topic", flat=True))

    def _stored_periods(self) -> list[types.Period]:
        return [
            types.Period(self.account.account, source, since, until, (topic,))
            for source, topic, since, until in Period.objects.filter(account=self.account).values_list(
                "source", "topic", "since", "until"
            )
        ]

    # Reading

    def _stored(self) -> QuerySet[Activity]:
        """What was told and stands, counting or not."""
        stands = Q(superseded_by=None) | Q(superseded_by=F("pk"))
        return Activity.objects.filter(stands, account=self.account, is_derived=False)

    def _load(self, first: date, last: date) -> list[_Row]:
        stored = self._stored().filter(trade_date__range=(first, last))
        rows: dict[int, _Row] = {}
        beside = ("pk", "superseded_by_id", "conflicts")
        for activity, (pk, superseded_by, conflicts) in read_activities(
            stored, self.refs, beside, self.account.account
        ):
            rows[pk] = _Row(pk, activity, superseded_by is None, conflicts)
        sources = ActivitySource.objects.filter(
            activity__account=self.account, activity__trade_date__range=(first, last)
        )
        for pk, source, key, at, digest, content in sources.values_list(
            "activity_id", "source", "key", "at", "digest", "content"
        ):
            if pk in rows:
                self.digests.setdefault((source, key), digest)
                row = rows[pk]
                words = _decoded(content) if content else {}
                told = replace(row.activity, source=source, key=key, **words)
                row.told[source, key] = Told(told, at or _LONG_AGO)
        return list(rows.values())

    # Writing

    def _write(
        self,
        found: Sequence[Merged],
        by_source: Mapping[Source, _Row],
        before: Mapping[Source, Told],
        rows: Sequence[_Row],
    ) -> int:
        """Make the table say what was found. Returns how many activities nobody had told of."""
        taken: set[int] = set()
        plan: list[tuple[Merged, _Row | None]] = []
        for one in found:
            row = self._row_of(one, by_source, taken)
            if row is not None:
                taken.add(row.pk)
            plan.append((one, row))
        gone = [row for row in rows if row.pk not in taken]
        changed = [(one, row) for one, row in plan if row is None or not _stands(one, row)]
        self._keep_trail([(one, row) for one, row in changed if row is not None], before)
        self._delete(gone)
        for one, row in changed:
            self.changed.add((self.account.pk, counts_on(one.activity)))
            if row is not None:
                self.changed.add((self.account.pk, counts_on(row.activity)))
        moved = [row.pk for one, row in changed if row is not None and row.activity.key != one.activity.key]
        for start in range(0, len(moved), _AT_ONCE):  # keys may change places
            for pk in moved[start : start + _AT_ONCE]:
                Activity.objects.filter(pk=pk).update(key=f"~{pk}")
        names = ["key", "instrument", "refs", "conflicts", "recorded_at", *CONTENT]
        update(Activity, names, ((*self._values(one), row.pk) for one, row in changed if row is not None))
        created = [one for one, row in changed if row is None]
        upsert(
            Activity,
            ["account", *names, "is_derived"],
            ((self.account.pk, *self._values(one), False) for one in created),
            unique=["account", "key"],
        )
        pks = self._pks(plan)
        self._mark_outranked([(one, pks[one.activity.key]) for one, _ in changed])
        self._write_sources(plan, pks)
        return sum(1 for one in created if not any(_source(told) in by_source for told in one.witnesses))

    def _row_of(self, one: Merged, by_source: Mapping[Source, _Row], taken: set[int]) -> _Row | None:
        """The row that stood for the event so far: that of its oldest witness."""
        rows = {
            row.pk: row
            for told in one.witnesses
            if (row := by_source.get(_source(told))) is not None and row.pk not in taken
        }
        return rows[min(rows)] if rows else None

    def _values(self, one: Merged) -> tuple[Any, ...]:
        activity = one.activity
        instrument = None if activity.broker_ref is None else self.instruments[activity.broker_ref].pk
        return (
            activity.key,
            instrument,
            " ".join(activity.refs),
            _conflicts(one),
            self.at,
            *(getattr(activity, name) for name in CONTENT),
        )

    def _keep_trail(self, changed: Sequence[tuple[Merged, _Row]], before: Mapping[Source, Told]) -> None:
        """Where a source has taken back its own words, the row as it was stays, superseded by the new."""
        for one, row in changed:
            corrected = any(
                (old := before.get(_source(told))) is not None and _differs(old.activity, told.activity)
                for told in one.witnesses
            )
            if not corrected or not row.counts:
                continue
            key = row.activity.key
            trail = Activity.objects.filter(account=self.account, key__startswith=f"{key}#").count()
            old_row = Activity.objects.get(pk=row.pk)
            old_row.pk, old_row.key, old_row.superseded_by_id = None, f"{key}#{trail + 1}", row.pk
            old_row.save(force_insert=True)

    def _delete(self, gone: Sequence[_Row]) -> None:
        pks = [row.pk for row in gone]
        for row in gone:
            self.changed.add((self.account.pk, counts_on(row.activity)))
        for start in range(0, len(pks), _AT_ONCE):
            part = pks[start : start + _AT_ONCE]
            ActivitySource.objects.filter(activity__in=part).delete()
            Activity.objects.filter(pk__in=part).delete()

    def _pks(self, plan: Sequence[tuple[Merged, _Row | None]]) -> dict[str, int]:
        found = {one.activity.key: row.pk for one, row in plan if row is not None}
        if len(found) < len(plan):
            found |= dict(Activity.objects.filter(account=self.account).values_list("key", "pk"))
        return found

    def _mark_outranked(self, changed: Sequence[tuple[Merged, int]]) -> None:
        for counts in (True, False):
            pks = [pk for one, pk in changed if one.counts is counts]
            for start in range(0, len(pks), _AT_ONCE):
                part = Activity.objects.filter(pk__in=pks[start : start + _AT_ONCE])
                if counts:
                    part.filter(superseded_by=F("pk")).update(superseded_by=None)
                else:
                    part.update(superseded_by=F("pk"))

    def _write_sources(self, plan: Sequence[tuple[Merged, _Row | None]], pks: Mapping[str, int]) -> None:
        rows = []
        for one, row in plan:
            pk = pks[one.activity.key]
            for told in one.witnesses:
                source = _source(told)
                if row is not None and row.told.get(source) is told and _stands(one, row):
                    continue
                activity = told.activity
                same = len(one.witnesses) == 1 or one.activity == replace(
                    activity, source="", key=one.activity.key, refs=tuple(sorted(activity.refs))
                )
                content = "" if same else _encoded(activity)
                digest = self.digests.get(source) or digest_of(activity)
                rows.append((pk, *source, told.at, digest, content))
        names = ["activity", "source", "key", "at", "digest", "content"]
        upsert(ActivitySource, names, rows, unique=["activity", "source", "key"])
        self._drop_moved_sources(plan, pks)

    def _drop_moved_sources(self, plan: Sequence[tuple[Merged, _Row | None]], pks: Mapping[str, int]) -> None:
        """Words that belong to another activity now are no longer this one's."""
        for one, row in plan:
            if row is None:
                continue
            left = row.told.keys() - {_source(told) for told in one.witnesses}
            for source, key in left:
                ActivitySource.objects.filter(activity=pks[one.activity.key], source=source, key=key).delete()


def digest_of(activity: types.Activity) -> str:
    """Equal for activities that are told in the same words."""
    return hashlib.blake2b(repr(activity).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def counts_on(activity: types.Activity) -> date:
    """The day from which the account holds what the activity brought."""
    return activity.booked_on or activity.trade_date


def _source(told: Told) -> Source:
    return told.activity.source, told.activity.key


def _overlaid(one: Told, other: Told) -> Told:
    """Two words of one source about one thing: the later counts, the earlier fills its gaps."""
    earlier, later = (one, other) if one.at <= other.at else (other, one)
    gaps = {
        name: value
        for name in _TOLD
        if getattr(later.activity, name) in (None, "", ())
        and (value := getattr(earlier.activity, name)) not in (None, "", ())
    }
    return Told(replace(later.activity, **gaps), later.at) if gaps else later


def _stands(one: Merged, row: _Row) -> bool:
    return one.activity == row.activity and one.counts == row.counts and _conflicts(one) == row.conflicts


def _differs(old: types.Activity, new: types.Activity) -> bool:
    """Whether something that was said before is said otherwise now."""
    return any(
        (before := getattr(old, name)) not in (None, "", ())
        and (after := getattr(new, name)) not in (None, "", ())
        and before != after
        for name in CONTENT
        if name != "description"
    )


def _conflicts(one: Merged) -> str:
    if not one.conflicts:
        return ""
    return json.dumps([{"field": c.field, "values": [list(v) for v in c.values]} for c in one.conflicts])


def _encoded(activity: types.Activity) -> str:
    """The fields that say something, as JSON."""
    told = {
        name: value
        for name in _TOLD
        if (value := getattr(activity, name)) != _DEFAULTS.get(name, ...) or name in ("kind", "currency")
    }
    return json.dumps({name: _plain(value) for name, value in told.items()}, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _decoded(content: str) -> dict[str, Any]:
    told = json.loads(content)
    read: dict[str, Any] = dict(_DEFAULTS) | {"broker_ref": None, "refs": ()}
    for name, value in told.items():
        if value is None:
            read[name] = None
        elif name in _NUMBERS:
            read[name] = Decimal(value)
        elif name in _DAYS:
            read[name] = date.fromisoformat(value)
        elif name == "trade_at":
            read[name] = datetime.fromisoformat(value)
        elif name == "kind":
            read[name] = ActivityKind(value)
        else:
            read[name] = tuple(value) if name == "refs" else value
    return {name: value for name, value in read.items() if name in _TOLD}
