"""The only code that writes the ledger: one transaction per batch, and the same batch twice changes nothing.

Thousands of rows go in by plain SQL with ON CONFLICT; Django's ways of saving are ten to a hundred times
slower. Activities are never overwritten: one whose content changed is replaced by a new row and stays.
"""

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F, Max, Min
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import opening, packed, telling, types
from stonks_overwatch.ledger.imported.quotes import share_prices
from stonks_overwatch.ledger.lots import MARGINED, Method, moved
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivityBlock,
    ActivitySource,
    CashBalance,
    Checkpoint,
    Coverage,
    DailySeries,
    Figure,
    FxRate,
    InboxItem,
    Instrument,
    LotBook,
    NavPoint,
    Period,
    Position,
    Price,
    QuantityChange,
    StateReport,
)
from stonks_overwatch.ledger.rows import read_activities
from stonks_overwatch.ledger.sql import upsert
from stonks_overwatch.ledger.states import events, states
from stonks_overwatch.ledger.types import TOPICS, ActivityKind, AssetClass, Batch

ZERO = Decimal(0)
_Key = TypeVar("_Key")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a batch brought. `activities_known` were in the ledger before; `inbox` counts new items."""

    accounts: int
    positions: int
    activities_new: int
    activities_known: int
    inbox: int

    def and_past(self, past: "Counts") -> "Counts":
        """With what a part of the past brought; accounts and positions are those of now."""
        return replace(
            self,
            activities_new=self.activities_new + past.activities_new,
            activities_known=self.activities_known + past.activities_known,
            inbox=self.inbox + past.inbox,
        )


def record(batch: Batch) -> Counts:
    """Store everything of a batch, or nothing. What it leaves open, see Batch."""
    with transaction.atomic():
        if batch.told_at is None:
            counts = _Recording(batch).run()
        else:
            _record_states(batch)
            counts = _Recording(events(batch)).run()
        for statement in batch.past:
            counts = counts.and_past(record(statement))
        return counts


def _record_states(statement: Batch, only: Collection[str] | None = None) -> None:
    """What accounts held when the statement's days ended; of those alone that `only` names."""
    for state in states(statement):
        if only is None or any(account.account in only for account in state.accounts):
            _Recording(state).run()


def retract(told: Batch, others: Sequence[Batch], at: datetime) -> None:
    """Take back what one batch told of the past and none of the others did.

    Positions and cash stay (see forget_states). So do activities that an answer of the broker told as well.
    """
    with transaction.atomic():
        _Recording(replace(told, fetched_at=at)).retract(others)


def forget_states(told: Batch, others: Sequence[Batch]) -> None:
    """Forget the positions and cash that one statement told of accounts of which statements alone tell; and
    what follows from them. What the others told counts again; an account that nothing is left of is gone.
    """
    found = set()
    named = {*told.positions, *told.cash}
    for account in Account.objects.filter(broker=told.broker, account__in=named):
        reports = StateReport.objects.filter(account=account)
        moments = list(reports.values_list("at", flat=True))
        if not moments or not all(map(opening.is_end_of_day, moments)):
            continue
        found.add(account.account)
        derived = Activity.objects.filter(account=account, is_derived=True)
        days = set(derived.values_list(Coalesce("booked_on", "trade_date"), flat=True))
        for rows in (derived, reports):
            rows.delete()
        packed.activities_changed((account.pk, day) for day in days)
        for table in (Position, CashBalance, QuantityChange):
            table.objects.filter(account=account).delete()
        if (
            Activity.objects.filter(account=account).exists()
            or Period.objects.filter(account=account).exists()
        ):
            Account.objects.filter(pk=account.pk).update(**dict.fromkeys(_STATE_OF_ACCOUNT))
        else:
            account.delete()
    for other in others:
        _record_states(other, found)


def clear(broker: str) -> None:
    """Forget all that came from one broker; recording its kept answers in order makes it again.

    Prices and rates from elsewhere stay, and so do the instruments they belong to.
    """
    with transaction.atomic():
        accounts = list(Account.objects.filter(broker=broker).values_list("pk", flat=True))
        ActivitySource.objects.filter(activity__account__in=accounts).delete()
        Activity.objects.filter(account__in=accounts).delete()
        for table in (
            Position, CashBalance, StateReport, QuantityChange, Coverage, NavPoint, Period, Figure,
            ActivityBlock, Checkpoint, DailySeries, LotBook,
        ):  # fmt: skip
            table.objects.filter(account__in=accounts).delete()
        # What the user chose is not the broker's to tell again.
        Account.objects.filter(broker=broker, lot_method=Method.FIFO).delete()
        Account.objects.filter(broker=broker).update(told="", **dict.fromkeys(_TOLD_OF_ACCOUNT))
        prices = Price.objects.filter(instrument__broker=broker, source=broker)
        priced = dict.fromkeys(prices.values_list("instrument_id", flat=True).distinct(), date.min)
        prices.delete()
        packed.prices_changed(priced)
        Instrument.objects.filter(broker=broker, price=None, names=None).delete()
        rates = FxRate.objects.filter(source=broker)
        pairs = dict.fromkeys(rates.values_list("base", "quote").distinct(), date.min)
        rates.delete()
        packed.rates_changed(pairs)
        InboxItem.objects.filter(broker=broker).delete()


