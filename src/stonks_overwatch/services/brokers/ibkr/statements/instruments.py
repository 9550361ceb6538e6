"""The instruments a file names, put together from all of its rows.

No row tells everything: a dividend names no class, a trade no maturity. Each field is taken from the
row that tells it best (the list of instruments, then positions, then trades, the latest first).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger.types import AssetClass, Instrument
from stonks_overwatch.services.brokers.ibkr.contracts import ASSET_CLASSES
from stonks_overwatch.services.brokers.ibkr.exchanges import market
from stonks_overwatch.services.brokers.ibkr.statements.rows import Row, RowError
from stonks_overwatch.services.brokers.ibkr.statements.words import RIGHTS
from stonks_overwatch.services.brokers.ibkr.values import decoded

_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d")
# What an event's text starts with: EXPO(US30214U1025) CASH DIVIDEND ...
_EVENT_ISIN = re.compile(r"\S+\s?\(([A-Z]{2}[A-Z0-9]{9}\d)\)")
# What a corporate action's text ends with: (TPHS, TRINITY PLACE HOLDINGS INC, 89656D101)
_EVENT_NAME = re.compile(r"\((?P<symbol>[^(),]+), (?P<name>.+), (?P<id>[^,]+)\)\s*$")
_CONID = re.compile(r"0*([1-9]\d*)")
_PAIR = re.compile(r"([A-Z]{3})[./]?([A-Z]{3})")

_ONE = Decimal(1)
_BOND_FACTORS = (Decimal("0.01"), _ONE, Decimal(10))
_PER_CERTIFICATE = {"WAR", "IOPT"}

# How well a tag's rows tell about their instrument. The `description` of events is no name.
_RANKS = {"SecurityInfo": 4, "OpenPosition": 3, "Trade": 2, "TradeConfirm": 2, "Order": 2, "TradeTransfer": 2}
_NAMING = frozenset({*_RANKS, "Transfer", "OptionEAE", "StatementOfFundsLine"})

_Rank = tuple[int, date]
_NEVER = date.min


class Instruments:
    def __init__(self) -> None:
        self._drafts: defaultdict[str, dict[str, tuple[_Rank, Any]]] = defaultdict(dict)
        self._noted: set[tuple[str | None, ...]] = set()
        self._codes: dict[str, str] = {}

    def note(self, row: Row) -> str | None:
        """Take in what the row tells about its instrument. Returns its reference, None when it names none."""
        conid = row.text("conid")
        seen = (row.tag, conid, row.text("symbol"), row.text("isin"))
        if conid and seen in self._noted:
            return _conid(conid)
        ref = _reference(row)
        if ref is not None:
            self._noted.add(seen)
            self._take(ref, row)
        return ref

    def note_ratio(self, ref: str, money: Decimal | None, quantity: Decimal, price: Decimal | None) -> None:
        """Learn what one unit at price 1 is worth from a row that tells all three."""
        if money and price and quantity and "ratio" not in self._drafts[ref]:
            self._drafts[ref]["ratio"] = ((0, _NEVER), abs(money / (quantity * price)))

    def note_currency(self, code: str) -> str:
        """The instrument that is a currency itself."""
        self._drafts[code] = {
            "currency": ((9, _NEVER), code),
            "symbol": ((9, _NEVER), code),
            "class": ((9, _NEVER), "CASH"),
            "name": ((9, _NEVER), code),
        }
        return code

    def unknown_classes(self) -> Mapping[str, str]:
        """Asset categories that are in no table, each with a row that has it."""
        return self._codes

    def _take(self, ref: str, row: Row) -> None:
        rank = (_RANKS.get(row.tag, 1), row.day("reportDate", "date", "tradeDate") or _NEVER)
        draft = self._drafts[ref]

        def tell(field: str, value: Any, by: _Rank = rank) -> None:
            if value is not None and (field not in draft or draft[field][0] <= by):
                draft[field] = (by, value)

        code = row.text("assetCategory")
        if code is not None and code not in ASSET_CLASSES:
            self._codes.setdefault(code, row.raw())
        isin = row.text("isin")
        if isin is None and row.text("securityIDType") == "ISIN":
            isin = row.text("securityID")
        told = _EVENT_NAME.search(row.text("description") or "") if row.tag == "CorporateAction" else None
        tell("class", code)
        tell("subclass", row.text("subCategory") or (row.text("type") if row.tag == "SecurityInfo" else None))
        tell("symbol", row.text("symbol"))
        name = row.text("description") if row.tag in _NAMING else told and told["name"]
        tell("name", name and decoded(name))
        money = row.currency()
        # A dividend can be paid in another currency than the share is quoted in.
        tell("currency", money and money[0], rank if row.tag in _NAMING else (0, rank[1]))
        tell("isin", isin if isin and _ISIN.fullmatch(isin) else _event_isin(row))
        tell("exchange", row.text("listingExchange"))
        tell("country", row.text("issuerCountryCode"))
        tell("multiplier", row.number("multiplier") or None)
        tell("strike", row.number("strike") or None)
        tell("right", RIGHTS.get((row.text("putCall") or "").upper()))
        tell("expires_on", row.day("expiry", "maturity"))
        tell("underlying_ref", _conid(row.text("underlyingConid")))
        tell("underlying_symbol", row.text("underlyingSymbol"))

    def aliases(self) -> dict[str, str]:
        """Contract numbers for references made of ISIN or symbol, where the file names exactly one."""
        by_isin: defaultdict[Any, set[str]] = defaultdict(set)
        by_symbol: defaultdict[Any, set[str]] = defaultdict(set)
        for ref, draft in self._drafts.items():
            if ref.isdigit():
                by_isin[_value(draft, "isin")].add(ref)
                by_symbol[_value(draft, "symbol"), _value(draft, "currency")].add(ref)
        found = {}
        for ref, draft in self._drafts.items():
            if ref.isdigit() or _value(draft, "class") == "CASH":
                continue
            isin = _value(draft, "isin")
            same = by_isin.get(isin, set()) if isin else set()
            if not isin:
                same = by_symbol.get((_value(draft, "symbol"), _value(draft, "currency")), set())
            if len(same) == 1:
                found[ref] = next(iter(same))
        return found

    def asset_class(self, ref: str) -> AssetClass:
        draft = self._drafts[ref]
        code = _value(draft, "class")
        if code == "STK" and _value(draft, "subclass") == "ETF":
            return AssetClass.ETF
        return ASSET_CLASSES.get(code or "", AssetClass.OTHER)

    def all(self, without: Mapping[str, str]) -> tuple[Instrument, ...]:
        """Every instrument whose currency is known, those left out that another reference stands for."""
        return tuple(
            self._instrument(ref, draft)
            for ref, draft in sorted(self._drafts.items())
            if ref not in without and _value(draft, "currency")
        )

    def _instrument(self, ref: str, draft: Mapping[str, tuple[_Rank, Any]]) -> Instrument:
        asset_class = self.asset_class(ref)
        multiplier, quote_factor = _factors(draft)
        symbol, name = _value(draft, "symbol"), _value(draft, "name")
        code, subclass = _value(draft, "class"), _value(draft, "subclass")
        underlying = _value(draft, "underlying_ref")
        listed = market(_value(draft, "exchange"))
        return Instrument(
            broker_ref=ref,
            symbol=symbol or ref,
            name=name or symbol or ref,
            asset_class=asset_class,
            currency=_value(draft, "currency"),
            multiplier=multiplier,
            quote_factor=quote_factor,
            isin=_value(draft, "isin"),
            exchange=_value(draft, "exchange"),
            mic=listed.mic,
            market=listed.name,
            market_country=listed.country,
            country=_value(draft, "country"),
            expires_on=_value(draft, "expires_on"),
            strike=_value(draft, "strike"),
            right=_value(draft, "right"),
            underlying_ref=underlying,
            underlying_symbol=_value(draft, "underlying_symbol") if underlying else None,
            description=name or "",
            # Without the sub-category a share cannot be told from an ETF.
            is_whole=bool(name and code and (code != "STK" or subclass)),
        )


def pair(row: Row) -> tuple[str, str] | None:
    """The two currencies of a currency pair: EUR.USD is euros priced in dollars."""
    found = _PAIR.fullmatch(row.text("symbol", "description") or "")
    return (found[1], found[2]) if found else None


def _reference(row: Row) -> str | None:
    """The contract number; without one the ISIN, without both symbol and market. Raises: RowError."""
    conid = row.text("conid")
    if conid is not None:
        ref = _conid(conid)
        if ref is None:
            raise RowError(f"conid {conid!r} is not a contract number")
        return ref
    isin = row.text("isin")
    if isin and _ISIN.fullmatch(isin):
        return isin
    if isin := _event_isin(row):
        return isin
    symbol = row.text("symbol")
    if symbol is None:
        return None
    return f"{symbol}@{row.text('listingExchange') or row.text('currency') or ''}"


def _conid(text: str | None) -> str | None:
    found = _CONID.fullmatch(text) if text else None
    return found[1] if found else None


def _event_isin(row: Row) -> str | None:
    found = _EVENT_ISIN.match(row.text("description") or "")
    # A corporate action starts with the security it happens to and ends with the one of the row.
    return found[1] if found and row.tag != "CorporateAction" else None


def _value(draft: Mapping[str, tuple[_Rank, Any]], field: str) -> Any:
    told = draft.get(field)
    return told[1] if told else None


def _factors(draft: Mapping[str, tuple[_Rank, Any]]) -> tuple[Decimal, Decimal]:
    """Multiplier and quote factor: quantity × price × both is money."""
    code, ratio = _value(draft, "class"), _value(draft, "ratio")
    stated = _value(draft, "multiplier") or _ONE
    if ASSET_CLASSES.get(code or "") is AssetClass.BOND:
        # Percent of face as a rule; some rows count the face in thousands or quote money per unit.
        near = [factor for factor in _BOND_FACTORS if ratio and abs(ratio / factor - 1) < Decimal("0.05")]
        return _ONE, near[0] if near else _BOND_FACTORS[0]
    if code in _PER_CERTIFICATE and (ratio is None or abs(ratio - 1) < Decimal("0.01")):
        return _ONE, _ONE
    return stated, _ONE
