"""Activities of files."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max, Q
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import details, types
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.imported import BROKER, Counts, Refuse
from stonks_overwatch.ledger.imported.beside import NOTHING, PREPARED_NOTHING, TOLD_BESIDE, prepared
from stonks_overwatch.ledger.imported.closing import Key, close_books, holders
from stonks_overwatch.ledger.imported.names import Names, Unit
from stonks_overwatch.ledger.imported.quotes import share_prices
from stonks_overwatch.ledger.lots import EXACT, MARGINED, Method
from stonks_overwatch.ledger.models import Account, Activity, ActivitySource, Import, ImportedName, Instrument
from stonks_overwatch.ledger.sql import insert
from stonks_overwatch.ledger.types import AssetClass, ImportedActivity

_ZERO = Decimal(0)
_AT_ONCE = 20_000


def record_activities(
    imported: Import, rows: Iterable[ImportedActivity], refuse: Refuse, now: datetime
) -> Counts:
    """Store the activities of one file that are not known yet, and note of all which file told them."""
    return _Activities(imported, refuse, now).run(rows)


@dataclass(slots=True)
class _Known:
    """What the ledger says under one key; without row number until it is stored."""

    digest: str
    pk: int | None = None


class _Activities:
    def __init__(self, imported: Import, refuse: Refuse, now: datetime) -> None:
        self.imported = imported
        self.refuse = refuse
        self.now = now
        self.names = Names(imported)
        self.monies = dict(
            Instrument.objects.filter(broker=BROKER, asset_class=AssetClass.CASH).values_list(
                "broker_ref", "pk"
            )
        )
        self.accounts: dict[str, Account | str] = {}
        self.known: dict[int, dict[str, _Known]] = {}
        self.equal: Counter[tuple[int, str]] = Counter()
        self.beside = details.known()
        # A column of which nothing is told takes time all the same.
        names = [name for name in TOLD_BESIDE if self.beside.activities or PREPARED_NOTHING[name] is not None]
        self.columns = [*_COLUMNS, *names]
        self.nothing = [PREPARED_NOTHING[name] for name in names]
        self.recorded_at = connection.ops.adapt_datetimefield_value(now)
        # An import that is being made, of a file in the list: it is kept only if it brings something new.
        self.is_repeat = (
            not imported.kind
            and Import.objects.filter(sha256=imported.sha256, account=imported.account)
            .exclude(pk=imported.pk)
            .exists()
        )
        self.told = 0
        self.new = 0
        # Of what is not stored yet: rows, what is to be known of each, and who told what.
        self.rows: list[tuple[Any, ...]] = []
        self.unstored: list[_Known] = []
        self.witnesses: list[tuple[_Known, str]] = []
        self.moved: set[Key] = set()
        self.days: set[tuple[int, date]] = set()

    def run(self, rows: Iterable[ImportedActivity]) -> Counts:
        for row in rows:
            reason = self._take(row)
            if reason:
                self.refuse(row.line, reason)
        if self.is_repeat and not self.new:
            return Counts(0, self.told)
        self._store()
        self.moved |= holders(self.names.save())
        if self.names.adopted:
            share_prices(dict.fromkeys(self.names.adopted, date.min))
        if self.new:
            self.days |= place_payments()
        close_books(self.moved, self.days, self.now)
        return Counts(self.new, self.told - self.new)

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
        written = _Written.of(activity, gross)
        key, digest = self._identity(account.pk, activity, written)
        of_account = self.known[account.pk]
        known = of_account.get(key)
        if known is None:
            of_account[key] = known = _Known(digest)
            beside = self.beside.activities.get((activity.account, key), NOTHING)
            self.rows.append(
                (
                    account.pk, key, instrument_pk, *written, activity.description, False, self.recorded_at,
                    *(self.nothing if beside is NOTHING else prepared(beside)),
                )
            )  # fmt: skip
            self.unstored.append(known)
            self.new += 1
            self.days.add((account.pk, beside.booked_on or activity.trade_date))
            if row.named is not None and instrument_pk is not None:
                self.moved.add((account.pk, instrument_pk))
        elif known.digest != digest:
            return f"Its external_id {activity.key} is known with another content; undo that import first."
        self.told += 1
        self.witnesses.append((known, f"{self.imported.pk}:{row.line}:{digest}"))
        if len(self.witnesses) >= _AT_ONCE and not self.is_repeat:
            self._store()
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

    def _identity(self, account_pk: int, activity: types.Activity, written: "_Written") -> tuple[str, str]:
        """The key, and what is equal for rows that say the same, however their numbers are written."""
        quantity, price, *others = [
            "" if number is None else _shortest(number) if "." in number else number
            for number in (
                written.quantity, written.price, written.gross, written.fee, written.tax, written.fx_rate,
                written.ratio,
            )
        ]  # fmt: skip
        parts = (
            written.trade_date, written.kind, activity.broker_ref or "", quantity, price, written.currency,
            *others, activity.description,
        )  # fmt: skip
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
            key: _Known(told_by.rpartition(":")[2], pk)
            for key, told_by, pk in told.values_list("activity__key", "key", "activity_id")
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

    def _store(self) -> None:
        """Store what was taken in, and note of all that was told that this file told it."""
        if self.rows:
            last = Activity.objects.aggregate(last=Max("pk"))["last"] or 0
            insert(Activity, self.columns, self.rows)
            # Nobody else writes meanwhile: they are numbered in the order in which they came.
            pks = Activity.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)
            for known, pk in zip(self.unstored, pks, strict=True):
                known.pk = pk
        insert(
            ActivitySource,
            ["activity", "source", "key"],
            [(known.pk, BROKER, told_by) for known, told_by in self.witnesses],
        )
        for stored in (self.rows, self.unstored, self.witnesses):
            stored.clear()


def _money(activity: types.Activity, unit: Unit) -> Decimal | None:
    """The cash of a trade that names none: quantity × price × multiplier; what is margined moves none."""
    if activity.quantity is None or activity.price is None or unit.multiplier is None:
        return None
    if unit.asset_class in MARGINED:
        return _ZERO
    per_unit = EXACT.multiply(unit.multiplier, unit.quote_factor)
    return -EXACT.multiply(EXACT.multiply(activity.quantity, activity.price), per_unit)


class _Written(NamedTuple):
    """The part of a row that its content makes, in the form in which the database keeps it."""

    kind: str
    trade_date: str
    quantity: str | None
    price: str | None
    currency: str
    gross: str | None
    fee: str | None
    tax: str | None
    fx_rate: str | None
    ratio: str | None

    @classmethod
    def of(cls, activity: types.Activity, gross: Decimal | None) -> "_Written":
        quantity, price, ratio = activity.quantity, activity.price, activity.ratio
        fee, tax, fx_rate = activity.fee, activity.tax, activity.fx_rate
        return cls(
            activity.kind.value,
            activity.trade_date.isoformat(),
            None if quantity is None else text(quantity),
            None if price is None else text(price),
            activity.currency,
            None if gross is None else text(gross),
            None if fee is None else text(fee),
            None if tax is None else text(tax),
            None if fx_rate is None else text(fx_rate),
            None if ratio is None else text(ratio),
        )


_COLUMNS = [
    "account", "key", "instrument", *_Written._fields, "description", "is_derived", "recorded_at",
]  # fmt: skip


def _shortest(written: str) -> str:
    """A number with a point as the one that all ways of writing it have in common."""
    return written.rstrip("0").rstrip(".")


def place_payments() -> set[tuple[int, date]]:
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
