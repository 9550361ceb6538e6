"""The worlds that the sandbox can show, by name."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from stonks_overwatch.services.brokers.ibkr.sandbox.demo import demo
from stonks_overwatch.services.brokers.ibkr.sandbox.market import Curve, Instrument, Market
from stonks_overwatch.services.brokers.ibkr.sandbox.world import Holder, World, business_day

MAIN = "U7654321"
SEED = 20260102
_RECEIPT = "CASH RECEIPTS / ELECTRONIC FUND TRANSFERS"


def small(today: date) -> World:
    """One account, six positions with prices that are easy to reckon with."""
    market = Market(today, business_day(today - timedelta(days=800)), SEED)
    _rates(market, {"USD": "0.86", "GBP": "1.15", "CHF": "1.06"})

    def add(price: str, instrument: Instrument) -> int:
        curve = market.trend(instrument.symbol, float(price), 0.08, 0.12)
        return market.add(instrument, curve, live=Decimal(price)).conid

    apple = add(
        "230.5",
        Instrument(
            265598, "AAPL", "APPLE INC", "STK", "USD", "NASDAQ", "US", "COMMON",
            "Technology", "Computers", "Computers", chinese_name="&#x82F9;&#x679C;&#x516C;&#x53F8;",
        ),
    )  # fmt: skip
    fund = add(
        "128.4", Instrument(370573480, "VWCE", "VANG FTSE AW USDA", "STK", "EUR", "IBIS2", "IE", "ETF")
    )
    microsoft = add(
        "480",
        Instrument(
            272093, "MSFT", "MICROSOFT CORP", "STK", "USD", "NASDAQ", "US", "COMMON",
            "Technology", "Software", "Applications Software",
        ),
    )  # fmt: skip
    shell = add(
        "27.25",
        Instrument(
            507726782, "SHEL", "SHELL PLC", "STK", "GBP", "LSE", "GB", "COMMON",
            "Energy", "Oil&Gas", "Oil Comp-Integrated",
        ),
    )  # fmt: skip
    nestle = add(
        "82.1",
        Instrument(
            29612193, "NESN", "NESTLE SA-REG", "STK", "CHF", "EBS", "CH", "COMMON",
            "Consumer, Non-cyclical", "Food", "Food-Misc/Diversified",
        ),
    )  # fmt: skip
    knock_out = add(
        "18.42",
        Instrument(
            712345678, "VQ3K7T", "OPEN END TURBO LONG ON ASML HOLDING NV", "IOPT", "EUR", "SWB", "DE",
            description="VQ3K7T OPEN-END TURBO CALL ASML HOLDING NV 512.35 KO 538.001",  # 60 characters
            multiplier=Decimal("0.1"),
        ),
    )  # fmt: skip

    def ago(days: int) -> date:
        return business_day(today - timedelta(days=days))

    world = World(market, [Holder(MAIN, "EUR", "Ada Example", None, ago(700))])
    for currency, amount in (("EUR", 11000), ("USD", 7000), ("GBP", 1800), ("CHF", 1000)):
        world.move_cash(MAIN, "deposit", currency, Decimal(amount), ago(700), _RECEIPT)
    world.buy(MAIN, apple, Decimal("1.5"), Decimal(190), ago(690))
    world.buy(MAIN, fund, Decimal(40), Decimal(112), ago(680))
    world.buy(MAIN, shell, Decimal(50), Decimal("24.5"), ago(670))
    world.buy(MAIN, nestle, Decimal(9), Decimal("91.2"), ago(660))
    world.buy(MAIN, knock_out, Decimal(60), Decimal("15.1"), ago(200))
    world.buy(MAIN, apple, Decimal("0.625"), Decimal(200), ago(60))
    for _ in range(2):  # two fills that nothing tells apart
        world.buy(MAIN, microsoft, Decimal(3), Decimal(470), ago(20))
    world.dividend(MAIN, apple, Decimal("0.26"), Decimal("0.15"), ago(40), ago(33))
    world.dividend(MAIN, shell, Decimal("0.27"), Decimal(0), ago(10), today + timedelta(days=12))
    world.move_cash(MAIN, "fee", "EUR", Decimal(-3), ago(50), "R******21:XETRA LEVEL 1")
    first = today.replace(day=1)
    paid_on = first + timedelta(days=34)
    world.accrue_interest(
        MAIN, "EUR", Decimal("4.12"), first, paid_on, f"EUR CREDIT INT FOR {today:%b-%Y}".upper()
    )
    world.pay_due(today)
    return world


def empty(today: date) -> World:
    """An account with cash and without a single position."""
    opened = business_day(today - timedelta(days=120))
    market = Market(today, business_day(today - timedelta(days=400)), SEED)
    _rates(market, {"USD": "0.86"})
    world = World(market, [Holder(MAIN, "EUR", "Ada Example", None, opened)])
    world.move_cash(MAIN, "deposit", "EUR", Decimal(2500), opened, _RECEIPT)
    return world


def large(today: date) -> World:
    """One account with 5,000 positions, for what has to stay quick with many of them."""
    market = Market(today, business_day(today - timedelta(days=800)), SEED)
    _rates(market, _LARGE_RATES)
    opened = market.days[20]
    world = World(market, [Holder(MAIN, "EUR", "Ada Example", None, opened)])
    world.move_cash(MAIN, "deposit", "EUR", Decimal(5_000_000), opened, _RECEIPT)
    for currency in _LARGE_RATES:
        world.exchange(MAIN, "EUR", Decimal(700_000), currency, opened)
    # A walk for each would take seconds: forty are shared, at many levels.
    walks = [market.trend(f"walk {n}", 1.0, 0.07, 0.2) for n in range(40)]
    moves = [[walk(i) for i in range(len(market.days))] for walk in walks]
    currencies = ["EUR", *_LARGE_RATES]
    for number in range(5000):
        price = 5 + number * 37 % 400 + number % 100 / 100
        kind = "ETF" if number % 10 == 0 else "COMMON"
        sector, exchange = (None, "ARCA") if kind == "ETF" else (_SECTORS[number % len(_SECTORS)], "NYSE")
        instrument = Instrument(
            500_000_000 + number, f"L{number:04d}", f"COMPANY NUMBER {number} INC", "STK",
            currencies[number % len(currencies)], exchange, "US", kind, sector,
        )  # fmt: skip
        market.add(instrument, _scaled(moves[number % len(moves)], price))
        bought_on = market.days[25 + number % (len(market.days) - 30)]
        world.buy(MAIN, instrument.conid, Decimal(1 + number % 7), on=bought_on, commission=Decimal(-1))
    return world


def _scaled(moves: list[float], price: float) -> Curve:
    return lambda i: price * moves[i]


_LARGE_RATES = {"USD": "0.86", "GBP": "1.15", "CHF": "1.06", "CAD": "0.62", "SEK": "0.09"}
_SECTORS = ("Technology", "Financial", "Energy", "Industrial", "Utilities")


def _rates(market: Market, today: dict[str, str]) -> None:
    for currency, rate in today.items():
        market.add_rate(currency, float(rate), fixed=Decimal(rate))


SCENARIOS: dict[str, Callable[[date], World]] = {
    "demo": demo,
    "small": small,
    "empty": empty,
    "large": large,
}
