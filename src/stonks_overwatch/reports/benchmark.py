"""What a portfolio is measured against: an instrument with prices, or a mix of several.

Dividends that are known (distributions.py) are reinvested on their day, before tax, unless prices alone are
asked for. It is a total return only where the accounts looked at held the instrument all the time: the
ledger does not know what others received. Of a fund that keeps its dividends in, the return of prices is
the total return.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from django.db.models import Q

from stonks_overwatch.engine import series as engine
from stonks_overwatch.engine.rates import Block, Floats, window
from stonks_overwatch.errors import UnknownInstrumentError
from stonks_overwatch.ledger.models import Instrument
from stonks_overwatch.ledger.types import AssetClass
from stonks_overwatch.reports.daily import DailyTotal, prices_of, rates_of
from stonks_overwatch.reports.distributions import Distributions, distributions
from stonks_overwatch.reports.periods import DAY, Days

_LIKE = "Write it like IE00B4L5Y983:60,IE00B3F81R35:40."
_DERIVED = (AssetClass.OPTION, AssetClass.FUTURE, AssetClass.FUTURE_OPTION, AssetClass.CFD)


class Part(NamedTuple):
    name: str
    symbol: str
    weight: Decimal  # a fraction; all of a benchmark's add up to 1


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`grown` is the growth of one unit of the base currency from the begin of the days looked at.

    Of every day of the series; NaN before and after these days, and where it is unknown: `why` says what is
    missing. `told` is what is known of the dividends of each part; empty where prices alone are asked for.
    """

    parts: tuple[Part, ...]
    grown: Floats
    told: tuple[Distributions, ...]
    why: str

    def reinvested(self, days: Days) -> int:
        """How many dividends are in the growth of these days."""
        return sum(days.first <= paid.on <= days.last for of in self.told for paid in of.paid)

    def is_total(self, days: Days) -> bool:
        """Whether the growth of these days holds dividends, and all that there were."""
        return self.reinvested(days) > 0 and all(
            of.are_all_known(days.first - DAY, days.last) for of in self.told
        )

    @classmethod
    def named(
        cls, text: str, base: str, daily: DailyTotal, days: Days, *, price_return: bool = False
    ) -> "Benchmark":
        """The one that a text like "IE00B4L5Y983" or "IE00B4L5Y983:60,IE00B3F81R35:40" names.

        An instrument is named by its ISIN, symbol or broker's number. A mix is brought back to its weights
        every day. With `price_return` no dividend is counted. What it lacks on other days does not matter.

        Raises: UnknownInstrumentError.
        """
        total = daily.total
        first, last = max(days.first.toordinal() - 1, total.first), min(days.last.toordinal(), total.last)
        first = min(first, last)
        asked = asked_parts(text)
        whole = sum((weight for _, weight in asked), Decimal(0))
        parts = []
        blocks = []
        told = []
        for name, weight in asked:
            instrument, prices = _priced(name)
            of = distributions(instrument, daily.accounts)
            rates = rates_of(base, [instrument.currency], first, last)[0]
            paid = [] if price_return else _dividends(of, base, first, last)
            splits = [(split.on.toordinal(), float(split.ratio)) for split in of.splits]
            blocks.append(engine.Grown(prices, rates, paid, splits, float(weight)))
            told.append(of)
            parts.append(Part(instrument.name, instrument.symbol, weight / whole))
        nav = total.nav[first - total.first : last - total.first + 1]
        grown = engine.from_funding(engine.blend(blocks, first, last), nav)
        why = "" if engine.are_known(grown) else _why(parts, blocks, first, last)
        whole_series = window(Block(first, grown), total.first, total.last)
        return cls(tuple(parts), whole_series, () if price_return else tuple(told), why)


def _why(parts: list[Part], blocks: list[engine.Grown], first: int, last: int) -> str:
    """What is missing, and what to do about it."""
    for part, block in zip(parts, blocks, strict=True):
        gap = block.gap(first, last)
        if gap is not None:
            since, until = (f"{date.fromordinal(day).day} {date.fromordinal(day):%b %Y}" for day in gap)
            of_days = f"from {since} to {until}" if since != until else f"on {since}"
            return (
                f"{part.symbol} has no price, or its currency no rate, of the last seven days {of_days}. "
                "Import its prices (docs/Import.md), or look at days that have some."
            )
    return ""


def _dividends(of: Distributions, base: str, first: int, last: int) -> list[tuple[int, float, Floats]]:
    """As the engine takes them, each with the rates of its currency."""
    currencies = sorted({one.currency for one in of.paid})
    rates = dict(zip(currencies, rates_of(base, currencies, first, last), strict=True))
    return [(one.on.toordinal(), float(one.amount), rates[one.currency]) for one in of.paid]


def asked_parts(text: str) -> list[tuple[str, Decimal]]:
    """Name and weight of each part of a mix, as they are written. Raises: UnknownInstrumentError."""
    parts = [_split(part) for part in text.split(",") if part.strip()]
    if not parts:
        raise UnknownInstrumentError("The benchmark names no instrument.", next_step=_LIKE)
    return parts


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
            next_step=_LIKE,
        )
    return name, number


def _priced(name: str) -> tuple[Instrument, Block]:
    """The instrument of that name with the most prices; what derives from it may have its symbol too."""
    named = Instrument.objects.filter(Q(isin=name) | Q(symbol=name) | Q(broker_ref=name)).order_by("pk")
    candidates = list(named)
    blocks = prices_of([instrument.pk for instrument in candidates])
    found = max(zip(blocks, candidates, strict=True), key=_is_meant, default=None)
    if found is None or not found[0].numbers.size:
        raise UnknownInstrumentError(
            f"No prices are stored of an instrument {name}.",
            next_step="Name one by its ISIN or symbol, or import its prices (docs/Import.md).",
        )
    return found[1], found[0]


def _is_meant(priced: tuple[Block, Instrument]) -> tuple[bool, bool, int]:
    block, instrument = priced
    return block.numbers.size > 0, instrument.asset_class not in _DERIVED, block.numbers.size
