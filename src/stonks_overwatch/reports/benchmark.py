"""What a portfolio is measured against: an instrument with prices, or a mix of several.

Prices alone count: dividends of a benchmark are not known to the ledger, so its return is a price return
(of a fund that keeps its dividends in, that is its total return).
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from django.db.models import Q

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine.rates import Block, Floats
from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.reports.daily import DailyTotal, prices_of, rates_of


class Part(NamedTuple):
    name: str
    symbol: str
    weight: Decimal  # a fraction; all of a benchmark's add up to 1


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`grown` is the growth of one unit of the base currency on every day of the series; NaN is unknown."""

    parts: tuple[Part, ...]
    grown: Floats

    @classmethod
    def named(cls, text: str, base: str, daily: DailyTotal) -> "Benchmark":
        """The one that a text like "IE00B4L5Y983" or "IE00B4L5Y983:60,IE00B3F81R35:40" names.

        An instrument is named by its ISIN, symbol or broker's number. A mix is brought back to its weights
        every day.

        Raises: UnknownInstrumentError.
        """
        first, last = daily.total.first, daily.total.last
        asked = [_split(part) for part in text.split(",") if part.strip()]
        whole = sum((weight for _, weight in asked), Decimal(0))
        parts = []
        blocks = []
        for name, weight in asked:
            instrument, prices = _priced(name)
            rates = rates_of(base, [instrument.currency], first, last)[0]
            blocks.append((prices, rates, float(weight)))
            parts.append(Part(instrument.name, instrument.symbol, weight / whole))
        return cls(tuple(parts), engine.from_funding(engine.blend(blocks, first, last), daily.total.nav))


def _split(part: str) -> tuple[str, Decimal]:
    name, colon, weight = part.strip().rpartition(":")
    if not colon:
        return weight, Decimal(1)
    try:
        number = Decimal(weight)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise UnknownInstrumentError(
            f"The weight {weight} of the benchmark {name} is not a positive number.",
            next_step="Write it like IE00B4L5Y983:60,IE00B3F81R35:40.",
        )
    return name, number


def _priced(name: str) -> tuple[Instrument, Block]:
    """The instrument of that name with the most prices."""
    named = Instrument.objects.filter(Q(isin=name) | Q(symbol=name) | Q(broker_ref=name)).order_by("pk")
    candidates = list(named)
    blocks = prices_of([instrument.pk for instrument in candidates])
    found = max(zip(blocks, candidates, strict=True), key=lambda pair: pair[0].numbers.size, default=None)
    if found is None or not found[0].numbers.size:
        raise UnknownInstrumentError(
            f"No prices are stored of an instrument {name}.",
            next_step="Name one by its ISIN or symbol, or import its prices (docs/import.md).",
        )
    return found[1], found[0]
