"""What IBKR's contracts are and how their price becomes money, as far as its rows tell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger.types import AssetClass, Instrument
from stonks_overwatch.services.brokers.ibkr.exchanges import market
from stonks_overwatch.services.brokers.ibkr.inbox import Inbox
from stonks_overwatch.services.brokers.ibkr.values import (
    HUNDREDTH,
    MINOR_UNITS,
    Row,
    UntypedError,
    conid_of,
    day_of,
    decoded,
    first_number,
    first_text,
    major,
    near,
    optional,
)

ASSET_CLASSES = {
    "STK": AssetClass.STOCK,
    "FUND": AssetClass.FUND,
    "OPT": AssetClass.OPTION,
    "FSOPT": AssetClass.OPTION,
    "FUT": AssetClass.FUTURE,
    "FOP": AssetClass.FUTURE_OPTION,
    "FSFOP": AssetClass.FUTURE_OPTION,
    "BOND": AssetClass.BOND,
    "BILL": AssetClass.BOND,
    "CASH": AssetClass.CASH,
    "CRYPTO": AssetClass.CRYPTO,
    "WAR": AssetClass.WARRANT,
    "IOPT": AssetClass.STRUCTURED,
    "CFD": AssetClass.CFD,
    "FXCFD": AssetClass.CFD,
    "CMDTY": AssetClass.COMMODITY,
}
# Their multiplier is a term of the contract; everything else is priced per unit unless IBKR says otherwise.
DERIVATIVES = {AssetClass.OPTION, AssetClass.FUTURE, AssetClass.FUTURE_OPTION}
# IBKR shows the conversion ratio as multiplier, and values them per unit all the same.
PER_CERTIFICATE = {AssetClass.WARRANT, AssetClass.STRUCTURED}
RIGHTS = {"C": "call", "CALL": "call", "P": "put", "PUT": "put"}
# The tail of an option's text as the Options Clearing Corporation writes it: SPY   270115C00440000 100
_OCC = re.compile(r"\[\S+\s+(?P<expiry>\d{6})(?P<right>[CP])(?P<strike>\d{8})\s+(?P<multiplier>\d+)\]")
_OPTION_TEXT = re.compile(r"\s[A-Z]{3}\d{2,4}\s+(?P<strike>\d+(?:\.\d+)?)\s+(?P<right>[CP])\b")


@dataclass
class Holding:
    """What IBKR reports of one conid in one account, in the unit IBKR uses; models added up."""

    account: str
    conid: str
    row: Row
    quantity: Decimal
    price: Decimal | None
    value: Decimal | None
    average_price: Decimal | None
    average_cost: Decimal | None
    unrealized: Decimal | None
    priced_at: datetime

    @property
    def ratio(self) -> Decimal | None:
        """Value per quantity × price: what the multiplier comes to. None where rounding could blur it."""
        if not self.price or self.value is None or abs(self.value) < 1 or not self.quantity:
            return None
        return self.value / (self.quantity * self.price)


def combined(models: list[Holding]) -> Holding:
    """The rows of one conid, one per model portfolio, as one."""
    if len(models) == 1:
        return models[0]
    quantity = sum((m.quantity for m in models), Decimal(0))

    def added(values: list[Decimal | None]) -> Decimal | None:
        known = [value for value in values if value is not None]
        return sum(known, Decimal(0)) if len(known) == len(values) else None

    def averaged(values: list[Decimal | None]) -> Decimal | None:
        total = added([None if v is None else v * m.quantity for v, m in zip(values, models, strict=True)])
        return None if total is None or not quantity else total / quantity

    return replace(
        models[0],
        quantity=quantity,
        price=next((m.price for m in models if m.price is not None), None),
        value=added([m.value for m in models]),
        average_price=averaged([m.average_price for m in models]),
        average_cost=averaged([m.average_cost for m in models]),
        unrealized=added([m.unrealized for m in models]),
        priced_at=max(m.priced_at for m in models),
    )


def instrument(conid: str, rows: Sequence[Row], held: Sequence[Holding], inbox: Inbox) -> Instrument:
    """The contract that the rows are about, its factors checked against what is held of it.

    Raises: UntypedError when no row tells a currency.
    """
    doubts: list[str] = []
    code = first_text(rows, "currency", "cur")
    if code is None:
        raise UntypedError("the contract has no currency")
    asset_class, is_known = _asset_class(conid, rows, inbox)
    text = first_text(rows, "contractDesc", "description", "desc") or ""
    from_text = _option_terms(text) if asset_class in DERIVATIVES else {}
    stated = first_number(rows, "multiplier", doubts) or from_text.get("multiplier")
    largest = max(held, key=lambda holding: abs(holding.value or Decimal(0)), default=None)
    ratio = largest.ratio if largest else _traded_ratio(rows)
    multiplier, quote_factor = _factors(asset_class, stated, ratio, is_held=largest is not None)
    is_right = ratio is None or near(ratio, multiplier * quote_factor) or is_pence(ratio, multiplier, code)
    if largest and not is_right:
        reason = f"the value is not quantity × price × {multiplier * quote_factor}; the value of IBKR is used"
        inbox.tell("instruments", None, reason, largest.row, conid)
    # How a bond is quoted shows only in its value.
    is_quote_known = asset_class is not AssetClass.BOND or ratio is not None
    strike = first_number(rows, "strike", doubts) or from_text.get("strike")
    right = RIGHTS.get((first_text(rows, "putOrCall") or "").upper()) or from_text.get("right")
    expires_on = (
        next((day for f in ("expiry", "lastTradingDay") for r in rows if (day := day_of(r.get(f)))), None)
        or from_text.get("expires_on")
    )  # fmt: skip
    underlying = next((c for row in rows if (c := conid_of(row.get("undConid")))), None)
    name = first_text(rows, "name", "fullName", "chineseName")
    symbol = first_text(rows, "ticker", "undSym")
    exchange = first_text(rows, "listingExchange")
    listed = market(exchange)
    inbox.unreadable(doubts, "instruments", None, conid, rows)
    return Instrument(
        broker_ref=conid,
        symbol=symbol or (text if asset_class is AssetClass.OTHER else text.partition(" ")[0]) or conid,
        name=decoded(name or text or symbol or conid),
        asset_class=asset_class,
        currency=major(code)[0],
        multiplier=multiplier,
        quote_factor=quote_factor,
        exchange=exchange,
        mic=listed.mic,
        market=listed.name,
        market_country=listed.country,
        country=first_text(rows, "countryCode"),
        sector=first_text(rows, "sector"),
        industry=first_text(rows, "group"),
        expires_on=expires_on,
        strike=strike,
        right=right,
        underlying_ref=underlying,
        underlying_symbol=first_text(rows, "undSym") or (symbol if underlying else None),
        description=text,
        is_whole=is_known and symbol is not None and is_quote_known,
    )


def _asset_class(conid: str, rows: Sequence[Row], inbox: Inbox) -> tuple[AssetClass, bool]:
    """The class, and whether IBKR named it at all (transactions do not)."""
    code = first_text(rows, "assetClass", "secType")
    if code is None:
        return AssetClass.OTHER, False
    if code not in ASSET_CLASSES:
        inbox.tell("instruments", None, f"the asset class {code} is not known", rows, conid)
        return AssetClass.OTHER, True
    if code == "STK" and first_text(rows, "type") == "ETF":
        return AssetClass.ETF, True
    return ASSET_CLASSES[code], True


def _factors(
    asset_class: AssetClass, stated: Decimal | None, ratio: Decimal | None, *, is_held: bool
) -> tuple[Decimal, Decimal]:
    """Multiplier and quote factor, such that quantity × price × both is the value that IBKR states.

    `stated` is the multiplier that IBKR names, `ratio` the one that its value (or a trade's money) shows.
    """
    one = Decimal(1)
    if asset_class is AssetClass.BOND:
        # Percent of face; some rows count the face in thousands or quote money per unit.
        candidates = [(one, factor) for factor in (HUNDREDTH, one, Decimal(10))]
    elif asset_class in PER_CERTIFICATE:
        candidates = [(one, one), (stated or one, one)]
    else:
        candidates = [(stated or one, one)]
        if stated is None and ratio is not None and (asset_class in DERIVATIVES or not is_held):
            candidates.append((_snapped(ratio), one))
    fitting = (c for c in candidates if ratio is None or near(ratio, c[0] * c[1]))
    return next(fitting, candidates[0])


def _traded_ratio(rows: Sequence[Row]) -> Decimal | None:
    """The multiplier as a trade shows it: money per quantity × price."""
    for row in rows:
        price, quantity, amount = (optional(row, f, []) for f in ("pr", "qty", "amt"))
        if price and quantity and amount:
            return abs(amount / (price * quantity))
    return None


def _snapped(ratio: Decimal) -> Decimal:
    """The whole number nearby: multipliers are whole, values are rounded."""
    whole = ratio.to_integral_value()
    return whole if whole > 0 and near(ratio, whole) else Decimal(1)


def _option_terms(text: str) -> dict[str, Any]:
    """Strike, right, expiry and multiplier as far as the contract's own text tells them."""
    if occ := _OCC.search(text):
        return {
            "strike": Decimal(occ["strike"]) / 1000,
            "right": RIGHTS[occ["right"]],
            "expires_on": day_of(f"20{occ['expiry']}"),
            "multiplier": Decimal(occ["multiplier"]),
        }
    if plain := _OPTION_TEXT.search(text):
        return {"strike": Decimal(plain["strike"]), "right": RIGHTS[plain["right"]]}
    return {}


def units(held: Holding, code: str | None, multiplier: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """What turns price, value and average cost into major units: 1, or 0.01 for pence.

    IBKR names pence as such, or quotes a price in pence beside a value in pounds under the same name.
    """
    one = Decimal(1)
    is_named = code in MINOR_UNITS
    is_mixed = is_pence(held.ratio, multiplier, code)
    if not is_named and not is_mixed:
        return one, one, one
    value_unit = one if is_mixed else HUNDREDTH
    average_unit = HUNDREDTH
    if is_mixed and held.average_price is not None and held.value is not None and held.unrealized is not None:
        stated = held.average_price * held.quantity * multiplier
        cost = held.value - held.unrealized
        average_unit = min(HUNDREDTH, one, key=lambda unit: abs(stated * unit - cost))
    return HUNDREDTH, value_unit, average_unit


def is_pence(ratio: Decimal | None, multiplier: Decimal, code: str | None) -> bool:
    if ratio is None or code not in {*MINOR_UNITS, *MINOR_UNITS.values()}:
        return False
    return near(ratio, multiplier * HUNDREDTH, Decimal("0.02"))
