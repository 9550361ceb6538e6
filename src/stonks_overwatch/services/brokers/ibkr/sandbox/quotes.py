"""Market data as IBKR writes it: numbered fields, nearly all of them text."""

import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument
from stonks_overwatch.services.brokers.ibkr.sandbox.world import World

LAST, MARK, AVAILABILITY = "31", "7635", "6509"
_CENT = Decimal("0.01")


def row(world: World, conid: int, fields: Iterable[str], availability: str) -> dict[str, Any]:
    """What is known of an instrument at this moment: of the fields asked for, those that have a value.

    `availability` as in field 6509: it begins with R (real time), D (delayed), Z or Y (at the close) or N
    (no rights, so no price).
    """
    instrument = world.market.instruments[conid]
    known: dict[str, Any] = {
        "conid": conid,
        "conidEx": str(conid),
        "_updated": int(time.time() * 1000),
        "server_id": f"q{conid % 10}",
        "6119": f"q{conid % 10}",
        AVAILABILITY: availability,
    }
    if availability.startswith(("N", "O")):
        return known
    values = _values(world, instrument, at_close=availability.startswith(("Z", "Y")))
    return known | {field: values[field] for field in fields if field in values}


def _values(world: World, instrument: Instrument, *, at_close: bool) -> dict[str, Any]:
    market = world.market
    before = market.close(instrument.conid, market.last_close)
    now = before if at_close else market.price(instrument.conid)
    spread = max(_CENT, (now / 2000).quantize(_CENT))
    shown = f"C{_text(now)}" if at_close else _text(now)
    return {
        LAST: shown,
        MARK: _text(now),
        "84": _text(now - spread),
        "86": _text(now + spread),
        "85": "1,200",
        "88": "200",
        "87": "50.2M",
        "70": _text(max(now, before)),
        "71": _text(min(now, before)),
        "82": f"{now - before:+,f}",
        "83": float(round((now / before - 1) * 100, 2)) if before else 0.0,
        "7295": _text(before),
        "7741": _text(before),
        "7762": "50213345",
        "55": instrument.symbol,
        "6070": instrument.asset_class,
        "7051": instrument.name,
    }


def _text(price: Decimal) -> str:
    return f"{price:,f}"
