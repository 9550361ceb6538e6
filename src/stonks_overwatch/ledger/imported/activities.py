"""Activities of files."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from django.db import connection
from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Coalesce

from stonks_overwatch.ledger import details
from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.imported import BROKER, Counts, Refuse
from stonks_overwatch.ledger.imported.beside import NOTHING, TOLD_BESIDE, prepared
from stonks_overwatch.ledger.imported.closing import AtHand, close_books, holders
from stonks_overwatch.ledger.imported.names import Names
from stonks_overwatch.ledger.imported.quotes import share_prices
from stonks_overwatch.ledger.lots import EXACT, ZERO, Method
from stonks_overwatch.ledger.models import Account, Activity, ActivitySource, Import, ImportedName, Instrument
from stonks_overwatch.ledger.rows import plain_day
from stonks_overwatch.ledger.sql import insert
from stonks_overwatch.ledger.types import ActivityKind, AssetClass, ImportedActivity

# Plain text: what is more than that goes into the database by a longer way.
_KINDS = {kind: kind.value for kind in ActivityKind}
_COLUMNS = [
    "account", "is_derived", "recorded_at", "instrument", "key", "kind", "trade_date", "currency",
    "description", "quantity", "price", "gross", "fee", "tax", "fx_rate", "ratio",
]  # fmt: skip
_AT_ONCE = 20_000


def record_activities(
    imported: Import, rows: Iterable[ImportedActivity], refuse: Refuse, now: datetime
) -> Counts:
    """Store the activities of one file that are not known yet, and note of all which file told them."""
    return _Activities(imported, refuse, now).run(rows)


@dataclass(slots=True)
class _Holder:
    """One account, and what of it is known.

    `known`: by key the row number of the activity; of those that are not stored yet, the negative number of
    how many were new before. `digests`: of the content, by key, where files may number their rows. `days` are
    as the database keeps them. `at_hand` is of an account that is new itself.
    """

    pk: int
    known: dict[str, int]
    equal: dict[str, int]
    days: set[str]
    moved: set[int]
    at_hand: AtHand | None
    digests: dict[str, str] | None = None


class _Activities:
    def __init__(self, imported: Import, refuse: Refuse, now: datetime) -> None:
        self.imported_pk = imported.pk
        self.refuse = refuse
        self.now = now
        self.names = Names(imported)
        self.monies = dict(
            Instrument.objects.filter(broker=BROKER, asset_class=AssetClass.CASH).values_list(
                "broker_ref", "pk"
            )
        )
        self.holders: dict[str, _Holder | str] = {}
        self.beside = details.known()
        # A column of which nothing is told takes time all the same.
        nothing = zip(TOLD_BESIDE, prepared(NOTHING), strict=True)
        told = {name: value for name, value in nothing if self.beside.activities or value is not None}
        self.columns = [*_COLUMNS, *told]
        self.nothing = tuple(told.values())
        self.recorded_at = connection.ops.adapt_datetimefield_value(now)
        # An import that is being made, of a file in the list: it is kept only if it brings something new.
        self.is_repeat = (
            not imported.kind
            and Import.objects.filter(sha256=imported.sha256, account=imported.account)
            .exclude(pk=imported.pk)
            .exists()
        )
        self.told = 0  # without those in `witnesses`
        self.new = 0
        self.pks: list[int] = []  # of what was new, as far as it is stored
        # Not stored yet: rows of `columns`, and who told what.
        self.rows: list[tuple[Any, ...]] = []
        self.witnesses: list[tuple[int, str]] = []

    def run(self, rows: Iterable[ImportedActivity]) -> Counts:
        for row in rows:
            reason = self._take(row)
            if reason:
                self.refuse(row.line, reason)
        if self.is_repeat and not self.new:
            return Counts(0, len(self.witnesses))
        self._store()
        holders_here = [holder for holder in self.holders.values() if isinstance(holder, _Holder)]
        moved = {(holder.pk, pk) for holder in holders_here for pk in holder.moved}
        days = {(holder.pk, plain_day(on)) for holder in holders_here for on in holder.days}
        moved |= holders(self.names.save())
        if self.names.adopted:
            share_prices(dict.fromkeys(self.names.adopted, date.min))
        if self.new:
            days |= place_payments()
        at_hand = {holder.pk: holder.at_hand for holder in holders_here if holder.at_hand is not None}
        close_books(moved, days, self.now, at_hand)
        return Counts(self.new, self.told - self.new)

    def _take(self, row: ImportedActivity) -> str | None:
        """Take one row in, or tell why not."""
        (
            line, account, external_id, kind, on, named, _, quantity, price, currency, _, fee, tax, fx_rate,
            ratio, note,
        ) = row  # fmt: skip
        holder = self.holders.get(account)
        if holder is None:
            self.holders[account] = holder = self._holder(account, currency)
        if isinstance(holder, str):
            return holder
        placed = self._instrument(row)
        if isinstance(placed, str):
            return placed
        instrument, ref, gross = placed
        numbers = [
            None if number is None else text(number)
            for number in (quantity, price, gross, fee, tax, fx_rate, ratio)
        ]
        digest = _digest(on, kind, ref, currency, note, numbers)
        if external_id:
            key, told_by = details.key_of(external_id), f"{self.imported_pk}:{line}:{digest}"
            if self._digests(holder).setdefault(key, digest) != digest:
                return (
                    f"Its external_id {external_id} was told before with another content: give the row "
                    "another, or undo the import that told it."
                )
        else:
            holder.equal[digest] = number = holder.equal.get(digest, 0) + 1
            key, told_by = f"{details.BY_CONTENT}{digest}:{number}", f"{self.imported_pk}:{line}"
        known = holder.known.get(key)
        if known is None:
            self.new += 1
            holder.known[key] = known = -self.new
            beside = self.beside.activities.get((account, key), NOTHING)
            told = self.nothing if beside is NOTHING else prepared(beside)
            self.rows.append(
                (
                    holder.pk, 0, self.recorded_at, instrument, key, _KINDS[kind], on, currency, note,
                    *numbers, *told,
                )
            )  # fmt: skip
            if holder.at_hand is not None:
                holder.at_hand.add(row, instrument, key, gross)
            holder.days.add(beside.booked_on.isoformat() if beside.booked_on else on)
            if named is not None and instrument is not None:
                holder.moved.add(instrument)
        self.witnesses.append((known, told_by))
        if len(self.witnesses) >= _AT_ONCE and not self.is_repeat:
            self._store()
        return None

    def _digests(self, holder: _Holder) -> dict[str, str]:
        if holder.digests is None:
            told = ActivitySource.objects.filter(source=BROKER, activity__account=holder.pk)
            # What has no number of its own has it in its key alone.
            holder.digests = {
                key: (told_by if told_by.count(":") > 1 else key.rpartition(":")[0]).rpartition(":")[2]
                for key, told_by in told.values_list("activity__key", "key")
            }
        return holder.digests

    def _instrument(self, row: ImportedActivity) -> tuple[int | None, str, Decimal | None] | str:
        """The instrument, what the row calls it, and the money; or why they are not known."""
        named, gross = row.named, row.gross
        if named is None:
            code = row.exchanged
            return (None, "", gross) if code is None else (self._money(code), code, gross)
        called = self.names.find(named, row.on)
        if isinstance(called, str):
            return called
        if called.per_unit is None and (row.quantity or row.ratio):
            return (
                f"How many units a contract of class {called.unit.asset_class} stands for is not known: "
                "give its price and amount, or import the details.json of an export first."
            )
        return called.unit.pk, called.ref, _money(row, called.per_unit) if gross is None else gross

    def _holder(self, name: str, currency: str) -> _Holder | str:
        others = Account.objects.filter(account=name).exclude(broker=BROKER).values_list("broker", flat=True)
        if others:
            return (
                f"The account {name} is read from {others[0]}; import under another name (--account), "
                "or its activities would count twice."
            )
        beside = self.beside.accounts.get(name)
        account, is_new = Account.objects.get_or_create(
            broker=BROKER,
            account=name,
            defaults={
                "currency": currency,
                "updated_at": self.now,
                "lot_method": beside.lot_method if beside else Method.FIFO,
            },
        )
        known = dict(Activity.objects.filter(account=account).values_list("key", "pk"))
        at_hand = AtHand() if is_new and not self.beside.activities else None
        return _Holder(account.pk, known, {}, set(), set(), at_hand)

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
            insert(Activity, self.columns, self.rows)
            # Nobody else writes meanwhile: they are numbered one after the other, as they came.
            last = Activity.objects.aggregate(last=Max("pk"))["last"]
            self.pks += range(last - len(self.rows) + 1, last + 1)
        insert(
            ActivitySource,
            ["activity", "source", "key"],
            [
                (number if number > 0 else self.pks[-number - 1], BROKER, told_by)
                for number, told_by in self.witnesses
            ],
        )
        self.told += len(self.witnesses)
        self.rows.clear()
        self.witnesses.clear()


def _money(row: ImportedActivity, per_unit: Decimal | None) -> Decimal | None:
    """The cash of a trade that names none: quantity × price × multiplier; what is margined moves none."""
    if row.quantity is None or row.price is None or per_unit is None:
        return None
    if not per_unit:
        return ZERO
    return EXACT.minus(EXACT.multiply(EXACT.multiply(row.quantity, row.price), per_unit))


def _digest(on: str, kind: str, ref: str, currency: str, note: str, numbers: Sequence[str | None]) -> str:
    """The same for rows that say the same, however their numbers (as in `Row`) are written."""
    quantity, price, *others = [
        ""
        if number is None
        else number.rstrip("0").rstrip(".")
        if number[-1] == "0" and "." in number
        else number
        for number in numbers
    ]
    parts = (on, kind, ref, quantity, price, currency, *others, note)
    return sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def place_payments() -> set[tuple[int, date]]:
    """Give what a security paid in another currency than it is traded in to the instrument that is held.

    A row names its instrument by ISIN and currency. Where nothing ever moved of that one, and of one other
    with the ISIN something did, that other is meant; from all rows, so that their order does not matter.

    Returns: the days of what has another instrument now, by account.
    """
    own = Instrument.objects.filter(broker=BROKER, isin__isnull=False)
    moving = Activity.objects.filter(
        Q(quantity__isnull=False) | Q(ratio__isnull=False), instrument=OuterRef("pk")
    )
    traded: defaultdict[str | None, dict[str, int]] = defaultdict(dict)
    for isin, currency, pk in own.filter(Exists(moving)).values_list("isin", "currency", "pk"):
        traded[isin][currency] = pk
    named: dict[tuple[str | None, str], int] = {
        (isin, currency): pk
        for isin, currency, pk in ImportedName.objects.exclude(isin="").values_list(
            "isin", "currency", "instrument_id"
        )
    }
    days: set[tuple[int, date]] = set()
    paid = Activity.objects.filter(
        account__broker=BROKER, instrument__isin__isnull=False, quantity__isnull=True, ratio__isnull=True
    )
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
