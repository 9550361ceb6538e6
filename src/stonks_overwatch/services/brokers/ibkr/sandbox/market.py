"""The sandbox's markets: what can be held, with a price and a rate for every business day.

Each path is a random walk around a trend. It depends on the seed and the date only, so the world of
tomorrow is the world of today and one more day.
"""

import math
import random
import struct
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

REFERENCE_DAY = date(2026, 1, 2)  # the day on which a trend is at its stated level
BASE = "EUR"  # rates are kept as EUR for one unit
Curve = Callable[[int], float]
"""A price for the day of that index; positive."""

_CRISES = (  # from, lowest, recovered, fall as a log return: the shape people remember
    (date(2018, 9, 20), date(2018, 12, 24), date(2019, 4, 15), -0.16),
    (date(2020, 2, 19), date(2020, 3, 18), date(2020, 9, 1), -0.36),
    (date(2022, 1, 4), date(2022, 10, 12), date(2023, 12, 15), -0.22),
    (date(2025, 2, 19), date(2025, 4, 8), date(2025, 6, 20), -0.17),
)


@dataclass(frozen=True, slots=True)
class Instrument:
    """What can be held, with what IBKR tells about it.

    `multiplier` is what IBKR sends; `units` is what one unit of quantity at a price of 1 is worth in
    `currency`: 100 for an option on 100 shares, 0.01 for a bond quoted in percent, 1 for a warrant,
    whose multiplier only tells its ratio.
    """

    conid: int
    symbol: str
    name: str
    asset_class: str  # IBKR's code: STK, OPT, ...
    currency: str
    exchange: str
    country: str
    kind: str = ""  # COMMON, ETF, ADR, REIT; empty for what is no share
    sector: str | None = None
    group: str | None = None
    sector_group: str | None = None
    description: str = ""  # contractDesc where it is not the symbol
    full_name: str = ""
    chinese_name: str | None = None
    multiplier: Decimal = Decimal(0)
    units: Decimal = Decimal(1)
    expires_on: date | None = None
    strike: Decimal | None = None
    right: str | None = None  # C or P
    underlying: int = 0
    underlying_symbol: str = ""
    # Which cost a future's unrealizedPnl counts from differs between servers: its own entry, or the
    # last settlement.
    cost_from_settlement: bool = False

    @property
    def is_margined(self) -> bool:
        """Buying it moves no cash; what it earns does."""
        return self.asset_class in ("FUT", "CFD")

    @property
    def is_virtual(self) -> bool:
        """A currency pair: its money is in the cash balances already."""
        return self.asset_class == "CASH"


@dataclass(frozen=True, slots=True)
class _Quote:
    curve: Curve
    decimals: int
    splits: tuple[tuple[date, int], ...]
    has_float_noise: bool


def is_business_day(day: date) -> bool:
    return day.weekday() < 5


def walk(seed: str, count: int, volatility: float, reversion: float = 0.8) -> list[float]:
    """A path of log returns around zero: `volatility` per year, pulled back at `reversion` per year."""
    chance = random.Random(seed)  # noqa: S311  # prices, not secrets
    step, keep = volatility / math.sqrt(252), 1 - reversion / 252
    level, path = 0.0, []
    for _ in range(count):
        level = level * keep + chance.gauss(0, step)
        path.append(level)
    return path


