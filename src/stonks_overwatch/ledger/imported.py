"""What files brought, into the ledger: accounts that no broker reports, and prices and rates for all.

Nobody reports positions and cash of these accounts: they follow from the activities, and are worked out
again (`close_books`) whenever those change. All of it runs inside the transaction of one import.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import details, packed, types
from stonks_overwatch.ledger.details import ActivityDetails, InstrumentDetails
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.lots import EXACT, Lots, Method, moved, summed
from stonks_overwatch.ledger.matching import Terms, matched
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
from stonks_overwatch.ledger.sql import insert, update, upsert
from stonks_overwatch.ledger.types import ActivityKind, AssetClass, ImportedActivity, Named

# The broker, the login and the source of what files brought.
BROKER = "csv"
# The source of a rate that is the inverse of an imported one.
INVERSE = "csv, inverse"
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
        self.beside = details.known().instruments
        self.found: dict[tuple[str, str, str], int] = {}
        self.adopted: set[int] = set()  # known by a symbol alone so far, and by an ISIN from now on
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
                if pk is None and len(alike) == 1:
                    self.adopted |= alike
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
        more = self.beside.get(key)
        unit.multiplier = more.multiplier if more else told.multiplier or unit.multiplier
        unit.quote_factor = more.quote_factor if more else told.quote_factor or unit.quote_factor

    def save(self) -> set[int]:
        """Keep the names; see `describe` for what is returned."""
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
        return describe({pk for pk, _, _ in self.called.values()})


def describe(pks: set[int] | None = None) -> set[int]:
    """Write into the instruments what files call them, and what they tell of them beside.

    Args:
        pks: only these; all when None. One that no file names stays as it is.

    Returns: those that count in another way now.
    """
    told: defaultdict[int, list[ImportedName]] = defaultdict(list)
    for name in ImportedName.objects.order_by("on", "symbol", "pk"):
        if pks is None or name.instrument_id in pks:
            told[name.instrument_id].append(name)
    beside = details.known().instruments
    rows = []
    revalued = set()
    is_renamed = False
    for instrument in Instrument.objects.filter(broker=BROKER, pk__in=told):
        described = _description(instrument, told[instrument.pk], beside)
        rows.append((*(described[name] for name in _DESCRIBED), instrument.pk))
        if any(described[name] != getattr(instrument, name) for name in _UNITS):
            revalued.add(instrument.pk)
        is_renamed |= (instrument.isin, instrument.symbol) != (described["isin"], described["symbol"])
    update(Instrument, _DESCRIBED, rows)
    if is_renamed:
        packed.instruments_renamed(BROKER)
    if _holders(revalued):
        packed.instruments_changed(BROKER, revalued)
    return revalued


_UNITS = ["asset_class", "multiplier", "quote_factor", "right"]  # by which a position counts
_BESIDE = [
    "exchange", "country", "sector", "industry", "expires_on", "strike", "right", "underlying_symbol",
    "description",
]  # fmt: skip
_DESCRIBED = [
    "broker_ref", "isin", "symbol", "name", "asset_class", "multiplier", "quote_factor", *_BESIDE,
]  # fmt: skip


def _description(
    instrument: Instrument,
    names: Sequence[ImportedName],
    beside: Mapping[tuple[str, str, str], InstrumentDetails],
) -> dict[str, Any]:
    """Values of `_DESCRIBED`. `names`: the latest last; what it leaves out the one before it tells."""

    def last(column: str) -> Any:
        return next((value for name in reversed(names) if (value := getattr(name, column))), None)

    isin, asset_class = last("isin"), last("asset_class") or AssetClass.OTHER
    symbol = last("symbol") or isin
    described = {
        "broker_ref": f"{isin or symbol}:{instrument.currency}",
        "isin": isin,
        "symbol": symbol,
        "name": last("name") or symbol,
        "asset_class": asset_class,
        "multiplier": last("multiplier") or Decimal(1),
        "quote_factor": last("quote_factor") or (_PER_CENT if asset_class == AssetClass.BOND else Decimal(1)),
    }
    more = next((beside[key] for name in reversed(names) if (key := _called(name)) in beside), None)
    if more is None:
        return described | dict.fromkeys(_BESIDE) | {"description": ""}
    return described | {
        "symbol": more.shown_symbol or symbol,
        **more.model_dump(include={"name", "asset_class", "multiplier", "quote_factor", *_BESIDE}),
    }


def _called(name: ImportedName) -> tuple[str, str, str]:
    return name.isin, name.symbol, name.currency


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
        self.beside = details.known()
        self.recorded_at = connection.ops.adapt_datetimefield_value(now)
        self.new: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.told: list[tuple[int, str, str]] = []
        self.moved: set[Key] = set()
        self.days: set[tuple[int, date]] = set()

    def run(self, rows: Iterable[ImportedActivity]) -> Counts:
        for row in rows:
            reason = self._take(row)
            if reason:
                self.refuse(row.line, reason)
        self.moved |= _holders(self.names.save())
        if self.names.adopted:
            share_prices(dict.fromkeys(self.names.adopted, date.min))
        insert(Activity, _COLUMNS, list(self.new.values()))
        if self.new:
            self.days |= _place_payments()
        self._note_sources()
        close_books(self.moved, self.days, self.now)
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
            beside = self.beside.activities.get((activity.account, key), _NOTHING_BESIDE)
            self.new[account.pk, key] = _values(
                activity, key, account.pk, instrument_pk, gross, self.recorded_at, beside
            )
            self.days.add((account.pk, beside.booked_on or activity.trade_date))
            if row.named is not None and instrument_pk is not None:
                self.moved.add((account.pk, instrument_pk))
        self.told.append((account.pk, key, f"{self.imported.pk}:{row.line}:{digest}"))
        return None

    def _instrument(self, row: ImportedActivity) -> tuple[int | None, Decimal | None] | str:
        """The instrument and the money of a row, or why they are not known."""
        activity = row.activity
        if row.named is None:
            ref = activity.broker_ref
            return None if ref is None else self._money(ref), activity.gross
        unit = self.names.find(row.named, activity.trade_date.isoformat())
        if isinstance(unit, str):
            return unit
        if unit.multiplier is None and (activity.quantity or activity.ratio):
            return (
                f"How many units a contract of class {unit.asset_class} stands for is not known: give its "
                "price and amount, or import the details.json of an export first."
            )
        gross = _money(activity, unit) if activity.gross is None else activity.gross
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
            return details.key_of(activity.key), digest
        self.equal[account_pk, digest] += 1
        return f"{details.BY_CONTENT}{digest}:{self.equal[account_pk, digest]}", digest

    def _account(self, activity: types.Activity) -> Account | str:
        name = activity.account
        others = Account.objects.filter(account=name).exclude(broker=BROKER).values_list("broker", flat=True)
        if others:
            return (
                f"The account {name} is read from {others[0]}; import under another name (--account), "
                "or its activities would count twice."
            )
        beside = self.beside.accounts.get(name)
        account, _ = Account.objects.get_or_create(
            broker=BROKER,
            account=name,
            defaults={
                "currency": activity.currency,
                "updated_at": self.now,
                "lot_method": beside.lot_method if beside else Method.FIFO,
            },
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
    if activity.quantity is None or activity.price is None or unit.multiplier is None:
        return None
    if unit.asset_class in _SETTLED_DAILY:
        return _ZERO
    per_unit = EXACT.multiply(unit.multiplier, unit.quote_factor)
    return -EXACT.multiply(EXACT.multiply(activity.quantity, activity.price), per_unit)


_TOLD_BESIDE = [name for name in ActivityDetails.model_fields if name not in ("account", "external_id")]
_NOTHING_BESIDE = ActivityDetails(account="", external_id="")
_COLUMNS = [
    "account", "key", "instrument", "kind", "trade_date", "quantity", "price", "currency", "gross", "fee",
    "tax", "fx_rate", "ratio", "description", "is_derived", "recorded_at", *_TOLD_BESIDE,
]  # fmt: skip


def _values(
    activity: types.Activity,
    key: str,
    account_pk: int,
    instrument_pk: int | None,
    gross: Decimal | None,
    at: Any,
    beside: ActivityDetails,
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
        False,
        at,
        *(_PREPARED_NOTHING if beside is _NOTHING_BESIDE else _prepared(beside)),
    )


def _prepared(beside: ActivityDetails) -> Iterator[Any]:
    """Values of `_TOLD_BESIDE` in the form in which the database keeps them."""
    for name in _TOLD_BESIDE:
        value = getattr(beside, name)
        if isinstance(value, Decimal):
            yield text(value)
        elif isinstance(value, datetime):
            yield connection.ops.adapt_datetimefield_value(value)
        else:
            yield value.isoformat() if isinstance(value, date) else value


_PREPARED_NOTHING = tuple(_prepared(_NOTHING_BESIDE))


def _place_payments() -> set[tuple[int, date]]:
    """Give what a security paid in another currency than it is traded in to the instrument that is held.

    A row names its instrument by ISIN and currency. Where nothing ever moved of that one, and of one other
    with the ISIN something did, that other is meant; from all rows, so that their order does not matter.

    Returns: the days of what has another instrument now, by account.
    """
    own = Activity.objects.filter(account__broker=BROKER, instrument__isin__isnull=False)
    moving = own.filter(Q(quantity__isnull=False) | Q(ratio__isnull=False))
    traded: defaultdict[str | None, dict[str, int]] = defaultdict(dict)
    for isin, currency, pk in moving.values_list(
        "instrument__isin", "instrument__currency", "instrument_id"
    ).distinct():
        traded[isin][currency] = pk
    named: dict[tuple[str | None, str], int] = {
        (isin, currency): pk
        for isin, currency, pk in ImportedName.objects.exclude(isin="").values_list(
            "isin", "currency", "instrument_id"
        )
    }
    days: set[tuple[int, date]] = set()
    paid = own.filter(quantity__isnull=True, ratio__isnull=True)
    for isin, currency, pk in list(
        paid.values_list("instrument__isin", "currency", "instrument_id").distinct()
    ):
        others = traded[isin]
        meant = named.get((isin, currency), pk)
        if currency not in others and len(others) == 1:
            (meant,) = others.values()
        if meant != pk:
            placed = paid.filter(instrument=pk, currency=currency)
            days |= set(placed.values_list("account_id", Coalesce("booked_on", "trade_date")))
            placed.update(instrument=meant)
    return days


# What follows from the activities


def close_books(moved: set[Key], days: set[tuple[int, date]], now: datetime) -> None:
    """Work out positions and cash anew.

    Args:
        moved: the instruments whose quantity or cost may have changed, by account.
        days: on which activities came, changed or went, by account.
    """
    accounts = {pk for pk, _ in moved} | {pk for pk, _ in days}
    for pk in sorted(accounts):
        _close_positions(pk, {instrument for account, instrument in moved if account == pk}, days)
        _close_cash(pk, now)
    packed.activities_changed(days)
    value_accounts(Account.objects.filter(pk__in=accounts), now)


def _holders(instruments: set[int]) -> set[Key]:
    """The accounts that hold or held these."""
    rows = Position.objects.filter(instrument__in=instruments, account__broker=BROKER)
    return set(rows.values_list("account_id", "instrument_id")) if instruments else set()


def _close_positions(account_pk: int, instruments: set[int], days: set[tuple[int, date]]) -> None:
    """Quantities, first-in first-out costs, and what each split added."""
    current = Activity.objects.current().filter(account=account_pk)
    if current.exclude(group=None).exists():  # an event of several instruments carries cost between them
        instruments = instruments | set(
            current.exclude(instrument=None).values_list("instrument_id", flat=True)
        )
    terms = Instrument.objects.filter(broker=BROKER).in_bulk()
    settled: dict[int, list[types.Activity]] = {}
    splits = []
    for instrument_pk, activities in _moving(account_pk, instruments):
        settled[instrument_pk], changed = _with_splits(activities)
        splits += [(activity.quantity, pk) for pk, activity in changed]
        days |= {(account_pk, activity.booked_on or activity.trade_date) for _, activity in changed}
    update(Activity, ["quantity"], splits)
    found = matched(
        (activity for activities in settled.values() for activity in activities),
        {str(pk): _terms(terms[pk]) for pk in settled},
    )
    upsert(
        Position,
        _POSITION,
        (
            (account_pk, pk, *_position(terms[pk], found.get(("", str(pk)), Lots((), ())), activities))
            for pk, activities in settled.items()
        ),
        unique=["account", "instrument"],
    )
    Position.objects.filter(account=account_pk, instrument__in=instruments - settled.keys()).delete()


_POSITION = [
    "account", "instrument", "quantity", "is_open", "cost_basis", "average_cost", "priced_at", "changed_at",
    "closed_at", "covered_since", "covered_until",
]  # fmt: skip


def _terms(instrument: Instrument) -> Terms:
    return Terms(
        per_unit=EXACT.multiply(instrument.multiplier, instrument.quote_factor),
        currency=instrument.currency,
        is_margined=instrument.asset_class in _SETTLED_DAILY,
        right=instrument.right,
        isin=instrument.isin,
        symbol=instrument.symbol,
    )


def _position(instrument: Instrument, lots: Lots, activities: Sequence[types.Activity]) -> tuple[Any, ...]:
    """Values of `_POSITION` from the quantity on; the price comes later."""
    quantity = summed(moved(activity) for activity in activities)
    cost = lots.cost if lots.quantity == quantity else None
    units = EXACT.multiply(EXACT.multiply(quantity, instrument.multiplier), instrument.quote_factor)
    days = [activity.trade_date for activity in activities]
    last = _moment(max(days))
    return (
        quantity,
        bool(quantity),
        cost,
        EXACT.divide(cost, units) if units and cost is not None else None,
        last,
        last,
        None if quantity else last,
        min(days),
        max(days),
    )


def _moving(account_pk: int, instruments: set[int]) -> Iterator[tuple[int, list[tuple[int, types.Activity]]]]:
    """What moves these instruments, by instrument: row number and activity."""
    rows = Activity.objects.current().filter(account=account_pk, instrument__isnull=False)
    rows = rows.exclude(kind=ActivityKind.FX)
    if len(instruments) <= _FEW:
        rows = rows.filter(instrument__in=instruments)
    ordered = rows.order_by("instrument_id").values_list("instrument_id", "pk", "refs", *_OF_ACTIVITY)
    of_group: list[tuple[int, types.Activity]]
    for instrument_pk, group in groupby(ordered.iterator(_AT_ONCE), key=lambda row: row[0]):
        if instrument_pk not in instruments:
            continue
        of_group = []
        for _, pk, refs, kind, *values in group:
            activity = types.Activity(
                account="",
                source=BROKER,
                broker_ref=str(instrument_pk),
                refs=tuple(refs.split()),
                kind=ActivityKind(kind),
                **dict(zip(_OF_ACTIVITY[1:], values, strict=True)),
            )
            if activity.quantity is not None or activity.ratio is not None or activity.group is not None:
                of_group.append((pk, activity))
        if of_group:
            yield instrument_pk, of_group


_OF_ACTIVITY = (
    "kind", "key", "trade_date", "trade_at", "quantity", "price", "currency", "gross", "fee", "tax", "ratio",
    "subtype", "group", "booked_on", "acquired_on", "value", "cost", "reverses",
)  # fmt: skip


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
    beside = details.known().accounts
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
        told = beside.get(account.account)
        account.currency = told.currency if told else _kept_in(account)
        account.alias, account.kind = (told.alias, told.kind) if told else ("", "")
        account.opened_on = (told and told.opened_on) or span["first"]
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
        since = {pk: date.fromisoformat(on) for pk, on in changed.items()}
        share_prices(since)
        packed.prices_changed(since)
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


def share_prices(since: Mapping[int, date] | None = None, instruments: Iterable[int] | None = None) -> None:
    """Give imported prices to the instruments of brokers that have the ISIN and currency of an imported one.

    Args:
        since: only those of these imported instruments, each from a day on; all when None.
        instruments: only to these of the brokers; to all when None.
    """
    twins = Instrument.objects.exclude(broker=BROKER).exclude(isin=None)
    if instruments is not None:
        twins = twins.filter(pk__in=list(instruments))
    own = {
        (isin, currency): (pk, date.min if since is None else since[pk])
        for isin, currency, pk in Instrument.objects.filter(broker=BROKER)
        .exclude(isin=None)
        .values_list("isin", "currency", "pk")
        if since is None or pk in since
    }
    shared = [
        (pk, *own[isin, currency])
        for pk, isin, currency in twins.values_list("pk", "isin", "currency")
        if (isin, currency) in own
    ]
    table = connection.ops.quote_name(Price._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO {table} (instrument_id, "on", close, currency, source, is_imported, imported_id) '  # noqa: S608
            f'SELECT %s, "on", close, currency, source, is_imported, imported_id FROM {table} '
            'WHERE instrument_id = %s AND "on" >= %s AND is_imported '
            'ON CONFLICT (instrument_id, "on", is_imported) '
            "DO UPDATE SET close = excluded.close, imported_id = excluded.imported_id",
            shared,
        )
    packed.prices_changed({pk: first for pk, _, first in shared})


# Details


def apply_details(now: datetime) -> None:
    """Bring what files of details tell now into what other files brought, and take out what none tells."""
    own = Activity.objects.filter(account__broker=BROKER)
    days = set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    own.update(**_NOTHING_BESIDE.model_dump(include=set(_TOLD_BESIDE)))
    known = details.known()
    pks = {
        (account, key): pk
        for account, key, pk in own.filter(
            account__account__in={name for name, _ in known.activities}
        ).values_list("account__account", "key", "pk")
    }
    update(
        Activity,
        _TOLD_BESIDE,
        (
            (*(getattr(told, name) for name in _TOLD_BESIDE), pks[key])
            for key, told in known.activities.items()
            if key in pks
        ),
    )
    days |= set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    for name, account in known.accounts.items():
        untouched = Account.objects.filter(broker=BROKER, account=name, lot_method=Method.FIFO)
        untouched.update(lot_method=account.lot_method)
    describe()
    moved_now = own.exclude(instrument=None).exclude(kind=ActivityKind.FX)
    close_books(set(moved_now.values_list("account_id", "instrument_id")), days, now)


def without_terms() -> list[str]:
    """The symbols of contracts that were traded and of which no file tells what they stand for."""
    beside = details.known().instruments
    traded = Instrument.objects.filter(broker=BROKER, asset_class__in=_CONTRACTS, activity__isnull=False)
    names = ImportedName.objects.filter(instrument__in=traded)
    told = {n.instrument_id for n in names if n.multiplier is not None or _called(n) in beside}
    return sorted(set(traded.exclude(pk__in=told).values_list("symbol", flat=True)))


# Undone


def clear() -> None:
    """Take out all that CSV files brought; the list of imports and the accounts with their methods stay."""
    own = Activity.objects.filter(account__broker=BROKER)
    days = set(own.values_list("account_id", Coalesce("booked_on", "trade_date")))
    ActivitySource.objects.filter(source=BROKER).delete()
    own.delete()
    for table in (Position, CashBalance):
        table.objects.filter(account__broker=BROKER).delete()
    ImportedName.objects.all().delete()
    prices = Price.objects.filter(is_imported=True)
    priced = set(prices.values_list("instrument_id", flat=True).distinct())
    prices.delete()
    rates = FxRate.objects.filter(is_imported=True)
    rated = set(rates.values_list("base", "quote").distinct())
    rates.delete()
    packed.activities_changed(days)
    packed.prices_changed(dict.fromkeys(priced, date.min))
    Instrument.objects.filter(broker=BROKER).delete()
    packed.rates_changed(dict.fromkeys(rated, date.min))


def sweep(now: datetime) -> None:
    """Take out accounts and instruments that no file tells of any more."""
    value_accounts(Account.objects.filter(broker=BROKER), now)
    Instrument.objects.filter(broker=BROKER, names=None, activity=None, price=None).delete()


def undo(imported: Import, now: datetime) -> None:
    """Take back what this import alone brought.

    Where it changed a price or rate of an earlier import, the caller records that one again.
    """
    ActivitySource.objects.filter(source=BROKER, key__startswith=f"{imported.pk}:").delete()
    alone = Activity.objects.filter(account__broker=BROKER, sources=None)
    gone = list(alone.values_list("account_id", "instrument_id", Coalesce("booked_on", "trade_date")))
    alone.delete()
    placed = _place_payments()
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
    revalued = describe(named)
    packed.prices_changed(priced)
    packed.rates_changed(rated)
    moved = {(account, instrument) for account, instrument, _ in gone if instrument is not None}
    close_books(moved | _holders(revalued), placed | {(account, day) for account, _, day in gone}, now)
    Instrument.objects.filter(broker=BROKER, names=None, activity=None, price=None).delete()
