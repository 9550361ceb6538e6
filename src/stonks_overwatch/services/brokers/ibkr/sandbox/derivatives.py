"""Contracts that expire: made when the script needs the next one, priced from what is under them."""

import math
from datetime import date, timedelta
from decimal import Decimal

from stonks_overwatch.services.brokers.ibkr.sandbox.market import Instrument, Market


def third_friday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def future(
    market: Market,
    index: Instrument,
    symbol: str,
    name: str,
    multiplier: int,
    expiry: date,
    scale: float = 1.0,
) -> Instrument:
    """A future on an index; `scale` is index points for one unit of what stands for the index here."""
    spot = market.curve(index.conid)
    instrument = Instrument(
        conid=_conid(600_000_000, symbol, expiry),
        symbol=symbol,
        name=name,
        asset_class="FUT",
        currency=index.currency,
        exchange="EUREX" if index.currency == "EUR" else "CME",
        country=index.country,
        description=f"{symbol} {expiry:%b%Y}".upper(),
        full_name=f"{symbol} {expiry:%b%d'%y} Futures",
        multiplier=Decimal(multiplier),
        units=Decimal(multiplier),
        expires_on=expiry,
        underlying=index.conid,
        underlying_symbol=symbol,
        # Both readings of unrealizedPnl are shown: in dollars it counts from the last settlement.
        cost_from_settlement=index.currency == "USD",
    )
    return market.add(instrument, lambda i: scale * spot(i) * (1 + 0.02 * _years(market, expiry, i)))


def option(
    market: Market, share: Instrument, moneyness: float, right: str, expiry: date, day: date
) -> Instrument:
    """An option on a hundred shares, its strike at `moneyness` times that day's close."""
    spot = market.curve(share.conid)
    close = float(market.close(share.conid, day))
    step = 0.5 if close < 60 else 5
    strike = round(close * moneyness / step) * step
    code = f"{share.symbol:<6}{expiry:%y%m%d}{right}{round(strike * 1000):08d}"
    instrument = Instrument(
        conid=_conid(610_000_000, share.symbol + right, expiry),
        symbol=share.symbol,
        name=share.name,
        asset_class="OPT",
        currency=share.currency,
        exchange="AMEX",
        country=share.country,
        description=f"{share.symbol:<6} {expiry:%b%Y} {strike:g} {right} [{code} 100]".upper(),
        full_name=f"{share.symbol} {expiry:%b%d'%y} {strike:g} {'Call' if right == 'C' else 'Put'}",
        multiplier=Decimal(100),
        units=Decimal(100),
        expires_on=expiry,
        strike=Decimal(f"{strike:g}"),
        right=right,
        underlying=share.conid,
        underlying_symbol=share.symbol,
    )
    return market.add(
        instrument, lambda i: _black_scholes(spot(i), strike, _years(market, expiry, i), 0.21, right)
    )


def call_on_future(
    market: Market, under: Instrument, moneyness: float, expiry: date, day: date
) -> Instrument:
    """A call on a future, paid for like a share (premium style)."""
    spot = market.curve(under.conid)
    strike = round(spot(market.index(day)) * moneyness / 50) * 50
    size = f"{under.multiplier:f}"
    code = f"{under.symbol:<6}{expiry:%y%m%d}C{strike * 1000:08d}"
    instrument = Instrument(
        conid=_conid(620_000_000, under.symbol, expiry),
        symbol=under.symbol,
        name=under.name,
        asset_class="FOP",
        currency=under.currency,
        exchange=under.exchange,
        country=under.country,
        description=f"{under.symbol:<6} {expiry:%b%Y} {strike} C (EX) [{code} {size}]".upper(),
        full_name=f"{under.symbol} {expiry:%b%d'%y} {strike} Call",
        multiplier=under.multiplier,
        units=under.units,
        expires_on=expiry,
        strike=Decimal(strike),
        right="C",
        underlying=under.conid,
        underlying_symbol=under.symbol,
    )
    return market.add(
        instrument, lambda i: _black_scholes(spot(i), strike, _years(market, expiry, i), 0.16, "C")
    )


def warrant(market: Market, share: Instrument, expiry: date, day: date) -> Instrument:
    """A call at the money, ten for one share: its multiplier tells that ratio, its price is for one."""
    spot = market.curve(share.conid)
    strike = round(spot(market.index(day)) / 10) * 10
    instrument = Instrument(
        conid=_conid(630_000_000, share.symbol, expiry),
        symbol=share.symbol,
        name=share.name,
        asset_class="WAR",
        currency=share.currency,
        exchange="FWB",
        country=share.country,
        description=f"{share.symbol} {expiry:%b%y} {strike} CALL".upper(),
        full_name=f"{share.symbol} {expiry:%b%d'%y} {strike} Call @FWB",
        multiplier=Decimal("0.1"),
        expires_on=expiry,
        strike=Decimal(strike),
        right="C",
        underlying=share.conid,
        underlying_symbol=share.symbol,
    )
    return market.add(
        instrument, lambda i: _black_scholes(spot(i), strike, _years(market, expiry, i), 0.22, "C") / 10
    )


def bill(market: Market, number: int, due: date) -> Instrument:
    """A treasury bill in dollars, the `number`th of the script; quoted in percent of its face."""
    instrument = Instrument(
        conid=640_000_000 + number,
        symbol="US-T",
        name=f"UNITED STATES TREASURY BILL {due:%m/%d/%y}",
        asset_class="BILL",
        currency="USD",
        exchange="SMART",
        country="US",
        description=f"US-T 0 {due:%m/%d/%y}",
        multiplier=Decimal(1),
        units=Decimal("0.01"),
        expires_on=due,
    )
    return market.add(instrument, lambda i: 100 * math.exp(-0.041 * _years(market, due, i)), decimals=4)


def _conid(start: int, symbol: str, expiry: date) -> int:
    """A number for each contract, the same one whenever it is made."""
    return start + sum(map(ord, symbol)) * 10_000 + (expiry.year - 2000) * 12 + expiry.month


def _years(market: Market, expiry: date, i: int) -> float:
    return max((expiry - market.days[i]).days, 0) / 365


def _black_scholes(spot: float, strike: float, years: float, volatility: float, right: str) -> float:
    """An option's price without interest; a cent at least."""
    sign = 1 if right == "C" else -1
    if years <= 0:
        return max(sign * (spot - strike), 0.01)
    spread = volatility * math.sqrt(years)
    d1 = math.log(spot / strike) / spread + spread / 2
    price = sign * (spot * _normal(sign * d1) - strike * _normal(sign * (d1 - spread)))
    return max(price, 0.01)


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2