class Market:
    """Prices and rates from `first` to `today`; `today` is still open, its price moves."""

    def __init__(self, today: date, first: date, seed: int) -> None:
        self.today = today
        self.seed = seed
        last = today + timedelta(days={5: 2, 6: 1}.get(today.weekday(), 0))
        span = (last - first).days
        # One day more than closed: today's price lies between the last close and the one to come.
        self.days = [d for d in (first + timedelta(days=n) for n in range(span + 1)) if is_business_day(d)]
        self.instruments: dict[int, Instrument] = {}
        self._quotes: dict[int, _Quote] = {}
        self._live: dict[int, Decimal] = {}
        self._rates: dict[str, Curve] = {BASE: lambda _: 1.0}
        self._fixed_rates: dict[str, Decimal] = {}
        chance = walk(f"{seed}:market", len(self.days), 0.11, 1.2)
        self.common = [chance[i] + _crisis(day) for i, day in enumerate(self.days)]
        self._years = [(day - REFERENCE_DAY).days / 365.25 for day in self.days]

    @property
    def last_close(self) -> date:
        """The last business day that is over."""
        return self.days[-2]

    def trend(
        self,
        name: str,
        level: float,
        growth: float,
        volatility: float,
        *,
        beta: float = 1.0,
        reversion: float = 0.8,
    ) -> Curve:
        """A share's path: `level` on the reference day, growing, with its own and the market's moves."""
        own = walk(f"{self.seed}:{name}", len(self.days), volatility, reversion)
        start = math.log(level)
        return lambda i: math.exp(start + growth * self._years[i] + own[i] + beta * self.common[i])

    def add_rate(
        self, currency: str, level: float, volatility: float = 0.06, fixed: Decimal | None = None
    ) -> None:
        """A currency worth about `level` EUR per unit; `fixed` is exactly today's rate."""
        curve = self.trend(currency, level, 0.0, volatility, beta=0.0, reversion=1.0)
        self._rates[currency] = self._through(curve, fixed)
        if fixed is not None:
            self._fixed_rates[currency] = fixed

    def add(
        self,
        instrument: Instrument,
        curve: Curve,
        *,
        decimals: int = 2,
        live: Decimal | None = None,
        splits: tuple[tuple[date, int], ...] = (),
        has_float_noise: bool = False,
    ) -> Instrument:
        """Make an instrument known; `live` is exactly today's price, its path is scaled to lead there.

        `splits` are (day, new shares per old): the curve is in today's shares. `has_float_noise`:
        today's price is a 32-bit number, as IBKR sends them (185.17599487304688).
        """
        self.instruments[instrument.conid] = instrument
        self._quotes[instrument.conid] = _Quote(self._through(curve, live), decimals, splits, has_float_noise)
        if live is not None:
            self._live[instrument.conid] = live
        return instrument

    def curve(self, conid: int) -> Curve:
        return self._quotes[conid].curve

    def index(self, on: date) -> int:
        """The index of that day, or of the business day before it. ValueError before the first day."""
        index = bisect_right(self.days, on) - 1
        if index < 0:
            raise ValueError(f"the sandbox's markets open on {self.days[0]}, asked for {on}")
        return index

    def close(self, conid: int, on: date) -> Decimal:
        """The closing price of that business day, as it was quoted then (before later splits)."""
        quote = self._quotes[conid]
        price = quote.curve(self.index(on))
        for day, ratio in quote.splits:
            if on < day:
                price *= ratio
        return Decimal(f"{price:.{quote.decimals}f}")

    def price(self, conid: int) -> Decimal:
        """Today's price at this moment."""
        if conid not in self._live:
            quote = self._quotes[conid]
            price = self._now(quote.curve)
            if quote.has_float_noise:
                price = struct.unpack("f", struct.pack("f", round(price, 3)))[0]
                self._live[conid] = Decimal(repr(price))
            else:
                self._live[conid] = Decimal(f"{price:.{quote.decimals}f}")
        return self._live[conid]

    def set_price(self, conid: int, price: Decimal) -> None:
        self._live[conid] = price

    def set_rate(self, currency: str, rate: Decimal) -> None:
        """Today's EUR for one unit from now on."""
        self._fixed_rates[currency] = rate

    def rate(self, currency: str, on: date | None = None) -> Decimal:
        """EUR for one unit, today or at the close of a day. KeyError for a currency it does not know."""
        curve = self._rates[currency]
        if on is None and currency in self._fixed_rates:
            return self._fixed_rates[currency]
        return Decimal(f"{self._now(curve) if on is None else curve(self.index(on)):.7f}")

    def cross(self, currency: str, into: str, on: date | None = None) -> Decimal:
        """Units of `into` for one unit of `currency`."""
        if currency == into:
            return Decimal(1)
        return self.rate(currency, on) / self.rate(into, on)

    @property
    def currencies(self) -> list[str]:
        return list(self._rates)

    def _now(self, curve: Curve) -> float:
        last = len(self.days) - 1
        return math.sqrt(curve(last - 1) * curve(last))

    def _through(self, curve: Curve, live: Decimal | None) -> Curve:
        if live is None:
            return curve
        factor = float(live) / self._now(curve)
        return lambda i: curve(i) * factor


def _crisis(day: date) -> float:
    """What the crises take from prices on that day, as a log return."""
    for start, lowest, end, fall in _CRISES:
        if start <= day < lowest:
            return fall * math.pow((day - start).days / (lowest - start).days, 0.8)
        if lowest <= day < end:
            return fall * (1 - math.pow((day - lowest).days / (end - lowest).days, 0.7))
    return 0.0
