"""The instruments that files name, and what they call them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger import details, packed
from stonks_overwatch.ledger.details import InstrumentDetails
from stonks_overwatch.ledger.imported import BROKER
from stonks_overwatch.ledger.imported.closing import holders
from stonks_overwatch.ledger.lots import MARGINED, ZERO, product
from stonks_overwatch.ledger.models import Import, ImportedName, Instrument
from stonks_overwatch.ledger.sql import insert_one, update, upsert
from stonks_overwatch.ledger.types import CONTRACTS, AssetClass, Named

_PER_CENT = Decimal("0.01")


@dataclass(slots=True)
class Unit:
    """An instrument that files named. `multiplier` is None where it is not known."""

    pk: int
    asset_class: AssetClass
    multiplier: Decimal | None
    quote_factor: Decimal
    told: Named | None = None  # what it was last called


@dataclass(slots=True)
class Called:
    """What the latest row that says anything calls an instrument, and the day of that row.

    `per_unit` is the cash that one unit at a price of 1 takes: None where it is not known, 0 where margined.
    """

    unit: Unit
    told: Named
    on: str
    ref: str
    per_unit: Decimal | None


class Names:
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
            row[0]: Unit(row[0], AssetClass(row[1]), None if row[1] in CONTRACTS else row[2], row[3])
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
        self.at_hand: dict[int, Called] = {}  # by the identity of what is told: it takes no time to compare
        self.adopted: set[int] = set()  # known by a symbol alone so far, and by an ISIN from now on
        self.called: dict[tuple[str, str, str], Called] = {}

    def _know(self, pk: int, isin: str, symbol: str, currency: str) -> None:
        if isin:
            self.by_isin[isin, currency] = pk
            self.with_isin.add(pk)
        if symbol:
            self.by_symbol[symbol, currency].add(pk)

    def find(self, named: Named, on: str) -> Called | str:
        """The instrument, or why it cannot be told which."""
        called = self.at_hand.get(id(named))
        if called is None or called.told is not named or called.unit.told is not named:
            key = (named.isin, named.symbol, named.currency)
            called = self.called.get(key)
            unit = self._find(named) if called is None else called.unit
            if isinstance(unit, str):
                return unit
            self.called[key] = self.at_hand[id(named)] = called = self._call(unit, called, named, on)
        elif on > called.on:
            called.on = on
        return called

    def _find(self, named: Named) -> Unit | str:
        alike = self.by_symbol.get((named.symbol, named.currency), set()) if named.symbol else set()
        pk = None
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
        self._know(pk, named.isin, named.symbol, named.currency)
        return self.units[pk]

    def _make(self, named: Named) -> int:
        names = ["broker", "broker_ref", "symbol", "name", "asset_class", "currency", "isin"]
        units = {"multiplier": "1", "quote_factor": "1", "description": ""}
        told = [BROKER, named.ref, named.symbol, named.name, AssetClass.OTHER.value, named.currency]
        pk = insert_one(Instrument, [*names, *units], [*told, named.isin or None, *units.values()])
        self.units[pk] = Unit(pk, AssetClass.OTHER, Decimal(1), Decimal(1))
        return pk

    def _call(self, unit: Unit, before: Called | None, named: Named, on: str) -> Called:
        """Keep what the latest row that says anything calls it."""
        told = named
        if before is not None and before.told is not named:
            newer, older = (named, before.told) if on >= before.on else (before.told, named)
            told = replace(
                named,
                name=newer.name or older.name,
                asset_class=newer.asset_class or older.asset_class,
                multiplier=newer.multiplier or older.multiplier,
                quote_factor=newer.quote_factor or older.quote_factor,
            )
        unit.told = told
        if told.asset_class is not None and told.asset_class is not unit.asset_class:
            unit.asset_class = told.asset_class
            unit.multiplier = None if told.asset_class in CONTRACTS else Decimal(1)
            unit.quote_factor = _PER_CENT if told.asset_class is AssetClass.BOND else Decimal(1)
        more = self.beside.get((named.isin, named.symbol, named.currency))
        unit.multiplier = more.multiplier if more else told.multiplier or unit.multiplier
        unit.quote_factor = more.quote_factor if more else told.quote_factor or unit.quote_factor
        per_unit = product(unit.multiplier, unit.quote_factor)
        if per_unit is not None and unit.asset_class in MARGINED:
            per_unit = ZERO
        return Called(unit, told, on if before is None else max(on, before.on), named.ref, per_unit)

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
                    self.imported.pk, *key, of.unit.pk, of.told.name, of.told.asset_class or "",
                    of.told.multiplier, of.told.quote_factor, of.on,
                )
                for key, of in self.called.items()
            ),
            unique=["imported", "isin", "symbol", "currency"],
        )  # fmt: skip
        return describe({of.unit.pk for of in self.called.values()})


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
    if holders(revalued):
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
    more = next((beside[key] for name in reversed(names) if (key := called(name)) in beside), None)
    if more is None:
        return described | dict.fromkeys(_BESIDE) | {"description": ""}
    return described | {
        "symbol": more.shown_symbol or symbol,
        **more.model_dump(include={"name", "asset_class", "multiplier", "quote_factor", *_BESIDE}),
    }


def called(name: ImportedName) -> tuple[str, str, str]:
    return name.isin, name.symbol, name.currency
