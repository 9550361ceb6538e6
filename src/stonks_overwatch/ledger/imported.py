"""What files brought, into the ledger: accounts that no broker reports, and prices and rates for all.

Nobody reports positions and cash of these accounts: they follow from the activities, and are worked out
again (`close_books`) whenever those change. All of it runs inside the transaction of one import.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min

from stonks_overwatch.ledger import packed, types
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.lots import EXACT
from stonks_overwatch.ledger.matching import fifo
from stonks_overwatch.ledger.models import (
    Account,
    Activity,
    ActivitySource,
    CashBalance,
    FxRate,
    Import,
    ImportedName,
    Instrument,
    Period,
    Position,
    Price,
)
from stonks_overwatch.ledger.sql import update, upsert
from stonks_overwatch.ledger.types import ActivityKind, AssetClass, ImportedActivity, Named

# The broker, the login and the source of what files brought.
BROKER = "csv"
# The source of a rate that is the inverse of an imported one.
INVERSE = "csv, inverse"
# How keys begin that are made of the content of a row.
_BY_CONTENT = "row:"
# A price counts for so long, as in reports.
MAX_AGE = timedelta(days=7)
_TOPICS = ("trades", "cash", "corporate_actions", "transfers")
_ZERO = Decimal(0)
_PER_CENT = Decimal("0.01")
_AT_ONCE = 20_000
_FEW = 500
# Split shares have so many decimals at most: 3 shares 1:3 are 1, however 1/3 was written.
_SHARE = Decimal("0.000000000001")
_CONTRACTS = {AssetClass.OPTION, AssetClass.FUTURE, AssetClass.FUTURE_OPTION, AssetClass.WARRANT}
_SETTLED_DAILY = {AssetClass.FUTURE, AssetClass.CFD}

Key = tuple[int, int]
"""The rows of an account and an instrument."""

Refuse = Callable[[int, str], None]
"""Called with the line and the reason of a row that cannot be stored."""


@dataclass(frozen=True, slots=True)
class Counts:
    new: int
    known: int


@dataclass(slots=True)
class _Unit:
    """An instrument that files named. `multiplier` is None where it is not known."""

    pk: int
    asset_class: AssetClass
    multiplier: Decimal | None
    quote_factor: Decimal


class _Names:
    """Finds and makes the instruments that files name; one file's names are kept by `save`.

    An ISIN with a currency is one instrument. A symbol with a currency is the one that was ever called
    so in a file, and must not be two.
    """

    def __init__(self, imported: Import) -> None:
        self.imported = imported
        self.by_isin: dict[tuple[str, str], int] = {}
        self.by_symbol: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self.with_isin: set[int] = set()
        self.units = {
            row[0]: _Unit(row[0], AssetClass(row[1]), None if row[1] in _CONTRACTS else row[2], row[3])
            for row in Instrument.objects.filter(broker=BROKER).values_list(
                "pk", "asset_class", "multiplier", "quote_factor"
            )
        }
        for pk, isin, symbol, currency, multiplier in ImportedName.objects.values_list(
            "instrument_id", "isin", "symbol", "currency", "multiplier"
        ):
            self._know(pk, isin, symbol, currency)
            if multiplier is not None:
                self.units[pk].multiplier = multiplier
        self.found: dict[tuple[str, str, str], int] = {}
        self.called: dict[tuple[str, str, str], tuple[int, Named, str]] = {}

    def _know(self, pk: int, isin: str, symbol: str, currency: str) -> None:
        if isin:
            self.by_isin[isin, currency] = pk
            self.with_isin.add(pk)
        if symbol:
            self.by_symbol[symbol, currency].add(pk)

    def find(self, named: Named, on: str) -> _Unit | str:
        """The instrument, or why it cannot be told which."""
        key = (named.isin, named.symbol, named.currency)
        pk = self.found.get(key)
        if pk is None:
            alike = self.by_symbol.get((named.symbol, named.currency), set()) if named.symbol else set()
            if named.isin:
                pk = self.by_isin.get((named.isin, named.currency))
                alike = alike - self.with_isin
            if pk is None and len(alike) > 1:
                return (
                    f"{named.symbol} in {named.currency} has been the symbol of several instruments: "
                    "give the ISIN."
                )
            if pk is None:
                pk = next(iter(alike), None) or self._make(named)
            self.found[key] = pk
            self._know(pk, *key)
        self._call(key, pk, named, on)
        return self.units[pk]

    def _make(self, named: Named) -> int:
        made = Instrument.objects.create(
            broker=BROKER,
            broker_ref=named.ref,
            symbol=named.symbol,
            name=named.name,
            asset_class=AssetClass.OTHER,
            currency=named.currency,
            multiplier=Decimal(1),
            quote_factor=Decimal(1),
            isin=named.isin or None,
        )
        self.units[made.pk] = _Unit(made.pk, AssetClass.OTHER, Decimal(1), Decimal(1))
        return made.pk

    def _call(self, key: tuple[str, str, str], pk: int, named: Named, on: str) -> None:
        """Keep what the latest row that says anything calls it."""
        before = self.called.get(key)
        if before is not None and before[1] is named and on <= before[2]:
            return
        told = named
        if before is not None:
            newer, older = (named, before[1]) if on >= before[2] else (before[1], named)
            told = Named(
                isin=named.isin,
                symbol=named.symbol,
                currency=named.currency,
                name=newer.name or older.name,
                asset_class=newer.asset_class or older.asset_class,
                multiplier=newer.multiplier or older.multiplier,
                quote_factor=newer.quote_factor or older.quote_factor,
            )
            on = max(on, before[2])
        self.called[key] = (pk, told, on)
        unit = self.units[pk]
        if told.asset_class is not None and told.asset_class is not unit.asset_class:
            unit.asset_class = told.asset_class
            unit.multiplier = None if told.asset_class in _CONTRACTS else Decimal(1)
            unit.quote_factor = _PER_CENT if told.asset_class is AssetClass.BOND else Decimal(1)
        unit.multiplier = told.multiplier or unit.multiplier
        unit.quote_factor = told.quote_factor or unit.quote_factor

    def save(self) -> None:
        upsert(
            ImportedName,
            [
                "imported", "isin", "symbol", "currency", "instrument", "name", "asset_class", "multiplier",
                "quote_factor", "on",
            ],
            (
                (
                    self.imported.pk, *key, pk, told.name, told.asset_class or "", told.multiplier,
                    told.quote_factor, on,
                )
                for key, (pk, told, on) in self.called.items()
            ),
            unique=["imported", "isin", "symbol", "currency"],
        )  # fmt: skip
        describe({pk for pk, _, _ in self.called.values()})


def describe(pks: set[int]) -> None:
    """Write into the instruments what files call them; one that no file names stays as it is."""
    told: defaultdict[int, list[ImportedName]] = defaultdict(list)
    for name in ImportedName.objects.order_by("on", "symbol", "pk"):
        if name.instrument_id in pks:
            told[name.instrument_id].append(name)
    update(
        Instrument,
        _DESCRIBED,
        (
            (*_description(instrument, told[instrument.pk]), instrument.pk)
            for instrument in Instrument.objects.filter(broker=BROKER)
            if instrument.pk in told
        ),
    )


_DESCRIBED = ["broker_ref", "isin", "symbol", "name", "asset_class", "multiplier", "quote_factor"]


def _description(instrument: Instrument, names: Sequence[ImportedName]) -> tuple[Any, ...]:
    """Values of `_DESCRIBED`. `names`: the latest last; what it leaves out the one before it tells."""

    def last(column: str) -> Any:
        return next((value for name in reversed(names) if (value := getattr(name, column))), None)

    isin, asset_class = last("isin"), last("asset_class") or AssetClass.OTHER
    symbol = last("symbol") or isin
    return (
        f"{isin or symbol}:{instrument.currency}",
        isin,
        symbol,
        last("name") or symbol,
        asset_class,
        last("multiplier") or Decimal(1),
        last("quote_factor") or (_PER_CENT if asset_class == AssetClass.BOND else Decimal(1)),
    )


# Activities


def record_activities(
    imported: Import, rows: Iterable[ImportedActivity], refuse: Refuse, now: datetime
) -> Counts:
    """Store the activities of one file that are not known yet, and note of all which file told them."""
    return _Activities(imported, refuse, now).run(rows)


class _Activities:
    def __init__(self, imported: Import, refuse: Refuse, now: datetime) -> None:
        self.imported = imported
        self.refuse = refuse
        self.now = now
        self.names = _Names(imported)
        self.monies = dict(
            Instrument.objects.filter(broker=BROKER, asset_class=AssetClass.CASH).values_list(
                "broker_ref", "pk"
            )
        )
        self.accounts: dict[str, Account | str] = {}
        self.known: dict[int, dict[str, str]] = {}
        self.equal: Counter[tuple[int, str]] = Counter()
        self.new: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.told: list[tuple[int, str, str]] = []
        self.moved: set[Key] = set()
        self.days: set[tuple[int, date]] = set()

    def run(self, rows: Iterable[ImportedActivity]) -> Counts:
        for row in rows:
            reason = self._take(row)
            if reason:
                self.refuse(row.line, reason)
        self.names.save()
        upsert(Activity, _COLUMNS, self.new.values(), unique=["account", "key"], is_prepared=True)
        self._note_sources()
        close_books({pk for pk, _ in self.new}, self.moved, self.days, self.now)
        return Counts(len(self.new), len(self.told) - len(self.new))

    def _take(self, row: ImportedActivity) -> str | None:
        """Take one row in, or tell why not."""
        activity = row.activity
        account = self.accounts.get(activity.account)
        if account is None:
            self.accounts[activity.account] = account = self._account(activity)
        if isinstance(account, str):
            return account
        placed = self._instrument(row)
        if isinstance(placed, str):
            return placed
        instrument_pk, gross = placed
        key, digest = self._identity(account.pk, activity, gross)
        known = self.known[account.pk].get(key)
        if known is not None and known != digest:
            return f"Its external_id {activity.key} is known with another content; undo that import first."
        if known is None:
            self.known[account.pk][key] = digest
            self.new[account.pk, key] = _values(activity, key, account.pk, instrument_pk, gross, self.now)
            self.days.add((account.pk, activity.trade_date))
            if row.named is not None and instrument_pk is not None:
                self.moved.add((account.pk, instrument_pk))
        self.told.append((account.pk, key, f"{self.imported.pk}:{row.line}:{digest}"))
        return None

    def _instrument(self, row: ImportedActivity) -> tuple[int | None, Decimal | None] | str:
        """The instrument and the money of a row, or why one of them is not known."""
        activity = row.activity
        if row.named is None:
            ref = activity.broker_ref
            return None if ref is None else self._money(ref), activity.gross
        unit = self.names.find(row.named, activity.trade_date.isoformat())
        if isinstance(unit, str):
            return unit
        gross = _money(activity, unit) if activity.gross is None else activity.gross
        if gross is None:
            return f"What a contract of class {unit.asset_class} stands for is not known: give the amount."
        return unit.pk, gross

    def _identity(self, account_pk: int, activity: types.Activity, gross: Decimal | None) -> tuple[str, str]:
        """The key, and what is equal for rows that say the same, however their numbers are written."""
        content = (
            activity.trade_date, activity.kind, activity.broker_ref, activity.quantity, activity.price,
            activity.currency, gross, activity.fee, activity.tax, activity.fx_rate, activity.ratio,
            activity.description,
        )  # fmt: skip
        parts = (
            "" if p is None else text(EXACT.normalize(p)) if isinstance(p, Decimal) else str(p)
            for p in content
        )
        digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
        if activity.key:
            # What we exported ourselves has the key that it was given for want of a number.
            return activity.key if activity.key.startswith(_BY_CONTENT) else f"id:{activity.key}", digest
        self.equal[account_pk, digest] += 1
        return f"{_BY_CONTENT}{digest}:{self.equal[account_pk, digest]}", digest

    def _account(self, activity: types.Activity) -> Account | str:
        name = activity.account
        others = Account.objects.filter(account=name).exclude(broker=BROKER).values_list("broker", flat=True)
        if others:
            return (
                f"The account {name} is read from {others[0]}; import under another name (--account), "
                "or its activities would count twice."
            )
        account, _ = Account.objects.get_or_create(
            broker=BROKER,
            account=name,
            defaults={"login": "", "currency": activity.currency, "updated_at": self.now},
        )
        told = ActivitySource.objects.filter(source=BROKER, activity__account=account)
        self.known[account.pk] = {
            key: told_by.rpartition(":")[2] for key, told_by in told.values_list("activity__key", "key")
        }
        return account

    def _money(self, code: str) -> int:
        """The instrument that stands for a currency in exchanges."""
        if code not in self.monies:
            self.monies[code] = Instrument.objects.create(
                broker=BROKER,
                broker_ref=code,
                symbol=code,
                name=code,
                asset_class=AssetClass.CASH,
                currency=code,
                multiplier=Decimal(1),
                quote_factor=Decimal(1),
            ).pk
        return self.monies[code]

    def _note_sources(self) -> None:
        pks: dict[tuple[int, str], int] = {}
        for account_pk in {account_pk for account_pk, _, _ in self.told}:
            rows = Activity.objects.filter(account=account_pk).values_list("key", "pk")
            pks |= {(account_pk, key): pk for key, pk in rows}
        upsert(
            ActivitySource,
            ["activity", "source", "key"],
            [(pks[account_pk, key], BROKER, told_by) for account_pk, key, told_by in self.told],
            unique=["activity", "source", "key"],
            is_prepared=True,
        )


def _money(activity: types.Activity, unit: _Unit) -> Decimal | None:
    """The cash of a trade that names none: quantity × price × multiplier; what is margined moves none."""
    if unit.asset_class in _SETTLED_DAILY:
        return _ZERO if unit.multiplier is not None else None
    if unit.multiplier is None or activity.quantity is None or activity.price is None:
        return None
    per_unit = EXACT.multiply(unit.multiplier, unit.quote_factor)
    return -EXACT.multiply(EXACT.multiply(activity.quantity, activity.price), per_unit)


_COLUMNS = [
    "account", "key", "instrument", "kind", "trade_date", "quantity", "price", "currency", "gross", "fee",
    "tax", "fx_rate", "ratio", "description", "subtype", "refs", "is_derived", "recorded_at",
]  # fmt: skip


def _values(
    activity: types.Activity,
    key: str,
    account_pk: int,
    instrument_pk: int | None,
    gross: Decimal | None,
    at: datetime,
) -> tuple[Any, ...]:
    """A row of `_COLUMNS` in the form in which the database keeps it."""
    numbers = (activity.quantity, activity.price), (gross, activity.fee, activity.tax, activity.fx_rate)
    return (
        account_pk,
        key,
        instrument_pk,
        activity.kind.value,
        activity.trade_date.isoformat(),
        *(None if number is None else text(number) for number in numbers[0]),
        activity.currency,
        *(None if number is None else text(number) for number in numbers[1]),
        None if activity.ratio is None else text(activity.ratio),
        activity.description,
        "",
        "",
        False,
        connection.ops.adapt_datetimefield_value(at),
    )


# What follows from the activities


def close_books(accounts: set[int], moved: set[Key], days: set[tuple[int, date]], now: datetime) -> None:
    """Work out positions and cash anew.

    Args:
        accounts: rows of the accounts in which any activity came or went.
        moved: those of their instruments whose quantity may have changed.
        days: on which activities came or went, by account.
    """
    for pk in sorted(accounts):
        _close_positions(pk, {instrument for account, instrument in moved if account == pk}, days)
        _close_cash(pk, now)
    packed.activities_changed(days)
    value_accounts(Account.objects.filter(pk__in=accounts), now)


def _close_positions(account_pk: int, instruments: set[int], days: set[tuple[int, date]]) -> None:
    """Quantities, first-in first-out costs, and what each split added."""
    rows = []
    gone = set(instruments)
    terms = Instrument.objects.filter(broker=BROKER).in_bulk()
    for instrument_pk, activities in _moving(account_pk, instruments):
        gone.discard(instrument_pk)
        instrument = terms[instrument_pk]
        settled, splits = _with_splits(activities)
        for pk, activity in splits:
            Activity.objects.filter(pk=pk).update(quantity=activity.quantity)
            days.add((account_pk, activity.trade_date))
        found = fifo(settled, instrument.multiplier, instrument.quote_factor)
        quantity, cost = found.quantity, found.cost
        per_unit = EXACT.multiply(instrument.multiplier, instrument.quote_factor)
        first, last = min(a.trade_date for a in settled), max(a.trade_date for a in settled)
        rows.append(
            (
                account_pk,
                instrument_pk,
                quantity,
                bool(quantity),
                cost,
                EXACT.divide(cost, EXACT.multiply(quantity, per_unit))
                if quantity and cost is not None
                else None,
                _moment(last),
                _moment(last),
                None if quantity else _moment(last),
                first,
                last,
            )
        )
    upsert(
        Position,
        [
            "account", "instrument", "quantity", "is_open", "cost_basis", "average_cost", "priced_at",
            "changed_at", "closed_at", "covered_since", "covered_until",
        ],
        rows,
        unique=["account", "instrument"],
    )  # fmt: skip
    if gone:
        Position.objects.filter(account=account_pk, instrument__in=gone).delete()


def _moving(account_pk: int, instruments: set[int]) -> Iterator[tuple[int, list[tuple[int, types.Activity]]]]:
    """What moves these instruments, by instrument: row number and activity."""
    rows = Activity.objects.current().filter(account=account_pk, instrument__isnull=False)
    if len(instruments) <= _FEW:
        rows = rows.filter(instrument__in=instruments)
    columns = (
        "instrument_id", "pk", "key", "kind", "trade_date", "quantity", "price", "currency", "gross", "fee",
        "tax", "ratio",
    )  # fmt: skip
    ordered = rows.order_by("instrument_id").values_list(*columns).iterator(chunk_size=_AT_ONCE)
    for instrument_pk, group in groupby(ordered, key=lambda row: row[0]):
        if instrument_pk not in instruments:
            continue
        activities = [
            (
                pk,
                types.Activity(
                    account="",
                    source=BROKER,
                    key=key,
                    kind=ActivityKind(kind),
                    trade_date=trade_date,
                    quantity=quantity,
                    price=price,
                    currency=currency,
                    gross=gross,
                    fee=fee,
                    tax=tax,
                    ratio=ratio,
                ),
            )
            for _, pk, key, kind, trade_date, quantity, price, currency, gross, fee, tax, ratio in group
            if kind != ActivityKind.FX and (quantity is not None or ratio is not None)
        ]
        if activities:
            yield instrument_pk, activities


def _with_splits(
    activities: list[tuple[int, types.Activity]],
) -> tuple[list[types.Activity], list[tuple[int, types.Activity]]]:
    """The activities with what each split added to the quantity; and those splits for which that is new.

    A split comes before the trades of its day and after an opening balance of that day.
    """
    if all(activity.ratio is None for _, activity in activities):
        return [activity for _, activity in activities], []
    held, settled, changed = _ZERO, [], []
    for pk, activity in sorted(activities, key=_order):
        if activity.ratio is not None:
            after = EXACT.multiply(held, activity.ratio)
            added = EXACT.subtract(after.quantize(_SHARE, context=EXACT), held)
            if added != activity.quantity:
                activity = replace(activity, quantity=added)  # noqa: PLW2901
                changed.append((pk, activity))
        held = EXACT.add(held, activity.quantity or _ZERO)
        settled.append(activity)
    return settled, changed


def _order(row: tuple[int, types.Activity]) -> tuple[date, int, str]:
    ranks = {ActivityKind.OPENING: 0, ActivityKind.SPLIT: 1}
    return row[1].trade_date, ranks.get(row[1].kind, 2), row[1].key


def _close_cash(account_pk: int, now: datetime) -> None:
    """The sum of all that came and went, by currency."""
    sums: dict[str, Decimal] = {}
    rows = Activity.objects.current().filter(account=account_pk)
    columns = ("kind", "currency", "gross", "fee", "tax", "quantity", "instrument__broker_ref")
    for kind, currency, gross, fee, tax, quantity, ref in rows.values_list(*columns).iterator(_AT_ONCE):
        amount = sums.get(currency, _ZERO)
        for part in (gross, fee, tax):
            if part is not None:
                amount = EXACT.add(amount, part)
        sums[currency] = amount
        if kind == ActivityKind.FX:
            sums[ref] = EXACT.add(sums.get(ref, _ZERO), quantity)
    CashBalance.objects.filter(account=account_pk).exclude(currency__in=sums).delete()
    upsert(
        CashBalance,
        ["account", "currency", "amount", "updated_at"],
        ((account_pk, currency, amount, now) for currency, amount in sums.items()),
        unique=["account", "currency"],
    )


def value_accounts(accounts: Iterable[Account], now: datetime) -> None:
    """Value what is held in imported accounts, as of the last day of which files tell something of them.

    An account without activities goes.
    """
    for account in accounts:
        span = (
            Activity.objects.current()
            .filter(account=account)
            .aggregate(first=Min("trade_date"), last=Max("trade_date"))
        )
        if span["first"] is None:
            account.delete()
            continue
        held = list(
            Position.objects.filter(account=account, is_open=True).select_related("instrument").order_by("pk")
        )
        pks = [position.instrument_id for position in held]
        priced = _last_prices(pks)
        as_of = max([span["last"], *(on for on, _ in priced.values())])
        update(
            Position,
            ["price", "priced_at", "market_value", "exposure", "unrealized_pnl"],
            ((*_value(row, priced.get(row.instrument_id), as_of), row.pk) for row in held),
        )
        Position.objects.filter(account=account, is_open=False).update(
            price=None, market_value="0", exposure="0", unrealized_pnl="0", cost_basis="0"
        )
        first = _moment(span["first"])
        account.currency = _kept_in(account)
        account.opened_on = span["first"]
        account.updated_at = min(_moment(as_of), now)
        account.positions_since = account.cash_since = first
        account.positions_at = account.cash_at = account.updated_at
        account.save()
        Period.objects.filter(account=account).delete()
        Period.objects.bulk_create(
            Period(account=account, source=BROKER, topic=topic, since=span["first"], until=as_of)
            for topic in _TOPICS
        )


def _last_prices(instruments: Sequence[int]) -> dict[int, tuple[date, Decimal]]:
    """By instrument the day and the price of the last imported one."""
    found = {}
    for start in range(0, len(instruments), _FEW):
        some = instruments[start : start + _FEW]
        last = (
            Price.objects.filter(instrument__in=some, is_imported=True)
            .values("instrument_id")
            .annotate(last=Max("on"))
            .values_list("instrument_id", "last")
        )
        days = dict(last)
        rows = Price.objects.filter(instrument__in=days, on__in=set(days.values()), is_imported=True)
        for pk, on, close in rows.values_list("instrument_id", "on", "close"):
            if days[pk] == on:
                found[pk] = (on, close)
    return found


def _value(
    position: Position, priced: tuple[date, Decimal] | None, as_of: date
) -> tuple[Decimal | None, datetime, Decimal | None, Decimal | None, Decimal | None]:
    """Price, its moment, market value, exposure and profit; unknown where the price is too old."""
    if priced is None or as_of - priced[0] > MAX_AGE:
        return None, _moment(as_of), None, None, None
    instrument = position.instrument
    per_unit = EXACT.multiply(instrument.multiplier, instrument.quote_factor)
    exposure = EXACT.multiply(EXACT.multiply(position.quantity, priced[1]), per_unit)
    cost: Decimal | None = position.cost_basis
    profit = None if cost is None else EXACT.subtract(exposure, cost)
    is_margined = instrument.asset_class in _SETTLED_DAILY
    return priced[1], _moment(priced[0]), profit if is_margined else exposure, exposure, profit


def _kept_in(account: Account) -> str:
    """The currency in which most money came and went, else that of most activities."""
    rows = Activity.objects.current().filter(account=account)
    external = rows.filter(kind__in=(ActivityKind.DEPOSIT, ActivityKind.WITHDRAWAL))
    for some in (external, rows):
        counted = some.values("currency").annotate(number=Count("pk")).order_by("-number", "currency").first()
        if counted is not None:
            break
    return str(counted["currency"]) if counted else account.currency


def _moment(day: date) -> datetime:
    """The end of a day."""
    return datetime.combine(day, time(23, 59, 59), UTC)


# Prices and rates


def record_prices(
    imported: Import, rows: Iterable[tuple[int, Named, str, str]], refuse: Refuse, now: datetime
) -> Counts:
    """Store the prices of one file; of two of one day the later import counts.

    Args:
        rows: line, what it is a price of, day and price in the form in which the database keeps them.
    """
    names = _Names(imported)
    pks: dict[int, int | str] = {}
    changed: dict[int, str] = {}
    total = new = 0
    stored: list[tuple[Any, ...]] = []

    def store() -> int:
        number = upsert(
            Price,
            ["instrument", "on", "close", "currency", "source", "is_imported", "imported"],
            stored,
            unique=["instrument", "on", "is_imported"],
            differing="close",
            is_prepared=True,
        )
        stored.clear()
        return number

    for line, named, on, close in rows:
        pk = pks.get(id(named))
        if pk is None:
            unit = names.find(named, on)
            pks[id(named)] = pk = unit if isinstance(unit, str) else unit.pk
        if isinstance(pk, str):
            refuse(line, pk)
            continue
        total += 1
        if pk not in changed or on < changed[pk]:
            changed[pk] = on
        stored.append((pk, on, close, named.currency, BROKER, True, imported.pk))
        if len(stored) >= _AT_ONCE:
            new += store()
    new += store()
    names.save()
    if new:
        share_prices()
        packed.prices_changed({pk: date.fromisoformat(on) for pk, on in changed.items()})
        value_accounts(Account.objects.filter(broker=BROKER), now)
    return Counts(new, total - new)


def record_rates(imported: Import, rows: Iterable[tuple[int, str, str, str, str]]) -> Counts:
    """Store the rates of one file, as for prices.

    Each is stored with its inverse, so that it counts for its day whichever way a broker quotes the pair.

    Args:
        rows: line, base, quote, day and rate in the form in which the database keeps them.
    """
    changed: dict[tuple[str, str], str] = {}
    own, inverse = [], []
    for _, base, quote, on, rate in rows:
        for pair in ((base, quote), (quote, base)):
            if pair not in changed or on < changed[pair]:
                changed[pair] = on
        own.append((base, quote, on, rate, BROKER, True, imported.pk))
        inverse.append((quote, base, on, text(1 / Decimal(rate)), INVERSE, True, imported.pk))
    columns = ["base", "quote", "on", "rate", "source", "is_imported", "imported"]
    unique = ["base", "quote", "on", "is_imported"]
    # One that a file told itself is not replaced by the inverse of another.
    upsert(FxRate, columns, inverse, unique=unique, same="source", is_prepared=True)
    new = upsert(FxRate, columns, own, unique=unique, differing="rate", is_prepared=True)
    if new:
        packed.rates_changed({pair: date.fromisoformat(on) for pair, on in changed.items()})
    return Counts(new, len(own) - new)


def share_prices(instruments: Iterable[int] | None = None) -> None:
    """Give imported prices to the instruments of brokers that have the ISIN and currency of an imported one.

    Args:
        instruments: only to these of the brokers; to all when None.
    """
    twins = Instrument.objects.exclude(broker=BROKER).exclude(isin=None)
    if instruments is not None:
        twins = twins.filter(pk__in=list(instruments))
    own = {
        (isin, currency): pk
        for isin, currency, pk in Instrument.objects.filter(broker=BROKER)
        .exclude(isin=None)
        .values_list("isin", "currency", "pk")
    }
    pairs = [
        (pk, own[isin, currency])
        for pk, isin, currency in twins.values_list("pk", "isin", "currency")
        if (isin, currency) in own
    ]
    table = connection.ops.quote_name(Price._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO {table} (instrument_id, "on", close, currency, source, is_imported, imported_id) '  # noqa: S608
            f'SELECT %s, "on", close, currency, source, is_imported, imported_id FROM {table} '
            "WHERE instrument_id = %s AND is_imported "
            'ON CONFLICT (instrument_id, "on", is_imported) '
            "DO UPDATE SET close = excluded.close, imported_id = excluded.imported_id",
            pairs,
        )
    packed.prices_changed({pk: date.min for pk, _ in pairs})


# Undone


def undo(imported: Import, now: datetime) -> None:
    """Take back what this import alone brought.

    Where it changed a price or rate of an earlier import, the caller records that one again.
    """
    ActivitySource.objects.filter(source=BROKER, key__startswith=f"{imported.pk}:").delete()
    alone = Activity.objects.filter(account__broker=BROKER, sources=None)
    gone = list(alone.values_list("account_id", "instrument_id", "trade_date"))
    alone.delete()
    prices = Price.objects.filter(imported=imported)
    priced = dict(
        prices.values("instrument_id").annotate(first=Min("on")).values_list("instrument_id", "first")
    )
    prices.delete()
    rates = FxRate.objects.filter(imported=imported)
    rated = {
        (base, quote): first
        for base, quote, first in rates.values("base", "quote")
        .annotate(first=Min("on"))
        .values_list("base", "quote", "first")
    }
    rates.delete()
    named = set(ImportedName.objects.filter(imported=imported).values_list("instrument_id", flat=True))
    imported.delete()
    describe(named)
    packed.prices_changed(priced)
    packed.rates_changed(rated)
    accounts = {account for account, _, _ in gone}
    moved = {(account, instrument) for account, instrument, _ in gone if instrument is not None}
    close_books(accounts, moved, {(account, day) for account, _, day in gone}, now)
    Instrument.objects.filter(broker=BROKER, names=None, activity=None, price=None).delete()