_INSTRUMENT = [f.name for f in fields(types.Instrument) if f.name not in ("broker_ref", "is_whole")]
_UNITS = ("asset_class", "currency", "multiplier", "quote_factor", "right")  # by which a position counts
_STATE_OF_ACCOUNT = [
    "reported_nav", "reported_cash", "reported_accrued_interest", "reported_accrued_dividends",
    "reported_as_of", "positions_since", "positions_at", "cash_since", "cash_at",
]  # fmt: skip
_TOLD_OF_ACCOUNT = ["opened_on", *_STATE_OF_ACCOUNT]
_POSITION_STATE = [
    "quantity", "is_open", "price", "market_value", "exposure", "average_cost", "cost_basis",
    "unrealized_pnl", "priced_at", "changed_at", "changed_after", "closed_at", "anchor_quantity",
    "anchor_cost", "anchor_at", "covered_since", "covered_until",
]  # fmt: skip
_CASH_AMOUNTS = [
    "amount", "settled", "accrued_interest", "accrued_dividends", "futures_pnl", "reported_nav",
]  # fmt: skip
_VALUE = ("nav", "cash", "accrued_interest", "accrued_dividends")
_MARGIN = (
    "initial_margin", "maintenance_margin", "excess_liquidity", "available_funds", "buying_power", "cushion",
)  # fmt: skip
_CASH_STATE = [*_CASH_AMOUNTS, "updated_at", "anchor_amount", "anchor_at"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a report stands among the account's others in time: the moments around it."""

    before: datetime | None
    after: datetime | None
    is_new: bool = True  # and not in place of one of this very moment

    @property
    def is_anchor(self) -> bool:
        return self.before is None

    @property
    def is_latest(self) -> bool:
        return self.after is None


class _Recording:
    """One batch on its way into the tables."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.at = batch.fetched_at
        self.accounts: dict[str, Account] = {}
        self.instruments: dict[str, Instrument] = {}
        self.pairs: set[int] = set()  # instruments that are one currency priced in another
        self.positions: dict[tuple[int, int], dict[str, Any]] = {}
        self.touched: set[tuple[int, int]] = set()
        self.changed: set[tuple[int, date]] = set()  # days of activities that came, changed or went
        self.is_news = False  # whether something is held, or counts, in another way than was known

    def run(self) -> Counts:
        self._record_accounts()
        self._record_instruments()
        self._load_positions()
        self._apply_positions()
        self._record_prices()
        self._record_cash()
        told = telling.record(self.batch, self.accounts, self.instruments)
        self.changed |= told.changed
        is_more_covered = self._record_account_series()
        if told.changed or is_more_covered or self.is_news or self.batch.coverage:
            activities = self._load_activities(told.whole)
            self._add_positions_of_activities(activities)
            self._record_coverage()
            self._save_positions()
            self._remake_derived(activities)
        packed.activities_changed(self.changed)
        self._tell_unsplit_sums()
        self._save_reports()
        return Counts(
            accounts=len(self.batch.accounts),
            positions=sum(1 for _, row in self._reported() if row.quantity),
            activities_new=told.new,
            activities_known=told.known,
            inbox=self._record_inbox(),
        )

    def retract(self, others: Sequence[Batch]) -> None:
        """Take back what the batch told and none of the others."""
        broker = self.batch.broker
        self.accounts = {row.account: row for row in Account.objects.filter(broker=broker)}
        self.instruments = {row.broker_ref: row for row in Instrument.objects.filter(broker=broker)}
        self._load_positions()
        self._forget_series(others)
        kept = {(a.account, a.source, a.key) for other in others for a in other.activities}
        gone: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for a in self.batch.activities:
            if (a.account, a.source, a.key) not in kept:
                gone[a.account].add((a.source, a.key))
        for name in {account.account for account in self.batch.accounts}:
            self.changed |= telling.retract(self.accounts[name], self.instruments, gone[name], self.at)
        self._remake_derived(self._load_activities({}))
        self._tell_unsplit_sums()
        packed.activities_changed(self.changed)

    def _forget_series(self, others: Sequence[Batch]) -> None:
        """Periods, figures and values by day that no other batch told."""
        periods = {(p.account, p.source, p.since, p.until) for o in others for p in o.periods}
        for p in self.batch.periods:
            if (p.account, p.source, p.since, p.until) not in periods:
                Period.objects.filter(
                    account=self.accounts[p.account], source=p.source, since=p.since, until=p.until
                ).delete()
        days = {(n.account, n.on) for o in others for n in o.navs}
        for n in self.batch.navs:
            if (n.account, n.on) not in days:
                NavPoint.objects.filter(account=self.accounts[n.account], on=n.on, nav=n.nav).delete()
        self._lots_told()
        figures = {figure for o in others for figure in o.figures}
        for f in self.batch.figures:
            if f not in figures:
                Figure.objects.filter(
                    account=self.accounts[f.account], section=f.section, name=f.name, since=f.since,
                    until=f.until, currency=f.currency, broker_ref=f.broker_ref or "", ref=f.ref,
                ).delete()  # fmt: skip
        self._statements_told()
        items = {item.key for o in others for item in o.inbox}
        InboxItem.objects.filter(
            broker=self.batch.broker, key__in=[i.key for i in self.batch.inbox if i.key not in items]
        ).delete()

    # Accounts and instruments

    def _record_accounts(self) -> None:
        """Of what is told of an account the latest word counts, each field for itself."""
        stored = {row.account: row for row in Account.objects.filter(broker=self.batch.broker)}
        at = (self.batch.told_at or self.at).isoformat()
        for account in self.batch.accounts:
            row = stored.get(account.account) or Account(
                broker=self.batch.broker, account=account.account, currency=types.UNKNOWN_CURRENCY
            )
            told = json.loads(row.told or "{}")
            before = row.currency, row.opened_on
            for name in ("currency", "alias", "kind", "opened_on"):
                value = getattr(account, name)
                word = [at, str(value)]
                if value not in (None, "", types.UNKNOWN_CURRENCY) and word > told.get(name, []):
                    told[name] = word
                    setattr(row, name, value)
            row.told = json.dumps(told)
            row.login = self.batch.login or row.login
            row.updated_at = max(self.at, row.updated_at or self.at)
            row.save()
            if (row.currency, row.opened_on) != before:
                packed.statements_changed(row.pk)
            stored[account.account] = row
        self.accounts = stored

    def _record_instruments(self) -> None:
        """A whole description replaces, a part fills gaps; the first to tell the class counts as whole.

        A statement's fills the gaps of an answer's, and replaces that of another statement of earlier days.
        """
        known_before = Instrument.objects.filter(broker=self.batch.broker)
        classes = dict(known_before.values_list("broker_ref", "asset_class"))
        named = {ref: tuple(row) for ref, *row in known_before.values_list("broker_ref", "isin", "symbol")}
        units = {ref: tuple(row) for ref, *row in known_before.values_list("broker_ref", *_UNITS)}
        whole: list[types.Instrument] = []
        parts: list[types.Instrument] = []
        for instrument in self.batch.instruments:
            known = classes.get(instrument.broker_ref)
            is_first = known is None or (
                known == AssetClass.OTHER and instrument.asset_class != AssetClass.OTHER
            )
            if instrument.is_whole or is_first:
                whole.append(instrument)
            if self.batch.told_at is not None or not (instrument.is_whole or is_first):
                parts.append(instrument)
        names = ["broker", "broker_ref", *_INSTRUMENT, "precedence"]
        precedence = self._precedence_of_descriptions()
        for instruments, fill in ((whole, False), (parts, True)):
            rows = (
                [
                    self.batch.broker,
                    i.broker_ref,
                    *(getattr(i, n) for n in _INSTRUMENT),
                    i.is_whole * precedence,
                ]
                for i in instruments
            )
            greatest = None if fill else "precedence"
            unique = ["broker", "broker_ref"]
            upsert(Instrument, names, rows, unique=unique, fill=fill, keep=not fill, greatest=greatest)
        self.instruments = {
            row.broker_ref: row for row in Instrument.objects.filter(broker=self.batch.broker)
        }
        self.pairs = {row.pk for row in self.instruments.values() if row.asset_class == AssetClass.CASH}
        revalued = [
            row.pk
            for ref, row in self.instruments.items()
            if ref in units and units[ref] != tuple(getattr(row, name) for name in _UNITS)
        ]
        if revalued:
            self.is_news = True
            packed.instruments_changed(self.batch.broker, revalued)
        if any(
            ref in named and named[ref] != (row.isin, row.symbol) for ref, row in self.instruments.items()
        ):
            packed.instruments_renamed(self.batch.broker)
        found = [
            row.pk
            for ref, row in self.instruments.items()
            if row.isin and (ref not in named or row.isin != named[ref][0])
        ]
        if found:
            share_prices(instruments=found)

    def _precedence_of_descriptions(self) -> int:
        """An answer's counts more than any statement's, and of two statements that of the later day."""
        if self.batch.told_at is None:
            return 1 << 40
        ends = [opening.end_of(period.until) for period in self.batch.periods]
        return int(max(ends, default=min(self.at, self.batch.told_at)).timestamp())

    # Positions

    def _reported(self) -> Iterator[tuple[tuple[int, int], types.Position]]:
        for row in (
            *self.batch.partial_positions,
            *(r for rows in self.batch.positions.values() for r in rows),
        ):
            yield (self.accounts[row.account].pk, self.instruments[row.broker_ref].pk), row

    def _load_positions(self) -> None:
        pks = [account.pk for account in self._accounts_touched()]
        for row in Position.objects.filter(account__in=pks).values(
            "account_id", "instrument_id", *_POSITION_STATE
        ):
            self.positions[row.pop("account_id"), row.pop("instrument_id")] = row

    def _accounts_touched(self) -> list[Account]:
        batch = self.batch
        names = {*batch.positions, *batch.cash}
        for rows in (batch.accounts, batch.partial_positions, batch.partial_cash, batch.values):
            names |= {row.account for row in rows}
        names |= {row.account for row in batch.activities} | {row.account for row in batch.coverage}
        return [self.accounts[name] for name in sorted(names)]

    def _apply_positions(self) -> None:
        for reported in self.batch.partial_positions:
            if self._is_latest(self.accounts[reported.account].positions_at):
                self.is_news = True
                self._apply_partial(reported)
        for name, rows in self.batch.positions.items():
            self._apply_list(self.accounts[name], rows)

    def _is_latest(self, latest: datetime | None) -> bool:
        return latest is None or self.at >= latest

    def _place(self, account: Account, topic: str, rows: Sequence[object]) -> _Place | None:
        """Note that an account told its state now; None where another report of this moment counts."""
        latest = account.positions_at if topic == "positions" else account.cash_at
        known = StateReport.objects.filter(account=account, topic=topic)
        # Only statements share a moment with others: that of the end of their last day.
        told_at = self.batch.told_at
        rank = "" if told_at is None else f"{told_at.isoformat()} {_digest(rows)}"
        if latest is None or latest < self.at:
            place = _Place(latest, None)
        else:
            same = known.filter(at=self.at).first()
            if same is not None and same.rank >= rank:
                return None
            place = _Place(
                known.filter(at__lt=self.at).aggregate(at=Max("at"))["at"],
                known.filter(at__gt=self.at).aggregate(at=Min("at"))["at"],
                is_new=same is None,
            )
        names = ["account", "topic", "at", "rank"]
        upsert(StateReport, names, [(account.pk, topic, self.at, rank)], unique=names[:3])
        self.is_news = True
        return place

    def _apply_list(self, account: Account, rows: Sequence[types.Position]) -> None:
        """A complete list: what it does not name was 0 then."""
        told = {self.instruments[row.broker_ref].pk: row for row in rows}
        if not (place := self._place(account, "positions", rows)):
            return
        if place.is_anchor:
            account.positions_since = self.at
        if place.is_latest:
            account.positions_at = self.at
        for pk in told:
            if (account.pk, pk) not in self.positions:
                self.positions[account.pk, pk] = self._new_position(account)
        held = {
            pk: row
            for (of, pk), row in self.positions.items()
            if of == account.pk and (pk in told or not self._is_left_out(pk))
        }
        self._note_quantities(
            account, place, held, {pk: told[pk].quantity if pk in told else ZERO for pk in held}
        )
        is_next = place.is_latest and place.is_new and not place.is_anchor
        for pk, row in held.items():
            if pk in told or row["is_open"] or not is_next:  # others stay closed
                self._take(row, told.get(pk), place)
                self.touched.add((account.pk, pk))

    def _is_left_out(self, instrument: int) -> bool:
        """Whether the list need not name it: statements list no pairs of currencies among the positions."""
        return self.batch.told_at is not None and instrument in self.pairs

    def _take(self, row: dict[str, Any], reported: types.Position | None, place: _Place) -> None:
        """What a complete list says of a position; None where it does not name it."""
        if place.is_latest and reported is not None:
            self._value(row, reported)
        elif place.is_latest and row["is_open"]:
            row |= {"quantity": ZERO, "is_open": False} | _CLOSED
        elif reported is not None and not row["is_open"] and _is_later_price(reported, row):
            row |= {"price": reported.price, "priced_at": reported.priced_at}
        if place.is_anchor:
            is_held = reported is not None and reported.quantity
            row |= {
                "anchor_quantity": reported.quantity if reported is not None else ZERO,
                "anchor_cost": reported.cost_basis if reported is not None and is_held else ZERO,
                "anchor_at": self.at,
            }
        row["closed_at"] = None if row["is_open"] else row["changed_at"]

    def _note_quantities(
        self,
        account: Account,
        place: _Place,
        held: Mapping[int, dict[str, Any]],
        quantities: Mapping[int, Decimal],
    ) -> None:
        """Keep when quantities changed from report to report, this one among them."""
        if place.is_latest and place.is_new:
            changed = {pk: q for pk, q in quantities.items() if q != held[pk]["quantity"]}
            for pk in changed:
                held[pk].update(changed_at=self.at, changed_after=place.before)
            self._save_changes(account, [(pk, self.at, q) for pk, q in changed.items()])
            return
        reports = StateReport.objects.filter(account=account, topic="positions").order_by("at")
        moments = list(reports.values_list("at", flat=True))
        changes: defaultdict[int, dict[datetime, Decimal]] = defaultdict(dict)
        stored = QuantityChange.objects.filter(account=account).order_by("at")
        for pk, at, quantity in stored.values_list("instrument_id", "at", "quantity"):
            changes[pk][at] = quantity
        gone, new = [], []
        for pk, quantity in quantities.items():
            known = changes[pk]
            wanted = _with_report(known, self.at, quantity, place.after)
            gone += [(pk, at) for at in known.keys() - wanted.keys()]
            new += [(pk, at, q) for at, q in wanted.items() if known.get(at) != q]
            changed_at = max(wanted, default=moments[0])
            earlier = bisect_left(moments, changed_at)
            held[pk].update(changed_at=changed_at, changed_after=moments[earlier - 1] if earlier else None)
        for pk, at in gone:
            QuantityChange.objects.filter(account=account, instrument=pk, at=at).delete()
        self._save_changes(account, new)

    def _save_changes(self, account: Account, rows: Sequence[tuple[int, datetime, Decimal]]) -> None:
        names = ["account", "instrument", "at", "quantity"]
        upsert(QuantityChange, names, ((account.pk, *row) for row in rows), unique=names[:3])

    def _value(self, row: dict[str, Any], reported: types.Position) -> None:
        """What the latest report says of a position."""
        row |= {"quantity": reported.quantity, "is_open": bool(reported.quantity)}
        row |= {"price": reported.price, "priced_at": reported.priced_at}
        if not reported.quantity:
            row |= _CLOSED
            return
        row |= {
            "market_value": reported.market_value,
            "exposure": reported.exposure,
            "average_cost": reported.average_cost,
            "cost_basis": reported.cost_basis,
            "unrealized_pnl": reported.unrealized_pnl,
        }

    def _apply_partial(self, reported: types.Position) -> None:
        """A row of a list that is not complete."""
        account = self.accounts[reported.account]
        key = account.pk, self.instruments[reported.broker_ref].pk
        row = self.positions.setdefault(key, self._new_position(account))
        if reported.quantity != row["quantity"]:
            row |= {"changed_at": self.at, "changed_after": account.positions_at}
        self._value(row, reported)
        row["closed_at"] = None if row["is_open"] else row["closed_at"] or self.at
        self.touched.add(key)

    def _new_position(self, account: Account) -> dict[str, Any]:
        """A position never heard of: no complete report named it, so it was 0 at each of them."""
        since = account.positions_since
        return (
            dict.fromkeys(_POSITION_STATE)
            | _CLOSED
            | {
                "quantity": ZERO,
                "is_open": False,
                "priced_at": since or self.at,
                "changed_at": since or self.at,
                "closed_at": since,
                "anchor_quantity": ZERO if since else None,
                "anchor_cost": ZERO if since else None,
                "anchor_at": since,
            }
        )

    def _add_positions_of_activities(self, activities: Mapping[int, Sequence[types.Activity]]) -> None:
        """What was bought and sold before the first report is a closed position, and so accounted for."""
        named = {
            (pk, self.instruments[activity.broker_ref].pk): None
            for pk, of_account in activities.items()
            for activity in of_account
            if activity.broker_ref is not None and moved(activity)
        }
        by_pk = {account.pk: account for account in self.accounts.values()}
        for key in named:
            account = by_pk[key[0]]
            if key not in self.positions and account.positions_since is not None:
                self.positions[key] = self._new_position(account)
                self.touched.add(key)

    def _save_positions(self) -> None:
        rows = (
            [*key, *(self.positions[key][name] for name in _POSITION_STATE)] for key in sorted(self.touched)
        )
        names = ["account", "instrument", *_POSITION_STATE]
        upsert(Position, names, rows, unique=["account", "instrument"])

    def _record_prices(self) -> None:
        told = [
            types.Price(row.broker_ref, row.priced_at.date(), row.price, types.precedence(row.priced_at))
            for _, row in self._reported()
            if row.price is not None
        ]
        told = sorted((*told, *self.batch.prices), key=lambda price: price.precedence)
        papers = [self.instruments[price.broker_ref] for price in told]
        upsert(
            Price,
            ["instrument", "on", "close", "currency", "source", "precedence", "is_imported"],
            (
                (of.pk, price.on, price.close, of.currency, self.batch.broker, price.precedence, False)
                for of, price in zip(papers, told, strict=True)
            ),
            unique=["instrument", "on", "is_imported"],
            greatest="precedence",
        )
        changed = zip(papers, told, strict=True)
        packed.prices_changed(_earliest((of.pk, price.on) for of, price in changed))

    def _record_coverage(self) -> None:
        """Ranges that meet become one; a position shows the one that its anchor lies in, else the latest."""
        ranges: defaultdict[tuple[int, int], list[tuple[date, date]]] = defaultdict(list)
        rows_of: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        stored = Coverage.objects.filter(account__in=self._accounts_touched())
        columns = ("pk", "account_id", "instrument_id", "since", "until")
        for pk, account_pk, instrument_pk, since, until in stored.values_list(*columns):
            ranges[account_pk, instrument_pk].append((since, until))
            rows_of[account_pk, instrument_pk].append(pk)
        told: defaultdict[tuple[int, int], list[tuple[date, date]]] = defaultdict(list)
        for row in self.batch.coverage:
            of = (self.accounts[row.account].pk, self.instruments[row.broker_ref].pk)
            told[of].append((row.since, row.until))
        gone: list[int] = []
        new = []
        for of, added in told.items():
            merged = _union(ranges[of] + added)
            if merged != sorted(ranges[of]):
                gone += rows_of[of]
                new += [(*of, since, until) for since, until in merged]
            ranges[of] = merged
        _delete(Coverage, gone)
        upsert(
            Coverage,
            ["account", "instrument", "since", "until"],
            new,
            unique=["account", "instrument", "since"],
        )
        for key in ranges.keys() & self.positions.keys() & (self.touched | told.keys()):
            position = self.positions[key]
            on = position["anchor_at"].date() if position["anchor_at"] else date.max
            around = next((r for r in ranges[key] if r[0] <= on <= r[1]), max(ranges[key]))
            position |= {"covered_since": around[0], "covered_until": around[1]}
            self.touched.add(key)

    # Cash and the account's own figures

    def _record_cash(self) -> None:
        stored = {
            (row.pop("account_id"), row.pop("currency")): row
            for row in CashBalance.objects.filter(
                account__in=[a.pk for a in self._accounts_touched()]
            ).values("account_id", "currency", *_CASH_STATE)
        }
        touched = set()
        for reported in self.batch.partial_cash:
            account = self.accounts[reported.account]
            if self._is_latest(account.cash_at):
                self.is_news = True
                row = stored.setdefault((account.pk, reported.currency), _new_balance(account))
                row |= _amounts(reported) | {"updated_at": self.at}
                touched.add((account.pk, reported.currency))
        for name, balances in self.batch.cash.items():
            account = self.accounts[name]
            if place := self._place(account, "cash", balances):
                self._apply_balances(account, place, balances, stored)
                touched |= {key for key in stored if key[0] == account.pk}
        rows = ([*key, *(stored[key][name] for name in _CASH_STATE)] for key in sorted(touched))
        upsert(CashBalance, ["account", "currency", *_CASH_STATE], rows, unique=["account", "currency"])

    def _apply_balances(
        self,
        account: Account,
        place: _Place,
        balances: Sequence[types.CashBalance],
        stored: dict[tuple[int, str], dict[str, Any]],
    ) -> None:
        """A complete list: a currency that it does not name was 0 then."""
        if place.is_latest:
            account.cash_at = self.at
        if place.is_anchor:
            account.cash_since = self.at
        told = {balance.currency: balance for balance in balances}
        for currency in {*told, *(code for of, code in stored if of == account.pk)}:
            row = stored.setdefault((account.pk, currency), _new_balance(account))
            amounts = _amounts(told[currency]) if currency in told else dict.fromkeys(_CASH_AMOUNTS, ZERO)
            if place.is_latest:
                row |= amounts | {"updated_at": self.at}
            if place.is_anchor:
                row |= {"anchor_amount": amounts["amount"], "anchor_at": self.at}

    def _record_account_series(self) -> bool:
        """Rates, values and figures. Returns: whether statements tell of days that none told of before."""
        batch = self.batch
        upsert(
            FxRate,
            ["base", "quote", "on", "rate", "source", "precedence", "is_imported"],
            ((r.base, r.quote, r.on, r.rate, batch.broker, r.precedence, False) for r in batch.rates),
            unique=["base", "quote", "on", "is_imported"],
            same="source",
            greatest="precedence",
        )
        packed.rates_changed(_earliest(((r.base, r.quote), r.on) for r in batch.rates))
        upsert(
            NavPoint,
            ["account", "on", "nav", "currency", "precedence"],
            ((self.accounts[p.account].pk, p.on, p.nav, p.currency, p.precedence) for p in batch.navs),
            unique=["account", "on"],
            greatest="precedence",
        )
        period = ["account", "source", "topic", "since", "until"]
        more = upsert(
            Period,
            period,
            (
                (self.accounts[p.account].pk, p.source, topic, p.since, p.until)
                for p in batch.periods
                for topic in p.topics
            ),
            unique=period,
        )
        figure = ["account", "section", "name", "since", "until", "currency", "broker_ref", "ref"]
        upsert(
            Figure,
            [*figure, "amount", "precedence"],
            (
                (
                    self.accounts[f.account].pk, f.section, f.name, f.since, f.until, f.currency,
                    f.broker_ref or "", f.ref, f.amount, f.precedence,
                )
                for f in batch.figures
            ),
            unique=figure,
            greatest="precedence",
        )  # fmt: skip
        self._lots_told()
        self._statements_told()
        return more > 0

    def _statements_told(self) -> None:
        """What is compared with the broker's statements is other than before."""
        told = {period.account for period in self.batch.periods}
        told |= {f.account for f in self.batch.figures if f.section in packed.COMPARED}
        for name in sorted(told):
            packed.statements_changed(self.accounts[name].pk)

    def _lots_told(self) -> None:
        """What the broker matched counts in accounts that follow it."""
        keys = (
            (self.accounts[f.account].pk, self.instruments[f.broker_ref].pk)
            for f in self.batch.figures
            if f.section == "ClosedLots" and f.broker_ref in self.instruments
        )
        packed.lots_changed(dict.fromkeys(keys, date.min), Method.BROKER)

    def _save_reports(self) -> None:
        for value in self.batch.values:
            account = self.accounts[value.account]
            if not _is_later_value(value, account):
                continue
            for name in _VALUE:
                setattr(account, f"reported_{name}", getattr(value, name))
            account.reported_as_of = value.as_of
            margin = {name: getattr(value, name) for name in _MARGIN}
            if any(figure is not None for figure in margin.values()):
                for name, figure in margin.items():
                    setattr(account, f"reported_{name}", figure)
                account.reported_margin_at = value.as_of
        for account in self._accounts_touched():
            account.save()

    def _tell_unsplit_sums(self) -> None:
        """Tell of settlement that does not count, though no other sum holds all of its days."""
        if not any(activity.subtype == types.SETTLEMENT for activity in self.batch.activities):
            return
        for account in self._accounts_touched():
            wanted = {item.key: item for item in _unsplit(account)}
            known = InboxItem.objects.filter(
                broker=self.batch.broker, key__startswith=f"settlement:{account.account}:"
            )
            known.exclude(key__in=wanted).delete()
            self._add_to_inbox(
                wanted[key] for key in wanted.keys() - set(known.values_list("key", flat=True))
            )

    def _record_inbox(self) -> int:
        items = self.batch.inbox
        keys = InboxItem.objects.filter(broker=self.batch.broker).values_list("key", flat=True)
        known = set(keys) if items else set()
        new = {item.key: item for item in items if item.key not in known}
        self._add_to_inbox(new.values())
        return len(new)

    def _add_to_inbox(self, items: Iterable[types.InboxItem]) -> None:
        InboxItem.objects.bulk_create(
            InboxItem(
                broker=self.batch.broker,
                key=item.key,
                account=item.account,
                section=item.section,
                reason=item.reason,
                text=item.text,
                seen_at=self.at,
            )
            for item in items
        )

    # Activities

    def _load_activities(self, known: Mapping[int, list[types.Activity]]) -> dict[int, list[types.Activity]]:
        """What counts of the accounts at hand, without what the ledger derived; `known` need not be read."""
        refs = self._refs()
        found = {}
        for account in self._accounts_touched():
            rows = Activity.objects.reported().filter(account=account).order_by("pk")
            found[account.pk] = known.get(account.pk) or [
                activity for activity, _ in read_activities(rows, refs, account=account.account)
            ]
        return found

    def _refs(self) -> dict[int, str]:
        return {instrument.pk: ref for ref, instrument in self.instruments.items()}

    def _upsert_activities(self, rows: Iterable[tuple[int, types.Activity]], *, is_derived: bool) -> None:
        names = ["account", "key", "instrument", "refs", *telling.CONTENT, "is_derived", "recorded_at"]
        upsert(
            Activity,
            names,
            (
                (
                    account_pk, a.key, None if a.broker_ref is None else self.instruments[a.broker_ref].pk,
                    " ".join(a.refs), *(getattr(a, name) for name in telling.CONTENT), is_derived, self.at,
                )
                for account_pk, a in rows
            ),
            unique=["account", "key"],
        )  # fmt: skip

    # What is worked out

    def _remake_derived(self, reported: Mapping[int, Sequence[types.Activity]]) -> None:
        wanted: dict[tuple[int, str], types.Activity] = {}
        for account in self._accounts_touched():
            for activity in self._derived(account, reported[account.pk]):
                wanted[account.pk, activity.key] = activity
        refs = self._refs()
        gone = []
        for account in self._accounts_touched():
            stored = Activity.objects.filter(account=account, is_derived=True)
            for activity, (pk,) in read_activities(stored, refs, ("pk",), account.account):
                want = wanted.get((account.pk, activity.key))
                if want is not None and replace(want, source="") == activity:
                    del wanted[account.pk, activity.key]
                    continue
                self.changed.add((account.pk, telling.counts_on(activity)))
                if want is None:
                    gone.append(pk)
        self.changed |= {(pk, telling.counts_on(activity)) for (pk, _), activity in wanted.items()}
        _delete(Activity, gone)
        self._upsert_activities(((pk, activity) for (pk, _), activity in wanted.items()), is_derived=True)

    def _derived(self, account: Account, activities: Sequence[types.Activity]) -> Iterator[types.Activity]:
        """Openings and changes of one account, from its positions and cash as they are stored now."""
        by_ref: defaultdict[str, list[types.Activity]] = defaultdict(list)
        for activity in activities:
            if activity.broker_ref is not None and activity.kind is not ActivityKind.FX:
                by_ref[activity.broker_ref].append(activity)
        by_pk = {instrument.pk: instrument for instrument in self.instruments.values()}
        held_at_anchor: dict[str, bool] = {}
        told = self._told_since(account)
        starts = [] if told is None else [told]
        for (account_pk, instrument_pk), row in sorted(self.positions.items()):
            if account_pk != account.pk:
                continue
            holding = _holding(account, by_pk[instrument_pk], row, told)
            known = by_ref[holding.broker_ref]
            # A pair moves with every exchange of its currencies; what that moved is told as cash.
            is_pair = by_pk[instrument_pk].asset_class == AssetClass.CASH
            held = known if is_pair else opening.before(holding, known)
            if row["anchor_at"] == account.cash_since:
                held_keys = {activity.key for activity in held}
                held_at_anchor |= {activity.key: activity.key in held_keys for activity in known}
            yield from (
                a for a in (opening.opening(holding, held), opening.change(holding, known, held)) if a
            )
            if row["covered_since"] is not None and row["covered_since"] <= holding.anchor_at.date():
                starts.append(row["covered_since"])
        yield from self._cash_openings(account, activities, held_at_anchor, starts)

    def _told_since(self, account: Account) -> date | None:
        """The first of the days from which statements tell all that happened, up to the first report.

        The report's own day may be the one after the last statement's.
        """
        if account.positions_since is None:
            return None
        on = account.positions_since.date()
        ranges: defaultdict[str, list[tuple[date, date]]] = defaultdict(list)
        for topic, since, until in Period.objects.filter(account=account).values_list(
            "topic", "since", "until"
        ):
            ranges[topic].append((since, until))
        reaching = [
            next((since for since, until in _union(ranges[topic]) if since <= on <= until + _DAY), None)
            for topic in TOPICS
        ]
        known = [since for since in reaching if since is not None]
        return max(known) if len(known) == len(TOPICS) else None

    def _cash_openings(
        self,
        account: Account,
        activities: Sequence[types.Activity],
        held_at_anchor: Mapping[str, bool],
        starts: Iterable[date],
    ) -> Iterator[types.Activity]:
        """`held_at_anchor` are the decisions made for positions that have the anchor of the cash."""
        since = min(starts, default=None)
        for balance in CashBalance.objects.filter(account=account):
            amount, at = balance.anchor_amount, balance.anchor_at
            if amount is None or at is None:
                amount, at = balance.amount, balance.updated_at
            held = [a for a in activities if held_at_anchor.get(a.key, opening.is_booked(a, at))]
            on = opening.opened_on(at, since, held)
            if opened := opening.cash_opening(account.account, balance.currency, amount, on, held):
                yield opened


_CLOSED = {
    "market_value": ZERO, "exposure": ZERO, "average_cost": None, "cost_basis": ZERO, "unrealized_pnl": ZERO,
}  # fmt: skip


def _digest(rows: Sequence[object]) -> str:
    """The same for the same rows in any order."""
    return hashlib.blake2b(repr(sorted(map(repr, rows))).encode(), digest_size=12).hexdigest()


def _with_report(
    changes: Mapping[datetime, Decimal], at: datetime, quantity: Decimal, after: datetime | None
) -> dict[datetime, Decimal]:
    """The changes of one instrument, with what a report of `at` told; `after` is the next report."""
    moments = sorted(changes)

    def told(moment: datetime) -> Decimal:
        number = bisect_right(moments, moment)
        return changes[moments[number - 1]] if number else ZERO

    number = bisect_left(moments, at)
    before = changes[moments[number - 1]] if number else ZERO
    found = {moment: q for moment, q in changes.items() if moment not in (at, after)}
    if quantity != before:
        found[at] = quantity
    if after is not None and told(after) != quantity:
        found[after] = told(after)
    return found


def _unsplit(account: Account) -> Iterator[types.InboxItem]:
    """Sums over days that overlap those that count in part only: what they hold beside them is not known."""
    sums = Activity.objects.filter(account=account, subtype=types.SETTLEMENT, is_derived=False)
    counted: defaultdict[str, list[tuple[date, date]]] = defaultdict(list)
    columns = ("currency", "trade_date", "booked_on")
    for currency, since, until in sums.filter(superseded_by=None).values_list(*columns):
        counted[currency].append((since, until or since))
    held = {currency: _union(spans) for currency, spans in counted.items()}
    for currency, since, until, gross in sums.filter(superseded_by=F("pk")).values_list(*columns, "gross"):
        last = until or since
        if any(first <= since and last <= end for first, end in held.get(currency, ())):
            continue
        yield types.InboxItem(
            key=f"settlement:{account.account}:{currency}:{since}:{last}",
            account=account.account,
            section="CashReport",
            reason=f"The {gross:f} {currency} that futures and CFDs settled from {since} to {last} do not "
            "count, because only their sum is told, and its days overlap those of other sums in part. Import "
            "a statement of these days that has the section Statement of Funds, which tells it day by day.",
            text=f"{since} to {last}: {gross:f} {currency}",
        )


def _is_later_price(reported: types.Position, row: Mapping[str, Any]) -> bool:
    return row["price"] is None or reported.priced_at > row["priced_at"]


def _is_later_value(value: types.AccountValue, account: Account) -> bool:
    """Of two of one moment the one that knows more counts, then one of them, whichever came first."""
    if account.reported_as_of is None or value.as_of != account.reported_as_of:
        return account.reported_as_of is None or value.as_of > account.reported_as_of
    new = [getattr(value, name) for name in _VALUE]
    old = [getattr(account, f"reported_{name}") for name in _VALUE]
    return (len(new) - new.count(None), repr(new)) >= (len(old) - old.count(None), repr(old))


def _new_balance(account: Account) -> dict[str, Any]:
    """A currency never heard of: it was 0 in each complete list."""
    since = account.cash_since
    return dict.fromkeys(_CASH_AMOUNTS, ZERO) | {
        "updated_at": account.cash_at,
        "anchor_amount": ZERO if since else None,
        "anchor_at": since,
    }


def _amounts(balance: types.CashBalance) -> dict[str, Decimal | None]:
    return {name: getattr(balance, name) for name in _CASH_AMOUNTS}


def _earliest(days: Iterable[tuple[_Key, date]]) -> dict[_Key, date]:
    """The first of the days of each key."""
    first: dict[_Key, date] = {}
    for key, day in days:
        first[key] = min(day, first.get(key, day))
    return first


def _delete(table: type[Activity] | type[Coverage], pks: Sequence[int]) -> None:
    for start in range(0, len(pks), 500):
        table.objects.filter(pk__in=pks[start : start + 500]).delete()


def _holding(
    account: Account, instrument: Instrument, row: Mapping[str, Any], told_since: date | None
) -> opening.Holding:
    """Without a complete report yet, the latest one stands in for the anchor.

    `told_since` is the first day from which statements tell everything of the account.
    """
    is_anchored = row["anchor_at"] is not None
    is_pair = instrument.asset_class == AssetClass.CASH
    starts = [day for day in (row["covered_since"], told_since) if day is not None]
    return opening.Holding(
        account=account.account,
        broker_ref=instrument.broker_ref,
        currency=instrument.currency,
        multiplier=instrument.multiplier,
        quote_factor=instrument.quote_factor,
        anchor_quantity=row["anchor_quantity"] if is_anchored and not is_pair else row["quantity"],
        anchor_cost=row["anchor_cost"] if is_anchored and not is_pair else row["cost_basis"],
        anchor_at=row["anchor_at"] if is_anchored else row["priced_at"],
        quantity=row["quantity"],
        changed_at=row["changed_at"],
        changed_after=row["changed_after"],
        covered_since=min(starts, default=None),
        is_margined=instrument.asset_class in MARGINED,
    )


def _union(ranges: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Ranges that overlap or touch, as one; in order."""
    merged: list[tuple[date, date]] = []
    for since, until in sorted(ranges):
        if merged and since <= merged[-1][1] + _DAY:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((since, until))
    return merged
